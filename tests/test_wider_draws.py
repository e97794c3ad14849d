"""What the wider world draws: its textures, things, lamps, cameras and pictures.

First what must hold whatever the constants; beside it tables of named quantities. The tables are regression
guards: networks were trained in this world, and another constant is another world. Who changes it on purpose
finds the new table in what the test says.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from lib.geometry import camera_centres
from lib.scenes import natural, photographic, wider
from lib.scenes.raycasting import Rooms
from lib.scenes.rooms import RoomStyle, _Draws, draw_rooms, room_seed
from lib.scenes.solids import Solids

SEEDS = [room_seed("train", number) for number in range(3)]
BANDS = torch.linspace(0, 1, 5)[1:-1]  # quartiles

TEXTURE = """
.4359 .4375 .4307 .2873 .2875 .2706 .1778 .4305 .6723 .0727
.4534 .4298 .4479 .2915 .2853 .2776 .1730 .4441 .6856 .0738
.4008 .3950 .4011 .2720 .2703 .2625 .1673 .3506 .6156 .0727
"""
COLOURS = """
124 123 127
128 131 132
118 115 128
126 126 127
137 139 134
134 133 138
131 133 133
151 150 155
107 109 113
137 138 135
118 119 120
122 117 120
136 134 136
107 112 104
118 119 118
124 124 122
124 124 128
125 125 127
105 103 118
158 165 164
118 119 119
110 116 120
128 125 125
125 127 122
"""
CURVED = """
-.5326 -.3785 -.1967 1.6152 2.1660 .7192 .9183 .3761 .2555 .1001 .2899 .3089 4.0000
-.4113 -.3279 -.7193 .8825 1.5335 .3688 .9339 .3723 .2060 .1154 .2533 .3019 4.0000
-.1400 -.2647 -.5468 1.6743 1.8761 1.0077 .8973 .3423 .3015 .0760 .3529 .3619 4.0000
"""
THIN = """
.0891 .5110 -.3788 1.7538 2.2715 .3289 .4251 .4186 .0169 .0072 .6197 .1751 .0000
-.3685 -.6655 -.5653 1.4547 1.2532 .2142 .5018 .4025 .0127 .0079 .7272 .2589 .0000
-.6175 .4959 -.4650 1.6896 1.7195 .4332 .3957 .4344 .0201 .0055 .7415 .2134 .0000
"""
BOTTLES = """
-.6890 -.0388 -.0005 1.7647 2.1177 .5842 1.0000 .3333 .0531 .0239 .0445 .0572 4.0000
.4996 .9193 .2428 1.1965 1.0702 .5461 1.0000 .3333 .0591 .0279 .0558 .0609 4.0000
.8213 .3025 -.3609 2.0049 2.0941 .7979 1.0000 .3333 .0444 .0136 .0662 .0715 4.0000
"""
BOXES = """
-1.2985 -.6820 .0602 1.8873 1.6599 .8169 .0991 .0932 .0940 2.8060
.4253 .4769 -.3465 1.1610 1.5199 .6433 .0841 .0794 .0849 3.1227
.0873 .3461 -.5585 1.7637 1.6511 .6733 .1053 .0893 .0923 3.4867
"""
LAMPS = """
-.0179 1.5177 .6960 .9422 1.0000 1.0578 .5353 .1960
-1.5931 -1.3954 .6877 .9915 1.0000 1.0085 .2771 .3087
.3632 .2679 1.3100 .9204 1.0000 1.0796 .4521 .2697
"""
PHOTOGRAPHS = """
.2640 .2373 .1627 .1354 .1246 .0859 .1389 .1282 .0954 .0715 .0692 .0510 .0250 .0114 .0452 .0239 .0172 .0153
.3200 .2531 .1911 .1678 .1374 .0994 .1691 .1389 .1127 .0889 .0753 .0591 .0016 .0001 .0597 .0321 .0111 .0095
.5172 .4374 .3254 .4988 .4184 .2986 .2557 .2290 .1856 .2474 .2218 .1730 .0424 .0413 .0928 .0880 .0296 .0339
"""
DARK = """
.0148 .0145 .0160
.0208 .0258 .0256
.1391 .1453 .1485
"""
HANDS = """
-.3132 -.1327 -.2873 .0467 -.2920 .4957 .0019 .4657 .8850 .0057 .4578 .8890 .9819 .1668 .9805 .1720
.0381 .0628 .0552 -.0916 .4212 -.0401 -.0034 .3773 .9261 .0022 .3714 .9285 .9973 .0688 .9976 .0635
-.3359 .4284 -.3988 -.3809 -.3357 .3750 .0100 -.1636 .9865 -.0037 -.1641 .9864 .9969 -.0758 .9979 -.0639
"""
ALL = """
.2504 .3020 .2706 .0791 .1059 .1074 1.1888 2.0499 .3873 .8981 .8512
.2616 .2663 .3135 .1956 .1653 .1552 1.3022 1.7847 .5120 .6200 1.2971
.4139 .4539 .5164 .1275 .1486 .1954 2.8880 1.3632 .8164 .2035 .8042
"""
PAINTED = """
.3341 .3625 .3679 .1272 .1227 .0693 1.1421 3.0576 .4447 1.0888 .8512
.3478 .3302 .4444 .1545 .1322 .1786 1.7371 2.0745 .6156 .7463 1.2971
.4862 .5204 .6190 .1534 .1454 .2565 3.1362 1.3648 .6880 .1500 .8042
"""


def rows(*columns: Tensor) -> Tensor:
    """One row for each room."""
    return torch.cat([column.double().reshape(len(SEEDS), -1) for column in columns], -1)


def assert_close_to_table(found: Tensor, text: str, atol: float = 4e-4) -> None:
    """`found` is the table in `text`; where not, says the new one."""
    stored = torch.tensor([[float(x) for x in line.split()] for line in text.strip().split("\n")]).double()
    said = "\n".join(" ".join(f"{x:.4f}" for x in line) for line in found.tolist())
    assert found.shape == stored.shape and (found - stored).abs().max() <= atol, f"now\n{said}"


# Textures --------------------------------------------------------------------------------------------------


def test_noise_has_unit_variance_no_mean_and_channels_mostly_alike() -> None:
    noise = natural.power_noise(np.random.default_rng(1))
    np.testing.assert_allclose(noise.mean((0, 1)), 0, atol=1e-12)
    np.testing.assert_allclose(noise.std((0, 1)), 1, rtol=1e-12)
    alike = np.corrcoef(noise.reshape(-1, 3).T)[np.triu_indices(3, 1)]
    assert (alike > 0.85).all() and (alike < 0.97).all(), "common part 1, own part 0.3: about 1 / 1.09"


def test_amplitudes_of_noise_are_those_of_white_noise_over_the_frequency() -> None:
    noise = natural.power_noise(np.random.default_rng(1))[..., 0]
    white = np.random.default_rng(1).normal(size=(4, natural.SIDE, natural.SIDE))
    spectrum = np.fft.fft2(white[0] + 0.3 * white[1])
    frequency = np.hypot(*np.meshgrid(*2 * [np.fft.fftfreq(natural.SIDE)], indexing="ij"))
    share = (
        np.abs(np.fft.fft2(noise))[frequency > 0] * frequency[frequency > 0] / np.abs(spectrum)[frequency > 0]
    )
    np.testing.assert_allclose(share, share.mean(), rtol=1e-6)


def test_leaves_are_ellipses_and_rectangles_within_one_and_a_half_radii() -> None:
    rng = np.random.default_rng(3)
    shares = []
    for _ in range(300):
        at_rows, at_columns, inside = natural._leaf(rng, 20.0)
        assert at_rows.shape == at_columns.shape == inside.shape == (61, 61)
        assert at_rows.min() >= 0 and at_rows.max() < natural.SIDE and at_columns.max() < natural.SIDE
        assert inside[30, 30] and np.array_equal(inside, inside[::-1, ::-1]), "about its middle"
        assert not inside[0].any() and not inside[:, 0].any(), "the window holds all of it"
        shares.append(inside.sum() / 400)
    # an ellipse covers pi s r^2 and a rectangle 4 s r^2, for a slimness s from 0.3 to 1
    assert 0.3 * math.pi - 0.1 < min(shares) and max(shares) < 4.2
    assert np.mean(shares) == pytest.approx(0.65 * (math.pi + 4) / 2, rel=0.06)


def test_a_texture_is_that_of_its_seed() -> None:
    """Of rows and columns a third of it apart: mean and deviation of each channel, quartiles, mean step."""
    leaves = torch.from_numpy(natural.dead_leaves(np.random.default_rng(0)))
    assert leaves.min() == 0 and leaves.max() == 1, "clipped"
    assert_close_to_table(
        torch.stack(
            [
                torch.cat(
                    [
                        part.mean((0, 1)),
                        part.std((0, 1)),
                        part.flatten().quantile(BANDS.double()),
                        part.diff(dim=1).abs().mean()[None],
                    ]
                )
                for part in (leaves, leaves[:85], leaves[:, 170:])
            ]
        ),
        TEXTURE,
    )


@pytest.mark.slow
def test_the_bank_has_two_dozen_textures_and_their_mean_colours() -> None:
    bank = natural.texture_bank()
    assert natural.LEVELS == 9 and len(bank) == 24 * sum(4**k for k in range(9))
    assert_close_to_table(bank[-24:].double(), COLOURS, atol=1.01)


# Things ----------------------------------------------------------------------------------------------------


def of_solids(things: Solids) -> Tensor:
    """Mean and deviation of places, mean upright part of axes, mean radius, half length, number of balls."""
    balls = things.half.isinf()
    half = torch.where(balls, 0.0, things.half)
    return rows(
        things.centre.mean(1),
        things.centre.std(1),
        things.axis[..., 2].mean(1),
        things.axis.abs().mean((1, 2)),
        things.radius.mean(1),
        things.radius.std(1),
        half.mean(1),
        half.std(1),
        balls.sum(1),
    )


def drawn_rooms() -> Rooms:
    draws = _Draws(SEEDS)
    return draw_rooms(draws, RoomStyle())


def test_curved_things_are_those_of_their_seeds() -> None:
    things, looks = wider._curved(_Draws(SEEDS), drawn_rooms().half[:, 0])
    assert looks.shape == (3, 9, 16)
    assert_close_to_table(of_solids(things), CURVED)


def test_thin_things_are_those_of_their_seeds() -> None:
    things, looks = wider._thin(_Draws(SEEDS), drawn_rooms().half[:, 0])
    assert looks.shape == (3, 8, 16)
    assert_close_to_table(of_solids(things), THIN)


def test_clutter_is_that_of_its_seeds() -> None:
    before = drawn_rooms()
    rooms, things, looks = wider._clutter(_Draws(SEEDS), before)
    assert looks.shape == (3, 8, 16) and rooms.half.shape == (3, before.half.shape[1] + 12, 3)
    assert_close_to_table(of_solids(things), BOTTLES)
    small, last = rooms.half[:, -12:], rooms.centre[:, -12:]
    assert_close_to_table(rows(last.mean(1), last.std(1), small.mean(1), rooms.yaw[:, -12:].mean(1)), BOXES)


def test_clutter_stands_on_what_carries_it() -> None:
    """Furniture that was in the way has no height; what would stand on it stands on the floor."""
    before = drawn_rooms()
    half = before.half.clone()
    half[:, 1:] = 0
    bare = Rooms(before.centre, half, before.yaw, before.faces)
    rooms, things, _ = wider._clutter(_Draws(SEEDS), bare)
    floor = -half[:, :1, 2]
    assert torch.allclose(rooms.centre[:, -12:, 2] - rooms.half[:, -12:, 2], floor.expand(-1, 12), atol=1e-6)
    high = torch.where(things.half.isinf(), things.radius, things.half)
    assert torch.allclose(things.centre[..., 2] - high, floor.expand(-1, 8), atol=1e-6)
    assert things.half.isinf().sum(1).tolist() == [4, 4, 4]


def test_skins_and_lamps_are_those_of_their_seeds() -> None:
    skins = wider._skins(_Draws(SEEDS), 200)
    texture, texels, across, down, contrast = skins.unbind(-1)
    assert set(texture.flatten().tolist()) == set(range(24))
    assert 32 <= texels.min() < 33 and 245 < texels.max() <= 256
    assert across.min() >= 0 and 254 < across.max() < 256 and 254 < down.max() < 256
    assert 1 / 8 <= contrast.min() < 0.13 and 1.2 < contrast.max() < 2**0.3
    lamps = wider._lamp(_Draws(SEEDS), drawn_rooms().half[:, 0])
    assert_close_to_table(lamps, LAMPS)


def test_light_by_hand() -> None:
    """A lamp 2.5 m above a point, seen from straight above: half of 1.5 arrives, all of it shines back."""
    lamp = torch.tensor([[0.0, 0.0, 2.5, 1.1, 1.0, 0.9, 0.4, 0.2]])
    up, point, colour = torch.tensor([[0.0, 0.0, 1.0]]), torch.zeros(1, 3), torch.tensor([[0.2, 0.3, 0.4]])
    tint = torch.tensor([[1.1, 1.0, 0.9]])
    lit = wider._light(lamp, point, up, up, colour)
    torch.testing.assert_close(lit, tint * (colour * (0.4 + 0.6 * 1.6 * 0.75) + 0.2 * 0.75))
    away = wider._light(lamp, point, -up, up, colour)
    torch.testing.assert_close(away, tint * colour * 0.4)
    side = torch.tensor([[math.sin(0.4), 0.0, math.cos(0.4)]])
    seen = wider._light(lamp, point, up, side, colour)
    shine = math.cos(0.2) ** 40
    torch.testing.assert_close(seen, tint * (colour * (0.4 + 0.6 * 1.6 * 0.75) + 0.2 * 0.75 * shine))


# The camera ------------------------------------------------------------------------------------------------


def test_blur_keeps_the_light_and_leaves_a_plain_picture() -> None:
    plain = torch.full((2, 1, 3, 6, 6), 0.3)
    share = torch.tensor([0.0, 0.1]).reshape(2, 1, 1, 1, 1)
    assert torch.allclose(photographic._blur(plain, share), plain)
    dot = torch.zeros(2, 1, 3, 7, 7)
    dot[..., 3, 3] = 1.0
    seen = photographic._blur(dot, share)
    assert torch.equal(seen[0], dot[0]) and torch.allclose(seen[1].sum((-1, -2)), torch.ones(1, 3))
    kernel = torch.tensor([0.1, 0.8, 0.1])
    assert torch.allclose(seen[1, 0, 0, 2:5, 2:5], kernel[:, None] * kernel)


def test_blur_keeps_the_light_of_the_corners_too() -> None:
    """What would leave the picture stays in its last row and column."""
    corner = torch.zeros(1, 1, 3, 5, 6)
    corner[..., 0, 0] = corner[..., -1, -1] = 1.0
    seen = photographic._blur(corner, torch.tensor(0.1))[0, 0, 0]
    kernel = torch.tensor([0.9, 0.1])
    assert torch.allclose(seen[:2, :2], kernel[:, None] * kernel)
    assert torch.allclose(seen[-2:, -2:].flip(0, 1), kernel[:, None] * kernel)
    assert seen.sum().item() == pytest.approx(2)


def test_vignetting_is_nothing_in_the_middle_and_all_of_it_in_the_corners() -> None:
    shade = photographic._vignette(torch.zeros(1, 1, 3, 5, 7), torch.tensor(0.4))
    assert shade.shape == (5, 7) and shade[2, 3] == 1
    assert torch.allclose(shade[[0, 0, -1, -1], [0, -1, 0, -1]], torch.tensor(0.6))
    assert torch.allclose(shade[2, 0], torch.tensor(0.8)) and torch.allclose(shade[0, 3], torch.tensor(0.8))


def wedge() -> Tensor:
    """Three rooms, two frames: a wedge from dark to light with a bright bar, the second frame darker."""
    ramp = torch.linspace(0.05, 0.6, 24)
    image = ramp[:, None] * torch.tensor([1.0, 0.8, 0.6])[:, None, None] + torch.zeros(3, 24, 24)
    image[..., 10:12] += 0.3
    return torch.stack([image, 0.4 * image]).expand(3, -1, -1, -1, -1).contiguous()


class Ends(_Draws):
    """Draws that all lie at one end of their range, with the least number where a number is drawn."""

    def __init__(self, share: float) -> None:
        self.share = share

    def between(self, low: float, high: float, *shape: int) -> Tensor:
        return torch.full((1, *shape), low + (high - low) * self.share)

    def uniform(self, *shape: int) -> Tensor:
        return torch.zeros(1, *shape)


def test_photographs_at_the_ends_of_all_ranges_by_hand() -> None:
    """No blur, shade or noise, the least correction and balance; and the most of everything."""
    plain = torch.full((1, 2, 3, 9, 9), 0.2)
    least = photographic.photograph(Ends(0.0), plain)
    torch.testing.assert_close(least, plain * (0.42 / 0.2) ** 0.2 * 2**-0.6 * (0.85 - 0.03))
    steps = torch.linspace(-1, 1, 9)
    shaded = 0.2 * (1 - 0.25 * (steps[:, None].square() + steps.square()))
    exposed = shaded * (0.42 / shaded.mean()) ** 0.9 * 2**0.6 * (1.15 + 0.03)
    # the least number drawn is taken as one in a million: 4.75 standard deviations down
    noise = -4.7534 * (0.015**2 + 0.03**2 * exposed).sqrt()
    most = photographic.photograph(Ends(1.0), plain)
    torch.testing.assert_close(most, (exposed + noise).expand_as(plain), atol=1e-4, rtol=0)


class Most(Ends):
    """Draws at one end of their range, with the greatest number where a number is drawn."""

    def uniform(self, *shape: int) -> Tensor:
        return torch.full((1, *shape), 1 - 2.0**-24)


@pytest.mark.parametrize(("draws", "sign"), [(Ends, -1), (Most, 1)])
def test_noise_is_added_to_what_the_sensor_holds(draws: type[Ends], sign: int) -> None:
    """A white wall beside a dark one is taken as white before noise of 4.75 deviations, either way."""
    image = torch.full((1, 1, 3, 9, 19), 0.02)
    image[..., 10:] = 1.0
    taken = photographic.photograph(draws(1.0), image)
    noise = 4.7534 * math.sqrt(0.015**2 + 0.03**2)
    assert taken[0, 0, 1, 4, 14].item() == pytest.approx(min(1, 1 + sign * noise), abs=1e-4)
    dark = taken[0, 0, 1, 4, 5].item()
    shade = torch.linspace(-1, 1, 9)[:, None].square() + torch.linspace(-1, 1, 19).square()
    columns = image[0, 0, 0, 0].clone()
    columns[9:11] = torch.tensor([0.02 + 0.15 * 0.98, 1 - 0.15 * 0.98])  # blurred
    light = (columns * (1 - 0.25 * shade)).mean()
    exposed = 0.02 * (1 - 0.25 * shade[4, 5]) * (0.42 / light) ** 0.9 * 2**0.6 * 1.18
    expected = exposed + sign * 4.7534 * (0.015**2 + 0.03**2 * exposed).sqrt()
    assert dark == pytest.approx(max(0, expected.item()), abs=1e-4)


def test_photographs_are_those_of_their_seeds() -> None:
    """Mean and deviation of each channel of both frames; light beside the bar; corners; noise."""
    taken = photographic.photograph(_Draws(SEEDS), wedge())
    beside = taken[..., 9].mean((2, 3)) - taken[..., 7].mean((2, 3))
    corner = taken[..., :4, :4].mean((2, 3, 4))
    noise = taken[:, :, 0, :, 14:].diff(dim=-1).std((2, 3))
    means, deviations = taken.mean((3, 4)), taken.std((3, 4))
    assert_close_to_table(rows(means, deviations, beside, corner, noise), PHOTOGRAPHS)


def test_a_black_picture_is_not_exposed_without_end() -> None:
    """The light is taken as 0.02 at least: brightness is lifted by (0.42 / 0.02)^0.9 at most."""
    dark = torch.full((3, 1, 3, 16, 16), 0.01)
    taken = photographic.photograph(_Draws(SEEDS), dark)
    assert_close_to_table(rows(taken.mean((3, 4))), DARK)


def test_shaking_hands_are_those_of_their_seeds() -> None:
    """Where the camera is and looks at two times, and what is to its right."""
    still = torch.eye(3, 4).double().expand(3, 2, -1, -1)
    held = photographic.shake(_Draws(SEEDS), still, torch.tensor([[0.0, 7.0]]).expand(3, -1))
    assert_close_to_table(rows(100 * camera_centres(held), held[..., 2, :3], held[..., 0, :2]), HANDS)


# Pictures --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ingredients", "table"),
    [
        (("curved", "thin", "clutter", "light", "views"), PAINTED),
        pytest.param(tuple(wider.INGREDIENTS), ALL, marks=pytest.mark.slow),
    ],
)
def test_pictures_of_the_world_are_those_of_their_seeds(ingredients: tuple[str, ...], table: str) -> None:
    """Mean and deviation of each channel, mean and deviation of depth, focal length."""
    times = torch.tensor([[0.0, 30.0]]).double().expand(3, -1)
    walk = wider.render_wider_walks(SEEDS, times, 24, 24, ingredients)
    images, depth = walk.images, walk.depth
    focal = walk.intrinsics[:, 0, 0, 0]
    found = rows(
        images.mean((1, 3, 4)), images.std((1, 3, 4)), depth.mean((2, 3)), depth.std((2, 3)), focal / 24
    )
    assert_close_to_table(found, table, atol=2e-3)
