"""What is read out of attention while a model runs."""

from lib.probe.features import QUANTILES, Alignment, Sample, TokenStatistics, alignment, token_statistics
from lib.probe.observer import Probe
from lib.probe.readings import HeadReading, LayerReading, as_arrays
from lib.probe.rehearsal import Rehearsal, Together

__all__ = [
    "QUANTILES",
    "Alignment",
    "HeadReading",
    "LayerReading",
    "Probe",
    "Rehearsal",
    "Sample",
    "Together",
    "TokenStatistics",
    "alignment",
    "as_arrays",
    "token_statistics",
]
