"""A GPU that is not there: CPU tensors that say they lie on cuda:0, to find what a real one would refuse.

`Card` is a context. In it ``.to("cuda")`` and ``device="cuda"`` give tensors whose device reads cuda:0;
products follow autocast's rules; a tensor of the CPU beside one of the card is an error, as are mixed types
in attention; and everything for which Python would wait for the card is counted, with the line that asked.
"""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from lib.vggt import checkpoint

CUDA = torch.device("cuda", 0)
ROOT = f"{Path(__file__).resolve().parents[1]}/"
OURS = ("lib/", "benchmarks/", "book/")
HALF = (torch.bfloat16, torch.float16)
FLOATS = (torch.float32, *HALF)
# Names of operations by what autocast does to them: PyTorch's own lists, as far as they occur here.
LOWERED = [
    "linear",
    "matmul",
    "__matmul__",
    "__rmatmul__",
    "mm",
    "bmm",
    "addmm",
    "baddbmm",
    "mv",
    "einsum",
    "conv1d",
    "conv2d",
    "conv_transpose2d",
    "scaled_dot_product_attention",
    "multi_head_attention_forward",
]
RAISED = [
    "layer_norm",
    "group_norm",
    "softmax",
    "log_softmax",
    "norm",
    "vector_norm",
    "cumsum",
    "exp",
    "log",
    "log2",
    "pow",
    "__pow__",
    "__rpow__",
    "rsqrt",
    "reciprocal",
    "sum",
    "prod",
    "cosine_similarity",
    "softplus",
    "mse_loss",
    "l1_loss",
]
PROMOTED = [
    "cat",
    "stack",
    "addcdiv",
    "addcmul",
    "atan2",
    "cross",
    "dot",
    "grid_sample",
    "index_put",
    "scatter_add",
    "tensordot",
]
# Operations for whose result, or for its shape, Python must wait.
ASKING = [
    "item",
    "tolist",
    "__bool__",
    "__int__",
    "__float__",
    "__index__",
    "__contains__",
    "nonzero",
    "argwhere",
    "unique",
    "isin",
    "cpu",
    "equal",
    "unique_consecutive",
    "masked_select",
    "allclose",
    "bincount",
    "linalg_eigh",
    "linalg_svd",
    "linalg_svdvals",
    "linalg_lstsq",
    "synchronize",
]
DOUBLE_AT_LEAST = 4096  # numbers from which a double-precision operation counts


class CardError(RuntimeError):
    """What a GPU would have refused."""


class OnCard(Tensor):
    """A tensor of the card; its numbers lie on the CPU."""

    __torch_function__ = torch._C._disabled_torch_function_impl


def on_card(value: Any) -> bool:
    return isinstance(value, OnCard)


def bare(value: Any) -> Any:
    return value.as_subclass(Tensor) if on_card(value) else value


def kind(device: Any) -> str:
    return torch.device(device).type


def asked_from() -> str:
    """The innermost line of ours that is being executed."""
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(ROOT) and name.removeprefix(ROOT).startswith(OURS):
            return f"{name.removeprefix(ROOT)}:{frame.f_lineno}"
        frame = frame.f_back
    return "tests"


