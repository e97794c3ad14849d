"""The command line: jobs in order of worth, each within its share of the budget."""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.gpu import lengths, parity, spectra, table2, thousand, training
from benchmarks.gpu.ledger import Ledger, unpack
from benchmarks.gpu.pieces import Measurements, Piece, Stage
from lib import records
from lib.records.record import device_name
from lib.vggt.memory import InsufficientMemoryError


@dataclass(frozen=True)
class Job:
    """pieces: in order of worth; share: seconds at most, all fewer where the budget is less than their sum.

    The last job that is asked for gets what is left.
    """

    pieces: Callable[[Stage], Iterator[Piece]]
    share: float


JOBS = {
    "parity": Job(parity.pieces, 40),
    "table2": Job(table2.pieces, 300),
    "lengths": Job(lengths.pieces, 90),
    "spectra": Job(spectra.pieces, 60),
    "thousand": Job(thousand.pieces, 60),
    "training": Job(training.pieces, 170),
}
REHEARSAL = 900.0  # seconds that a rehearsal may take on a busy machine; it needs some fifteen of a processor


class Command:
    """One call: its ledger, its clock, and what goes into every record."""

    def __init__(self, options: argparse.Namespace, ledger: Ledger) -> None:
        self.options, self.ledger, self.failed = options, ledger, 0
        self.start = time.monotonic()
        budget = REHEARSAL if options.rehearse else 60 * options.budget_minutes
        self.jobs = options.only or list(JOBS)
        self.scale = min(1.0, budget / sum(JOBS[name].share for name in self.jobs))
        self.end = self.start + budget
        self.facts: Measurements = {
            "command": (said(options), "text"),
            "commit": (options.commit or current_commit(), "text"),
            "cuda": (torch.version.cuda or "none", "text"),
        }

    def say(self, text: str) -> None:
        """A line with the seconds so far."""
        print(f"[{time.monotonic() - self.start:7.1f} s] {text}", flush=True)

    def run(self, name: str, job: Job) -> None:
        """The pieces of a job that have no record, while its time lasts."""
        last = name == self.jobs[-1] or self.options.rehearse
        most = self.end if last else time.monotonic() + self.scale * job.share
        place = (self.options.device, self.options.rehearse, self.options.seed, self.ledger.path.parent)
        asked = (tuple(self.options.networks), str(self.facts["commit"][0]))
        stage = Stage(*place, min(most, self.end), self.ledger.found, *asked)
        experiment = f"benchmarks.gpu.{name}"
        skipped = 0
        for piece in job.pieces(stage):
            if self.options.rehearse:
                piece.params["rehearsal"] = True
            if self.ledger.has(experiment, piece.params):
                skipped += 1
            elif stage.left <= 0:
                self.say(f"{name}: its time is spent; call again for the rest")
                break
            elif piece.seconds > self.end - time.monotonic():
                self.say(f"{name} {_words(piece)}: takes about {piece.seconds:.0f} s, more than is left")
            else:
                self._measure(name, experiment, piece)
        if skipped:
            self.say(f"{name}: {skipped} recorded before")

    def _measure(self, name: str, experiment: str, piece: Piece) -> None:
        """One record; what does not fit into memory is recorded as that, other errors are told and passed."""
        run = records.begin(experiment, piece.params, self.options.device)
        try:
            measured = piece.measure()
        except (InsufficientMemoryError, torch.OutOfMemoryError) as error:
            measured = {"refused": (str(error).splitlines()[0], "text")}
            if self.options.device.startswith("cuda"):
                torch.cuda.empty_cache()
        except Exception:
            self.failed += 1
            traceback.print_exc()
            self.say(f"{name} {_words(piece)}: FAILED")
            return
        record = run.finish(measured | self.facts)
        self.ledger.write(record)
        self.say(f"{name} {_words(piece)}: {record.seconds:.2f} s{' REFUSED' * ('refused' in measured)}")


def said(options: argparse.Namespace) -> str:
    """The command as it was given; a folder of that machine is of no use elsewhere."""
    folder = str(options.out)
    words = ["OUT" if word == folder else word.replace(f"={folder}", "=OUT") for word in options.argv]
    return " ".join(["python -m benchmarks.gpu", *words])


def _words(piece: Piece) -> str:
    hidden = ("seed", "device", "size", "config", "rehearsal")
    return " ".join(f"{key}={value}" for key, value in piece.params.items() if key not in hidden)


def current_commit() -> str:
    """Commit of the working tree, "unknown" where there is none."""
    from lib.training.export import current_commit as commit

    return commit()


def arguments(argv: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=(__doc__ or "").strip())
    parser.add_argument("--budget-minutes", type=float, default=12.0)
    parser.add_argument("--only", nargs="+", choices=JOBS, metavar="JOB", help=f"of {', '.join(JOBS)}")
    parser.add_argument(
        "--out", type=Path, default=records.RECORDS / "gpu", help="folder for what is measured"
    )
    parser.add_argument("--rehearse", action="store_true", help="every job at tiny size, on the CPU")
    parser.add_argument("--device", default=None, help="default cuda, in a rehearsal cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--networks", nargs="+", choices=training.NETWORKS, default=["large"], help="which the training makes"
    )
    parser.add_argument("--commit", help="to be noted where the copy has no history")
    parser.add_argument("--unpack", type=Path, metavar="FILE", help="bring a records.jsonl home, and no more")
    options = parser.parse_args(argv)
    options.argv, options.device = argv, options.device or ("cpu" if options.rehearse else "cuda")
    if options.device.startswith("cuda") and not torch.cuda.is_available() and not options.unpack:
        parser.error("no CUDA device here; --rehearse runs every job at tiny size on the CPU")
    return options


def main(argv: list[str] | None = None) -> int:
    """Measure what has no record yet; the number of pieces that failed is the exit status."""
    options = arguments(sys.argv[1:] if argv is None else argv)
    if options.unpack:
        for path in unpack(options.unpack):
            print(path)
        return 0
    command = Command(options, Ledger(options.out, options.device))
    command.say(f"{device_name(options.device)}, torch {torch.__version__}, {command.facts['commit'][0]}")
    for name in command.jobs:
        command.run(name, JOBS[name])
    command.say(f"done; records in {command.ledger.path}")
    return command.failed
