"""Transformer parts every branch of VGGT shares: rotary positions, attention with merging, block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, SupportsFloat

import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor, nn
from torch.nn import functional

from lib.gpu import stopwatch, with_key_bias
from lib.merging import MergingRule, Plan, TokenLayout
from lib.merging.plan import Features, Heads, KeyRows, QueryRows

AngleTable = Float[Tensor, "_ 1 tokens head_dim"]  # of each item, or of all alike
Positions = Int[Tensor, "_ tokens 2"]  # (row, column); of each item, or of all alike


# q, k, v as they enter the softmax; q and k after qk-norm and RoPE, before merging
AttentionTensors = tuple[QueryRows, KeyRows, KeyRows, Heads, Heads]


@dataclass(frozen=True)
class AttentionEvent:
    """What one alternating block did; handed to a probe's `observe`.

    For kind "frame" the batch is B*S and N = P tokens of one frame; for "global" it is B and N = S*P.
    x: residual stream entering the block; update: attention branch after LayerScale.
    `layout` describes the whole sequence of S frames for both kinds; `scale` is the factor of q·k.
    Read only: tensors are not copies.
    """

    kind: str
    layer: int
    x: Features
    q: QueryRows
    k: KeyRows
    v: KeyRows
    q_full: Heads
    k_full: Heads
    scale: float
    plan: Plan | None
    layout: TokenLayout | None
    update: Features


class Observer(Protocol):
    """Anything that wants to see the attention of the alternating blocks."""

    def observe(self, event: AttentionEvent) -> None:
        """Called once per block, in order; must not change the tensors of the event."""


def rope_angles(
    positions: Int[Tensor, "*shape"], half_width: int, base: float
) -> Float32[Tensor, "*shape steps"]:
    """Rotation angles pos * base^(-2i/m), i = 0..m/2-1, in radians.

    half_width: m = head_dim / 2, the width that encodes one axis. Source: RoFormer, one axis at a time.
    """
    steps = torch.arange(0, half_width, 2, device=positions.device, dtype=torch.float32)
    return positions[..., None].float() * base ** (-steps / half_width)


def rope_tables(
    positions: Int[Tensor, "batch tokens 2"], head_dim: int, base: float, dtype: torch.dtype
) -> tuple[AngleTable, AngleTable]:
    """What `rotate` multiplies x and its swapped pairs by, for positions (row, column): cos, and -sin or sin.

    Angles are rounded to `dtype` before cos and sin, as upstream does; under autocast on a CPU, too, they
    stay float32, as they are on a GPU.
    """
    kind = positions.device.type
    exact = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    angles = rope_angles(positions, head_dim // 2, base).to(torch.float32 if exact else dtype)[:, None]
    cos, sin = angles.cos().to(dtype), angles.sin().to(dtype)  # each (B, 1, N, axis, D/4)
    return torch.stack((cos, cos), -2).flatten(-3), torch.stack((-sin, sin), -2).flatten(-3)


def rotate(x: Heads, tables: tuple[AngleTable, AngleTable]) -> Heads:
    """Rotate the first half of head_dim D by row, the second by column; element i pairs with i + D/4."""
    swapped = x.unflatten(-1, (2, 2, -1)).roll(1, -2).flatten(-3)  # flip, but quicker for small networks
    return (x * tables[0]).addcmul_(swapped, tables[1])


def normal_parameter(*shape: int, std: float = 1.0) -> nn.Parameter:
    """A new parameter of independent normal numbers, mean 0; on the meta device of its shape only.

    Drawing there would give nothing but import torch's compiler, which takes a second.
    """
    values = torch.empty(shape)
    return nn.Parameter(values if values.is_meta else std * torch.randn(shape))


class LayerScale(nn.Module):
    """Multiply each channel by a learned gain."""

    def __init__(self, width: int, initial: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((width,), float(initial)))

    def forward(self, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        """Scaled channels."""
        return x * self.gamma

    def onto(self, x: Features, update: Features) -> Features:
        """x + scaled update, in one pass through memory."""
        return torch.addcmul(x, update, self.gamma)


class Mlp(nn.Module):
    """Linear, exact GELU, Linear."""

    def __init__(self, width: int, hidden: int, out: int | None = None) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, width if out is None else out)

    def forward(self, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch out"]:
        """Apply it to the last axis."""
        y: Tensor = self.fc2(self.act(self.fc1(x)))
        return y


def softmax_attention(q: QueryRows, k: KeyRows, v: KeyRows, plan: Plan | None, scale: float) -> QueryRows:
    """softmax(scale q kᵀ + bias) v of tokens that `plan` has merged already; None: of all tokens.

    The softmax runs in the dtype of v: under autocast qk-norm returns fp32 queries and keys beside
    half-precision values. The bias is the logarithm of the group sizes where the plan has a size bias, else
    zero; on a GPU it is one more key column, as a mask would cost the flash kernel.
    """
    sizes = None if plan is None else plan.log_sizes
    if sizes is not None and v.is_cuda:
        q, k = with_key_bias(q.to(v.dtype), k.to(v.dtype), scale, sizes[:, None].expand(k.shape[:3]))
        wide = functional.pad(v, (0, q.shape[-1] - v.shape[-1]))
        return functional.scaled_dot_product_attention(q, k, wide, scale=scale)[..., : v.shape[-1]]
    bias = None if sizes is None else sizes[:, None, None, :].to(v.dtype)  # (B, 1, 1, Nk)
    if q.requires_grad and v.dtype is torch.bfloat16 and v.device.type == "cpu":
        # of PyTorch's two kernels for bf16 training on a CPU, the fused one is slow backwards, and the plain
        # one spends half its time on rows that see nothing
        logits = (scale * q).to(v.dtype) @ k.to(v.dtype).transpose(-1, -2)
        return (logits if bias is None else logits + bias).softmax(-1, dtype=v.dtype) @ v
    return functional.scaled_dot_product_attention(q.to(v.dtype), k.to(v.dtype), v, bias, scale=scale)


class Attention(nn.Module):
    """Multi-head self-attention with optional qk-norm, rotary positions and merging."""

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        qk_norm: bool = False,
        rope_base: float | None = None,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is not a multiple of heads {heads}")
        self.heads = heads
        self.head_dim = width // heads
        self.scale = self.head_dim**-0.5
        self.rope_base = rope_base
        if rope_base is not None and self.head_dim % 4:
            raise ValueError(f"rotary positions need a head dimension divisible by 4, got {self.head_dim}")
        self.qkv = nn.Linear(width, 3 * width)
        self.q_norm = nn.LayerNorm(self.head_dim, eps=norm_eps) if qk_norm else nn.Identity()
        self.k_norm = nn.LayerNorm(self.head_dim, eps=norm_eps) if qk_norm else nn.Identity()
        self.proj = nn.Linear(width, width)

    def forward(
        self,
        x: Features,
        positions: Positions | None = None,
        *,
        plan: Plan | None = None,
        factor: float = 1.0,
        frame_tokens: int | None = None,
        observe: Callable[[AttentionTensors], None] | None = None,
    ) -> Features:
        """Attend over N tokens; with a plan, over the merged ones, un-merged after the output projection.

        positions: for each item or for all, needed when the layer has rotary positions.
        factor: of the logits q·k. frame_tokens: tokens of a frame, where frames see themselves and earlier
        ones only; None: all see all. `observe` gets the queries, keys and values; it does not change the
        result.
        """
        q_full, k_full, v = self._project(x, positions)
        q, k, v = (q_full, k_full, v) if plan is None else plan.merge(q_full, k_full, v)
        if observe is not None:
            observe((q, k, v, q_full, k_full))
        del q_full, k_full
        if frame_tokens is None:
            return self._finish(q, k, v, plan, factor * self.scale)
        ends = range(frame_tokens, q.shape[2] + 1, frame_tokens)
        seen = ((q[:, :, end - frame_tokens : end], k[:, :, :end], v[:, :, :end]) for end in ends)
        return torch.cat([self._finish(*part, None, factor * self.scale) for part in seen], dim=1)

    def attend(self, q: Heads, k: Heads, v: Heads, plan: Plan | None, scale: float) -> Features:
        """What `forward` makes of queries, keys and values of unmerged tokens.

        scale: factor of q·k, as in an `AttentionEvent`.
        """
        q, k, v = (q, k, v) if plan is None else plan.merge(q, k, v)
        return self._finish(q, k, v, plan, scale)

    def _finish(self, q: QueryRows, k: KeyRows, v: KeyRows, plan: Plan | None, scale: float) -> Features:
        y = softmax_attention(q, k, v, plan, scale)
        y = self.proj(y.transpose(1, 2).flatten(2))  # (B, Nq, width)
        return y if plan is None else plan.unmerge(y)

    def _project(self, x: Features, positions: Positions | None) -> tuple[Heads, Heads, Heads]:
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, self.head_dim))
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # (B, heads, N, head_dim)
        q, k = self.q_norm(q), self.k_norm(k)
        if self.rope_base is not None:
            if positions is None:
                raise ValueError(
                    "this attention uses rotary positions: pass positions of shape (B or 1, N, 2)"
                )
            tables = rope_tables(positions, self.head_dim, self.rope_base, q.dtype)
            q, k = rotate(q, tables), rotate(k, tables)
        return q, k, v


class Block(nn.Module):
    """Pre-norm transformer block with LayerScale on both branches.

    kind and layer only label the events it reports. causal: frames see themselves and earlier ones only.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        mlp_ratio: float = 4.0,
        qk_norm: bool = False,
        rope_base: float | None = None,
        layer_scale: float = 0.01,
        norm_eps: float = 1e-5,
        kind: str = "",
        layer: int = 0,
        causal: bool = False,
    ) -> None:
        super().__init__()
        self.kind = kind
        self.layer = layer
        self.causal = causal
        self.norm1 = nn.LayerNorm(width, eps=norm_eps)
        # qk-norm keeps PyTorch's eps in every VGGT block that has it; only the ViT, which has none, differs
        self.attn = Attention(width, heads, qk_norm=qk_norm, rope_base=rope_base, norm_eps=norm_eps)
        self.ls1 = LayerScale(width, layer_scale)
        self.norm2 = nn.LayerNorm(width, eps=norm_eps)
        self.mlp = Mlp(width, int(width * mlp_ratio))
        self.ls2 = LayerScale(width, layer_scale)

    def forward(
        self,
        x: Features,
        positions: Positions | None = None,
        *,
        rule: MergingRule | None = None,
        layout: TokenLayout | None = None,
        factor: float = 1.0,
        planned: Callable[[Plan | None, SupportsFloat], None] | None = None,
        observe: Callable[[AttentionEvent], None] | None = None,
    ) -> Features:
        """Attention, then MLP, each added to x.

        rule: merges queries, keys and values inside the attention, planned from norm1(x) and `layout`.
        factor: of the logits, see `lib.vggt.logit_scale`.
        planned, observe: called once, with plan and seconds or an AttentionEvent; they change no bit.

        Raises:
            ValueError: a rule without the layout.
        """
        normed = self.norm1(x)
        if rule is not None and layout is None:
            raise ValueError("merging needs the token layout: pass layout together with rule")
        elapsed = stopwatch(x)
        plan = None if rule is None or layout is None else rule.plan(normed, layout)
        if planned is not None:
            planned(plan, 0.0 if rule is None else elapsed())
        seen: list[AttentionTensors] = []
        keep = None if observe is None else seen.append
        frame_tokens = None if not self.causal else 1 if layout is None else layout.tokens_per_frame
        attended = self.attn(
            normed, positions, plan=plan, factor=factor, frame_tokens=frame_tokens, observe=keep
        )
        if observe is not None:
            scale, update = factor * self.attn.scale, self.ls1(attended)
            observe(AttentionEvent(self.kind, self.layer, x, *seen[0], scale, plan, layout, update))
        x = self.ls1.onto(x, attended)
        return self.ls2.onto(x, self.mlp(self.norm2(x)))


def blocks(depth: int, width: int, heads: int, **options: Any) -> Iterator[Block]:
    """Alike blocks numbered from 0; options as in `Block`."""
    return (Block(width, heads, layer=layer, **options) for layer in range(depth))
