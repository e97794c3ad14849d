"""What the corrected theory says a real model must do: written down, with thresholds, before any run of it.

The predictions of the first round stand in ``declared.yml``, those of the second in ``declared_second.yml``,
each with the quantity that decides it; ``book.study.predictions.measure`` and ``…second`` measure them on one
model and one set of scenes. These files must not change once results exist: their history and that of the
results show which came first.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from book.study import entries
from book.study.hypothesis import read

FILE = Path(__file__).with_name("declared.yml")
PREDICTIONS = read(FILE)
SECOND_FILE = FILE.with_name("declared_second.yml")
SECOND = read(SECOND_FILE)
# run -> parameters of ``book/runs/second_round.ipynb`` beside the model
RUNS: dict[str, dict[str, Any]] = entries.read(SECOND_FILE, ("predictions", "runs"))["runs"]