class Card(TorchFunctionMode):
    """The simulated card. `waits`, `uploads`, `kernels`, `doubles`: how often, by line of ours and name."""

    def __init__(self, free: int = 80 * 10**9) -> None:
        super().__init__()
        self.free, self.cast = free, None
        self.waits: Counter[str] = Counter()
        self.uploads: Counter[str] = Counter()
        self.kernels: Counter[str] = Counter()
        self.doubles: Counter[str] = Counter()
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Card:
        for target, name, value in self._replaced():
            self._stack.enter_context(mock.patch.object(target, name, value))
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._stack.close()

    def asked(self, what: str) -> None:
        """Count one wait."""
        self.waits[f"{asked_from()} {what}"] += 1

    def waited(self, *paths: str) -> int:
        """Waits in all, or those asked for below one of the paths."""
        return sum(n for where, n in self.waits.items() if not paths or where.startswith(paths))

    def _replaced(self) -> Iterator[tuple[Any, str, Any]]:
        """Functions of torch that know no tensor, and what stands for them."""
        yield (
            torch,
            "autocast",
            lambda device, dtype=None, enabled=True, **_: _Autocast(self, device, dtype, enabled),
        )
        yield torch, "is_autocast_enabled", lambda device="cuda": device == "cuda" and self.cast is not None
        yield torch, "get_autocast_dtype", lambda device: self.cast
        yield torch.amp, "is_autocast_available", lambda device: True
        yield torch.cuda, "is_available", lambda: True
        yield torch.cuda, "synchronize", lambda *_: self.asked("synchronize")
        yield torch.cuda, "mem_get_info", lambda *_: (self.free, self.free)
        yield torch.cuda, "get_device_name", lambda *_: "simulated"
        yield torch.cuda, "get_device_capability", lambda *_: (9, 0)
        yield torch.cuda, "reset_peak_memory_stats", lambda *_: None
        yield torch.cuda, "empty_cache", lambda: None
        for name in ("memory_reserved", "memory_allocated", "max_memory_allocated"):
            yield torch.cuda, name, lambda *_: 0
        yield torch.cuda, "Event", lambda **_: _Event(self)
        yield nn.Module, "to", _move
        yield checkpoint, "safe_open", _opened

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs, name = dict(kwargs or {}), getattr(func, "__name__", str(func))
        tensors = [t for t in _leaves((args, kwargs)) if isinstance(t, Tensor)]
        here = any(map(on_card, tensors))
        if name in ("__get__", "__set__"):
            return self._attribute(func, args, here)
        if name in ("to", "cuda", "cpu"):
            return self._moved(name, args, kwargs)
        made = "device" in kwargs and kwargs["device"] is not None and kind(kwargs["device"]) == "cuda"
        if not (here or made):
            return func(*args, **kwargs)
        self._check(name, args, kwargs, tensors, made)
        if made:
            kwargs["device"] = "cpu"
        target = args[0] if args and name.endswith("_") and not name.endswith("__") else None
        args, kwargs = tree_map(bare, (args, kwargs))
        if isinstance(target, Tensor):  # in place: of the tensor itself, which may be a leaf with a gradient
            func(target, *args[1:], **kwargs)
            return target
        args, kwargs = self._cast(name, args, kwargs)
        result = self._attention(str(func), args, kwargs) if "scaled_dot" in str(func) else None
        result = func(*args, **kwargs) if result is None else result
        if "device" in kwargs and not made and kwargs["device"] is not None:
            return result  # new_zeros(device="cpu") and its like
        return tree_map(lambda r: r.as_subclass(OnCard) if isinstance(r, Tensor) else r, result)

    def _attribute(self, func: Any, args: Any, here: bool) -> Any:
        name = getattr(func.__self__, "__name__", "")
        known = {"device": CUDA, "is_cuda": True, "is_cpu": False}
        if here and on_card(args[0]) and name in known:
            return known[name]
        result = func(*args)
        return result.as_subclass(OnCard) if here and isinstance(result, Tensor) else result

    def _moved(self, name: str, args: Any, kwargs: Any) -> Any:
        """A tensor taken to the card, back, or to another dtype."""
        x, given = args[0], [*args[1:], *kwargs.values()]
        source = "cuda" if on_card(x) else "cpu"
        named = [kind(a) for a in given if isinstance(a, torch.device) or (isinstance(a, str) and a != "")]
        named += ["cuda" if on_card(a) else "cpu" for a in given if isinstance(a, Tensor)]
        target = {"to": named[0] if named else source}.get(name, name)
        if (source, target) == ("cuda", "cpu"):
            self.asked("cpu")
        if (source, target) == ("cpu", "cuda"):
            self.uploads[f"{asked_from()} to"] += 1

        def local(a: Any) -> Any:
            return "cpu" if isinstance(a, str | torch.device) else bare(a)

        result = bare(x)
        if name == "to":
            result = result.to(*map(local, args[1:]), **{k: local(v) for k, v in kwargs.items()})
        result = result.clone() if source != target and not result.requires_grad else result
        return result.as_subclass(OnCard) if target == "cuda" else result

    def _check(self, name: str, args: Any, kwargs: Any, tensors: list[Tensor], made: bool) -> None:
        """Refuse what a GPU refuses, and count what it is slow at."""
        away = [t for t in tensors if not on_card(t) and t.ndim > 0]
        indexing = name in ("__getitem__", "__setitem__") and on_card(args[0])
        if away and any(map(on_card, tensors)):
            if not (indexing or name in ("copy_", "set_")):
                shapes = [("cuda" if on_card(t) else "cpu", tuple(t.shape)) for t in tensors]
                raise CardError(f"{name} of tensors on two devices, {shapes}, at {asked_from()}")
            self.uploads[f"{asked_from()} {name}"] += 1
        generator = kwargs.get("generator")
        if made and generator is not None and generator.device.type == "cpu":
            raise CardError(f"{name}: a generator of the CPU for the card, at {asked_from()}")
        if name in ("numpy", "__array__"):
            raise CardError(f"numpy of a tensor on the card, at {asked_from()}")
        masked = indexing and any(isinstance(i, Tensor) and i.dtype == torch.bool for i in _leaves(args[1:2]))
        spread = name == "repeat_interleave" and len(tensors) > 1 and "output_size" not in kwargs
        if name in ASKING or masked or spread:
            self.asked("mask" if masked else name)
        if (made and name in ("tensor", "as_tensor")) or name == "new_tensor":
            self.uploads[f"{asked_from()} {name}"] += 1
        if any(t.dtype == torch.float64 and t.numel() >= DOUBLE_AT_LEAST for t in map(bare, tensors)):
            self.doubles[f"{asked_from()} {name}"] += 1

    def _cast(self, name: str, args: Any, kwargs: Any) -> Any:
        """Arguments as autocast would hand them on."""
        if self.cast is None:
            return args, kwargs
        dtypes = {t.dtype for t in _leaves((args, kwargs)) if isinstance(t, Tensor)}
        wide = torch.float32 in dtypes
        to = self.cast if name in LOWERED else torch.float32 if name in RAISED or wide else None
        if to is None or not (name in LOWERED or name in RAISED or name in PROMOTED):
            return args, kwargs
        return tree_map(
            lambda t: t.to(to) if isinstance(t, Tensor) and t.dtype in FLOATS else t, (args, kwargs)
        )

    def _attention(self, name: str, args: Any, kwargs: Any) -> Any:
        """Name the kernel a GPU would take; of those that the CPU has not, the result in their form."""
        q, k, v = args[:3]
        mask = kwargs.get("attn_mask", args[3] if len(args) > 3 and isinstance(args[3], Tensor) else None)
        if not q.dtype == k.dtype == v.dtype:
            raise CardError(f"attention of {q.dtype}, {k.dtype} and {v.dtype}, at {asked_from()}")
        if "flash_attention_for_cpu" in name:
            raise CardError(f"the CPU's attention kernel on the card, at {asked_from()}")
        flash = "_flash_attention" in name
        if flash and (q.dtype not in HALF or q.shape[-1] % 8):
            raise CardError(f"the flash kernel takes no {q.dtype} of width {q.shape[-1]}, at {asked_from()}")
        explicit = flash or "_efficient_attention" in name
        plain = q.dtype in HALF and mask is None and q.shape[-1] <= 256
        kernel = "flash" if flash or (plain and not explicit) else "efficient"
        self.kernels[f"{asked_from()} {kernel} {str(q.dtype).removeprefix('torch.')}"] += 1
        if not explicit:
            return None
        found = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, scale=kwargs.get("scale"))
        lse = found[1] if flash else nn.functional.pad(found[1], (0, -found[1].shape[-1] % 32))
        if not flash and not args[4]:  # the efficient kernel says it only where it is asked
            lse = lse[..., :0]
        return found[0], lse, None, None  # and both say more, of which random numbers would be drawn


