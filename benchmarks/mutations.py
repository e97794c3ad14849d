"""Small changes of a source text, one at a time: what a careless hand could have written instead.

Comparisons and arithmetic turn into their neighbours, numbers and truth values change, conditions are
negated, arguments are left out, and returns, raises and calls made for their effect go. Left alone are what
cannot fail: docstrings, annotations, decorators, messages of errors, assertions for the type checker.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitOr,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}


@dataclass(frozen=True)
class Mutant:
    """One change: `old` becomes `new` in `line` (text without indentation, number `number`) of `file`.

    span: first and last line of code that runs when the changed part does; start, end: bytes to replace;
    whole: they are a whole statement, not an expression in one.
    """

    file: str
    number: int
    line: str
    old: str
    new: str
    span: tuple[int, int]
    start: int
    end: int
    whole: bool

    @property
    def name(self) -> tuple[str, str, str]:
        """What stays the same when lines move: file, text of the line, change."""
        return self.file, self.line, f"{self.old} -> {self.new}"

    def apply(self, source: str) -> str:
        """The source text with this change."""
        raw = source.encode()
        new = self.new if self.whole else f"({self.new})"
        return (raw[: self.start] + new.encode() + raw[self.end :]).decode()

    def compiles(self, source: str) -> bool:
        """Whether the source text with this change is Python at all."""
        try:
            compile(self.apply(source), self.file, "exec")
        except SyntaxError:
            return False
        return True


def mutants(source: str, file: str) -> list[Mutant]:
    """Every change of a source text, in the order of the text."""
    starts, lines = [0], source.split("\n")
    for line in lines:
        starts.append(starts[-1] + len(line.encode()) + 1)
    found = []
    for node, new, span in _changes(ast.parse(source).body, (0, 0)):
        assert isinstance(node, ast.expr | ast.stmt) and node.end_lineno and node.end_col_offset is not None
        start, end = (
            starts[node.lineno - 1] + node.col_offset,
            starts[node.end_lineno - 1] + node.end_col_offset,
        )
        text = lines[node.lineno - 1].strip()
        found.append(
            Mutant(
                file, node.lineno, text, ast.unparse(node), new, span, start, end, isinstance(node, ast.stmt)
            )
        )
    return found


Change = tuple[ast.AST, str, tuple[int, int]]


def _changes(body: list[ast.stmt], within: tuple[int, int]) -> Iterator[Change]:
    """Changes of statements; `within`: lines of the class around them, which use what they define."""
    for statement in body:
        last = statement.end_lineno or statement.lineno
        inner = getattr(statement, "body", None)
        span = within if within[0] else (statement.lineno, inner[0].lineno - 1 if inner else last)
        if isinstance(statement, ast.ClassDef):
            yield from _changes(statement.body, (statement.lineno, last))
        elif isinstance(statement, ast.FunctionDef):
            arguments = statement.args
            for default in (*arguments.defaults, *filter(None, arguments.kw_defaults)):
                yield from _expressions(default, (statement.lineno, last))
            yield from _changes(statement.body, (0, 0))
        elif isinstance(statement, ast.Raise | ast.Expr):
            if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)):
                yield statement, "pass", span
            if isinstance(statement, ast.Expr):
                yield from _expressions(statement.value, span)
        elif not _left_alone(statement):
            yield from _of_statement(statement, span)
            for part in ("body", "orelse", "finalbody"):
                yield from _changes(getattr(statement, part, []), within)
            for handler in getattr(statement, "handlers", []):
                yield from _changes(handler.body, within)


def _left_alone(statement: ast.stmt) -> bool:
    """Assertions, imports, and what only a type checker reads."""
    named = [ast.unparse(t) for t in getattr(statement, "targets", [])]
    checking = isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test)
    return isinstance(statement, ast.Assert | ast.Import | ast.ImportFrom) or "__all__" in named or checking


def _of_statement(statement: ast.stmt, span: tuple[int, int]) -> Iterator[Change]:
    """Changes of one statement, without those of the statements inside it."""
    if isinstance(statement, ast.Return) and ast.unparse(statement) not in ("return", "return None"):
        yield statement, "return None", span
    if isinstance(statement, ast.AugAssign) and type(statement.op) in OPERATORS:
        other = copy.copy(statement)
        other.op = OPERATORS[type(statement.op)]()
        yield statement, ast.unparse(other), span
    for name, value in ast.iter_fields(statement):
        if name in ("annotation", "target", "targets", "type_comment"):
            continue
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, ast.expr | ast.withitem):
                yield from _expressions(part, span)
    if isinstance(statement, ast.If | ast.While):
        yield statement.test, f"not ({ast.unparse(statement.test)})", span


def _expressions(node: ast.AST, span: tuple[int, int]) -> Iterator[Change]:
    """Changes of an expression and of all expressions in it, but of none in a formatted text."""
    if isinstance(node, ast.JoinedStr):
        return
    for kind, alternatives in ALTERNATIVES:
        if isinstance(node, kind):
            for other in alternatives(node):
                yield node, ast.unparse(other), span
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.arguments):  # of a lambda
            yield from _expressions(child, span)


def _comparisons(node: ast.Compare) -> Iterator[ast.AST]:
    for place, operator in enumerate(node.ops):
        for kind in COMPARISONS[type(operator)]:
            other = copy.copy(node)
            other.ops = [*node.ops[:place], kind(), *node.ops[place + 1 :]]
            yield other


def _arithmetic(node: ast.BinOp) -> Iterator[ast.AST]:
    if type(node.op) in OPERATORS:
        other = copy.copy(node)
        other.op = OPERATORS[type(node.op)]()
        yield other


def _without_sign(node: ast.UnaryOp) -> Iterator[ast.AST]:
    yield node.operand


def _logic(node: ast.BoolOp) -> Iterator[ast.AST]:
    other = copy.copy(node)
    other.op = ast.And() if isinstance(node.op, ast.Or) else ast.Or()
    yield other


def _constants(node: ast.Constant) -> Iterator[ast.AST]:
    if isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node.value, int):
        yield ast.Constant(node.value + 1)
    elif isinstance(node.value, float):
        yield ast.Constant(2 * node.value or 1.0)


def _with_less(node: ast.Call) -> Iterator[ast.AST]:
    for place, keyword in enumerate(node.keywords):
        if keyword.arg is not None:
            other = copy.copy(node)
            other.keywords = [*node.keywords[:place], *node.keywords[place + 1 :]]
            yield other


def _choices(node: ast.IfExp) -> Iterator[ast.AST]:
    other = copy.copy(node)
    other.body, other.orelse = node.orelse, node.body
    yield other


ALTERNATIVES: tuple[tuple[type[ast.AST], Callable[..., Iterator[ast.AST]]], ...] = (
    (ast.Compare, _comparisons),
    (ast.BinOp, _arithmetic),
    (ast.UnaryOp, _without_sign),
    (ast.BoolOp, _logic),
    (ast.Constant, _constants),
    (ast.Call, _with_less),
    (ast.IfExp, _choices),
)
