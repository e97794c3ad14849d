"""Optimisers, learning-rate schedule, running average of the weights, and the precision of the products."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from lib.gpu import half_is_fast
from lib.training.config import TrainConfig


class StackedMuon(torch.optim.Optimizer):
    """Muon as `torch.optim.Muon(..., adjust_lr_fn="match_rms_adamw")` computes it, with matrices of one shape
    orthogonalised together: a small network has many small ones.

    Source: Jordan et al. 2024, Muon (momentum, Nesterov, five Newton-Schulz steps in bf16); Liu et al. 2025,
    arXiv 2502.16982 (the step as large as AdamW's).
    """

    MOMENTUM = 0.95
    POLYNOMIAL = (3.4445, -4.7750, 2.0315)

    def __init__(self, matrices: list[nn.Parameter], lr: float, weight_decay: float):
        shapes: dict[torch.Size, list[nn.Parameter]] = {}
        for matrix in matrices:
            shapes.setdefault(matrix.shape, []).append(matrix)
        groups = [{"params": alike} for alike in shapes.values()]
        super().__init__(groups, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every matrix; all of them must have a gradient."""
        for group in self.param_groups:
            matrices = group["params"]
            gradient = torch.stack([matrix.grad for matrix in matrices])
            state = self.state[matrices[0]]
            momentum = state.setdefault("momentum", torch.zeros_like(gradient))
            momentum.lerp_(gradient, 1 - self.MOMENTUM)
            update = orthogonalise(gradient.lerp_(momentum, self.MOMENTUM), self.POLYNOMIAL)
            size = 0.2 * math.sqrt(max(matrices[0].shape))
            torch._foreach_mul_(matrices, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_add_(matrices, list(update.float().unbind()), alpha=-group["lr"] * size)


def orthogonalise(
    stack: Float[Tensor, "n rows columns"], polynomial: tuple[float, float, float], steps: int = 5
) -> Float[Tensor, "n rows columns"]:
    """The same in bf16 with singular values driven towards one, by Newton-Schulz steps.

    X <- a X + (b G + c G²) X with G = X Xᵀ and (a, b, c) = `polynomial`.
    """
    a, b, c = polynomial
    x = stack.bfloat16()
    if x.shape[1] > x.shape[2]:
        x = x.transpose(1, 2)
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(steps):
        gram = x @ x.transpose(1, 2)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.transpose(1, 2) if stack.shape[1] > stack.shape[2] else x


class Optimisers:
    """Muon for the matrices of the transformer blocks (if asked for) and AdamW for everything else."""

    def __init__(self, model: nn.Module, config: TrainConfig):
        matrices, vectors, others = [], [], []
        for name, parameter in model.named_parameters():
            if config.muon and parameter.ndim == 2 and ("_blocks." in name or ".trunk." in name):
                matrices.append(parameter)
            elif parameter.ndim == 1 or "token" in name:
                vectors.append(parameter)
            else:
                others.append(parameter)
        groups = [
            {"params": others, "weight_decay": config.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        self._rates = [config.rate]
        self.parts: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(groups, lr=config.rate, betas=(0.9, 0.95), fused=True)
        ]
        if matrices:
            self._rates.append(config.matrix_rate)
            self.parts.append(StackedMuon(matrices, config.matrix_rate, config.weight_decay))

    def step(self, share: float) -> None:
        """One update at `share` of the peak learning rates; clears the gradients."""
        for part, rate in zip(self.parts, self._rates, strict=True):
            for group in part.param_groups:
                group["lr"] = rate * share
            part.step()
            part.zero_grad(set_to_none=True)

    def state(self) -> list[dict[str, Any]]:
        """What `load` needs to go on exactly."""
        return [part.state_dict() for part in self.parts]

    def load(self, states: list[dict[str, Any]]) -> None:
        """Inverse of `state`."""
        for part, state in zip(self.parts, states, strict=True):
            part.load_state_dict(state)


def rate_share(step: int, warmup: int, decay_start: int | None, decay_steps: int) -> float:
    """Share of the peak rate at `step`: linear warm-up, constant, then (once it is known) linear to zero."""
    share = min(1.0, (step + 1) / max(1, warmup))
    if decay_start is not None and step >= decay_start:
        share *= max(0.0, 1 - (step - decay_start + 1) / max(1, decay_steps))
    return share


class Average:
    """Moving average of a model's weights; a young one forgets faster, so that the start fades."""

    def __init__(self, model: nn.Module, decay: float):
        self._decay = decay
        self.weights: dict[str, Tensor] = {
            name: value.detach().clone() for name, value in model.state_dict().items()
        }

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move towards the weights of `model` after update number `step` (from 0)."""
        keep = min(self._decay, (1 + step) / (10 + step))
        state = model.state_dict()
        torch._foreach_lerp_(list(self.weights.values()), [state[name] for name in self.weights], 1 - keep)

    def load(self, weights: dict[str, Shaped[Tensor, " ..."]]) -> None:
        """Take over saved weights."""
        for name, value in weights.items():
            self.weights[name].copy_(value)


def decay_length(steps_done: int, seconds_done: float, seconds_left: float) -> int:
    """How many steps fit into the time that is left at the pace so far; at least one."""
    return max(1, math.floor(steps_done / max(seconds_done, 1e-9) * seconds_left))


@contextmanager
def low_precision(device: torch.device) -> Iterator[None]:
    """bf16 products where the device is quicker at them."""
    with torch.autocast(device.type, torch.bfloat16, enabled=half_is_fast(device)):
        yield
