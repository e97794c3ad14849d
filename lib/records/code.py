"""Which source files a result depends on, and what in them can change a number."""

import ast
import contextlib
import functools
import hashlib
import io
import json
import os
import re
import tokenize
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("lib", "book")  # what is ours: the library, and the book's study folders
BOOKKEEPING = "lib.records"  # names and stores results; an edit here changes no number
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
UNKEYED = {
    "parameters",
    "figure",
}  # tags of cells: values that are in the key; drawing, after the record is saved


def notebook_source(path: Path) -> str:
    """Code cells of an .ipynb that can change a number, joined: those without a tag of `UNKEYED`.

    A cell in another language (``%%bash``) is its text.
    """
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = [c for c in cells if c["cell_type"] == "code"]
    kept = [c for c in code if not UNKEYED.intersection(c.get("metadata", {}).get("tags", []))]
    texts = ["".join(c["source"]) for c in kept]
    return "\n".join(f"_ = {text!r}" if text.lstrip().startswith("%%") else text for text in texts)


def parsed(source: str) -> tuple[str, ast.Module]:
    """Source in which IPython's ``%`` and ``!`` lines are assignments of their text; and its tree."""
    with contextlib.suppress(SyntaxError):
        return source, ast.parse(source)
    lines = source.split("\n")
    for row, line in enumerate(lines):
        if line.lstrip().startswith(("%", "!")):
            indent = line[: len(line) - len(line.lstrip())]
            lines[row] = f"{indent}_ = {line.strip()!r}"
    source = "\n".join(lines)
    return source, ast.parse(source)


@dataclass(frozen=True)
class Text:
    """What a source text says: see `significant`, `imported` and `strings`."""

    significant: str
    imports: tuple[tuple[str, int, tuple[str, ...]], ...]  # module, level, names
    strings: frozenset[str]


@functools.lru_cache(maxsize=1024)  # of a text, not of a file: an edit is another text
def read(source: str) -> Text:
    """All that is asked of a source text, from one reading of it."""
    source, tree = parsed(source)
    imports: list[tuple[str, int, tuple[str, ...]]] = []
    texts, documented = set(), []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            texts.add(node.value)
        elif isinstance(node, ast.Import):
            imports += [(alias.name, 0, ()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            imports.append((node.module or "", node.level, tuple(alias.name for alias in node.names)))
        elif isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            documented.append(node.body[0])
    return Text(_without(source, documented), tuple(imports), frozenset(texts))


def _without(source: str, documented: list[ast.stmt]) -> str:
    """Lines of source without comments, those docstrings, blank lines and trailing blanks."""
    lines = source.split("\n")
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for doc in documented:
        assert doc.end_lineno is not None
        around = lines[doc.lineno - 1][: doc.col_offset] + lines[doc.end_lineno - 1][doc.end_col_offset :]
        if not around.strip():
            lines[doc.lineno - 1 : doc.end_lineno] = [""] * (doc.end_lineno - doc.lineno + 1)
    return "\n".join(line.rstrip() for line in lines if line.strip())


def significant(source: str) -> str:
    """Source without comments, docstrings, blank lines and trailing blanks: what can change a number.

    Works on text, not on ``ast.dump``, so that two Python versions give the same result.
    """
    return read(source).significant


@functools.lru_cache(maxsize=1024)
def imported(source: str, package: str) -> frozenset[str]:
    """Dotted names that a source text imports; relative ones are resolved against ``package``."""
    names: set[str] = set()
    for base, level, parts in read(source).imports:
        if level:
            above = package.split(".")[: len(package.split(".")) - level + 1]
            base = ".".join([*above, base] if base else above)
        names |= {base} | {f"{base}.{part}" for part in parts}
    return frozenset(names)


def module_files(name: str, root: Path) -> list[tuple[str, Path]]:
    """(package, file) of a module and of every package on the way to it; names that are no module: none."""
    parts, found = name.split("."), []
    for k in range(1, len(parts) + 1):
        here = os.path.join(root, *parts[:k])  # text is several times quicker than paths
        if os.path.isfile(f"{here}/__init__.py"):
            found.append((".".join(parts[:k]), Path(here, "__init__.py")))
        elif os.path.isfile(f"{here}.py"):
            found.append((".".join(parts[: k - 1]), Path(f"{here}.py")))
    return found


def strings(source: str) -> frozenset[str]:
    """All string literals of a source text."""
    return read(source).strings


def beside(path: Path, source: str) -> set[Path]:
    """Files in a module's folder that a string in it names (a template, declared values), no other code."""
    names = {s for s in strings(source) if re.fullmatch(r"[\w-]+\.\w+", s) and not s.endswith(".py")}
    return {path.with_name(name) for name in names if path.with_name(name).is_file()}


def closure(source: str, package: str, root: Path) -> set[Path]:
    """Files of ours that a source text reaches by import, directly or not, with the data beside them.

    Imports by name at run time (``importlib``) escape it; what a run has really imported is compared with it
    before the run's record is written.
    """
    todo, files, seen = sorted(imported(source, package)), set(), set()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        if name.split(".")[0] not in PACKAGES or f"{name}.".startswith(f"{BOOKKEEPING}."):
            continue
        for inside, path in module_files(name, root):
            if path not in files:
                text = path.read_text(encoding="utf-8")
                files |= {path} | beside(path, text)
                todo += sorted(imported(text, inside))
    return files


def code_hashes(experiment: str, root: Path) -> dict[str, str]:
    """Hash of each source file that an experiment depends on, by its path from ``root``.

    Args:
        experiment: path of a notebook (``book/runs/one_run.ipynb``), or a module (``lib.run``).
    Raises:
        FileNotFoundError: there is no such notebook or module.
        ValueError: its source cannot be read as Python.
    """
    folders = experiment.split(".")
    if experiment.endswith(".ipynb"):
        path, package = root / experiment, ""
    elif (root.joinpath(*folders) / "__init__.py").is_file():
        path, package = root.joinpath(*folders) / "__init__.py", experiment
    else:
        path, package = root.joinpath(*folders).with_suffix(".py"), ".".join(folders[:-1])
    if not path.is_file():
        raise FileNotFoundError(f"no experiment {experiment!r}; give a notebook's path or a module of lib")
    source = notebook_source(path) if path.suffix == ".ipynb" else path.read_text(encoding="utf-8")
    try:
        hashes = {
            p.relative_to(root).as_posix(): hash_code(p) for p in sorted(closure(source, package, root))
        }
        return hashes | {path.relative_to(root).as_posix(): _sha(significant(source).encode())}
    except (SyntaxError, tokenize.TokenError) as error:
        raise ValueError(
            f"{experiment} or a module that it imports is not plain Python ({error}); of IPython's own "
            "syntax only lines that begin with % or ! and cells that begin with %% are understood"
        ) from error


def hash_code(path: Path) -> str:
    """Hash of what can change a number in a file: of a module without comments and docstrings."""
    if path.suffix != ".py":
        return _sha(path.read_bytes())
    return _sha(significant(path.read_text(encoding="utf-8")).encode())


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
