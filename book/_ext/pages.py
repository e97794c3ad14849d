"""Execute pages before Sphinx reads them: several at a time, the longest first, one thread each.

The result of a page, its executed notebook, the outcomes of its checks and its trace (`traces`), lies in
``_build/pages/<page>/<hash of the trace>``; the last few are kept, so that a revert finds its result again.
myst-nb then finds every page in a jupyter-cache that was filled from there. jupyter-cache's own
``local-parallel`` executor takes all cores, no order, one environment for all pages, and files results by the
cells' text alone.
"""

import copy
import json
import math
import os
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gaps
import kernels
import nbformat
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from jupyter_core.utils import run_sync
from nbclient import NotebookClient
from traces import Present, beyond, sha
from traitlets.config import Config

KEPT = 6  # results of a page
SHIPPED = {"BOOK_PROFILE": "default", "RECORDS_FOLDER": "records"}  # what a page as shipped is told
FIRST = "from lib import used; used.watch()"  # before its first cell
FORGET = f"""import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
import after_gap; after_gap.watch()
del sys.path[0], sys.modules["after_gap"], sys, after_gap"""  # and where an error leaves a gap
LAST = """import json, sys
from lib import used
profile = sys.modules.get("book.study.profile")
about = {"follows": profile.CONSULTED[0], "said": profile.SAID} if profile else {"follows": False, "said": []}
print(json.dumps([used.dependencies(), about]))"""  # after its last


class PageError(RuntimeError):
    """Pages that could not be executed; the message holds their tracebacks."""


@dataclass(frozen=True)
class Manner:
    """How pages are executed.

    Attributes:
        timeout: seconds that one cell may take.
        tolerant: an error leaves a gap, as in other profiles than the shipped book's; else it fails the page.
    """

    timeout: int
    tolerant: bool = False

    @property
    def first(self) -> list[str]:
        """What a kernel executes before the first cell."""
        return [FIRST, FORGET] if self.tolerant else [FIRST]


@dataclass
class Page:
    """A page: name, source file and cells; where its results lie; the one that is current, if any.

    `left`: why it is not executed; empty where it is. `as_shipped`: it is executed as in the shipped book.
    """

    name: str
    path: Path
    notebook: nbformat.NotebookNode
    results: Path
    folder: Path | None = None
    left: str = ""
    as_shipped: bool = False

    @property
    def code(self) -> list[nbformat.NotebookNode]:
        """The code cells."""
        return [cell for cell in self.notebook.cells if cell.cell_type == "code"]

    @property
    def cells(self) -> str:
        """What of the page itself is executed."""
        sources = (cell.source for cell in self.code)
        return repr([self.name, *sources, *["as shipped"] * self.as_shipped]) + self.left

    @property
    def key(self) -> str:
        """Names the current result."""
        return self.folder.name if self.folder else sha(self.cells)

    @property
    def missing(self) -> bool:
        """No current result."""
        return bool(self.code) and self.folder is None

    @property
    def about(self) -> dict[str, Any]:
        """Of its current result: whether it follows the profile, what it said, whether that holds, gaps."""
        found = _read(self.folder / "about.json") if self.folder else {}  # of one that was left there is none
        return {"follows": False, "said": [], "gaps": []} | found

    @property
    def stored(self) -> list[Path]:
        """Folders of its results, whatever they depended on, the newest first."""
        found = [path for path in self.results.glob("*") if (path / "trace.json").is_file()]
        return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)

    @property
    def expected(self) -> float:
        """Seconds that the newest result took; a page that never ran may take longest."""
        return _read(self.stored[0] / "seconds.json") if self.stored else math.inf

    def find(self, present: Present) -> None:
        """Look for a stored result of which nothing has changed."""
        for folder in self.stored:
            if not present.changes(_read(folder / "trace.json"), self.cells):
                self.folder = folder
                return


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def execute_all(
    pages: Sequence[Page], workers: int, manner: Manner, present: Present, report: Callable[[str], None]
) -> None:
    """Execute pages, ``workers`` at a time.

    Args:
        report: told each finished page in words.
    Raises:
        PageError: of all pages that failed; the results of the others are kept.
    """
    longest_first = sorted(pages, key=lambda page: (page.expected, len(page.code)), reverse=True)
    running: list[NotebookClient] = []
    failed: list[str] = []
    with kernels.forked(), ThreadPoolExecutor(workers) as pool:
        try:
            started = {pool.submit(execute, page, manner, running): page for page in longest_first}
            for done, future in enumerate(as_completed(started), 1):
                page = started[future]
                try:
                    file_result(page, executed := future.result(), present)
                    for line in executed.odd:
                        report(f"{page.name} does not follow the profile, {line}")
                except Exception as error:  # whatever a page does wrong, the others' errors are wanted too
                    failed.append(f"{page.name}: {error}")
                report(f"{'executed' if page.folder else 'failed'} {page.name} ({done} of {len(pages)})")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for client in running:
                if client.km is not None:
                    run_sync(client.km.signal_kernel)(signal.SIGKILL)
            raise
    if failed:
        raise PageError("\n\n".join(failed))


