"""What a GPU asks for: clocks that do not stop it, key biases that keep its fastest kernel, less memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import SupportsFloat

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor

ALIGNMENT = 8  # kernels want head widths that are multiples of eight

Rows = Float[Tensor, "*batch tokens width"]
Columns = Float[Tensor, "*batch tokens pieces"]


def clock(x: Shaped[Tensor, " ..."]) -> float:
    """Seconds now, after the device of `x` has finished its queue (only CUDA has one)."""
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
    return perf_counter()


@dataclass(frozen=True)
class Lapse:
    """Seconds between two marks in a GPU's queue; whoever asks for the number waits for the second mark."""

    begin: torch.cuda.Event
    end: torch.cuda.Event

    def __float__(self) -> float:
        self.end.synchronize()
        return float(self.begin.elapsed_time(self.end)) / 1000


def stopwatch(x: Shaped[Tensor, " ..."]) -> Callable[[], SupportsFloat]:
    """Start a clock on the device of `x`; each call gives the seconds since, without waiting for a GPU."""
    if not x.is_cuda:
        start = perf_counter()
        return lambda: perf_counter() - start

    def mark() -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    begin = mark()
    return lambda: Lapse(begin, mark())


def key_column(values: Float[Tensor, "*batch tokens"], dtype: torch.dtype) -> Columns:
    """Values as columns of `dtype` whose sum keeps 24 bits: one column, or three in half precision."""
    pieces, rest = [], values
    for _ in range(3 if dtype.itemsize == 2 else 1):
        pieces.append(rest.to(dtype))
        rest = rest - pieces[-1].to(rest.dtype)
    return torch.stack(pieces, -1)


def beside(vectors: Rows, extra: Columns) -> Rows:
    """Columns (of each token, or of all alike) behind the vectors, and zeros up to the kernels' alignment."""
    columns = extra.to(vectors.dtype).expand(*vectors.shape[:-1], -1)
    joined = torch.cat([vectors, columns], -1)
    return F.pad(joined, (0, -joined.shape[-1] % ALIGNMENT))


def with_key_bias(
    query: Rows, key: Rows, scale: float, bias: Float[Tensor, "*batch keys"] | None
) -> tuple[Rows, Rows]:
    """Queries and keys whose product times `scale` is scale q kᵀ + bias: the bias is one more key column.

    The kernels without a mask can then be used, in half precision too, where the bias keeps 24 bits.
    """
    if bias is None:
        pad = (0, -query.shape[-1] % ALIGNMENT)
        return F.pad(query, pad), F.pad(key, pad)
    column = key_column(bias / scale, query.dtype)
    return beside(query, torch.ones_like(column[..., :1, :])), beside(key, column)


def half_is_fast(device: torch.device) -> bool:
    """Whether bf16 products are quicker there than float32 ones: on GPUs, and on CPUs with units for them."""
    return device.type == "cuda" or (device.type == "cpu" and torch.cpu._is_avx512_bf16_supported())


def kept_dtype(x: Tensor) -> torch.dtype:
    """Type in which features of `x` wait for the heads: on a GPU autocast's, half the bytes; else their own.

    In training too they stay as they are.
    """
    half = x.is_cuda and torch.is_autocast_enabled("cuda") and not torch.is_grad_enabled()
    return torch.get_autocast_dtype("cuda") if half else x.dtype
