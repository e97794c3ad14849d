"""A light book: when the pages are written, what none of them can ask for is taken away again.

MathJax comes in every combination of input, output and spoken language, the theme with source maps and every
icon of Font Awesome. Figures of the other theme are not loaded, and all have room before they are. Each has a
box of its own, in which it is moved sideways in narrow windows, instead of shrunk until nobody can read it.
"""

import re
import shutil
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

MATHJAX = (  # below _static/mathjax: what pages load, and what its menu offers to readers who listen
    *("tex-chtml.js", "input/tex/extensions", "output/chtml/fonts", "a11y", "ui"),
    *("sre/mathmaps/base.json", "sre/mathmaps/en.json", "sre/mathmaps/nemeth.json"),
)
UNREAD = ("**/*.map", "vendor/**/*.ttf", "locales/**/*.[mp]o")  # below _static; fonts are there in WOFF2, too
ICON = re.compile(r'(?:"([a-z0-9-]+)"|([a-z]\w*)):\[\d+,\d+,(\[[^\]]*\]),"[^"]*",(?:"[^"]*"|\[[^\]]*\])\],?')
USED = re.compile(r"\bfa-([a-z0-9-]+)")
DRAWN = re.compile(r'<img(?![^>]*\sloading=)([^>]*?\ssrc="([^"]*_images/[^"]+\.svg)")')
BOX = re.compile(r'<svg[^>]*?\swidth="([\d.]+)pt" height="([\d.]+)pt"')
POINT = 4 / 3  # pixels of a page
TWINS = re.compile(r"(?:<img[^>]*\sstyle=\"--own: [^>]*>\s*)+")


def lighten(app: Sphinx, error: Exception | None) -> None:
    """Of a finished HTML book."""
    if error is None and app.builder.format == "html":
        out = Path(app.outdir)
        thin_mathjax(out / "_static" / "mathjax")
        for unread in UNREAD:
            for path in (out / "_static").glob(unread):
                path.unlink()
        pages = [page for page in out.rglob("*.html") if "_static" not in page.parts]
        thin_icons(out / "_static" / "scripts", pages)
        for page in pages:
            give_room(page)


def thin_mathjax(folder: Path) -> None:
    """Keep what `MATHJAX` names."""
    kept = [folder / name for name in MATHJAX]
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        if not any(path == one or one in path.parents for one in kept):
            path.unlink()
    for empty in sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True):
        if not any(empty.iterdir()):
            shutil.rmtree(empty)


def thin_icons(scripts: Path, pages: list[Path]) -> None:
    """Keep the icons that pages or scripts of the theme name, by their name or another of its names."""
    script = scripts / "fontawesome.js"
    if not script.is_file():
        return
    readers = [*pages, *(path for path in scripts.glob("*.js") if path != script)]
    used = {name for reader in readers for name in USED.findall(reader.read_text(encoding="utf-8"))}

    def kept(icon: re.Match[str]) -> str:
        names = {icon[1] or icon[2], *re.findall(r'"([a-z0-9-]+)"', icon[3])}
        return icon[0] if names & used else ""

    script.write_text(ICON.sub(kept, script.read_text(encoding="utf-8")), encoding="utf-8")


def give_room(page: Path) -> None:
    """Every vector graphic has its size and a box in the page, and is loaded when it comes into sight."""

    def sized(image: re.Match[str]) -> str:
        drawn = page.parent / image[2]
        box = BOX.search(drawn.read_text(encoding="utf-8")[:2000]) if drawn.is_file() else None
        if box is None or " width=" in image[1]:
            return f'<img loading="lazy"{image[1]}'
        wide, high = (round(POINT * float(side)) for side in box.groups())
        return f'<img loading="lazy" width="{wide}" height="{high}" style="--own: {wide}px"{image[1]}'

    def boxed(twins: re.Match[str]) -> str:
        return f'<span class="drawn">{twins[0].rstrip()}</span>\n'

    text = page.read_text(encoding="utf-8")
    found = DRAWN.sub(sized, text)
    page.write_text(TWINS.sub(boxed, found) if found != text else text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx, after all that copies files when the build is finished."""
    app.connect("build-finished", lighten, priority=800)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
