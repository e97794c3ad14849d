"""Sphinx side of the promise that no page shows a result of code that has since changed.

Before anything is read it (1) makes sure that no other build is at work here and removes the old pages, (2)
runs the papermill runs that have no current record, (3) executes the pages of which something that they use
has changed, and has Sphinx read those again. Pages of a build that failed are moved to ``failed-html``:
nothing is left that could be taken for a finished book.

The book's root is the folder of ``_config.yml``; the `lib` beside it is the one that the pages import.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import sys
from pathlib import Path
from typing import Any, TextIO

import pages as execution
from myst_nb.core.read import create_nb_reader
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx.errors import ExtensionError
from sphinx.util import logging
from traces import Present

log = logging.getLogger(__name__)

HASHED = (
    "lib",
    "book/study",
    "book/profiles",
    "data",
    "book/_ext",
)  # every file of these can change what a page shows
SKIPPED = {".pyc", ".tmp"}


def file_hashes(root: Path) -> dict[str, str]:
    """Hash of every file, beside the pages' own text, that can change what a page shows."""
    files = [p for folder in HASHED for p in (root / folder).rglob("*") if p.is_file()]
    return {
        p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in files
        if p.suffix not in SKIPPED
    }


def use_the_books_lib(root: Path) -> None:
    """Make this process, and every kernel that it starts, import the `lib` of this book."""
    sys.path.insert(0, str(root))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
    import lib

    if Path(lib.__file__ or "").resolve().parent != root / "lib":
        raise ExtensionError(
            f"{root} holds no lib: pages are built together, from the folder of _config.yml: "
            "jupyter-book build . (those that are up to date are not executed again)"
            if not (root / "lib").is_dir()
            else f"pages of {root} would import lib from {lib.__file__}: build with {root} as working folder "
            "and without another lib in PYTHONPATH"
        )


def on_config(app: Sphinx, config: Config) -> None:
    """Remove old pages; plan the runs; say where executed pages are found."""
    choose_profile(app)
    app.book_lock = only_build(app.book_base)  # type: ignore[attr-defined]
    for old in (Path(app.outdir), failed_folder(app)):
        shutil.rmtree(old, ignore_errors=True)
    try:
        plan(app, Path(app.srcdir).resolve())
    except (ValueError, OSError) as error:
        raise ExtensionError(f"book/runs: {error}") from None
    Path(app.outdir).mkdir(parents=True)
    config.nb_execution_cache_path = str(Path(os.environ["BOOK_STATE"]) / "jupyter_cache")


def only_build(base: Path) -> TextIO:
    """A lock on the folder of a profile's pages until this process ends: two builds delete each other's.

    Raises:
        ExtensionError: another process builds there.
    """
    base.mkdir(parents=True, exist_ok=True)
    lock = (base / "building").open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise ExtensionError(
            f"another build is at work in {base}: wait until it has ended, or build in another copy"
        ) from None
    return lock


def choose_profile(app: Sphinx) -> None:
    """Give a profile other than the shipped book's (``$BOOK_PROFILE``) its own pages and records."""
    name = Path(os.environ.get("BOOK_PROFILE") or "default").stem
    base = Path(app.srcdir).resolve() / "_build"
    app.book_base = base if name == "default" else base / name  # type: ignore[attr-defined]
    if name != "default":
        os.environ["RECORDS_FOLDER"] = f"records-of/{name}"
        with contextlib.suppress(OSError):
            Path(app.outdir).rmdir()  # Sphinx has just made it, if it was not there
        app.outdir = type(app.outdir)(base / name / Path(app.outdir).name)
        app.doctreedir = type(app.doctreedir)(base / name / ".doctrees")


def plan(app: Sphinx, root: Path) -> None:
    """Set ``app.book_profile``, ``book_files``, ``book_runs`` and the environment variable ``BOOK_STATE``."""
    use_the_books_lib(root)
    from book.study.profile import BOOK

    app.book_profile, runs = BOOK, BOOK.jobs()  # type: ignore[attr-defined]
    state = app.book_base / "state"  # type: ignore[attr-defined]
    state.mkdir(parents=True, exist_ok=True)
    os.environ["BOOK_STATE"] = str(state)
    app.book_files, app.book_runs = file_hashes(root), runs  # type: ignore[attr-defined]
    app.book_executed = []  # type: ignore[attr-defined]


def on_builder(app: Sphinx) -> None:
    """Print the plan; run what no current record holds. The first failure stops the shipped book."""
    from book import plan
    from book.study.profile import run_what_can_be
    from lib import sweep

    jobs = app.book_runs  # type: ignore[attr-defined]
    try:
        for line in plan.plan(jobs):
            log.info("plan: %s", line)
    except (ValueError, KeyError, OSError) as error:  # what cannot be reckoned can still be run
        log.info("plan: unknown, %s", error)
    workers = int(os.environ.get("BOOK_JOBS", "2"))
    run = sweep.run if app.book_profile.shipped else run_what_can_be  # type: ignore[attr-defined]
    try:
        ran = run(jobs, workers, lambda line: log.info("sweep: %s", line))
    except sweep.SweepError as error:
        fail(app)
        raise ExtensionError(f"sweep: {error}") from None
    log.info("sweep: %d ran, %d were current", ran, len(jobs) - ran)


