"""Execute pages before Sphinx reads them: several at a time, the longest first, one thread each.

The result of a page, its executed notebook and the outcomes of its checks, lies in
``_build/pages/<page>/<key>``; the last few keys are kept, so that a revert finds its result again. myst-nb
then finds every page in a jupyter-cache that was filled from there. jupyter-cache's own ``local-parallel``
executor takes all cores, no order, one environment for all pages, and files results by the cells' text alone.
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
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from jupyter_core.utils import run_sync
from nbclient import NotebookClient
from traitlets.config import Config

KEPT = 6  # results of a page


class PageError(RuntimeError):
    """Pages that could not be executed; the message holds their tracebacks."""


@dataclass(frozen=True)
class Page:
    """A page: name, source file and cells; the key of all that its execution depends on; its results."""

    name: str
    path: Path
    notebook: nbformat.NotebookNode
    key: str
    results: Path

    @property
    def folder(self) -> Path:
        """Where the result of this key lies."""
        return self.results / self.key

    @property
    def cells(self) -> list[nbformat.NotebookNode]:
        """The code cells."""
        return [cell for cell in self.notebook.cells if cell.cell_type == "code"]

    @property
    def missing(self) -> bool:
        """No result of this key."""
        return bool(self.cells) and not self.folder.is_dir()

    @property
    def expected(self) -> float:
        """Seconds that the newest result took, whatever its key; a page that never ran may take longest."""
        newest = sorted(self.results.glob("*/seconds.json"), key=lambda p: p.stat().st_mtime)
        return float(json.loads(newest[-1].read_text())) if newest else math.inf


def execute_all(pages: Sequence[Page], workers: int, timeout: int, report: Callable[[str], None]) -> None:
    """Execute pages, ``workers`` at a time.

    Args:
        timeout: seconds that one cell may take.
        report: told each finished page in words.
    Raises:
        PageError: of all pages that failed; the results of the others are kept.
    """
    longest_first = sorted(pages, key=lambda page: (page.expected, len(page.cells)), reverse=True)
    running: list[NotebookClient] = []
    failed: list[str] = []
    with ThreadPoolExecutor(workers) as pool:
        try:
            started = {pool.submit(execute, page, timeout, running): page for page in longest_first}
            for done, future in enumerate(as_completed(started), 1):
                page, error = started[future], future.exception()
                if error is not None:
                    failed.append(f"{page.name}: {error}")
                report(f"{'failed' if error else 'executed'} {page.name} ({done} of {len(pages)})")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for client in running:
                if client.km is not None:
                    run_sync(client.km.signal_kernel)(signal.SIGKILL)
            raise
    if failed:
        raise PageError("\n\n".join(failed))


def execute(page: Page, timeout: int, running: list[NotebookClient]) -> None:
    """Execute one page in its own folder; its result appears in one piece, when all is done.

    Args:
        running: where the client is listed meanwhile, so that others can end its kernel.
    """
    part = page.folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    notebook, start = copy.deepcopy(page.notebook), time.perf_counter()
    with TemporaryDirectory() as sockets:
        client = NotebookClient(
            notebook,
            timeout=timeout,
            resources={"metadata": {"path": str(page.path.parent)}},
            shutdown_kernel="immediate",
            # By default kernels pick free TCP ports, and two that start at once can pick the same.
            config=Config({"KernelManager": {"transport": "ipc", "ip": f"{sockets}/kernel"}}),
        )
        running.append(client)
        try:
            client.execute(env=environment(part))
        finally:
            running.remove(client)
    (part / "seconds.json").write_text(json.dumps(time.perf_counter() - start))
    nbformat.write(notebook, part / "page.ipynb")
    part.replace(page.folder)


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
        if page.cells:
            data["execution_seconds"] = json.loads((page.folder / "seconds.json").read_text())
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
        for path in page.folder.glob("checks/*.json"):
            shutil.copy2(path, folder)


def forget_old(pages: Sequence[Page]) -> None:
    """Keep the last few results of every page, this one's among them."""
    for page in pages:
        if page.folder.is_dir():
            os.utime(page.folder)
        found = sorted(page.results.glob("*"), key=lambda p: p.stat().st_mtime, reverse=True)
        for old in found[KEPT:]:
            shutil.rmtree(old, ignore_errors=True)
