"""Track head: parity with the small reference model, names and shapes of VGGT-1B, and its pieces alone."""

import csv
from dataclasses import replace

import pytest
import torch
from parity import assert_close_golden
from safetensors.torch import load_file
from small_models import golden_vggt, golden_vggt_config, tiny_vggt

from lib.vggt import tracks
from lib.vggt.config import TrackHeadConfig, VGGTConfig
from lib.vggt.track_transformer import TrackAttention, TrackCrossAttention, UpdateTransformer
from lib.vggt.tracks import TrackHead

TINY = TrackHeadConfig(
    features=8,
    out_channels=(8, 8, 8, 8),
    layers=(0, 1, 2, 2),
    corr_levels=2,
    corr_radius=1,
    hidden=16,
    blocks=1,
)


@pytest.fixture(scope="module")
def stored(golden, golden_config):
    return load_file(golden / golden_config["small_vggt"]["io_file"])


@pytest.fixture(scope="module")
def small(golden, golden_config):
    """The track head of the small reference model, with its sizes and weights."""
    sizes = golden_config["small_vggt"]
    config = golden_vggt_config(sizes).track_head
    head = TrackHead(2 * sizes["width"], sizes["patch_size"], 1 + sizes["registers"], config)
    weights = load_file(golden / sizes["weights_file"])
    prefix = "track_head."
    head.load_state_dict({k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)})
    return head.eval()


@pytest.fixture(scope="module")
def inputs(stored, golden_config):
    sizes = golden_config["small_vggt"]
    features = {layer: stored[f"out.aggregated{layer}"] for layer in range(sizes["depth"])}
    return features, (sizes["image_height"], sizes["image_width"]), stored["in.query_points"][None]


def test_its_maps_have_its_sizes_and_no_positions_added():
    made = TINY.extractor
    assert (made.output_channels, made.pos_embed) == (None, False)
    for name in ("features", "out_channels", "layers", "down_ratio"):
        assert getattr(made, name) == getattr(TINY, name)


@torch.no_grad()
def test_parity(small, inputs, stored, golden_config):
    tolerances = golden_config["tolerances"]["small_vggt_io"]

    def check(name, value):
        assert_close_golden(name, value, stored[name], tolerances, file="small_vggt_io")

    features, size, query = inputs
    check("out.track_features", small.feature_extractor.extract(features, size))
    result = small(features, size, query)
    assert len(result.points) == small.config.iterations
    for iteration, points in enumerate(result.points):
        check(f"out.track_iter{iteration}", points)
    check("out.vis", result.visibility)
    check("out.conf", result.confidence)


@pytest.mark.slow
@torch.no_grad()
def test_parity_through_the_whole_model(golden, golden_config, stored):
    tolerances = golden_config["tolerances"]["small_vggt_io"]
    iterations = golden_config["small_vggt"]["track_iterations"]
    model = golden_vggt(golden, golden_config)
    result = model(stored["in.images"], stored["in.query_points"], heads=["tracks"])
    assert result.depth is None and len(result.tracks_list) == iterations
    values = {f"out.track_iter{iterations - 1}": result.tracks}
    values |= {"out.vis": result.visibility, "out.conf": result.track_conf}
    for name, value in values.items():
        assert_close_golden(name, value, stored[name], tolerances, file="small_vggt_io (from images)")


