"""The camera head: four rounds of pose regression from the camera tokens. Source: VGGT."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from lib.vggt.config import CameraHeadConfig
from lib.vggt.layers import Mlp, blocks

POSE_SIZE = 9  # translation 3, quaternion 4, field of view 2


def activate_pose(raw: Float[Tensor, "*batch 9"]) -> Float[Tensor, "*batch 9"]:
    """Pose encodings of raw vectors: only the two fields of view are rectified."""
    return torch.cat((raw[..., :7], functional.relu(raw[..., 7:])), dim=-1)


class CameraHead(nn.Module):
    """Refines one pose encoding per frame; its trunk attends over the S camera tokens of a scene."""

    def __init__(
        self, width: int, config: CameraHeadConfig, norm_eps: float = 1e-5, causal: bool = False
    ) -> None:
        super().__init__()
        self.iterations = config.iterations
        scales = {"mlp_ratio": config.mlp_ratio, "layer_scale": config.layer_scale, "norm_eps": norm_eps}
        trunk = blocks(config.trunk_depth, width, config.heads, kind="camera", causal=causal, **scales)
        self.trunk = nn.Sequential(*trunk)
        self.token_norm = nn.LayerNorm(width, eps=norm_eps)
        self.trunk_norm = nn.LayerNorm(width, eps=norm_eps)
        self.empty_pose_tokens = nn.Parameter(torch.zeros(1, 1, POSE_SIZE))
        self.embed_pose = nn.Linear(POSE_SIZE, width)
        self.poseLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 3 * width))
        self.adaln_norm = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.pose_branch = Mlp(width, width // 2, POSE_SIZE)

    def forward(
        self, camera_tokens: Float[Tensor, "batch frames width"], iterations: int | None = None
    ) -> list[Float[Tensor, "batch frames 9"]]:
        """One activated encoding per iteration, from camera tokens that are not normalised."""
        z = self.token_norm(camera_tokens.to(self.token_norm.weight.dtype))
        raw: Tensor | None = None
        encodings = []
        for _ in range(self.iterations if iterations is None else iterations):
            # the raw vector is fed back, not the rectified one, and without gradient
            state = self.empty_pose_tokens.expand(*z.shape[:2], -1) if raw is None else raw.detach()
            shift, scale, gate = self.poseLN_modulation(self.embed_pose(state)).chunk(3, dim=-1)
            y = z + gate * (self.adaln_norm(z) * (1 + scale) + shift)
            delta = self.pose_branch(self.trunk_norm(self.trunk(y)))
            raw = delta if raw is None else raw + delta
            encodings.append(activate_pose(raw))
        return encodings
