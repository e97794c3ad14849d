"""Pages of another profile: a cell that lacks its record leaves a box with the reason; the page goes on."""

import html
import json
import re
from collections.abc import Iterator

from nbformat import NotebookNode
from nbformat.v4 import new_output

REASON = "NotMeasured"  # the exception of `book.study.profile`
GLUED = re.compile(r"\{glue:\w+\}`([^`:]+)")
PREFIX = "application/papermill.record/"
ABSENT = "(not measured)"
ENDLESS = re.compile(r"\([-−]inf\b[^()]* … [^()]*\binf\b[^()]*\)")  # of a median of fewer than six values
NO_INTERVAL = "(no interval: too few)"


def box(text: str, done: str = "measured") -> NotebookNode:
    """An output that says what is not done, and why."""
    said = f"Not {done} in this profile: {text}"
    shown = f'<div class="not-measured">{html.escape(said)}</div>'
    return new_output("display_data", {"text/html": shown, "text/plain": said})


def leave(notebook: NotebookNode) -> tuple[list[str], list[str]]:
    """Replace every error of an executed notebook by a box; what the text asks for and nothing gave is named.

    Returns:
        one line for each error that is neither a missing record nor the consequence of one; and the reasons
        why records are missing, each once.
    """
    odd, missing, failed = list[str](), list[str](), False
    for number, cell in enumerate(_code(notebook), 1):
        errors = [out for out in cell.outputs if out.output_type == "error"]
        cell.outputs = [_worded(out) for out in cell.outputs if not _unwanted(out)]
        if not errors or "raises-exception" in cell.metadata.get("tags", []):
            cell.outputs += errors
            continue
        name, value = errors[0].ename, errors[0].evalue
        if name == REASON:
            reason = value
            missing.append(reason)
        elif failed and name == "NameError":
            reason = "it needs what is missing above"
        else:
            reason = f"{name}: {value}"
            odd.append(f"cell {number}: {reason[:300]}")
        failed = True
        cell.outputs = [out for out in cell.outputs if not _picture(out)] + [box(reason)]
    _glue_the_rest(notebook)
    return odd, list(dict.fromkeys(missing))


def untried(notebook: NotebookNode, reason: str) -> None:
    """A page that is not executed: the reason in the place of every figure; the page says it at its top."""
    for cell in _code(notebook):
        cell.outputs = [box(reason, "drawn")] if "figure" in cell.metadata.get("mystnb", {}) else []
    _glue_the_rest(notebook)


def _code(notebook: NotebookNode) -> Iterator[NotebookNode]:
    return (cell for cell in notebook.cells if cell.cell_type == "code")


def _unwanted(out: NotebookNode) -> bool:
    """Errors, and warnings of Python, which would fail the build."""
    return out.output_type == "error" or (out.output_type == "stream" and out.name == "stderr")


def _worded(out: NotebookNode) -> NotebookNode:
    """An interval without ends is called none."""
    for kind, content in out.get("data", {}).items():
        if isinstance(content, str) and not kind.startswith("image/"):
            out.data[kind] = ENDLESS.sub(NO_INTERVAL, content)
    return out


def _picture(out: NotebookNode) -> bool:
    """A figure that the cell left open when it failed is half drawn."""
    return any(kind.startswith("image/") for kind in out.get("data", {}))


def _glue_the_rest(notebook: NotebookNode) -> None:
    """Give a placeholder to every name that the text shows and no cell has given."""
    cells = list(_code(notebook))
    texts = [
        json.dumps(cell.metadata) if cell.cell_type == "code" else cell.source for cell in notebook.cells
    ]
    asked = {name for text in texts for name in GLUED.findall(text)}
    given = {out.metadata.get("scrapbook", {}).get("name") for cell in cells for out in _shown(cell)}
    for name in sorted(asked - given):
        about = {"scrapbook": {"mime_prefix": PREFIX, "name": name}}
        cells[-1].outputs.append(
            new_output("display_data", {f"{PREFIX}text/plain": repr(ABSENT)}, metadata=about)
        )


def _shown(cell: NotebookNode) -> list[NotebookNode]:
    return [out for out in cell.outputs if "metadata" in out]
