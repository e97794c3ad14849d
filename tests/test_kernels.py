"""Kernels of pages that are forked: as those that start by themselves, and gone when they should be."""

import contextlib
import os
import time
from pathlib import Path
from types import ModuleType

import nbformat
import pytest
from nbclient.exceptions import DeadKernelError

from lib.sweep import forks

pytestmark = [pytest.mark.book, pytest.mark.skipif(not forks.POSSIBLE, reason="kernels are not forked here")]

CELLS = (
    "import os, sys\nfrom pathlib import Path",
    "known = 'torch' in sys.modules",  # a forked kernel has it before it asks
    "import matplotlib.pyplot as plt\nplt.plot([0, 1])\nplt.show()",
    "print(Path.cwd().name, os.environ['OMP_NUM_THREADS'], os.environ['BOOK_STATE'][-4:])",
    "print(os.getsid(0) == os.getpid())",  # a Ctrl-C is for the build, which ends its kernels
    "from lib import geometry\nprint('lib.geometry' in sys.modules, 'lib.vggt' in sys.modules)",
)


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> tuple[ModuleType, ModuleType]:
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[1] / "book" / "_ext"))
    import kernels
    import pages

    return kernels, pages


def execute(pages: ModuleType, folder: Path, *cells: str):
    """What a page of these cells leaves, executed below `folder`."""
    folder.mkdir(exist_ok=True)
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    page = pages.Page("one", folder / "one.md", made, folder / "results")
    return pages.execute(page, pages.Manner(60), [])


def outputs(done) -> list[list[str]]:
    """Text and kinds of data of each cell."""
    return [
        ["".join(sorted(o.data)) if "data" in o else o.text for o in cell.outputs]
        for cell in done.notebook.cells
    ]


def test_a_forked_kernel_does_what_one_does_that_starts_by_itself(tools, tmp_path: Path) -> None:
    kernels, pages = tools
    apart = execute(pages, tmp_path / "page", *CELLS, "print(known)")
    with kernels.forked():
        forked = execute(pages, tmp_path / "page", *CELLS, "print(known)")
    *usual, unknown = outputs(apart)
    *ours, known = outputs(forked)
    assert ours == usual and "image/png" in ours[2][0]
    assert ours[3:] == [["page 1 part\n"], ["True\n"], ["True False\n"]]
    assert (unknown, known) == (["False\n"], ["True\n"])
    assert forked.used == apart.used, "its trace is the same"


def test_a_kernel_that_dies_fails_its_page_and_all_end_with_the_block(tools, tmp_path: Path) -> None:
    kernels, pages = tools
    with kernels.forked():
        tell = "import os\nprint(os.getpid(), os.getppid())"
        (text,) = outputs(execute(pages, tmp_path, tell))[0]
        kernel, server = map(int, text.split())
        with pytest.raises(DeadKernelError):
            execute(pages, tmp_path, "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
        assert server != os.getpid() and os.path.exists(f"/proc/{server}")
    until = time.monotonic() + 10
    while any(_alive(number) for number in (kernel, server)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _alive(kernel) and not _alive(server)
    (text,) = outputs(execute(pages, tmp_path, tell))[0]
    assert int(text.split()[1]) == os.getpid(), "afterwards kernels start as usual"


def _alive(process: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_where_nothing_is_forked_kernels_start_as_usual(
    tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernels, pages = tools
    monkeypatch.setattr(forks, "POSSIBLE", False)
    with kernels.forked():
        assert outputs(execute(pages, tmp_path, "import sys\nprint('torch' in sys.modules)"))[0] == [
            "False\n"
        ]
