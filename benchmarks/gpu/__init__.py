"""Everything that only a GPU can tell, as one command for a card that is lent for minutes.

    python -m benchmarks.gpu --budget-minutes 12

It needs nothing but `lib`, `benchmarks` and `data/weights`, and a Python with PyTorch.
"""

import os
import sys
import types

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler reports itself on stderr otherwise


class _Annotation:
    """In place of jaxtyping's types where it is not installed: an array of some shape is an array."""

    def __class_getitem__(cls, item: tuple[type, str]) -> type:
        return item[0]


class _Annotations(types.ModuleType):
    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Annotation


try:
    import jaxtyping  # noqa: F401
except ImportError:
    sys.modules["jaxtyping"] = _Annotations("jaxtyping")
