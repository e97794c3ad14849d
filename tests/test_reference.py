"""The reference page: docstrings become reStructuredText that says the same; it builds without a warning."""

import functools
import importlib.util
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Protocol

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "book" / "api.md").read_text(encoding="utf-8")


def extension():  # type: ignore[no-untyped-def]
    spec = importlib.util.spec_from_file_location("reference", ROOT / "book" / "_ext" / "reference.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reference = extension()


@pytest.mark.parametrize(
    ("written", "becomes"),
    [
        ("|M_w|² and a*b", r"\|M_w\|² and a\*b"),
        ("`x_`s of ``y``", r"\ ``x_``\ s of \ ``y``\ "),
        ("a name_ ends", r"a name\_ ends"),
    ],
)
def test_only_code_is_markup(written: str, becomes: str) -> None:
    assert reference.prose(written) == becomes


def test_sections_become_fields_and_examples_stay_as_they_are() -> None:
    written = """Do it.

    run |it| now

Args:
    m, seed: of the rule,
        on two lines.
    x: (N,) tokens.
Raises:
    ValueError: m is `None`.
Returns:
    (N,) as before: a copy."""
    becomes = """Do it.

::

    run |it| now

:Args:
   - ``m, seed``: of the rule,
     on two lines.
   - ``x``: (N,) tokens.

:Raises:
   - ``ValueError``: m is \\ ``None``\\ .

:Returns:
   (N,) as before: a copy.
"""
    assert reference.restructured(written) == becomes


def test_signatures_are_such_as_people_write() -> None:
    class Loud(Protocol):
        """With the constructor that every protocol has."""

    sign = functools.partial(reference.on_signature, None, "class", "lib.one.Loud")
    assert sign(Loud, None, "(*args, **kwargs)", None) == ("", None)
    given = "(head: ~lib.vggt.config.Head | None = <factory>)"
    assert sign(int, None, given, "int") == (given.replace("<factory>", "..."), "int")
    assert sign(int, None, None, None) == (None, None)


def test_every_public_room_is_on_the_page() -> None:
    """Those with a door; command lines and what only they use are no doors for other work."""
    rooms = {p.parent.name for p in (ROOT / "lib").glob("*/__init__.py") if "\nfrom lib." in p.read_text()}
    modules = {p.stem for p in (ROOT / "lib").glob("*.py")} - {"__init__"}
    inner = {"sweep", "train", "pipes", "used"}
    missing = {n for n in (rooms | modules) - inner if f".. automodule:: lib.{n}\n" not in PAGE}
    assert missing == set()


@pytest.mark.book
def test_the_page_builds_without_a_warning(tmp_path: Path) -> None:
    settings = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["sphinx"]["config"]
    kept = {n: v for n, v in settings.items() if n.startswith(("nitpick", "autodoc", "python_"))}
    lines = [f"{name} = {value!r}" for name, value in kept.items()]
    lines += ["extensions = ['myst_parser', 'reference']", "source_suffix = {'.md': 'markdown'}"]
    (tmp_path / "conf.py").write_text("\n".join(lines), encoding="utf-8")
    others = ("how_it_is_built", "run_it_yourself")
    listed = "\n".join(("api", *others))
    (tmp_path / "index.md").write_text(f"# Index\n\n```{{toctree}}\n{listed}\n```\n", encoding="utf-8")
    for name in others:
        (tmp_path / f"{name}.md").write_text("# Another page\n", encoding="utf-8")
    (tmp_path / "api.md").write_text(PAGE, encoding="utf-8")
    path = f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'book' / '_ext')!r}]\n"
    (tmp_path / "build.py").write_text(
        path
        + textwrap.dedent("""
            from sphinx.cmd.build import main
            sys.exit(main(["-W", "--keep-going", "-q", "-b", "html", ".", "out"]))
        """),
        encoding="utf-8",
    )
    done = subprocess.run([sys.executable, "build.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    html = (tmp_path / "out" / "api.html").read_text(encoding="utf-8")
    assert 'id="lib.merging.FastVGGTRule"' in html and str(ROOT) not in html
