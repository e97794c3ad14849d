"""The DPT head: multi-layer tokens to dense maps, for depth, points tracker features. Source: VGGT."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor, nn
from torch.nn import functional

from lib.vggt.config import DenseHeadConfig

Maps = Float[Tensor, "frames channels height width"]
Features = Mapping[int, Float[Tensor, "batch frames tokens dim"]]
Map = Float[Tensor, "batch features height width"]
FrameMaps = Float[Tensor, "batch frames height width"]

# A bilinear kernel indexes its output with 32 bits; larger outputs are made in pieces along the batch.
INTERPOLATION_LIMIT = 1_610_612_736

Activation = Callable[[Tensor], Tensor]


def resize(
    x: Float[Tensor, "batch channels height width"], size: tuple[int, int]
) -> Float[Tensor, "batch channels {size[0]} {size[1]}"]:
    """Bilinear, align_corners=True."""
    pieces = -(-x.shape[0] * x.shape[1] * size[0] * size[1] // INTERPOLATION_LIMIT)
    resized = [
        functional.interpolate(part, size=size, mode="bilinear", align_corners=True)
        for part in x.chunk(max(1, pieces))
    ]
    return resized[0] if len(resized) == 1 else torch.cat(resized)


def uv_axes(
    height: int, width: int, aspect: float, device: torch.device | None = None
) -> tuple[Float64[Tensor, " {height}"], Float64[Tensor, " {width}"]]:
    """Coordinates y and x of a grid on an image of aspect W/H.

    The image diagonal has half length 1; the first and last coordinate are centres of the outer cells.
    """
    diagonal = (aspect**2 + 1) ** 0.5
    axes = []
    for count, span in ((height, 1 / diagonal), (width, aspect / diagonal)):
        end = span * (count - 1) / count
        axes.append(torch.linspace(-end, end, count, dtype=torch.float64, device=device))
    return axes[0], axes[1]


def uv_embedding(
    height: int, width: int, aspect: float, channels: int, device: torch.device | None = None
) -> Float32[Tensor, "{height} {width} {channels}"]:
    """Sinusoidal embedding: first half of the channels x, second y."""
    quarter = channels // 4
    omega = 100.0 ** (-torch.arange(quarter, dtype=torch.float64, device=device) / quarter)
    y, x = (
        torch.cat((torch.sin(axis[:, None] * omega), torch.cos(axis[:, None] * omega)), dim=-1).float()
        for axis in uv_axes(height, width, aspect, device)
    )
    return torch.cat((x[None].expand(height, -1, -1), y[:, None].expand(-1, width, -1)), dim=-1)


def activate_dense(
    x: Float[Tensor, "batch channels height width"], activation: str, confidence_activation: str
) -> tuple[Float[Tensor, "batch height width channels-1"], Float[Tensor, "batch height width"]]:
    """Split maps into values and, from the last channel, confidence.

    activation: "exp", "inv_log" sign(a)(e^|a| - 1), "norm_exp" (direction times expm1 of the length),
    "xy_inv_log" (z by inv_log, x and y multiplied by it) or "linear"; confidence_activation: "expp1" 1 + e^c,
    "expp0" e^c or "sigmoid".

    Raises:
        ValueError: another name.
    """
    x = x.movedim(1, -1)
    values, confidence = x[..., :-1], x[..., -1]
    confidences: dict[str, Activation] = {
        "expp1": lambda c: 1 + c.exp(),
        "expp0": torch.exp,
        "sigmoid": torch.sigmoid,
    }
    activations: dict[str, Activation] = {
        "linear": lambda a: a,
        "exp": torch.exp,
        "inv_log": _inv_log,
        "norm_exp": _norm_exp,
        "xy_inv_log": _xy_inv_log,
    }
    if activation not in activations:
        raise ValueError(f"activation must be one of {sorted(activations)}, got {activation!r}")
    if confidence_activation not in confidences:
        raise ValueError(
            f"confidence_activation must be one of {sorted(confidences)}, got {confidence_activation!r}"
        )
    return activations[activation](values), confidences[confidence_activation](confidence)


def _inv_log(a: Tensor) -> Tensor:
    return a.sign() * torch.expm1(a.abs())


def _norm_exp(a: Tensor) -> Tensor:
    length: Tensor = a.norm(dim=-1, keepdim=True).clamp(min=1e-8)
    return a / length * torch.expm1(length)


def _xy_inv_log(a: Tensor) -> Tensor:
    z = _inv_log(a[..., 2:])
    return torch.cat((a[..., :2] * z, z), dim=-1)


class ResidualConvUnit(nn.Module):
    """conv(relu(conv(relu(x)))) + relu(x): the skip carries the rectified input."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(features, features, 3, padding=1)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1)

    def forward(self, x: Map) -> Map:
        """Refined maps."""
        x = functional.relu(x)
        refined: Tensor = self.conv2(self.conv1(x).relu_())
        return refined.add_(x)


class FusionBlock(nn.Module):
    """Add a skip map, refine, resize to the next finer map."""

    def __init__(self, features: int, *, has_skip: bool) -> None:
        super().__init__()
        if has_skip:
            self.resConfUnit1 = ResidualConvUnit(features)
        self.resConfUnit2 = ResidualConvUnit(features)
        self.out_conv = nn.Conv2d(features, features, 1)

    def forward(
        self, x: Map, skip: Map | None, size: tuple[int, int]
    ) -> Float[Tensor, "batch features {size[0]} {size[1]}"]:
        """The fused map at `size`."""
        if skip is not None:
            x = self.resConfUnit1(skip).add_(x)
        # The 1 x 1 convolution commutes with resizing, whose weights sum to one; before it, it is cheaper.
        return resize(self.out_conv(self.resConfUnit2(x)), size)


