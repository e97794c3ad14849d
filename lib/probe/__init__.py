"""What is read out of attention while a model runs."""

from lib.probe.features import QUANTILES, Alignment, Sample, TokenStatistics, alignment, token_statistics
from lib.probe.observer import Probe
from lib.probe.operators import attention_operators
from lib.probe.readings import HeadReading, LayerReading, as_arrays