@torch.no_grad()
@pytest.mark.usefixtures("unchecked")
def test_model_tracks_only_when_asked():
    model = tiny_vggt(track_head=TINY)
    images = torch.rand(2, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    assert model(images).tracks is None
    assert model(images, torch.tensor([[3.0, 4.0]])).tracks.shape == (1, 2, 1, 2)
    with pytest.raises(ValueError, match="query_points must be"):
        model(images, torch.zeros(3))


@torch.no_grad()
@pytest.mark.usefixtures("unchecked")
def test_a_model_in_half_precision_tracks():
    images = torch.rand(2, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    query = torch.tensor([[3.0, 4.0], [17.0, 9.0]])
    model = tiny_vggt(track_head=TINY).requires_grad_(False)
    wide, half = model(images, query), model.to(torch.bfloat16)(images, query)
    moved = [one.tracks_list[0] - query for one in (wide, half)]
    assert half.tracks.dtype == torch.float32 and half.visibility.dtype == torch.bfloat16
    assert (moved[1] - moved[0]).norm() < 0.05 * moved[0].norm()


@torch.no_grad()
def test_first_iteration_is_close_to_rounding(small, inputs, stored):
    # Before the chaotic sines see a displacement the only differences are rounding ones.
    features, size, query = inputs
    (points,) = small(features, size, query, iterations=1).points
    torch.testing.assert_close(points, stored["out.track_iter0"], atol=5e-5, rtol=0)


@torch.no_grad()
def test_frame_chunks_do_not_matter(small, inputs):
    features, size, query = inputs
    whole = small(features, size, query, iterations=1, frames_chunk=None)
    parts = small(features, size, query, iterations=1, frames_chunk=2)
    torch.testing.assert_close(whole.points[0], parts.points[0], atol=5e-5, rtol=0)
    torch.testing.assert_close(whole.visibility, parts.visibility, atol=5e-5, rtol=0)


@torch.no_grad()
def test_batches_are_independent(small, inputs):
    features, size, query = inputs
    both = small(
        {k: torch.cat((v, v.flip(1))) for k, v in features.items()}, size, query.repeat(2, 1, 1), iterations=1
    )
    other = small({k: v.flip(1) for k, v in features.items()}, size, query, iterations=1)
    torch.testing.assert_close(both.points[0][1:], other.points[0], atol=5e-5, rtol=0)


def test_names_and_shapes_of_vggt_1b(golden):
    config = VGGTConfig.vggt_1b()
    with torch.device("meta"):
        head = TrackHead(2 * config.width, config.patch_size, config.special_tokens, config.track_head)
    ours = {
        f"track_head.{name}": "x".join(map(str, value.shape)) for name, value in head.state_dict().items()
    }
    with (golden / "vggt1b_state_dict.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["name"].startswith("track_head.")]
    assert ours == {row["name"]: row["shape"] for row in rows}


def test_sample_reads_pixels_and_edges():
    ramp = torch.arange(12.0).reshape(1, 1, 3, 4)
    places = torch.tensor([[[[0.0, 0.0], [3.0, 2.0], [1.5, 1.0], [9.0, 0.0]]]])
    assert tracks.sample(ramp, places)[0, 0, 0].tolist() == pytest.approx([0, 11, 5.5, 3], abs=1e-5)
    assert tracks.sample(ramp, places, "zeros")[0, 0, 0, 3] == 0


def test_position_embedding_equals_the_sampled_table():
    size, channels = (5, 7), 12
    ys, xs = torch.meshgrid(torch.arange(5.0), torch.arange(7.0), indexing="ij")
    omega = 10000.0 ** (-torch.arange(3.0) / 3)
    halves = [
        torch.cat(((axis[..., None] * omega).sin(), (axis[..., None] * omega).cos()), -1) for axis in (xs, ys)
    ]
    table = torch.cat(halves, -1).permute(2, 0, 1)[None]
    points = torch.tensor([[0.0, 0.0], [2.25, 3.75], [6.0, 4.0], [8.0, -1.0], [1.0, 5.5]])
    expected = tracks.sample(table, points[None, None])[0, :, 0].T
    torch.testing.assert_close(tracks.position_embedding(points, size, channels), expected, atol=2e-6, rtol=0)


def test_correlation_equals_sampled_correlation_map():
    torch.manual_seed(0)
    tracker = tracks.Tracker(TINY)
    pyramid = tracker._pyramid(torch.randn(3, 8, 6, 7))
    feature, points = torch.randn(3, 5, 8), torch.rand(3, 5, 2) * 6
    side = torch.arange(-1.0, 2.0)
    expected = []
    for level, maps in enumerate(pyramid):
        volume = torch.einsum("fnc,fchw->fnhw", feature, maps) / 8**0.5
        centres = points / 2**level
        # taps in "ij" order: the first tap axis moves x
        taps = torch.stack([torch.stack((dx, dy)) for dx in side for dy in side])
        where = centres[:, :, None, None] + taps  # (F, N, 1, taps, 2)
        values = tracks.sample(volume.flatten(0, 1)[:, None], where.flatten(0, 1), "zeros")
        expected.append(values.reshape(3, 5, 9))
    for chunk in (2, None):
        ours = tracker._correlate(pyramid, feature, points, chunk)
        torch.testing.assert_close(ours, torch.cat(expected, -1), atol=1e-5, rtol=0)


@pytest.mark.usefixtures("unchecked")
def test_errors_say_what_to_do():
    torch.manual_seed(0)
    head = TrackHead(16, 4, 5, TINY)
    features = {layer: torch.randn(1, 2, 5 + 6, 16) for layer in range(4)}
    for shape in ((4,), (2, 4, 2), (1, 4, 3), (1, 0, 2)):
        with pytest.raises(ValueError, match=r"query_points must be \(N, 2\) or \(1, N, 2\)"):
            head(features, (8, 12), torch.zeros(shape))
    with pytest.raises(ValueError, match="NaN or infinite"):
        head(features, (8, 12), torch.full((1, 2), torch.nan))
    deep = TrackHead(16, 4, 5, TrackHeadConfig(**{**TINY.__dict__, "corr_levels": 4}))
    with pytest.raises(ValueError, match="4 pyramid levels need feature maps of at least 8 pixels"):
        deep(features, (8, 12), torch.zeros(1, 1, 2))
    with pytest.raises(ValueError, match="multiple of 4, got 6"):
        tracks.Tracker(TrackHeadConfig(features=6))


def test_the_tracks_of_a_prediction_are_those_of_the_last_iteration():
    model = tiny_vggt(track_head=TINY).requires_grad_(False)
    points = torch.tensor([[4.0, 5.0], [9.0, 3.0]])
    found = model(torch.rand(2, 3, 16, 24), query_points=points, heads=("tracks",))
    assert len(found.tracks_list) > 1 and not torch.equal(found.tracks_list[-1], found.tracks_list[-2])
    assert torch.equal(found.tracks, found.tracks_list[-1])


# By hand ---------------------------------------------------------------------------------------------------


def varied(module):
    """The module with gains and biases that are far from one and zero."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in module.parameters():
            value += 0.3 * torch.randn(value.shape, generator=generator)
    return module.eval()


def attended(module, x, context):
    """Multi-head attention of x to the context, head by head."""
    weights, biases = module.in_proj_weight.chunk(3), module.in_proj_bias.chunk(3)
    rows = [y @ w.T + b for y, w, b in zip((x, context, context), weights, biases, strict=True)]
    heads = zip(*(part.chunk(module.num_heads, -1) for part in rows), strict=True)
    seen = [(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1) @ v for q, k, v in heads]
    return module.out_proj(torch.cat(seen, -1))


@torch.no_grad()
def test_attention_of_the_tracker_adds_to_its_normalised_input():
    torch.manual_seed(0)
    own, cross = varied(TrackAttention(8, 2)), varied(TrackCrossAttention(8, 2))
    x, others = torch.randn(3, 5, 8), torch.randn(3, 4, 8)
    start = own.norm1(x)
    once = start + attended(own.attn, start, start)
    torch.testing.assert_close(own(x), once + own.mlp(own.norm2(once)))
    start = cross.norm1(x)
    once = start + attended(cross.cross_attn, start, cross.norm_context(others))
    torch.testing.assert_close(cross(x, others), once + cross.mlp(cross.norm2(once)))


@torch.no_grad()
def test_updates_alternate_between_the_frames_of_a_track_and_the_tracks_of_a_frame():
    """Among tracks only virtual ones see all points, and points see only virtual ones."""
    torch.manual_seed(0)
    former = varied(UpdateTransformer(6, 5, replace(TINY, hidden=8, heads=2, blocks=2, virtual_tracks=3)))
    x = torch.randn(2, 4, 3, 6)  # two scenes, four points, three frames
    start = former.input_transform(former.input_norm(x))
    state = torch.cat((start, former.virual_tracks.repeat(2, 1, 3, 1)), 1)
    for block in range(2):
        for scene in range(2):
            for track in range(7):
                state[scene, track] = former.time_blocks[block](state[scene, track][None])[0]
            for frame in range(3):
                points, virtual = state[scene, :4, frame][None], state[scene, 4:, frame][None]
                virtual = former.space_virtual2point_blocks[block](virtual, points)
                virtual = former.space_virtual_blocks[block](virtual)
                points = former.space_point2virtual_blocks[block](points, virtual)
                state[scene, :, frame] = torch.cat((points, virtual), 1)[0]
    expected = former.flow_head(former.output_norm(state[:, :4] + start))
    torch.testing.assert_close(former(x), expected, atol=1e-5, rtol=1e-4)


def test_sines_of_a_displacement_by_hand():
    """Speeds 1000/6 times 0, 2 and 4; sine and cosine in turn, x before y; in the precision of the input."""
    x, y = 0.003, -0.002
    found = tracks.displacement_embedding(torch.tensor([[x, y]], dtype=torch.float64), 6)
    angles = torch.tensor(
        [[a * speed * 1000 / 6 for speed in (0, 2, 4)] for a in (x, y)], dtype=torch.float64
    )
    expected = [f(angle) for angle in angles.flatten() for f in (torch.sin, torch.cos)]
    torch.testing.assert_close(found[0], torch.stack(expected), atol=1e-14, rtol=0)


def test_far_positions_are_embedded_exactly():
    """Between pixels 5000 and 5001, three quarters of the way; single precision would not do."""
    found = tracks.position_embedding(torch.tensor([[5000.75, 1.0]]), (3, 6001), 12)[0]
    omega = 10000.0 ** (-torch.arange(3).double() / 3)
    low, high = (torch.cat(((place * omega).sin(), (place * omega).cos())) for place in (5000, 5001))
    expected = torch.cat((0.25 * low + 0.75 * high, torch.cat((omega.sin(), omega.cos()))))
    torch.testing.assert_close(found, expected.float(), atol=2e-7, rtol=0)


@pytest.mark.parametrize("turned", [False, True])
def test_maps_of_one_and_two_pixels_can_be_sampled(turned):
    maps, places = torch.tensor([[[[1.0, 3.0]]]]), torch.tensor([[[[0.0, 0.0], [0.5, 0.0], [1.0, 0.0]]]])
    if turned:
        maps, places = maps.transpose(-1, -2), places.flip(-1)
    torch.testing.assert_close(tracks.sample(maps, places)[0, 0, 0], torch.tensor([1.0, 2.0, 3.0]))


def test_each_level_of_the_pyramid_halves_the_one_before():
    maps = torch.randn(2, 8, 4, 6, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    first, second, third = tracks.Tracker(replace(TINY, corr_levels=3))._pyramid(maps)  # four pixels suffice
    assert torch.equal(first, maps) and third.shape == (2, 8, 1, 1)
    torch.testing.assert_close(second, maps.reshape(2, 8, 2, 2, 3, 2).mean((3, 5)))
    torch.testing.assert_close(third[..., 0, 0], second[..., :2].mean((2, 3)))


@torch.no_grad()
def test_two_iterations_of_the_tracker_by_hand():
    torch.manual_seed(0)
    tracker = varied(tracks.Tracker(replace(TINY, heads=2, virtual_tracks=3, max_scale=5, stride=4)))
    maps, query = torch.randn(2, 3, 8, 6, 7), torch.rand(2, 4, 2) * 20
    found = tracker(maps, query, 2, 2)
    assert len(found.points) == 2
    for scene in range(2):
        normed = tracker.fmap_norm(maps[scene].movedim(1, -1)).movedim(-1, 1)
        start = query[scene] / 4  # in pixels of the maps
        feature = tracks.sample(normed[:1], start[None, None])[0, :, 0].T.repeat(3, 1, 1)  # of frame 0
        points, pyramid = start.repeat(3, 1, 1), tracker._pyramid(normed)
        where = tracks.position_embedding(start, (6, 7), 28) + tracker.query_ref_token[0, [0, 1, 1]][:, None]
        for points_of_all in found.points:
            near = tracker.corr_mlp(tracker._correlate(pyramid, feature, points, None))
            moved = points - start
            sines = tracks.displacement_embedding(moved, 4)
            tokens = torch.cat((sines, moved / 5, moved / 5, near, feature), -1) + where
            update = tracker.updateformer(tokens.transpose(0, 1)[None])[0].transpose(0, 1)
            change = torch.nn.functional.layer_norm(update[..., 2:], (8,))  # over all channels together
            change = change * tracker.ffeat_norm.weight + tracker.ffeat_norm.bias
            feature = feature + torch.nn.functional.gelu(tracker.ffeat_updater[0](change))
            points = torch.cat((start[None], points[1:] + update[1:, :, :2]))  # frame 0 stays
            torch.testing.assert_close(points_of_all[scene], 4 * points, atol=2e-3, rtol=1e-4)
        for name, layer in (("visibility", tracker.vis_predictor), ("confidence", tracker.conf_predictor)):
            logit = feature @ layer[0].weight[0] + layer[0].bias
            torch.testing.assert_close(getattr(found, name)[scene], logit.sigmoid(), atol=1e-2, rtol=0)


@torch.no_grad()
def test_iterations_are_those_asked_for_or_the_heads_own():
    torch.manual_seed(0)
    head = TrackHead(16, 4, 5, replace(TINY, iterations=3))
    features = {layer: torch.randn(1, 2, 5 + 6, 16) for layer in range(3)}
    for asked, done in ((None, 3), (1, 1)):
        assert len(head(features, (8, 12), torch.ones(1, 2), iterations=asked).points) == done
    assert head.feature_extractor.norm.eps == 1e-5


@torch.no_grad()
def test_tracks_need_both_points_and_a_place_among_the_heads():
    model, points = tiny_vggt(track_head=TINY), torch.tensor([[4.0, 5.0]])
    images = torch.rand(2, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    assert model(images, points, heads=("camera",)).tracks is None
    with pytest.raises(ValueError, match="heads asks for 'tracks': pass query_points"):
        model(images, heads=("tracks",))


@torch.no_grad()
def test_frames_go_to_the_track_head_in_the_chunks_that_were_asked_for():
    model, seen = tiny_vggt(track_head=TINY), []
    model.track_head.register_forward_pre_hook(
        lambda head, args, options: seen.append(options["frames_chunk"]), with_kwargs=True
    )
    model(torch.rand(2, 3, 16, 24), torch.tensor([[4.0, 5.0]]), heads=("tracks",), frames_chunk=1)
    assert seen == [1]
