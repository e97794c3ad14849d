"""Measures, Krylov basis and the bracket against dense SVD and prescribed spectra."""

import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from book.study.spectra.heads import FAMILIES, make_head
from lib.spectra import (
    AttentionOperator,
    Budget,
    DenseOperator,
    KrylovBasis,
    Measures,
    basis_bytes,
    bracket,
    bracketed_scalars,
    dense_measures,
    exact_scalars,
    frame_pooled,
    largest_singular_value,
    rademacher,
    spectrum_bracket,
)
from lib.spectra.bracket import _entropy_of_sums
from lib.spectra.krylov import orthonormalise


def prescribed(values: torch.Tensor, rows: int, seed: int) -> DenseOperator:
    """A (rows, n) matrix with exactly these singular values."""
    rng = torch.Generator().manual_seed(seed)
    u = torch.linalg.qr(torch.randn(rows, len(values), dtype=torch.float64, generator=rng))[0]
    v = torch.linalg.qr(torch.randn(len(values), len(values), dtype=torch.float64, generator=rng))[0]
    return DenseOperator((u * values.double()) @ v.T)


SPECTRA = {
    "flat": torch.ones(600),
    "power": torch.arange(1, 601).double() ** -0.7,
    "exponential": torch.exp(-torch.arange(600).double() / 8),
    "spike and tail": torch.cat([torch.tensor([1.0]), 0.01 + 0.02 * torch.rand(599)]),
    "low rank": torch.cat([torch.linspace(1, 0.3, 12), torch.zeros(588)]),
}


def head_operator(kind, tokens, seed):
    head = make_head(kind, tokens, seed)
    return AttentionOperator(head.query, head.key, head.scale)


def test_measures_of_known_spectra():
    flat = Measures.of(torch.full((500,), 0.2))
    assert (flat.entropy, flat.effective_rank) == (pytest.approx(math.log(500)), pytest.approx(500))
    assert (flat.normalised_entropy, flat.stable_rank) == (pytest.approx(1), pytest.approx(500))
    two = Measures.of(torch.tensor([3.0, 1.0, 0.0]))
    assert two.entropy == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    assert two.stable_rank == pytest.approx(10 / 9)
    assert two.participation == pytest.approx(1.6)
    assert two.normalised_entropy == pytest.approx(two.entropy / math.log(3))
    assert Measures.of(torch.tensor([2.0])).normalised_entropy == 0.0
    assert Measures.of(torch.ones(2)).normalised_entropy == pytest.approx(1)
    assert Measures.of(torch.ones(2), size=4).normalised_entropy == pytest.approx(0.5)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(1e-6, 1e3), min_size=2, max_size=40), st.floats(1e-3, 1e3))
def test_measures_ignore_scale_and_keep_their_order(values, factor):
    a, b = Measures.of(torch.tensor(values)), Measures.of(torch.tensor(values) * factor)
    assert a.entropy == pytest.approx(b.entropy, abs=1e-4)
    assert 1 - 1e-9 <= a.stable_rank <= a.participation * (1 + 1e-9)  # σ₁ Σσ ≥ Σσ²
    assert a.participation <= a.effective_rank * (1 + 1e-9) <= len(values) * (1 + 1e-6)


@pytest.mark.parametrize("bad", [[], [0.0, 0.0], [1.0, -1.0], [float("nan")]])
def test_measures_refuse(bad):
    with pytest.raises(ValueError, match="singular values"):
        Measures.of(torch.tensor(bad))


def test_near_uniform_head_shows_why_entropy_is_not_enough():
    """Stable rank 1.1, almost uniform rows, and H inside the range that the paper prints (0.72 to 0.87)."""
    exact = dense_measures(head_operator("diffuse", 512, 0).dense())
    assert exact.stable_rank < 1.2
    assert 0.72 < exact.normalised_entropy < 0.87


