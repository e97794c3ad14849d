"""Ways to run a network on a long sequence, each a named value: plain, merged, scaled, anchored …"""

from __future__ import annotations

import math
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from book.study.anchored import Anchored
from book.study.long_sequences.between import FrameBias, Split, bias_between
from lib.geometry import invert, unproject
from lib.merging import MergingRule, TokenLayout, UniformRule
from lib.metrics.cameras import umeyama
from lib.run import Setup, merging_rule, run
from lib.scenes.sequence import Sequence
from lib.scenes.walks import open_scene
from lib.vggt import LengthScale, Observer

OVERLAP = 4  # frames that two neighbouring chunks share
CLOUD = 4000  # points by which two chunks are joined
STRANGER = 100  # the other room of room n is n + 100


@dataclass(frozen=True)
class Arm:
    """One way to run a network on a sequence.

    Attributes:
        m, rule, size_bias: of merging, as in `lib.run.Params`; open: frame 0 merges too (uniform rule).
        scale: the logits are multiplied by f = ln N / ln N_train, in `layers` (None: all).
        split: f acts only on the "share" of frame 0 against all other keys, or only on the "pattern" among
            the keys of frame 0 and among the others.
        anchored: frame 0's keys get ln((S−1)/(S_train−1)), by a rule that composes with merging.
        first, own: that bias on the keys of frame 0, of the query's own frame, in `layers` (None: all) and
            for `queries` of one kind only, if not "all".
        starved: frame 0's keys get the bias that imitates so many frames.
        keep: every how many-th frame is used. middle: the middle frame comes first.
        chunks: pieces of the training length, joined by Sim(3).
        company: "copies" or "strangers", which keep the frames company (only the frames are judged).
    """

    m: float = 0.0
    rule: str = "fastvggt"
    size_bias: bool = False
    open: bool = False
    scale: bool = False
    anchored: bool = False
    first: bool = False
    own: bool = False
    split: str = ""
    layers: tuple[int, ...] | None = None
    queries: str = "all"
    starved: int = 0
    keep: int = 1
    middle: bool = False
    chunks: bool = False
    company: str = ""

    def merging(self, setup: Setup, trained: int) -> MergingRule | None:
        """The rule of this arm, anchored to `trained` frames if asked for."""
        rule = merging_rule(replace(setup.params, m=self.m, rule=self.rule, size_bias=self.size_bias))
        if self.open and isinstance(rule, UniformRule):
            rule = replace(rule, protect_first_frame=False)
        return Anchored(trained, rule) if self.anchored else rule

    def bias(self, frames: int, trained: int) -> Tensor | None:
        """(S, S) nats between frames, None without one."""
        if self.starved:
            return bias_between(frames, first=math.log((frames - 1) / (self.starved - 1)))
        if not (self.first or self.own):
            return None
        full = math.log(max(1.0, (frames - 1) / (trained - 1)))
        return bias_between(frames, first=full * self.first, own=full * self.own)

    def length_scale(self, trained: int) -> str:
        """The logit scale of this arm as `lib.vggt.parse_scale` reads it."""
        where = "" if self.layers is None else " in " + " ".join(map(str, self.layers))
        return f"length {trained}{where}"

    def intervention(self, layout: TokenLayout, trained: int) -> AbstractContextManager[object]:
        """What changes global attention of the unmerged network beyond the arguments of its forward."""
        frames, tokens = layout.frames, layout.tokens_per_frame
        if self.split:
            f = LengthScale(trained).factor(0, layout)
            return Split(frames, tokens, *((f, 1.0) if self.split == "share" else (1.0, f)))
        bias = self.bias(frames, trained)
        if bias is None:
            return nullcontext()
        return FrameBias(bias, tokens, self.layers, self.queries, layout.special)


SINK = (3,)  # the block in which frame 0 takes most of the attention
OTHERS = (0, 1, 2, 4, 5)
RESTORED = (2, 3)  # the blocks in which the scale gives frame 0 its share back
FLAT = (0, 1, 4, 5)  # those in which it does not
ARMS = {
    "plain": Arm(),
    "merged": Arm(m=0.7),
    "merged 0.5": Arm(m=0.5),
    "merged 0.9": Arm(m=0.9),
    "merged, size bias": Arm(m=0.7, size_bias=True),
    "uniform": Arm(m=0.7, rule="uniform"),
    "uniform, size bias": Arm(m=0.7, rule="uniform", size_bias=True),
    "uniform, frame 0 merged too": Arm(m=0.7, rule="uniform", open=True),
    "scaled": Arm(scale=True),
    "scaled, blocks 2 3": Arm(scale=True, layers=RESTORED),
    "scaled, other blocks": Arm(scale=True, layers=FLAT),
    "scaled, block 2": Arm(scale=True, layers=(2,)),
    "scaled share": Arm(split="share"),
    "scaled pattern": Arm(split="pattern"),
    "scaled, merged": Arm(scale=True, m=0.7),
    "anchored": Arm(anchored=True),
    "anchored, merged": Arm(anchored=True, m=0.7),
    "anchored, merged, size bias": Arm(anchored=True, m=0.7, size_bias=True),
    "half": Arm(keep=2),
    "quarter": Arm(keep=4),
    "middle first": Arm(middle=True),
    "chunks": Arm(chunks=True),
    "own frame": Arm(own=True),
    "anchored, sink's block": Arm(first=True, layers=SINK),
    "anchored, other blocks": Arm(first=True, layers=OTHERS),
    "anchored, special queries": Arm(first=True, queries="special"),
    "anchored, patch queries": Arm(first=True, queries="patches"),
    "anchored, block 2": Arm(first=True, layers=(2,)),
    "anchored, blocks 0 1 4 5": Arm(first=True, layers=FLAT),
    "starved 32": Arm(starved=32),
    "starved 128": Arm(starved=128),
    "starved 512": Arm(starved=512),
    "copies": Arm(company="copies"),
    "copies, anchored": Arm(company="copies", anchored=True),
    "strangers": Arm(company="strangers"),
    "strangers, anchored": Arm(company="strangers", anchored=True),
}


