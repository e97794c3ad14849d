"""In the kernel of a page of another profile: what a cell that failed would have set is gone from there on.

Otherwise a later cell finds under that name what an earlier one left there, and shows it as something else.
"""

import ast
from collections.abc import Iterator
from types import ModuleType, TracebackType
from typing import Any

FILLS = {"add", "append", "extend", "insert", "setdefault", "update"}  # calls that leave a thing half full


def watch() -> None:
    """Have this kernel forget, after every cell that fails."""
    from IPython import get_ipython

    shell: Any = get_ipython()  # type: ignore[no-untyped-call]

    def forget(result: Any) -> None:
        if (error := result.error_in_exec) is None:
            return
        for name in unset(result.info.raw_cell, line_of(error.__traceback__, shell.compile)):
            if not isinstance(shell.user_ns.get(name), ModuleType):
                shell.user_ns.pop(name, None)

    shell.events.register("post_run_cell", forget)


def line_of(trace: TracebackType | None, compiler: Any) -> int:
    """The line of the cell at which it failed; 1 where none of it is in the trace."""
    lines = []
    while trace is not None:
        if compiler.format_code_name(trace.tb_frame.f_code.co_filename) is not None:
            lines.append(trace.tb_lineno)
        trace = trace.tb_next
    return lines[0] if lines else 1


def unset(cell: str, line: int) -> set[str]:
    """Names that the statement at this line, and those after it, would have set or filled; of no import.

    >>> sorted(unset("a = 1\\nb.c, d[0] = f()\\nimport e\\nfor g in h: i.append(g)", 2))
    ['b', 'd', 'g', 'i']
    """
    try:
        statements = ast.parse(cell).body
    except SyntaxError:  # a magic command: it names nothing
        return set()
    return {name for one in statements if (one.end_lineno or 0) >= line for name in _set_by(one)}


def _set_by(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        yield statement.name
        return
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store):
            yield from _owner(node)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in FILLS:
            yield from _owner(node.func)


def _owner(node: ast.expr) -> Iterator[str]:
    """Of ``a.b[c].d``: a."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    if isinstance(node, ast.Name):
        yield node.id
