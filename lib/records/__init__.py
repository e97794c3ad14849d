"""Write and load measurements with their provenance; a result of code that has changed since is an error.

Of `lib` it imports only what lists the files of a scene: what is read is what is hashed. Nothing of the book,
and torch only where a run begins.

    run = records.begin("book/runs/one_run.ipynb", {"m": 0.5, "seed": 0})
    ...
    records.save(run.finish({"ate": Quantity(0.12, "m")}, kept=0.5))
    records.load("book/runs/one_run.ipynb", m=0.5, seed=0)["ate"]
"""

from lib.records.experiments import declared, parameters
from lib.records.fingerprints import ROOT, Provenance, key, provenance
from lib.records.record import CPU_THREADS, Quantity, Record, Run, begin
from lib.records.store import (
    MEASUREMENTS,
    RECORDS,
    Measured,
    StaleResultError,
    bring_home,
    found,
    load,
    load_measured,
    load_sweep,
    path_of,
    save,
)
