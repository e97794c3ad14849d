"""One run: parameters -> scene -> model, merged and probed or not -> measurements.

The notebooks in ``book/runs`` are a thin layer over `run`: they pass parameters, draw, and write the record.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lib.geometry import relative_to_first, rotation_angle_deg
from lib.merging import MergingRule, RegisteredRule, Setting, TokenLayout
from lib.metrics import DegenerateAlignmentError, camera_errors, depth_errors
from lib.scenes.sequence import Sequence
from lib.scenes.walks import open_scene, single_scenes
from lib.vggt import (
    VGGT,
    CameraHeadConfig,
    DenseHeadConfig,
    LogitScale,
    Observer,
    PatchEmbedConfig,
    Prediction,
    VGGTConfig,
    parse_scale,
)
from lib.vggt.checkpoint import load
from lib.vggt.memory import check_device, estimate_memory, require_memory

ROOT = Path(__file__).resolve().parents[2]
DTYPES = ("auto", "float32", "bfloat16")
Measurements = dict[str, tuple[float | int | None, str]]  # name -> (value, unit)


@dataclass(frozen=True)
class Params:
    """What one run depends on; every field is a papermill parameter of ``book/runs/one_run.ipynb``.

    Attributes:
        model: "mini" (the weights in data/weights), "random" (a small VGGT with random weights), a path to
            .safetensors or .pt, or a hub name such as "facebook/VGGT-1B".
        scene: "rooms:7" for a walk through test room 7, or a folder with a recording or plain photographs;
            `lib.scenes.walks` has other walks, pieces of a recording, and ranges for runs over many scenes.
        frames: S, how many frames to take, spread evenly over a recording.
        m: fusion strength asked for, in [0, 1); 0 is plain VGGT, whatever the rule. For "adaptive" it is the
            tolerance: the share of the tokens' squared directions that a block may lose.
        rule: a name in `lib.merging.RULES`.
        size_bias: add log group sizes to the logits of merged keys.
        logit_scale: factor on the logits of global attention, as `lib.vggt.parse_scale` reads it: "none",
            "1.5", or "length 12" for ln N / ln N_train after a training on 12 frames.
        seed: of random weights, and of a rule that draws.
        device: "cpu", "cuda" or "cuda:1"; Apple's "mps" is not one of them.
        dtype: of the aggregator's products: "float32", "bfloat16", or "auto" for bfloat16 on a GPU and
            float32 on a CPU. On a CPU bfloat16 is meant for processors with units for it.

    Raises:
        ValueError: naming the value that is out of range, and the range.
    """

    model: str = "mini"
    scene: str = "rooms:0"
    frames: int = 8
    m: float = 0.5
    rule: str = "fastvggt"
    size_bias: bool = False
    logit_scale: str = "none"
    seed: int = 33
    device: str = "cpu"
    dtype: str = "auto"

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise ValueError(f"frames must be at least 1, got {self.frames}")
        Setting(self.rule, self.m)
        parse_scale(self.logit_scale)
        check_device(self.device)
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype must be one of {DTYPES}, got {self.dtype!r}")

    def each_scene(self) -> list[Params]:
        """The same run on each single scene of a range: "denser:0-7" gives eight."""
        return [replace(self, scene=scene) for scene in single_scenes(self.scene)]


@dataclass(frozen=True)
class Setup:
    """Everything a run needs, ready to go.

    Attributes:
        model: in evaluation mode, on the device of the run.
        sequence: the frames, at the resolution of the model.
        rule: how global attention merges; None is plain VGGT.
        banner: a warning that belongs on every figure of this run, or None.
    """

    params: Params
    model: VGGT
    sequence: Sequence
    rule: MergingRule | None
    banner: str | None

    @property
    def layout(self) -> TokenLayout:
        """How the tokens of this run lie in the sequence."""
        frames, _, height, width = self.sequence.images.shape
        return self.model.config.layout(frames, height, width)

    @property
    def central_query(self) -> tuple[int, int, int]:
        """(frame, patch row, patch column) of the patch in the middle of frame 0."""
        return 0, self.layout.patches_high // 2, self.layout.patches_wide // 2

    def token(self, query: tuple[int, int, int]) -> int:
        """Index in the flattened sequence of the patch (frame, row, column)."""
        frame, row, column = query
        layout = self.layout
        return frame * layout.tokens_per_frame + layout.special + row * layout.patches_wide + column


@dataclass(frozen=True)
class Outcome:
    """What a run said.

    Attributes:
        prediction: on the CPU, one batch item.
        measurements: name -> (value, unit); an error that cannot be computed here is None.
        kept: N'/N of the last global layer.
    """

    setup: Setup
    prediction: Prediction
    measurements: Measurements
    kept: float


def random_config() -> VGGTConfig:
    """A small VGGT with every part of the large one, for runs without trained weights (1 million weights)."""
    dense = {"features": 24, "out_channels": (24, 32, 40, 48), "layers": (0, 1, 2, 3)}
    return VGGTConfig(
        image_size=70,
        width=64,
        depth=4,
        heads=2,
        layer_scale=1.0,
        token_std=0.5,
        patch_embed=PatchEmbedConfig(depth=2, heads=2),
        camera_head=CameraHeadConfig(trunk_depth=2, heads=4, layer_scale=1.0),
        depth_head=DenseHeadConfig(2, activation="exp", **dense),  # type: ignore[arg-type]
        point_head=DenseHeadConfig(4, activation="inv_log", **dense),  # type: ignore[arg-type]
        track_head=None,
    )


def load_model(params: Params) -> tuple[VGGT, str | None]:
    """The model of a run in evaluation mode, and the warning that its figures must carry, if any.

    CheckpointError: the weights are missing or do not fit; says what to do.
    """
    if params.model == "random":
        model = VGGT.from_seed(random_config(), params.seed).to(params.device)
        return model.eval(), banner_of(params)
    shipped = ROOT / "data" / "weights" / f"{params.model}.safetensors"
    source = str(shipped) if shipped.is_file() else params.model
    return load(source, device=params.device).eval(), banner_of(params)


def banner_of(params: Params) -> str | None:
    """The warning that figures of this run must carry, or None."""
    if params.model == "random":
        return "Random weights: this shows the machinery, not what VGGT has learned"
    return None


def load_scene(params: Params, config: VGGTConfig) -> Sequence:
    """The frames of a run, at the resolution that the model was made for.

    ValueError: see `lib.scenes.walks.open_scene`; names what is wrong.
    """
    return open_scene(params.scene, params.frames, config.image_size, config.patch_size)


def merging_rule(params: Params, protected: bool = True) -> RegisteredRule | None:
    """The rule of a run; None for m = 0. Not `protected`: see `lib.merging.Setting`."""
    return Setting(params.rule, params.m, params.size_bias, protected).merging(params.seed)


def in_half(dtype: str, device: str | torch.device) -> bool:
    """Whether a run of this `dtype` computes in bfloat16 on this device; see `Params`."""
    return dtype == "bfloat16" or (dtype == "auto" and torch.device(device).type == "cuda")


def prepare(params: Params, model: VGGT | None = None) -> Setup:
    """Load model and frames, and make sure that they fit into memory, before anything long starts.

    `model`: loaded before, for runs that differ in scene or merging only; None loads it.
    ValueError, CheckpointError, MemoryError: saying what to change.
    """
    loaded, banner = (model, banner_of(params)) if model is not None else load_model(params)
    sequence = load_scene(params, loaded.config)
    setup = Setup(params, loaded, sequence, merging_rule(params), banner)
    frames, _, height, width = sequence.images.shape
    half = torch.bfloat16 if in_half(params.dtype, params.device) else None
    kept = None if setup.rule is None else 1.0  # what a plan keeps is known later; its memory grows with it
    needed = estimate_memory(loaded.config, frames, height, width, kept=kept, autocast=half)
    require_memory(needed, params.device)
    return setup


def forward(
    model: VGGT,
    images: Tensor,
    rule: MergingRule | None = None,
    probe: Observer | None = None,
    *,
    logit_scale: LogitScale | None = None,
    heads: Collection[str] | None = None,
    dtype: str = "auto",
) -> Prediction:
    """One forward pass as every run makes it: without gradients, the aggregator in bf16 on a GPU.

    images (S, 3, H, W), moved to the device of the model; dtype as in `Params`; the others as in
    `VGGT.forward`.
    """
    device = next(model.parameters()).device
    precision = torch.autocast(device.type, dtype=torch.bfloat16, enabled=in_half(dtype, device))
    with torch.inference_mode(), precision:
        prediction: Prediction = model(
            images.to(device), merging=rule, logit_scale=logit_scale, probe=probe, heads=heads
        )
        return prediction


def run(setup: Setup, probe: Observer | None = None) -> Outcome:
    """The forward pass and its measurements; `probe` sees every block and changes nothing."""
    device = setup.params.device
    images = setup.sequence.images.to(device)
    start = time.perf_counter()
    scale = parse_scale(setup.params.logit_scale)
    dtype = setup.params.dtype
    prediction = forward(setup.model, images, setup.rule, probe, logit_scale=scale, dtype=dtype)
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    prediction = _to_cpu(prediction)
    measured = costs(prediction, seconds) | errors(setup.sequence, prediction)
    return Outcome(setup, prediction, measured, prediction.report.kept[-1])


def _to_cpu(prediction: Prediction) -> Prediction:
    named = vars(prediction).items()
    moved: dict[str, Any] = {name: value.cpu() for name, value in named if isinstance(value, Tensor)}
    return replace(prediction, **moved)


def costs(prediction: Prediction, seconds: float) -> Measurements:
    """Tokens, pairs and seconds of a run."""
    report = prediction.report
    return {
        "tokens": (report.tokens, "tokens"),
        "kept": (float(np.mean(report.kept)), "1"),
        "pairs_relative": (report.pairs / report.pairs_plain, "1"),
        "matching_seconds": (report.matching_seconds, "s"),
        "forward_seconds": (seconds, "s"),
    }


def errors(sequence: Sequence, prediction: Prediction) -> Measurements:
    """Camera errors in both conventions and depth errors, against what the sequence knows.

    A truth that is not there, or a path too short to align, leaves no entry or None.
    """
    found: Measurements = {}
    if sequence.extrinsics is not None and prediction.extrinsics is not None:
        relative = [relative_to_first(e.double()) for e in (prediction.extrinsics[0], sequence.extrinsics)]
        angles = rotation_angle_deg(*(e[1:, :, :3] for e in relative))
        found["rotation_from_frame_0"] = (float(angles.median()) if len(angles) else None, "deg")
        for convention in ("centres", "fastvggt"):
            found |= _camera_measurements(sequence, prediction, convention)
    if sequence.depth is not None and prediction.depth is not None and bool((sequence.depth > 0).any()):
        depth = depth_errors(prediction.depth[0], sequence.depth, scale="median")
        found |= {"abs_rel": (depth.abs_rel, "1"), "delta_1.25": (depth.delta_1_25, "1")}
    return found


def _camera_measurements(sequence: Sequence, prediction: Prediction, convention: str) -> Measurements:
    assert prediction.extrinsics is not None and sequence.extrinsics is not None
    units = {"ate": "m", "ate_relative": "1", "are_deg": "deg", "rpe_trans": "m", "rpe_rot_deg": "deg"}
    try:
        found = camera_errors(prediction.extrinsics[0], sequence.extrinsics, convention)
    except DegenerateAlignmentError:
        return {f"{name}_{convention}": (None, unit) for name, unit in units.items()}
    return {f"{name}_{convention}": (float(getattr(found, name)), unit) for name, unit in units.items()}
