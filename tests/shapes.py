"""The run-time checker of shapes, which `conftest.py` lays over every function of `lib` that takes arrays.

Only annotations that hold a jaxtyping shape are checked; mypy sees to all others.
"""

import inspect
from collections.abc import Callable
from typing import Any, get_args

from beartype import beartype
from jaxtyping import AbstractArray


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
