"""Reference from docstrings: plain text becomes reStructuredText, and a name finds the object that it means.

Our docstrings are text for people, with code between backticks and sections (``Raises:``). What
reStructuredText would read into the rest (bars, stars, trailing underscores) is escaped, sections become
fields, and examples that are set off by an indent become literal blocks.
"""

import re
import textwrap
from typing import Any

from docutils.nodes import Element
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

CODE = re.compile(r"(``[^`]+``|`[^`]+`)")
SECTION = re.compile(r"(Args|Attributes|Returns|Yields|Raises|Source):[ \n]")
ENTRY = re.compile(r"^([*\w][\w*., ]*): ", re.MULTILINE)  # at the margin of a section
SPECIAL = re.compile(r"[\\*|]|_(?!\w)")  # what opens or closes markup


def prose(text: str) -> str:
    """Text of a docstring in which nothing but code between backticks is markup."""
    parts = CODE.split(text)
    for place, part in enumerate(parts):
        if place % 2:
            parts[place] = rf"\ ``{part.strip('`')}``\ "
        else:
            parts[place] = SPECIAL.sub(lambda found: "\\" + found[0], part)
    return "".join(parts)


def section(text: str) -> str:
    """A section as a field; entries that begin with a name (``m, seed: …``) become its list."""
    name, _, content = text.partition(":")
    content = textwrap.dedent(content.lstrip(" ").lstrip("\n"))
    starts = [found.start() for found in ENTRY.finditer(content)] if name != "Returns" else []
    if not starts or starts[0]:
        return f":{name}:\n" + textwrap.indent(prose(content), "   ")
    entries = [content[a:b].strip() for a, b in zip(starts, [*starts[1:], None], strict=True)]
    items = []
    for entry in entries:
        names, _, said = entry.partition(": ")
        items.append(f"- ``{names}``: " + prose(re.sub(r"\n\s*", "\n  ", said)))
    return f":{name}:\n" + textwrap.indent("\n".join(items), "   ")


def restructured(docstring: str) -> str:
    """The same docstring as reStructuredText."""
    made = []
    for block in re.split(r"\n[ \t]*\n", docstring.strip("\n")):
        if block.startswith(" "):
            made.append("::\n\n" + block)
            continue
        # a section may follow its text without a blank line
        *paragraph, rest = re.split(r"\n(?=(?:Args|Attributes|Returns|Yields|Raises|Source):[ \n])", block)
        for part in (*paragraph, rest):
            made.append(section(part) if SECTION.match(part) else prose(part))
    return "\n\n".join(made) + "\n"


def offers(module: object) -> list[str]:
    """What a room says that it offers, or else what its door imports from its own modules."""
    inside = f"{getattr(module, '__name__', '')}."
    own = [n for n, v in vars(module).items() if str(getattr(v, "__module__", "")).startswith(inside)]
    return getattr(module, "__all__", own)


def on_docstring(app: Sphinx, what: str, name: str, thing: object, options: Any, lines: list[str]) -> None:
    """Rewrite a docstring in place; that of a module ends with links to what the module offers."""
    lines[:] = restructured("\n".join(lines)).split("\n")
    if what == "module":
        doors = [n for n in offers(thing) if getattr(getattr(thing, n), "__doc__", None)]
        lines += [" · ".join(f":py:obj:`{door} <{name}.{door}>`" for door in doors), ""]


def on_signature(
    app: Sphinx, what: str, name: str, thing: object, options: Any, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """A default that is made anew is ``...``; what a protocol is called with is its methods' business."""
    if what == "class" and getattr(thing, "_is_protocol", False):
        return "", returns
    return signature and signature.replace("<factory>", "..."), returns


def on_missing(app: Sphinx, env: BuildEnvironment, node: pending_xref, shown: Element) -> Element | None:
    """A type that is written with its last name only is the one documented object of that name.

    One of ours that has no entry, because it is not a door, is shown without a link.
    """
    if node.get("refdomain") != "py":
        return None
    target, domain = node["reftarget"], env.get_domain("py")
    last = target.rpartition(".")[2]
    known = {entry[0] for entry in domain.get_objects() if entry[0].rpartition(".")[2] == last}
    if len(known) == 1:
        return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", known.pop(), node, shown)
    return shown if target.startswith("lib.") else None


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx, beside autodoc."""
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", on_docstring)
    app.connect("autodoc-process-signature", on_signature)
    app.connect("missing-reference", on_missing)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