class _Event:
    """A mark in the queue of the card."""

    def __init__(self, card: Card) -> None:
        self.card = card

    def record(self) -> None:
        pass

    def synchronize(self) -> None:
        self.card.asked("event")

    def elapsed_time(self, other: _Event) -> float:
        return 1.0


class _Autocast(contextlib.ContextDecorator):
    def __init__(self, card: Card, device: str, dtype: torch.dtype | None, enabled: bool) -> None:
        self.card, self.mine = card, device == "cuda"
        self.cast = (dtype or torch.float16) if enabled else None

    def __enter__(self) -> None:
        self.before = self.card.cast
        if self.mine:
            self.card.cast = self.cast

    def __exit__(self, *_: Any) -> None:
        self.card.cast = self.before


def _leaves(tree: Any) -> Iterator[Any]:
    if isinstance(tree, list | tuple):
        for part in tree:
            yield from _leaves(part)
    elif isinstance(tree, dict):
        yield from _leaves([*tree.values()])
    else:
        yield tree


@contextlib.contextmanager
def _opened(path: Any, framework: str, device: str = "cpu") -> Iterator[Any]:
    """`safe_open`, whose tensors are taken to the card one by one."""
    with safe_open(path, framework, "cpu") as file:
        get = file.get_tensor
        yield mock.Mock(wraps=file, keys=file.keys, get_tensor=lambda name: get(name).to(device))


def _move(module: nn.Module, *args: Any, **kwargs: Any) -> nn.Module:
    """`nn.Module.to`, in place of the one that swaps data behind Python's back."""
    given = [*args, *kwargs.values()]
    dtype = next((a for a in given if isinstance(a, torch.dtype)), None)
    device = next((kind(a) for a in given if isinstance(a, str | torch.device)), None)
    for part in module.modules():
        for table in (part._parameters, part._buffers):
            for name, value in table.items():
                if value is None:
                    continue
                there = device == "cuda" if device else on_card(value)
                moved = bare(value.detach())
                moved = moved.to(dtype) if dtype is not None and moved.is_floating_point() else moved.clone()
                moved = moved.as_subclass(OnCard) if there else moved
                table[name] = moved.requires_grad_(value.requires_grad)
    return module