def loss_of_orthogonality(**rounds: int) -> float:
    values = 10.0 ** -torch.linspace(
        0, 60, 400, dtype=torch.float64
    )  # decays through the floor in three blocks
    rng = torch.Generator().manual_seed(0)
    rotation = torch.linalg.qr(torch.randn(400, 400, dtype=torch.float64, generator=rng))[0]
    op = DenseOperator(((rotation * values) @ rotation.T).float())
    basis = KrylovBasis(op, rademacher(400, 32, seed=1), **rounds)
    basis.extend(10)
    return float((basis.v.T @ basis.v - torch.eye(320)).abs().max())


def test_three_rounds_stay_orthogonal_where_two_do_not():
    assert loss_of_orthogonality() < 1e-5
    assert loss_of_orthogonality(rounds=2) > 1e-2


@pytest.mark.parametrize(("length", "rounds"), [(0.8, 3), (0.5, 2)])
def test_a_third_round_follows_only_where_the_second_took_something(length, rounds):
    """A basis vector of this length takes the same share of a column in every round."""
    axis = torch.eye(4)[:, :1]
    _, r = orthonormalise(axis, length * axis)
    assert abs(r.item()) == pytest.approx((1 - length**2) ** rounds)


def test_a_start_block_of_other_columns_is_refused():
    with pytest.raises(ValueError, match=r"start block \(3, 2\) must be \(4, b\)"):
        KrylovBasis(DenseOperator(torch.eye(4)), torch.ones(3, 2))


def test_signs_are_as_often_up_as_down_and_those_of_their_seed():
    signs = rademacher(200, 50, 3)
    assert signs.dtype == torch.float32 and signs.unique().tolist() == [-1, 1]
    assert abs(float(signs.mean())) < 0.05
    assert torch.equal(signs, rademacher(200, 50, 3)) and not torch.equal(signs, rademacher(200, 50, 4))
    double = rademacher(200, 50, 3, DenseOperator(torch.eye(2).double()))
    assert double.dtype == torch.float64 and torch.equal(double, signs.double())