@dataclass(frozen=True)
class Result:
    """What an arm says of the frames it used.

    extrinsics (S', 3, 4) camera-from-world and depth (S', H, W), float64, any unit; frames: their indices in
    the sequence; pairs: query-key pairs of one head over all global blocks; seconds: of the processor, for
    the forward passes.
    """

    extrinsics: Tensor
    depth: Tensor
    frames: list[int]
    pairs: int
    seconds: float


def run_arm(setup: Setup, arm: Arm, trained: int, added: int = 0, probe: Observer | None = None) -> Result:
    """One arm on the sequence of `setup`, whose own rule is not looked at.

    trained: frames of training. added: frames of company.
    Raises ValueError on an arm that needs depth or cameras which the network does not predict.
    """
    if arm.chunks:
        return _joined(setup, trained)
    frames = list(range(0, len(setup.sequence), arm.keep))
    if arm.middle:
        middle = frames[len(frames) // 2]
        frames = [middle, *(f for f in frames if f != middle)]
    if arm.scale:
        setup = replace(setup, params=replace(setup.params, logit_scale=arm.length_scale(trained)))
    return _once(replace(setup, rule=arm.merging(setup, trained)), arm, trained, frames, added, probe)


def _once(
    setup: Setup, arm: Arm, trained: int, frames: list[int], added: int = 0, probe: Observer | None = None
) -> Result:
    sequence, count = setup.sequence.take(frames), len(frames)
    if arm.company:
        images = torch.cat([sequence.images, _company(setup, arm.company, added)])
        sequence = Sequence(sequence.name, images)  # no truth: only the frames are judged, by the caller
    here = replace(setup, sequence=sequence)
    # of the processor: on a busy machine waiting does not count
    clock = time.process_time if setup.params.device == "cpu" else time.perf_counter
    with arm.intervention(here.layout, trained):
        start = clock()
        prediction = run(here, probe).prediction
        seconds = clock() - start
    if prediction.extrinsics is None or prediction.depth is None:
        raise ValueError("this experiment compares cameras and depth; the network needs both heads")
    order = torch.tensor(np.argsort(frames))
    return Result(
        prediction.extrinsics[0, :count][order].double(),
        prediction.depth[0, :count, ..., 0][order].double(),
        sorted(frames),
        prediction.report.pairs,
        seconds,
    )


def _company(setup: Setup, kind: str, added: int) -> Tensor:
    if kind == "copies":
        return setup.sequence.images[[i % len(setup.sequence) for i in range(added)]]
    walk, room = setup.params.scene.split(":")
    config = setup.model.config
    other = open_scene(f"{walk}:{int(room) + STRANGER}", added, config.image_size, config.patch_size)
    return other.images


def chunk_bounds(frames: int, length: int) -> list[tuple[int, int]]:
    """Half-open ranges of at most `length` > OVERLAP frames that cover all; neighbours share OVERLAP."""
    starts = range(0, max(1, frames - OVERLAP), length - OVERLAP)
    return [(start, min(frames, start + length)) for start in starts]


def _joined(setup: Setup, trained: int) -> Result:
    """Chunks, each moved onto those before by the surfaces of their shared frames (as VGGT-Long does)."""
    plain = replace(setup, rule=None)
    whole: Result | None = None
    for first, end in chunk_bounds(len(setup.sequence), max(2 * OVERLAP, trained)):
        part = _once(plain, Arm(), trained, list(range(first, end)))
        whole = part if whole is None else _append(whole, part, setup.sequence)
    assert whole is not None
    return whole


def _append(whole: Result, part: Result, sequence: Sequence) -> Result:
    shared = [f for f in part.frames if f in whole.frames]
    move = umeyama(_cloud(part, shared, sequence), _cloud(whole, shared, sequence))
    new = slice(len(shared), None)
    moved = move.poses(invert(part.extrinsics[new]).numpy())
    return Result(
        torch.cat([whole.extrinsics, invert(torch.from_numpy(moved))[:, :3]]),
        torch.cat([whole.depth, move.scale * part.depth[new]]),
        whole.frames + part.frames[new],
        whole.pairs + part.pairs,
        whole.seconds + part.seconds,
    )


def _cloud(result: Result, frames: list[int], sequence: Sequence) -> np.ndarray:
    """The same pixels of the frames, as points of the result's world; lenses are the true ones."""
    assert sequence.intrinsics is not None
    rows = [result.frames.index(f) for f in frames]
    lenses = sequence.intrinsics[frames].double()
    points = unproject(result.depth[rows], result.extrinsics[rows], lenses).reshape(-1, 3)
    return points[:: max(1, len(points) // CLOUD)].numpy()
