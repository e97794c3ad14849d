"""The aggregator: patch tokens, special tokens, alternating frame and global attention.

Source: VGGT, section 3.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import SupportsFloat

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lib.gpu import kept_dtype
from lib.merging import MergingRule, Plan
from lib.merging.placement import positions
from lib.vggt.config import VGGTConfig
from lib.vggt.dinov2 import build_patch_embed
from lib.vggt.layers import Observer, blocks, normal_parameter
from lib.vggt.logit_scale import LogitScale

ImageBatch = Float[Tensor, "batch frames 3 height width"]
IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)


@dataclass
class ForwardReport:
    """What merging did in one forward pass, added up block by block.

    tokens: N; kept: merged keys / N per global layer, 1.0 where nothing merged; pairs: query-key pairs of one
    scene and one head, summed over the global layers; lapses: seconds spent in choosing each plan.
    """

    tokens: int
    kept: tuple[float, ...] = ()
    pairs: int = 0
    lapses: tuple[SupportsFloat, ...] = ()

    @property
    def matching_seconds(self) -> float:
        """Seconds spent in choosing plans; waits for a GPU."""
        return sum(map(float, self.lapses))

    @property
    def pairs_plain(self) -> int:
        """The same pairs without merging."""
        return len(self.kept) * self.tokens**2

    def add(self, plan: Plan | None, lapse: SupportsFloat) -> None:
        """Count one block, and the seconds in which its rule chose; None is a block that merged nothing."""
        self.kept += (1.0 if plan is None else float(plan.kept),)
        self.pairs += self.tokens**2 if plan is None else int(plan.pairs)
        self.lapses += (lapse,)


class Aggregator(nn.Module):
    """Images to token features. Weights are named as in the public checkpoint."""

    _resnet_mean: Tensor
    _resnet_std: Tensor

    def __init__(self, config: VGGTConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = build_patch_embed(config)
        # slot 0 is for the first frame, slot 1 for every other frame
        self.camera_token = normal_parameter(1, 2, 1, config.width, std=config.token_std)
        self.register_token = normal_parameter(1, 2, config.registers, config.width, std=config.token_std)
        alike = ("mlp_ratio", "qk_norm", "rope_base", "layer_scale", "norm_eps")
        sizes, options = (config.depth, config.width, config.heads), {k: getattr(config, k) for k in alike}
        self.frame_blocks = nn.ModuleList(blocks(*sizes, kind="frame", **options))
        self.global_blocks = nn.ModuleList(blocks(*sizes, kind="global", causal=config.causal, **options))
        # on the CPU even when the weights are made on the meta device: no checkpoint brings these values back
        for name, values in (("_resnet_mean", IMAGE_MEAN), ("_resnet_std", IMAGE_STD)):
            constant = torch.tensor(values, dtype=torch.float32, device="cpu").view(1, 1, 3, 1, 1)
            self.register_buffer(name, constant, persistent=False)

    def forward(
        self,
        images: ImageBatch,
        *,
        keep: Collection[int],
        merging: MergingRule | None = None,
        merging_start: int = 0,
        logit_scale: LogitScale | None = None,
        probe: Observer | None = None,
    ) -> tuple[dict[int, Float[Tensor, "batch frames tokens dim"]], ForwardReport]:
        """Features of the layers in `keep` only, so that memory does not grow with depth.

        images: in [0, 1], height and width multiples of the patch size.
        merging: applied in global blocks with index >= merging_start; None is plain VGGT.
        logit_scale: factor on the logits of each global block; None is plain VGGT.
        Returns the tokens of each layer as [frame block output, global block output], and the report.

        Raises:
            ValueError: a rule for a causal model.
        """
        if self.config.causal and merging is not None:
            raise ValueError(
                "merging mixes tokens of earlier and later frames, so a causal model takes no rule; "
                "pass merging=None"
            )
        batch, frames = images.shape[:2]
        layout = self.config.layout(frames, *images.shape[-2:])
        x = self._tokens(images)  # (B*S, P, C)
        per_frame = positions(layout, images.device)[None]  # (1, P, 2)
        everywhere = per_frame.repeat(1, frames, 1)  # (1, N, 2)
        observe = None if probe is None else probe.observe
        report, features = ForwardReport(layout.tokens), {}
        pairs = zip(self.frame_blocks, self.global_blocks, strict=True)
        for layer, (frame_block, global_block) in enumerate(pairs):
            x = frame_block(x, per_frame, layout=layout, observe=observe)
            frame_out = x.to(kept_dtype(x)) if layer in keep else None
            x = x.view(batch, layout.tokens, -1)
            rule = merging if layer >= merging_start else None
            factor = 1.0 if logit_scale is None else logit_scale.factor(layer, layout)
            x = global_block(
                x, everywhere, rule=rule, layout=layout, factor=factor, planned=report.add, observe=observe
            )
            x = x.view(batch * frames, layout.tokens_per_frame, -1)
            if frame_out is not None:
                pair = torch.cat((frame_out, x.to(frame_out.dtype)), dim=-1)
                features[layer] = pair.unflatten(0, (batch, frames))
        return features, report

    def _tokens(self, images: ImageBatch) -> Float[Tensor, "sequences tokens dim"]:
        """Camera token, registers and patches of every frame."""
        mean, std = self._resnet_mean.to(images), self._resnet_std.to(images)
        patches = self.patch_embed(((images - mean) / std).flatten(0, 1))
        batch, frames = images.shape[:2]
        special = torch.cat((self.camera_token, self.register_token), dim=2)  # (1, 2, 5, C)
        first = special[:, :1] if self.config.reference else special[:, 1:]
        special = torch.cat((first, special[:, 1:].expand(-1, frames - 1, -1, -1)), dim=1)
        special = special.expand(batch, -1, -1, -1).flatten(0, 1)
        return torch.cat((special, patches), dim=1)