def test_basis_spans_the_krylov_space_and_counts_its_passes():
    op = prescribed(SPECTRA["power"], 700, seed=2)
    basis = KrylovBasis(op, rademacher(600, 16, 0, like=op))
    basis.extend(4)
    basis.extend(4)
    assert (basis.steps, op.passes) == (4, 7)
    assert torch.allclose(basis.av, op.matrix @ basis.v, atol=1e-12)
    inside = op.matrix.T @ (op.matrix @ basis.v[:, :16])  # AᵀA of the first block lies in the first two
    two = basis.v[:, :32]
    assert float((inside - two @ (two.T @ inside)).norm() / inside.norm()) < 1e-10
    r = basis.look_ahead()
    beyond = op.matrix.T @ basis.av[:, -16:]
    beyond = beyond - basis.v @ (basis.v.T @ beyond)
    assert torch.allclose(torch.linalg.svdvals(r), torch.linalg.svdvals(beyond), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", list(SPECTRA))
def test_largest_singular_value(name):
    op = prescribed(SPECTRA[name], 650, seed=4)
    largest, error = largest_singular_value(op, seed=0)
    truth = float(SPECTRA[name].max())
    assert largest <= truth * (1 + 1e-9)
    assert truth <= largest * (1 + error) + 1e-9
    assert largest == pytest.approx(truth, rel=1e-4)


def test_the_bound_of_the_largest_by_hand():
    """One step from v = (1, 1) / √2 with A = diag(2, 1): θ² = 5/2, AᵀA v - θ² v = (3, -3) / 2√2."""
    op = DenseOperator(torch.diag(torch.tensor([2.0, 1.0], dtype=torch.float64)))
    assert largest_singular_value(op, 0, max_steps=1) == pytest.approx((math.sqrt(2.5), 0.3))


def test_the_largest_is_sought_in_thirty_steps_of_64_columns_or_an_eighth_of_all(monkeypatch):
    asked = []

    def signs(rows, columns, seed, like):
        asked.append(columns)
        return rademacher(rows, columns, seed, like)

    monkeypatch.setattr("lib.spectra.krylov.rademacher", signs)
    for size in (80, 600):
        largest_singular_value(DenseOperator(torch.eye(size)), 0)
    assert asked == [10, 64]
    op = prescribed(torch.linspace(1, 0.9, 40), 45, seed=5)
    largest_singular_value(op, 0, block=1, tolerance=0.0)
    assert op.passes == 2 * 30
    slow = DenseOperator(torch.diag(torch.linspace(1, 0.7, 64, dtype=torch.float64)))
    assert 2.5e-4 < largest_singular_value(slow, 0, block=2)[1] <= 5e-4, "half of the tolerance"


def test_two_steps_are_enough_and_one_is_not():
    op = prescribed(SPECTRA["power"], 650, seed=4)
    got = spectrum_bracket(op, seed=0, budget=Budget(block=16), steps=2, dense_below=0)
    assert got.lower <= Measures.of(SPECTRA["power"]).entropy <= got.upper
    with pytest.raises(ValueError, match=r"steps = 1 must lie in \[2, "):
        spectrum_bracket(op, seed=0, steps=1, dense_below=0)


def test_the_bound_of_the_largest_knows_no_unit_and_the_whole_space_is_used():
    op = prescribed(torch.linspace(1, 0.9, 24), 30, seed=5)
    scaled = DenseOperator(1e3 * op.matrix)
    few = {"seed": 0, "block": 2, "tolerance": 0.0}
    loose = [largest_singular_value(one, max_steps=3, **few) for one in (op, scaled)]
    assert loose[1][1] == pytest.approx(loose[0][1], rel=1e-9) and loose[0][1] > 1e-3
    largest, error = largest_singular_value(op, max_steps=99, **few)  # 12 steps of 2 are all 24 directions
    assert largest == pytest.approx(1.0, rel=1e-12) and error < 1e-9
    narrow = prescribed(torch.tensor([1.0, 0.9, 0.8]), 5, seed=5)  # three steps of one column, not one of two
    largest, error = largest_singular_value(narrow, seed=0, tolerance=0.0)
    assert largest == pytest.approx(1.0, rel=1e-12) and error < 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("name", list(SPECTRA))
def test_bracket_on_prescribed_spectra(name):
    op = prescribed(SPECTRA[name], 700, seed=6)
    truth = Measures.of(SPECTRA[name])
    got = spectrum_bracket(op, seed=0, budget=Budget(block=32), steps=8, dense_below=0)
    assert got.lower <= truth.entropy <= got.upper
    assert abs(got.entropy - truth.entropy) < 0.06
    assert got.stable_rank == pytest.approx(truth.stable_rank, rel=1e-3)
    assert got.nuclear == pytest.approx(float(SPECTRA[name].sum()), rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("kind", FAMILIES)
def test_bracket_on_heads(kind, seed):
    """Two hundredths of a nat, at a size that a test can afford."""
    op = head_operator(kind, 1024, seed)
    truth = dense_measures(op.dense())
    got = spectrum_bracket(op, seed=seed + 10, steps=10, dense_below=0)
    assert got.lower <= truth.entropy <= got.upper
    assert abs(got.entropy - truth.entropy) < 0.02
    assert got.ritz <= truth.entropy + got.rounding
    assert got.stable_rank == pytest.approx(truth.stable_rank, rel=1e-4)
    assert got.passes == 20  # 2 · 10 - 1 and one for the Frobenius norm


def test_collapsed_head_is_certified_by_its_ritz_values():
    got = spectrum_bracket(head_operator("collapsed", 1024, 0), seed=0, dense_below=0)
    assert (got.method, got.steps) == ("ritz", 6)
    assert got.width < 1e-3 and got.reached


@pytest.mark.slow
def test_exact_low_rank():
    got = spectrum_bracket(head_operator("low rank", 1024, 0), seed=0, steps=4, dense_below=0)
    truth = dense_measures(head_operator("low rank", 1024, 0).dense())
    assert got.lower <= truth.entropy <= got.upper
    assert truth.effective_rank <= 12 and abs(got.entropy - truth.entropy) < 1e-3


@pytest.mark.slow
def test_rule_spends_until_the_width_is_met():
    op = head_operator("peaked", 1024, 0)
    wide = spectrum_bracket(op, 0, Budget(width=0.2), dense_below=0)
    narrow = spectrum_bracket(op, 0, Budget(width=0.004), dense_below=0)
    assert wide.steps < narrow.steps and wide.width <= 0.2 and wide.reached
    assert narrow.width < wide.width
    poor = spectrum_bracket(op, 0, Budget(width=0.001, passes=9), dense_below=0)
    assert poor.steps == 5 and not poor.reached
    assert basis_bytes(op, 64, 5) == 2 * 1024 * 64 * 5 * 4


def test_a_matrix_no_larger_than_twice_the_bases_is_stored_and_says_the_same():
    op = head_operator("peaked", 1024, 0)
    stored = spectrum_bracket(op, 0, steps=5, dense_below=0)
    assert stored.bytes == basis_bytes(op, 64, 5) + 4 * 1024**2 <= 3 * basis_bytes(op, 64, 5)
    free = spectrum_bracket(op, 0, steps=3, dense_below=0)
    assert free.bytes == basis_bytes(op, 64, 3)
    same = spectrum_bracket(DenseOperator(op.dense().float()), 0, steps=3, dense_below=0)
    assert same.entropy == pytest.approx(free.entropy, abs=1e-4)
    assert same.passes == free.passes - 1  # a stored matrix needs no pass for its energy


@pytest.mark.slow
def test_the_basis_grows_as_far_as_its_first_looks_foresee():
    """6, 9, 12: a width that 12 steps reach is not bought with all 24 that the matrix has room for."""
    got = spectrum_bracket(head_operator("peaked", 1536, 0), 0, Budget(width=0.05), dense_below=0)
    assert (got.steps, got.reached) == (12, True)


def test_small_matrices_are_dense():
    got = spectrum_bracket(head_operator("random", 256, 0), seed=0)
    assert (got.method, got.width) == ("dense", 0.0)
    assert got.entropy == pytest.approx(dense_measures(head_operator("random", 256, 0).dense()).entropy)


def test_a_budget_asks_for_a_twentieth_of_a_nat_in_four_gibibytes_of_bases():
    assert Budget().width == 0.05
    million = DenseOperator(torch.empty(2**20, 2**20, device="meta"))  # 512 MiB a step
    assert Budget().most_steps(million) == 8


def test_impossible_budgets_are_refused():
    op = head_operator("random", 1024, 0)
    with pytest.raises(ValueError, match="two are needed"):
        spectrum_bracket(op, 0, Budget(bytes=100_000), dense_below=0)
    with pytest.raises(ValueError, match="width > 0"):
        Budget(width=0.0)
    with pytest.raises(ValueError, match="steps = 17"):
        spectrum_bracket(op, 0, steps=17, dense_below=0)
    with pytest.raises(ValueError, match="frame_tokens"):
        make_head("random", 1000, 0)
    with pytest.raises(ValueError, match="sharp"):
        make_head("sharp", 1024, 0)


@pytest.mark.slow
def test_half_precision_says_how_little_it_knows():
    head = make_head("random", 1024, 0)
    op = AttentionOperator(head.query.bfloat16(), head.key.bfloat16(), head.scale)
    got, truth = spectrum_bracket(op, 0, steps=8, dense_below=0), dense_measures(op.dense())
    assert got.lower <= truth.entropy <= got.upper <= math.log(1024)
    assert (
        got.rounding
        > 100 * spectrum_bracket(head_operator("random", 1024, 0), 0, steps=4, dense_below=0).rounding
    )


def test_a_matrix_of_just_the_size_is_not_dense_any_more():
    op = prescribed(SPECTRA["low rank"][:128], 150, seed=1)
    methods = [spectrum_bracket(op, 0, Budget(block=8), steps=2, dense_below=k).method for k in (128, 129)]
    assert methods[0] != "dense" == methods[1]


def test_rounding_is_the_error_of_the_entries_spread_over_the_smallest_values():
    """u √k ‖A‖ / Σσ · ln(1/u), where Σσ is exact since the basis holds all of the matrix."""
    values = SPECTRA["low rank"][:128]
    op = prescribed(values, 150, seed=1)
    op.entry_error = 1e-7
    got = spectrum_bracket(op, 0, Budget(block=16), steps=4, dense_below=0)
    relative = 1e-7 * math.sqrt(128 * float((values**2).sum())) / float(values.sum())
    assert got.rounding == pytest.approx(relative * math.log(1e7), rel=1e-3)


def test_rounding_is_no_more_than_all_the_entropy_there_can_be():
    op = prescribed(F.pad(torch.ones(1), (0, 511)), 512, seed=1)
    op.entry_error = 0.4
    got = spectrum_bracket(op, 0, Budget(block=8), steps=2, dense_below=0)
    assert got.rounding == math.log(512) and (got.lower, got.upper) == (0, math.log(512))


def test_probes_that_follow_the_energy_are_corrected_by_it_and_leave_no_error():
    e = torch.linspace(1, 3, 9, dtype=torch.float64)
    probes = torch.stack([2 + 3 * e, 1 - e / 2, e], -1)
    fixed = torch.tensor([0.5, 0.25, 4.0], dtype=torch.float64)
    got = _entropy_of_sums(fixed, probes, 4.0 + 2.6)  # the probes' mean of 2 is 0.6 too low
    s1, sl = 0.5 + 2 + 3 * 2.6, 0.25 + 1 - 1.3
    assert got.nuclear == pytest.approx(s1) and got.entropy == pytest.approx(math.log(s1) - sl / s1)
    assert got.error == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("rest", [9e-6, 0.5])
def test_error_of_probes_by_hand(rest):
    """Where energy tells nothing: dH = (dS₁ (1 + S_L/S₁) - dS_L) / S₁, n - 2 degrees of freedom."""
    s = torch.tensor([[4.0, 1.0], [6.0, 2.0], [5.0, 0.0], [5.0, 1.0]], dtype=torch.float64)
    energy = (
        torch.tensor([[1.0], [1.0], [-1.0], [-1.0]]).double() if rest < 1e-4 else torch.full((4, 1), rest)
    )
    fixed = torch.tensor([0.0, 0.0, 1 - rest], dtype=torch.float64)
    got = _entropy_of_sums(fixed, torch.cat([s, energy], 1), 1.0)
    influence = [(d1 * 1.2 - dl) / 5 for d1, dl in ((-1, 0), (1, 1), (0, -1), (0, 0))]
    assert got.error == pytest.approx(math.sqrt(sum(x * x for x in influence) / (4 * 2)))
    assert got.entropy == pytest.approx(math.log(5) - 0.2)


def without_numbers(rows, columns):
    return DenseOperator(torch.empty(rows, columns, device="meta"))


def test_steps_are_what_passes_bytes_and_columns_allow():
    rich = 2**50
    assert Budget(bytes=rich).most_steps(without_numbers(2**20, 2**20)) == 40  # 79 of 80 passes
    assert Budget(bytes=rich, passes=81).most_steps(without_numbers(2**20, 2**20)) == 41
    assert Budget(bytes=rich).most_steps(without_numbers(5000, 640)) == 10  # blocks of 64
    assert Budget(bytes=3 * 64 * 7000 * 4).most_steps(without_numbers(5000, 2000)) == 3
    assert Budget(block=8, passes=3, bytes=rich).most_steps(without_numbers(16, 16)) == 2
    with pytest.raises(ValueError, match="two are needed"):
        Budget(block=8, bytes=rich).most_steps(without_numbers(16, 15))
    for small in ({"passes": 2}, {"block": 7}, {"bytes": 0}, {"width": 0.0}):
        with pytest.raises(ValueError, match="passes ≥ 3"):
            Budget(**small)


@pytest.mark.parametrize(("steps", "fits"), [(1, False), (2, True), (5, True), (6, False)])
def test_steps_asked_for_lie_between_two_and_what_fits(steps, fits):
    op, budget = prescribed(SPECTRA["power"][:64], 70, seed=2), Budget(block=8, passes=10)
    if fits:
        assert spectrum_bracket(op, 0, budget, steps=steps, dense_below=0).steps == steps
    else:
        with pytest.raises(ValueError, match=r"must lie in \[2, 5\]"):
            spectrum_bracket(op, 0, budget, steps=steps, dense_below=0)


def test_fewer_than_1500_rows_or_columns_are_dense(monkeypatch):
    monkeypatch.setattr(bracket, "_dense_bracket", lambda *_: "dense")
    for rows, columns in ((1499, 3000), (3000, 1499)):
        assert spectrum_bracket(without_numbers(rows, columns), 0, Budget(block=1000)) == "dense"
    with pytest.raises(ValueError, match="two are needed"):
        spectrum_bracket(without_numbers(1500, 1500), 0, Budget(block=1000))


@pytest.mark.parametrize("name", ["power", "exponential", "low rank"])
def test_a_bracket_is_made_of_its_three_looks(name):
    """Ends three standard errors and the rounding away; the middle of Gauss and Radau unless Ritz has all."""
    values = SPECTRA[name][:128]
    energy = float((values**2).sum())
    got = spectrum_bracket(prescribed(values, 150, seed=2), 0, Budget(block=8), steps=5, dense_below=0)
    aside = 3 * got.standard_error
    assert got.upper == pytest.approx(min(got.gauss + aside + got.rounding, math.log(128)))
    assert got.lower == pytest.approx(max(max(got.radau - aside, got.ritz) - got.rounding, 0))
    ritz = got.gauss - got.ritz < max(got.rounding, 1e-4)
    assert got.method == ("ritz" if ritz else "quadrature") and ritz == (name == "low rank")
    assert got.entropy == pytest.approx(got.ritz if ritz else (got.gauss + got.radau) / 2)
    assert got.stable_rank == pytest.approx(energy / got.largest**2) and got.size == 128
    assert got.width == got.upper - got.lower and got.reached == (got.width <= 0.05)
    ends = (got.lower, got.entropy, got.upper)
    assert got.effective_rank == tuple(math.exp(h) for h in ends)
    assert got.normalised == pytest.approx([h / math.log(128) for h in ends])
    twice = spectrum_bracket(
        prescribed(values, 150, seed=2), 0, Budget(block=8), steps=5, dense_below=0,
        frobenius_squared=2 * energy,
    )  # fmt: skip
    assert twice.stable_rank == pytest.approx(2 * got.stable_rank)
    assert twice.captured == pytest.approx(got.captured / 2, rel=1e-6)


def test_a_basis_of_all_columns_captures_all_the_energy_and_not_more():
    whole = spectrum_bracket(
        prescribed(SPECTRA["power"][:64], 64, seed=2), 0, Budget(block=32), steps=2, dense_below=0
    )
    assert whole.captured == pytest.approx(1, rel=1e-6) and whole.captured <= 1
    half = float((SPECTRA["power"][:64] ** 2).sum()) / 2
    rich = spectrum_bracket(
        prescribed(SPECTRA["power"][:64], 64, seed=2), 0, Budget(block=32), steps=2, dense_below=0,
        frobenius_squared=half,
    )  # fmt: skip
    assert rich.captured == 1


@given(
    rate=st.floats(0.05, 2.0),
    last=st.integers(7, 40),
    step=st.integers(1, 6),
    width=st.floats(1e-3, 0.2),
    above=st.floats(1.01, 50.0),
)
def test_steps_foreseen_are_those_of_a_bracket_that_narrows_at_a_steady_rate(rate, last, step, width, above):
    narrow = above * width
    widths = {last - step: narrow * math.exp(rate * step), last: narrow}
    found = bracket._foreseen(widths, width)
    reached = [
        n for n in range(last + 1, 3 * last + 1) if narrow * math.exp(-rate * (n - last)) <= 0.9 * width
    ]
    assert abs(found - (reached[0] if reached else 3 * last)) <= 1 and last < found <= 3 * last


@pytest.mark.parametrize("wide", [0.3, 0.2])
def test_where_the_bracket_does_not_narrow_the_basis_triples(wide):
    assert bracket._foreseen({6: wide, 9: 0.3}, 0.05) == 27


def test_a_rate_that_more_than_suffices_asks_for_one_step_more():
    assert bracket._foreseen({8: 0.6, 9: 0.06}, 0.05) == 10


@pytest.mark.parametrize(
    ("widths", "asked", "looked"),
    [
        ({6: 1.0, 9: 0.25, 17: 0.125, 40: 0.0625}, 0.01, [6, 9, 17, 40]),  # 17 by the rate, 48 are too many
        ({6: 1.0, 9: 0.25}, 0.25, [6, 9]),
        ({6: 1.0}, 1.0, [6]),
    ],
)
def test_a_basis_grows_by_what_is_foreseen_until_it_is_narrow_or_spent(widths, asked, looked, monkeypatch):
    grown = []
    monkeypatch.setattr(bracket, "_look", lambda *_: {"lower": 1.0, "upper": 1.0 + widths[grown[-1]]})
    found = bracket._widened(SimpleNamespace(extend=grown.append), 1.0, asked, bracket.FIRST_STEPS, 40)
    assert grown == looked and found["upper"] == 1 + widths[looked[-1]]


def test_a_bracket_just_as_wide_as_asked_for_is_narrow_enough():
    op = prescribed(SPECTRA["power"][:64], 70, seed=2)
    found = spectrum_bracket(op, 0, Budget(block=8), steps=3, dense_below=0)
    again = spectrum_bracket(op, 0, Budget(block=8, width=found.width), steps=3, dense_below=0)
    assert again.width == found.width > 0.05 and again.reached and not found.reached


def test_one_byte_may_be_a_budget():
    assert Budget(bytes=1).bytes == 1


def test_a_full_svd_is_exact_and_costs_the_matrix_and_no_pass():
    op = prescribed(torch.tensor([3.0, 1.0]), 5, seed=1)
    op.matvec(torch.ones(2, 1, dtype=torch.float64))
    got, entropy = spectrum_bracket(op, 0), -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    looks = (got.lower, got.entropy, got.upper, got.ritz, got.radau, got.gauss)
    assert looks == pytest.approx([entropy] * 6) and (got.method, got.reached) == ("dense", True)
    assert (got.size, got.standard_error, got.rounding, got.captured) == (2, 0, 0, 1)
    assert (got.nuclear, got.largest, got.stable_rank) == pytest.approx((4, 3, 10 / 9))
    assert (got.passes, got.steps, got.block, got.bytes) == (0, 0, 0, 5 * 2 * 8)


def clock():
    ticks = iter([5.0, 12.0])
    return SimpleNamespace(perf_counter=lambda: next(ticks))


def test_seconds_are_those_from_begin_to_end(monkeypatch):
    op = AttentionOperator(torch.eye(16), torch.eye(16), 1.0)
    for below in (0, 17):
        monkeypatch.setattr(bracket, "time", clock())
        assert spectrum_bracket(op, 0, Budget(block=8), steps=2, dense_below=below).seconds == 7
    monkeypatch.setattr("lib.spectra.exact.time", clock())
    assert exact_scalars(op, 0).seconds == 7


def test_a_matrix_of_just_twice_the_bases_is_stored():
    op = AttentionOperator(torch.eye(8), torch.eye(8), 1.0)  # 256 bytes
    stored = bracket._stored_if_small(op, 128)
    assert isinstance(stored, DenseOperator) and torch.allclose(stored.matrix.double(), op.dense())
    assert stored.entry_error == op.entry_error and bracket._stored_if_small(op, 127) is op
    assert bracket._stored_if_small(stored, 10**6) is stored


@pytest.mark.parametrize(("below", "dense"), [(2001, True), (2000, False)])
def test_scalars_and_their_bracket_agree_on_which_matrix_is_dense(below, dense, monkeypatch):
    asked = []

    def bracketed(operator, seed, budget, **options):
        asked.append(options)
        return SimpleNamespace(largest=3.0)

    monkeypatch.setattr(bracket, "spectrum_bracket", bracketed)
    monkeypatch.setattr(
        bracket, "exact_scalars", lambda op, seed, largest=None: SimpleNamespace(frobenius=3.0, told=largest)
    )
    scalars, _ = bracketed_scalars(SimpleNamespace(rows=3000, columns=2000), 0, Budget(), below)
    assert scalars.told == (3.0 if dense else None)
    assert asked == [{"dense_below": below} | ({} if dense else {"frobenius_squared": 9.0})]


@pytest.mark.parametrize(
    ("last", "weight", "exact"),
    [
        (0.9e-6, 1.0, True),
        (1.1e-6, 1.0, False),
        (0.9e-6, 0.26, True),
        (0.9e-6, 0.24, False),
        (0.9e-6, 3.9, True),
        (0.9e-6, 4.1, False),
    ],
)
def test_a_pair_is_exact_if_it_leaves_the_last_block_and_weighs_about_one(last, weight, exact):
    """Three values 3, 2, 1, whose vectors have a fifth of their length² in the middle block of three."""
    own = 0.8 - last
    blocks = torch.tensor([own, 0.2, last], dtype=torch.float64).sqrt()
    vectors = torch.kron(blocks[:, None], torch.eye(3, dtype=torch.float64))  # (9, 3)
    theta = torch.tensor([3.0, 2.0, 1.0], dtype=torch.float64)
    squares = torch.tensor([[0.5, 1.5, 1.0], [1.5, 1.0, 0.5], [0.5, 1.0, 1.5]], dtype=torch.float64)
    basis = SimpleNamespace(
        block=3, start_factor=(squares * weight / own).sqrt(), operator=SimpleNamespace(dtype=torch.float64)
    )
    values, sums = bracket._quadrature(theta[:, None] * vectors.T, basis, 14.0)
    assert values.tolist() == pytest.approx([3, 2, 1] + [0] * (len(values) - 3))
    if exact:
        assert sums.nuclear == pytest.approx(6) and sums.error == pytest.approx(0, abs=1e-9)
        assert sums.entropy == pytest.approx(Measures.of(theta).entropy)
    else:
        assert sums.error > 1e-3


def test_small_values_keep_their_digits_in_double_precision_and_missing_ones_are_zero():
    twins = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0 + 1e-12, 0.0]], dtype=torch.float64)
    theta, vectors = bracket._right_factors(twins, torch.float64)
    assert theta.tolist() == pytest.approx([2, 5e-13, 0], rel=1e-2, abs=0) and vectors.shape == (3, 3)


