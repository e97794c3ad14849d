"""The run-time checker of shapes, which `conftest.py` lays over every function of `lib` that takes arrays.

Only annotations that hold a jaxtyping shape are checked; mypy sees to all others.
"""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, get_args, get_type_hints

import jaxtyping
from beartype import beartype
from jaxtyping import AbstractArray, install_import_hook

WRAPPED = jaxtyping.jaxtyped


def has_shape(annotation: Any) -> bool:
    """Whether an annotation is, or contains, an array with a shape."""
    if inspect.isclass(annotation) and issubclass(annotation, AbstractArray):
        return True
    return any(has_shape(part) for part in get_args(annotation))


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, raising when an array that goes in or comes out is not what its annotation says."""
    shapes = {name: hint for name, hint in function.__annotations__.items() if has_shape(hint)}
    function.__annotations__ = shapes
    return beartype(function) if shapes else function


def says_shapes(function: Callable[..., Any]) -> bool:
    """Whether a signature holds a shape, or names that are defined further down."""
    try:
        return any(map(has_shape, get_type_hints(function, include_extras=True).values()))
    except (NameError, AttributeError, TypeError):
        return True


def wrapped(thing: Any = None, *, typechecker: Callable[..., Any]) -> Any:
    """What the hook lays over functions and classes: over none whose signature says no shape, for speed."""
    if thing is None:
        return partial(wrapped, typechecker=typechecker)
    bare = inspect.isfunction(thing) and not says_shapes(thing)
    return thing if bare else WRAPPED(thing, typechecker=typechecker)


def check(packages: list[str]) -> None:
    """Check the shapes of packages that are still to be imported."""
    jaxtyping.jaxtyped = wrapped
    finder = install_import_hook(packages, "shapes.checked").hook
    asked = finder.should_instrument
    # runpy keeps what it compiles under the plain name, where every later process would find it
    finder.should_instrument = lambda name: not name.endswith("__main__") and asked(name)