def read_pages(app: Sphinx, env: BuildEnvironment, present: Present) -> list[execution.Page]:
    """The book's pages that are notebooks, each with its current result, if there is one."""
    results, found = app.book_base / "pages", []  # type: ignore[attr-defined]
    profile: Any = app.book_profile  # type: ignore[attr-defined]
    # What the front matter of a page says: it is about what ships, or about what was measured beforehand.
    shipped = {"shipped"} if profile.beforehand else {"shipped", "beforehand"}
    for name in sorted(env.found_docs):
        path = Path(env.doc2path(name))
        text = path.read_text(encoding="utf-8")
        reader = create_nb_reader(str(path), env.myst_config, env.mystnb_config, text)  # type: ignore[attr-defined]
        if reader is not None:
            page = execution.Page(name, path, reader.read(text), results / name.replace("/", "-"))
            page.left = profile.leave.get(Path(name).name, "")
            page.as_shipped = page.notebook.metadata.get("profile") in shipped
            page.find(present)
            found.append(page)
    return found


def on_outdated(app: Sphinx, env: BuildEnvironment, *_: object) -> set[str]:
    """Execute what has no result; the pages whose results are others than when Sphinx last read them."""
    root, state = Path(app.srcdir).resolve(), Path(os.environ["BOOK_STATE"])
    present = Present(root)
    pages = read_pages(app, env, present)
    executed = [page for page in pages if page.missing]
    app.book_executed = executed  # type: ignore[attr-defined]
    app.book_pages = {page.name: page for page in pages}  # type: ignore[attr-defined]
    profile: Any = app.book_profile  # type: ignore[attr-defined]
    manner = execution.Manner(app.config.nb_execution_timeout, tolerant=not profile.shipped)
    workers = int(os.environ.get("BOOK_JOBS", "2"))
    try:
        execution.execute_all(executed, workers, manner, present, lambda line: log.info("pages: %s", line))
    except execution.PageError as error:
        raise ExtensionError(f"pages: {error}") from None
    execution.fill_cache(pages, state / "jupyter_cache")
    execution.gather_outcomes(pages, state / "checks")
    execution.forget_old(pages)
    before: dict[str, str] = getattr(env, "book_keys", {})
    tools = {
        str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in (root / "book" / "_ext").glob("*.py")
    }
    drawn_by = {"": repr((sorted(tools.items()), present.packages))}
    now = {page.name: page.key for page in pages} | drawn_by
    env.book_keys = now  # type: ignore[attr-defined]
    if before.get("") != now[""]:
        return set(env.found_docs)
    return {page.name for page in executed} | {name for name in now if now[name] != before.get(name)}


def on_finished(app: Sphinx, error: Exception | None) -> None:
    """Move the pages of a failed build out of the way; fail one whose code was edited meanwhile."""
    before: dict[str, str] = app.book_files  # type: ignore[attr-defined]
    now = file_hashes(Path(app.srcdir).resolve())
    edited = sorted(n for n in before.keys() | now.keys() if before.get(n) != now.get(n))
    for page in app.book_executed if edited else []:  # type: ignore[attr-defined]
        if page.folder:  # may not belong to the trace that it is filed under
            shutil.rmtree(page.folder)
    if edited and error is None:
        fail(app)
        raise ExtensionError(f"edited while the book was being built, build it again: {', '.join(edited)}")
    strict = app.book_profile.shipped  # type: ignore[attr-defined]
    if error is not None or (strict and app._warncount and app.keep_going):
        fail(app)


def failed_folder(app: Sphinx) -> Path:
    """Where pages of a failed build go: ``_build/failed-html``."""
    return Path(app.outdir).parent / f"failed-{Path(app.outdir).name}"


def fail(app: Sphinx) -> None:
    """Take away the name of a finished build."""
    shutil.rmtree(failed_folder(app), ignore_errors=True)
    if Path(app.outdir).is_dir():
        Path(app.outdir).rename(failed_folder(app))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx; every warning fails the shipped book, with or without ``-W --keep-going``."""
    if not app.warningiserror and os.environ.get("BOOK_PROFILE", "") in ("", "default"):
        app.keep_going = True
    app.connect("config-inited", on_config, priority=900)
    app.connect("builder-inited", on_builder, priority=100)
    app.connect("env-get-outdated", on_outdated)
    app.connect("build-finished", on_finished, priority=900)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": True}