class DenseHead(nn.Module):
    """DPT head over four aggregator layers. Weights are named as in the public checkpoint."""

    def __init__(
        self,
        width: int,
        patch_size: int,
        special_tokens: int,
        config: DenseHeadConfig,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.config = config
        self.patch_size = patch_size
        self.special_tokens = special_tokens
        first, second, _, fourth = config.out_channels
        features = config.features
        self.norm = nn.LayerNorm(width, eps=norm_eps)
        self.projects = nn.ModuleList(nn.Conv2d(width, channels, 1) for channels in config.out_channels)
        self.resize_layers = nn.ModuleList(
            [
                nn.ConvTranspose2d(first, first, 4, stride=4),
                nn.ConvTranspose2d(second, second, 2, stride=2),
                nn.Identity(),
                nn.Conv2d(fourth, fourth, 3, stride=2, padding=1),
            ]
        )
        self.scratch = nn.ModuleDict()
        for level, channels in enumerate(config.out_channels, start=1):
            convolution = nn.Conv2d(channels, features, 3, padding=1, bias=False)
            self.scratch[f"layer{level}_rn"] = convolution
            self.scratch[f"refinenet{level}"] = FusionBlock(features, has_skip=level < 4)
        # a head that only extracts features keeps their number
        merged = features if config.output_channels is None else features // 2
        self.scratch["output_conv1"] = nn.Conv2d(features, merged, 3, padding=1)
        if config.output_channels is not None:
            self.scratch["output_conv2"] = nn.Sequential(
                nn.Conv2d(merged, config.hidden, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(config.hidden, config.output_channels, 1),
            )

    def forward(
        self, features: Features, image_size: tuple[int, int], frames_chunk: int | None = 8
    ) -> tuple[Float[Tensor, "batch frames height width channels"], FrameMaps]:
        """Dense prediction at image_size / down_ratio.

        features: tokens by aggregator layer; frames_chunk: frames decoded at once, None for all.
        Returns values and confidence.
        """
        config = self.config
        maps = self.extract(features, image_size, frames_chunk)  # (B, S, output_channels, H', W')
        values, confidence = activate_dense(
            maps.flatten(0, 1), config.activation, config.confidence_activation
        )
        return values.unflatten(0, maps.shape[:2]), confidence.unflatten(0, maps.shape[:2])

    def extract(
        self, features: Features, image_size: tuple[int, int], frames_chunk: int | None = 8
    ) -> Float[Tensor, "batch frames channels height width"]:
        """Maps before activation; without output channels, the features."""
        layers = [features[layer] for layer in self.config.layers]
        batch, frames = layers[0].shape[:2]
        flat = [layer.flatten(0, 1) for layer in layers]
        step = batch * frames if frames_chunk is None else frames_chunk
        chunks = [
            self._decode([layer[start : start + step] for layer in flat], image_size)
            for start in range(0, batch * frames, step)
        ]
        flat_maps = chunks[0] if len(chunks) == 1 else torch.cat(chunks)
        maps: Tensor = flat_maps.unflatten(0, (batch, frames))
        return maps

    def _decode(self, layers: list[Float[Tensor, "frames tokens dim"]], image_size: tuple[int, int]) -> Maps:
        """Maps from the tokens of four layers."""
        scratch, aspect = self.scratch, image_size[1] / image_size[0]
        grid = (image_size[0] // self.patch_size, image_size[1] // self.patch_size)
        levels = [self._level(index, tokens, grid, aspect) for index, tokens in enumerate(layers)]
        sizes = [tuple(level.shape[-2:]) for level in levels]
        first = (2 * sizes[0][0], 2 * sizes[0][1])
        x = scratch["refinenet4"](levels[3], None, sizes[2])
        x = scratch["refinenet3"](x, levels[2], sizes[1])
        x = scratch["refinenet2"](x, levels[1], sizes[0])
        x = scratch["refinenet1"](x, levels[0], first)
        x = scratch["output_conv1"](x)
        ratio = self.config.down_ratio
        x = resize(x, (grid[0] * self.patch_size // ratio, grid[1] * self.patch_size // ratio))
        x = self._add_position(x, aspect)
        maps: Tensor = x if self.config.output_channels is None else scratch["output_conv2"](x)
        return maps

    def _level(
        self, index: int, tokens: Float[Tensor, "frames tokens dim"], grid: tuple[int, int], aspect: float
    ) -> Maps:
        x = tokens[:, self.special_tokens :].to(self.norm.weight.dtype)
        x = self.norm(x).transpose(1, 2).unflatten(2, grid)  # (F, width, h, w)
        x = self._add_position(self.projects[index](x), aspect)
        level: Tensor = self.scratch[f"layer{index + 1}_rn"](self.resize_layers[index](x))
        return level

    def _add_position(self, x: Maps, aspect: float) -> Maps:
        if not self.config.pos_embed:
            return x
        channels, height, width = x.shape[1:]
        embedding = uv_embedding(height, width, aspect, channels, x.device).permute(2, 0, 1)
        return x + 0.1 * embedding.to(x.dtype)
