"""What a finished book drops, and what it keeps."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "book" / "_ext"))

import light

ICONS = (
    'x={"bars":[448,512,["navicon"],"f0c9","M0 96C0"],sun:[512,512,[9728],"f185","M3"],'
    '"moon":[384,512,[127769,"night"],"f186",["M1","M2"]],"ghost":[384,512,[],"f6e2","M4"]};'
)
FIGURE = '<svg width="300pt" height="150.3pt" viewBox="0 0 300 150.3">'


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A built book with everything that is to go, and all that is to stay."""
    files = {
        "_static/mathjax/tex-chtml.js": "", "_static/mathjax/tex-svg.js": "",
        "_static/mathjax/input/tex/extensions/color.js": "", "_static/mathjax/input/mml.js": "",
        "_static/mathjax/sre/mathmaps/en.json": "", "_static/mathjax/sre/mathmaps/de.json": "",
        "_static/mathjax/output/svg/fonts/tex.js": "",
        "_static/scripts/fontawesome.js": ICONS, "_static/scripts/fontawesome.js.map": "",
        "_static/scripts/theme.js": "'fa-sun'", "_static/locales/de/LC_MESSAGES/theme.mo": "",
        "_static/vendor/fonts/a.woff2": "", "_static/vendor/fonts/a.ttf": "",
        "_images/a.svg": FIGURE, "_static/mark.svg": FIGURE,
        "book/one.html": '<i class="fas fa-night"></i><i class="fa-navicon"></i>'
        '<img alt="A" class="only-light" src="../_images/a.svg" /><img src="../_static/mark.svg">'
        '<img alt="gone" src="../_images/gone.svg">',
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def finish(out: Path, error: Exception | None = None, kind: str = "html") -> set[str]:
    """The files that are left."""
    light.lighten(SimpleNamespace(outdir=out, builder=SimpleNamespace(format=kind)), error)  # type: ignore[arg-type]
    return {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}


def test_only_what_pages_can_ask_for_is_left(out: Path) -> None:
    gone = {
        *("_static/mathjax/tex-svg.js", "_static/mathjax/input/mml.js", "_static/scripts/fontawesome.js.map"),
        *("_static/mathjax/sre/mathmaps/de.json", "_static/mathjax/output/svg/fonts/tex.js"),
        *("_static/locales/de/LC_MESSAGES/theme.mo", "_static/vendor/fonts/a.ttf"),
    }
    before = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert before - finish(out) == gone
    assert not (out / "_static/mathjax/output").exists()


def test_icons_that_are_named_stay_under_any_name(out: Path) -> None:
    finish(out)
    icons = (out / "_static/scripts/fontawesome.js").read_text()
    assert icons == ICONS.replace('"ghost":[384,512,[],"f6e2","M4"]', "")


def test_figures_have_room_and_are_loaded_in_sight(out: Path) -> None:
    finish(out)
    page = (out / "book/one.html").read_text()
    sized = '<img loading="lazy" width="400" height="200" style="--own: 400px" alt="A" class="only-light"'
    # light and dark share a box
    assert f'<span class="drawn">{sized} src="../_images/a.svg" /></span>' in page
    assert '<img src="../_static/mark.svg">' in page  # no figure
    assert '<img loading="lazy" alt="gone"' in page
    finish(out)
    assert (out / "book/one.html").read_text() == page  # a second build changes nothing


@pytest.mark.parametrize(("error", "kind"), [(ValueError(), "html"), (None, "latex")])
def test_a_failed_or_another_book_is_left_alone(out: Path, error: Exception | None, kind: str) -> None:
    before = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert finish(out, error, kind) == before