@dataclass(frozen=True)
class Executed:
    """What one execution left: its folder, the notebook with outputs, what it used, its seconds.

    Attributes:
        about: whether it follows the profile; sentences of the text, and whether they hold; why it has gaps.
        odd: errors that left a gap without a reason.
    """

    part: Path
    notebook: nbformat.NotebookNode
    used: list[str]
    seconds: float
    about: dict[str, Any] = field(default_factory=dict)
    odd: list[str] = field(default_factory=list)


def execute(page: Page, manner: Manner, running: list[NotebookClient]) -> Executed:
    """Execute one page, its outcomes in a folder of its own.

    Args:
        running: where the client is listed meanwhile, so that others can end its kernel.
    """
    part = page.results / "part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    notebook, start = copy.deepcopy(page.notebook), time.perf_counter()
    if page.left:
        gaps.untried(notebook, page.left)
        return Executed(part, notebook, [], 0.0)
    notebook.cells.append(nbformat.v4.new_code_cell(LAST))
    with TemporaryDirectory() as sockets:
        client = NotebookClient(
            notebook,
            timeout=manner.timeout,
            # On a busy machine outputs come late; by default those that take 4 s are dropped without a word.
            iopub_timeout=manner.timeout,
            raise_on_iopub_timeout=True,
            allow_errors=manner.tolerant,
            resources={"metadata": {"path": str(page.path.parent)}},
            shutdown_kernel="immediate",
            extra_arguments=[f"--IPKernelApp.exec_lines={line}" for line in manner.first],
            # By default kernels pick free TCP ports, and two that start at once can pick the same.
            config=Config({"KernelManager": {"transport": "ipc", "ip": f"{sockets}/kernel"}}),
        )
        running.append(client)
        try:
            client.execute(env=environment(part) | (SHIPPED if page.as_shipped else {}))
        finally:
            running.remove(client)
    last = notebook.cells.pop().outputs
    used, about = json.loads("".join(out.text for out in last if out.name == "stdout"))
    odd, about["gaps"] = gaps.leave(notebook) if manner.tolerant else ([], [])
    return Executed(part, notebook, used, time.perf_counter() - start, about, odd)


def file_result(page: Page, done: Executed, present: Present) -> None:
    """Complete a result and give it its name, in one piece.

    Raises:
        PageError: the page read what a build writes.
    """
    if unkeyed := beyond(done.used):
        raise PageError(f"it reads what a build writes, which cannot be in its key: {', '.join(unkeyed)}")
    trace = present.trace(page.cells, done.used)
    for name, content in (
        ("seconds", done.seconds),
        ("about", done.about),
        ("odd", done.odd),
        ("trace", trace),
    ):
        (done.part / f"{name}.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
    nbformat.write(done.notebook, done.part / "page.ipynb")
    page.folder = page.results / sha(json.dumps(trace, sort_keys=True))
    shutil.rmtree(page.folder, ignore_errors=True)
    done.part.replace(page.folder)


def environment(state: Path) -> dict[str, str]:
    """Variables of a page's kernel: where its checks leave their outcomes; one thread unless asked for more.

    Several kernels that each take all cores are many times slower than one thread each.
    """
    return os.environ | {
        "BOOK_STATE": str(state),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or "1",
    }


def fill_cache(pages: Sequence[Page], folder: Path) -> None:
    """Put the result of every page where myst-nb looks for it."""
    cache = get_cache(folder)
    for page in pages:
        data: dict[str, Any] = {"key": page.key}
        try:
            if cache.match_cache_notebook(page.notebook).data["key"] == page.key:
                continue
        except KeyError:
            pass
        notebook = copy.deepcopy(page.notebook)
        if page.folder:
            data["execution_seconds"] = _read(page.folder / "seconds.json")
            stored = nbformat.read(page.folder / "page.ipynb", as_version=4)
            notebook.metadata |= {
                k: v for k, v in stored.metadata.items() if k in ("language_info", "widgets")
            }
            outputs = [cell for cell in stored.cells if cell.cell_type == "code"]
            code = [cell for cell in notebook.cells if cell.cell_type == "code"]
            for cell, executed in zip(code, outputs, strict=True):
                cell.update(outputs=executed.outputs, execution_count=executed.execution_count)
        bundle = CacheBundleIn(notebook, str(page.path), data=data)
        cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)


def gather_outcomes(pages: Sequence[Page], folder: Path) -> None:
    """Bring the outcomes of the checks of these pages, and no others, together in one folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for page in pages:
        for path in page.folder.glob("checks/*.json") if page.folder else []:
            shutil.copy2(path, folder)


def forget_old(pages: Sequence[Page]) -> None:
    """Keep the last few results of every page, this one's among them."""
    for page in pages:
        if page.folder:
            os.utime(page.folder)
        for old in page.stored[KEPT:]:
            shutil.rmtree(old, ignore_errors=True)
