"""Many runs of one experiment: a grid of parameters, papermill runs for those without a current record.

    python -m lib.sweep book/runs/one_run.ipynb -p m 0 0.5 0.9 -p seed 0 1 --jobs 2

or a file that lists several grids, as those in ``book/runs`` do.

Each run is a process of its own, here or a job of Slurm (``--executor slurm``), started through submitit.
Stopping a sweep loses only the runs in progress: asked again, it runs what is missing. The book's build does
the same for the grids declared in ``book/runs/*.yml``.
"""

from lib.sweep.command import command_line
from lib.sweep.engine import keep, run, run_all
from lib.sweep.jobs import Job, SweepError, declared, grid, missing, plan
from lib.sweep.place import Place