@pytest.mark.parametrize(("apart", "method"), [(0.9e-4, "ritz"), (1.1e-4, "quadrature")])
def test_ritz_values_within_a_ten_thousandth_of_a_nat_of_gauss_are_all(apart, method, monkeypatch):
    sums = iter([bracket._Sums(math.log(2) + apart, 0.01, 2.0), bracket._Sums(0.5, 0.02, 1.0)])
    monkeypatch.setattr(bracket, "_quadrature", lambda *_: (torch.ones(2), next(sums)))
    operator = SimpleNamespace(entry_error=1e-15, rows=4, columns=9)
    got = bracket._look(SimpleNamespace(av=torch.eye(4), block=2, operator=operator), 2.0)
    assert got["method"] == method and (got["standard_error"], got["nuclear"]) == (0.02, 1.5)
    assert got["entropy"] == pytest.approx(
        math.log(2) if method == "ritz" else (math.log(2) + 0.5) / 2, abs=1e-4
    )


@pytest.mark.parametrize(("share", "corrected"), [(0.9e-5, False), (1.1e-5, True)])
def test_probes_are_corrected_from_a_hundred_thousandth_of_the_energy_on(share, corrected):
    rest = 100 * share
    e = rest * torch.linspace(0.5, 1.5, 9, dtype=torch.float64)
    fixed = torch.tensor([0.5, 0.25, 100 - rest], dtype=torch.float64)
    got = _entropy_of_sums(fixed, torch.stack([2 + 3 * e, 1 - e / 2, e], -1), 100.0)
    assert (got.error < 1e-12) == corrected and got.error < 1e-3


def test_pooling_takes_64_frames_a_pass():
    for frames, passes in ((64, 1), (65, 2)):
        op = DenseOperator(torch.eye(frames, dtype=torch.float64))
        assert torch.equal(frame_pooled(op, frames), op.matrix) and op.passes == passes
