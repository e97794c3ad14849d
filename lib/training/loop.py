"""The training loop: one object that holds everything a run must remember, and advances it step by step."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from lib.records.contents import hash_path
from lib.training.checkpoints import load_latest, save_checkpoint
from lib.training.config import TrainConfig, differences
from lib.training.data import Batch, frame_subset, sample_batch
from lib.training.losses import (
    Target,
    between_frames,
    camera_loss,
    confident_loss,
    in_own_cameras,
    make_target,
    matching_loss,
    tracking_loss,
    true_tracks,
)
from lib.training.optimisation import Average, Optimisers, decay_length, low_precision, rate_share
from lib.training.validation import validate, validation_walks
from lib.training.wider import pool_for, read_config
from lib.vggt.checkpoint import load, read_metadata
from lib.vggt.dense_head import DenseHead, activate_dense
from lib.vggt.model import VGGT

SAVE_SECONDS = 45.0
CURVE_STEPS = 25  # training losses are averaged over so many steps before they enter the curves


@dataclass
class Progress:
    """What has been done so far; all of it is saved.

    `parent` is the hash of the weights that the run began with, None for random ones, and `parent_sequences`
    how many sequences those had seen.
    """

    step: int = 0
    sequences: int = 0
    frames: int = 0
    seconds: float = 0.0
    decay_start: int | None = None
    decay_steps: int = 0
    parent: str | None = None
    parent_sequences: int = 0
    losses: list[dict[str, float]] = field(default_factory=list)
    validations: list[dict[str, float]] = field(default_factory=list)


class Trainer:
    """A run of `config`, in `folder` (checkpoints and rendered rooms), on `device`.

    Everything random is a function of (seed, step), so a resumed run repeats an unbroken one exactly; the
    checkpoint holds weights, their average, optimiser states, schedule and progress.
    """

    def __init__(self, config: TrainConfig, folder: Path, device: torch.device | str = "cpu"):
        self.config, self.folder, self.device = config, folder, torch.device(device)
        self.model = VGGT.from_seed(config.model, config.seed).to(self.device)
        _start_poses_upright(self.model)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed + 1)
            self.matcher = nn.Linear(config.model.width, config.match_width).to(self.device)
            self.tracker = nn.Linear(config.model.width, 2).to(self.device)
        # matcher and tracker serve the losses only; they are not part of the model and not shipped
        self.all = nn.ModuleDict({"model": self.model, "matcher": self.matcher, "tracker": self.tracker})
        self.optimisers = Optimisers(self.all, config)
        self.average = Average(self.model, config.ema)
        self.progress = Progress()
        on_disk = folder / "rooms" if self.device.type == "cpu" else None
        self.pool = pool_for(config, self.device, on_disk)
        self._parts: list[dict[str, float]] = []

    def train_step(self) -> dict[str, float]:
        """One update; returns the losses of its batch."""
        config, progress = self.config, self.progress
        batch = sample_batch(config, self.pool.at(progress.step), progress.step)
        losses = self._losses(batch)
        losses["total"].backward()
        nn.utils.clip_grad_norm_(self.all.parameters(), config.clip)
        share = rate_share(progress.step, config.warmup_steps, progress.decay_start, progress.decay_steps)
        self.optimisers.step(share)
        self.average.update(self.model, progress.step)
        progress.sequences += batch.images.shape[0]
        progress.frames += batch.images.shape[0] * batch.images.shape[1]
        values = {name: float(value.detach()) for name, value in losses.items()}
        self._note(values)
        progress.step += 1
        return values

    def _losses(self, batch: Batch) -> dict[str, Tensor]:
        config, model = self.config, self.model
        target = make_target(batch, config.model.reference)
        size = (batch.images.shape[-2], batch.images.shape[-1])
        last = config.model.depth - 1
        layers = {last, config.match_layer, config.track_layer} | {
            layer
            for head in (config.model.depth_head, config.model.point_head)
            if head
            for layer in head.layers
        }
        with low_precision(self.device):
            features, _ = model.aggregator(batch.images, keep=layers)
        assert model.camera_head is not None
        poses, truth = model.camera_head(features[last][:, :, 0].float()), target.pose
        if not config.model.reference:
            poses, truth = [between_frames(pose) for pose in poses], between_frames(truth)
        losses = {"camera": camera_loss(poses, truth)}
        some = frame_subset(batch.images.shape[1], config.dense_frames, config.seed, self.progress.step)
        losses |= self._dense_losses({layer: f[:, some] for layer, f in features.items()}, target, some, size)
        losses |= self._track_losses(features, target, size)
        losses["total"] = torch.stack(
            [getattr(config, f"{name}_weight") * value for name, value in losses.items()]
        ).sum()
        return losses

    def _track_losses(
        self, features: dict[int, Tensor], target: Target, size: tuple[int, int]
    ) -> dict[str, Tensor]:
        config, sizes = self.config, self.config.model
        patch = sizes.patch_size
        grid = (size[0] // patch, size[1] // patch)
        matched, tracked = (
            features[layer][:, :, sizes.special_tokens :, sizes.width :].float()
            for layer in (config.match_layer, config.track_layer)
        )
        tracks = true_tracks(target, patch)
        descriptors = nn.functional.normalize(self.matcher(matched), dim=-1)
        found = {"match": matching_loss(descriptors, tracks, grid, patch)}
        if sizes.reference:  # shifts into frame 0 ask that a frame know which one that is
            found["track"] = tracking_loss(self.tracker(tracked), tracks, grid, patch)
        return found

    def _dense_losses(
        self, features: dict[int, Tensor], target: Target, some: list[int], size: tuple[int, int]
    ) -> dict[str, Tensor]:
        model, valid = self.model, target.valid[:, some]
        assert model.depth_head is not None and model.point_head is not None
        with low_precision(self.device):
            maps = [head.extract(features, size, None) for head in (model.depth_head, model.point_head)]
        depth, depth_sure = _activate(maps[0], model.depth_head)
        points, points_sure = _activate(maps[1], model.point_head)
        truth = target.points[:, some]
        if not self.config.model.reference:
            truth = in_own_cameras(target.depth[:, some], target.intrinsics[:, some])
        return {
            "depth": confident_loss(depth, depth_sure, target.depth[:, some, ..., None], valid),
            "point": confident_loss(points, points_sure, truth, valid),
        }

    def _note(self, values: dict[str, float]) -> None:
        self._parts.append(values)
        if len(self._parts) == CURVE_STEPS:
            mean = {name: sum(part[name] for part in self._parts) / CURVE_STEPS for name in values}
            self.progress.losses.append({"step": self.progress.step + 1, **mean})
            self._parts.clear()

    def validate(self) -> dict[str, float]:
        """Errors of the averaged weights on the validation rooms; also kept in the curves."""
        averaged = self.averaged_model()
        walks = validation_walks(self.config, self.device)
        errors = validate(averaged, walks)
        self.progress.validations.append({"step": self.progress.step, **errors})
        return errors

    def averaged_model(self) -> VGGT:
        """A new model, in evaluation mode, with the averaged weights."""
        averaged = VGGT(self.config.model).to(self.device)
        averaged.load_state_dict(self.average.weights)
        return averaged.eval()

    def save(self) -> Path:
        """Write a checkpoint."""
        state = {
            "config": self.config.to_dict(),
            "all": self.all.state_dict(),
            "average": self.average.weights,
            "optimisers": self.optimisers.state(),
            "progress": vars(self.progress),
            "parts": self._parts,
        }
        return save_checkpoint(self.folder, self.progress.step, state)

    def start_from(self, weights: Path) -> None:
        """Begin with the weights of a file in place of random ones; optimisers and schedule begin anew.

        Raises:
            ValueError: the file holds a model of other sizes.
            CheckpointError: the file cannot be read; a subclass says what is wrong.
        """
        parent = load(weights, device=self.device)
        if parent.config != self.config.model:
            raise ValueError(f"{weights} holds a model of other sizes than this run's; leave the sizes out")
        self.model.load_state_dict(parent.state_dict())
        self.average.load(parent.state_dict())
        self.progress.parent = hash_path(weights)
        self.progress.parent_sequences = int(read_metadata(weights).get("sequences", 0))

    def resume(self) -> bool:
        """Go on from the newest sound checkpoint of the folder; False if there is none.

        Raises:
            ValueError: the checkpoint is of a run with other options; they are named.
            CorruptCheckpointError: no checkpoint of the folder is sound.
        """
        state = load_latest(self.folder)
        if state is None:
            return False
        if changed := differences(read_config(state["config"]), self.config):
            raise ValueError(
                f"the run in {self.folder} was started with other options: {changed}; "
                "give the same options again, or choose another folder"
            )
        self.all.load_state_dict(state["all"])
        self.average.load(state["average"])
        self.optimisers.load(state["optimisers"])
        self.progress = Progress(**state["progress"])
        self._parts = state["parts"]
        return True

    def run(self, budget_minutes: float | None = None, show: bool = True) -> None:
        """Train until `config.steps`, or until `budget_minutes` from now are spent, whichever comes first.

        The learning rate falls to zero over the last `decay_share` of the steps or of the time.
        """
        start, seconds_before, step_before = time.monotonic(), self.progress.seconds, self.progress.step
        budget = None if budget_minutes is None else 60 * budget_minutes
        saved = start
        bar = tqdm(total=self.config.steps, initial=step_before, disable=not show, mininterval=10)
        while not self.finished:
            elapsed = time.monotonic() - start
            self._plan_decay(elapsed, budget, step_before)
            values = self.train_step()
            self.progress.seconds = seconds_before + time.monotonic() - start
            if self.progress.step % self.config.validate_every == 0 or self.finished:
                errors = self.validate()
                tqdm.write(f"step {self.progress.step} {self.progress.seconds:.0f} s {_say(values | errors)}")
            if time.monotonic() - saved > SAVE_SECONDS:
                self.save()
                saved = time.monotonic()
            bar.update()
            bar.set_postfix_str(
                _say({name: values[name] for name in ("total", "camera", "point")}), refresh=False
            )
        bar.close()
        self.save()

    @property
    def finished(self) -> bool:
        """Whether the learning rate has fallen to zero; a finished run does not go on."""
        progress = self.progress
        if progress.decay_start is not None:
            return progress.step >= progress.decay_start + progress.decay_steps
        return self.config.steps is not None and progress.step >= self.config.steps

    def _plan_decay(self, elapsed: float, budget: float | None, step_before: int) -> None:
        """Fix when the learning rate starts to fall, as soon as it is known; then it is part of the state."""
        progress, config = self.progress, self.config
        if progress.decay_start is not None and (budget is None or progress.step >= progress.decay_start):
            return  # it is falling, or nothing can bring its fall forward
        timed = (
            budget is not None and elapsed > (1 - config.decay_share) * budget and progress.step > step_before
        )
        if config.steps is not None:
            decay = max(1, round(config.decay_share * config.steps))
            if budget is None or progress.step >= config.steps - decay:
                progress.decay_start, progress.decay_steps = config.steps - decay, decay
                return
        if timed and budget is not None:
            progress.decay_start = progress.step
            left = decay_length(progress.step - step_before, elapsed, budget - elapsed)
            progress.decay_steps = left if config.steps is None else min(left, config.steps - progress.step)


def _activate(maps: Tensor, head: DenseHead) -> tuple[Tensor, Tensor]:
    """Values (B, S, H, W, k) and confidence (B, S, H, W) in fp32 of raw maps (B, S, k + 1, H, W)."""
    values, confidence = activate_dense(
        maps.flatten(0, 1).float(), head.config.activation, head.config.confidence_activation
    )
    return values.unflatten(0, maps.shape[:2]), confidence.unflatten(0, maps.shape[:2])


@torch.no_grad()
def _start_poses_upright(model: VGGT) -> None:
    """Let the camera head begin at the identity with a field of view of about a radian.

    A negative field of view would be rectified to zero and get no gradient.
    """
    assert model.camera_head is not None
    last = model.camera_head.pose_branch.fc2
    last.weight.mul_(0.1)
    last.bias.copy_(torch.tensor([0.0, 0, 0, 0, 0, 0, 1, 1.1, 1.1]) / model.camera_head.iterations)


def _say(values: dict[str, float]) -> str:
    return " ".join(f"{name} {value:.3f}" for name, value in values.items())
