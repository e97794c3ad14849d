"""The operator against the matrix it stands for: products, exact scalars, size bias, merged and lifted."""

import math

import pytest
import torch

from book.study.spectra.heads import FAMILIES, make_head
from lib.merging import FastVGGTRule, KeyValueGridRule, TokenLayout, UniformRule
from lib.merging.plan import Grouping, Plan
from lib.spectra import (
    AttentionOperator,
    Budget,
    LiftedAttention,
    Measures,
    bracketed_scalars,
    exact_scalars,
    frame_pooled,
    pooled_measures,
    spectrum_bracket,
)

KINDS = (*FAMILIES, "low rank")


def operator(kind="peaked", tokens=256, dtype=torch.float64, bias=False):
    head = make_head(kind, tokens, seed=3, frame_tokens=32)
    sizes = torch.arange(1, tokens + 1, dtype=dtype).log() if bias else None
    return AttentionOperator(head.query.to(dtype), head.key.to(dtype), head.scale, sizes)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_products_equal_the_matrix(kind, bias):
    op = operator(kind, bias=bias)
    assert op.passes == 2  # of rows and of columns: what makes the two products
    a, x = op.dense(), torch.randn(256, 100, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(op.matvec(x), a @ x, atol=1e-11)
    assert torch.allclose(op.rmatvec(x), a.T @ x, atol=1e-11)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 3e-6), (torch.bfloat16, 1e-2)])
def test_half_precision_keeps_the_adjoint(dtype, tolerance):
    """The log-sum-exp column needs 24 bits: one bf16 column alone would be wrong by several per cent."""
    op = operator("random", dtype=dtype)
    x = torch.randn(256, 64, generator=torch.Generator().manual_seed(0))
    a = op.dense().float()
    for ours, exact in ((op.matvec(x), a @ x), (op.rmatvec(x), a.T @ x)):
        assert float((ours - exact).norm() / exact.norm()) < tolerance
    assert torch.allclose(op.column_mass.double(), op.dense().sum(0), rtol=2 * tolerance)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_scalars_equal_the_matrix(kind, bias):
    op = operator(kind, bias=bias)
    a, mine = op.dense(), exact_scalars(op, seed=1)
    sigma, mass = torch.linalg.svdvals(a), a.sum(0) / 256
    assert mine.frobenius == pytest.approx(float(a.norm()), rel=1e-10)
    assert mine.largest == pytest.approx(float(sigma[0]), rel=1e-6)
    assert mine.largest <= float(sigma[0]) * (1 + 1e-12)
    assert mine.largest_error <= 5e-4
    assert mine.stable_rank == pytest.approx(Measures.of(sigma).stable_rank, rel=1e-6)
    assert mine.trace == pytest.approx(float(a.trace()), rel=1e-10)
    row_entropy = float(torch.special.entr(a).sum(1).mean())
    assert mine.row_entropy == pytest.approx(row_entropy, rel=1e-9)
    assert mine.normalised_row_entropy == pytest.approx(row_entropy / math.log(256), rel=1e-9)
    assert mine.row_participation == pytest.approx(float((1 / (a**2).sum(1)).mean()), rel=1e-9)
    assert mine.column_entropy == pytest.approx(
        float(torch.special.entr(mass).sum()) / math.log(256), rel=1e-9
    )
    assert mine.column_participation == pytest.approx(float(1 / (mass**2).sum()), rel=1e-9)
    assert (mine.sink, mine.sink_index) == (pytest.approx(float(mass.max())), int(mass.argmax()))


@pytest.mark.parametrize(("queries", "keys"), [(40, 24), (7, 30), (5, 2)])
def test_uniform_attention_between_other_numbers_of_queries_and_keys(queries, keys):
    """All scalars in closed form; N' keys are the measure of evenness, whatever the number of rows."""
    op = AttentionOperator(torch.zeros(queries, 4).double(), torch.randn(keys, 4).double(), 0.5)
    mine = exact_scalars(op, seed=0)
    assert (mine.rows, mine.columns) == (queries, keys) and math.isnan(mine.trace)
    assert mine.frobenius == pytest.approx(math.sqrt(queries / keys))
    assert mine.largest == pytest.approx(math.sqrt(queries / keys)) and mine.stable_rank == pytest.approx(1)
    assert mine.row_entropy == pytest.approx(math.log(keys))
    assert mine.normalised_row_entropy == pytest.approx(1) and mine.column_entropy == pytest.approx(1)
    assert mine.row_participation == pytest.approx(keys) == mine.column_participation
    assert mine.sink == pytest.approx(1 / keys)


def test_a_key_that_nobody_attends_to_adds_nothing_to_the_entropies():
    op = AttentionOperator(torch.ones(3, 1).double(), torch.tensor([[0.0], [-1000.0]]).double(), 1.0)
    assert op.column_mass.tolist() == [pytest.approx(3), 0]
    mine = exact_scalars(op, seed=0)
    assert (mine.row_entropy, mine.column_entropy) == pytest.approx((0, 0), abs=1e-12)
    assert (mine.sink, mine.sink_index) == (pytest.approx(1), 0)


def test_entries_are_wrong_by_half_a_step_of_their_type_or_by_what_adds_up_in_full_precision():
    steps = {torch.float64: 8, torch.float32: 8, torch.bfloat16: 0.5, torch.float16: 0.5}
    for dtype, share in steps.items():
        assert operator("random", 64, dtype).entry_error == share * torch.finfo(dtype).eps


def test_pooled_is_the_mean_over_rows_and_the_sum_over_columns():
    op = operator("peaked", tokens=32 * 70)  # more frames than one pass carries columns
    pooled = frame_pooled(op, 70)
    blocks = op.dense().view(70, 32, 70, 32)
    assert torch.allclose(pooled, blocks.sum(3).mean(1), atol=1e-12)
    assert torch.allclose(pooled.sum(1), torch.ones(70, dtype=torch.float64))
    exact = torch.linalg.svdvals(pooled)
    assert pooled_measures(pooled).stable_rank == pytest.approx(float((exact**2).sum() / exact[0] ** 2))


@pytest.mark.slow
def test_nothing_of_matrix_size_is_stored(monkeypatch):
    """Every tensor that the fused call sees or returns is O(N · width)."""
    seen = []
    fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu

    def spy(*tensors, **options):
        results = fused(*tensors, **options)
        seen.extend(x.numel() for x in (*tensors, *results))
        return results

    monkeypatch.setattr("torch.ops.aten._scaled_dot_product_flash_attention_for_cpu", spy, raising=False)
    op = operator("random", tokens=4096, dtype=torch.float32)
    exact_scalars(op, seed=0)
    assert seen and max(seen) <= 4096 * 80


LAYOUT = TokenLayout(frames=5, patches_high=6, patches_wide=7, special=5)
RULES = {
    "released": FastVGGTRule(m=0.6),
    "released, size bias": FastVGGTRule(m=0.6, size_bias=True),
    "uniform": UniformRule(m=0.7),
    "uniform, size bias": UniformRule(m=0.7, size_bias=True),
    "grid": KeyValueGridRule(stride=2),
    "grid, size bias": KeyValueGridRule(m=0.5, size_bias=True),
}


@pytest.fixture(params=list(RULES))
def merged(request):
    """(rule name, lifted operator, its dense matrix built from the plan's own merge and unmerge)."""
    rng = torch.Generator().manual_seed(5)
    n = LAYOUT.tokens
    x, q, k = (torch.randn(1, n, d, generator=rng, dtype=torch.float64) for d in (24, 16, 16))
    plan = RULES[request.param].plan(x, LAYOUT)
    mq, mk = plan.merge_queries(q[None])[0, 0], plan.merge_keys(k[None])[0, 0]
    bias = plan.log_sizes[0] if plan.log_sizes is not None else None
    op = AttentionOperator(mq, mk, 0.5, bias)
    averages = plan.merge_keys(torch.eye(n, dtype=torch.float64)[None, None])  # (1, 1, Nk, N)
    dense = plan.unmerge(op.dense() @ averages[0, 0][None])[0]
    return request.param, LiftedAttention(op, plan), dense


def test_lifted_products_equal_the_plan(merged):
    _, lifted, dense = merged
    x = torch.randn(LAYOUT.tokens, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(lifted.dense(), dense, atol=1e-12)
    assert torch.allclose(lifted.matvec(x), dense @ x, atol=1e-11)
    assert torch.allclose(lifted.rmatvec(x), dense.T @ x, atol=1e-11)
    assert torch.allclose(dense.sum(1), torch.ones(LAYOUT.tokens, dtype=torch.float64))


def test_lifted_scalars_equal_the_matrix(merged):
    name, lifted, dense = merged
    mine = exact_scalars(lifted, seed=1)
    assert mine.frobenius == pytest.approx(float(dense.norm()), rel=1e-9)
    assert mine.trace == pytest.approx(float(dense.trace()), rel=1e-9)
    assert mine.largest == pytest.approx(float(torch.linalg.svdvals(dense)[0]), rel=1e-6)
    assert torch.allclose(lifted.column_mass, dense.sum(0), atol=1e-10)
    assert torch.allclose(lifted.attention_rows(torch.tensor([0, 17])), dense[[0, 17]], atol=1e-12)
    entropy = float(torch.special.entr(dense).sum(1).mean())
    if name.startswith("released"):  # a token in two rows counts as two: larger, by less than ln 2
        assert entropy < mine.row_entropy < entropy + math.log(2)
    else:
        assert mine.row_entropy == pytest.approx(entropy, rel=1e-9)
    pooled = frame_pooled(lifted, 5)
    assert torch.allclose(pooled, dense.view(5, 47, 5, 47).sum(3).mean(1), atol=1e-12)


def test_lifting_refuses_another_plan_and_too_many_tokens(monkeypatch):
    plan = UniformRule(m=0.7).plan(torch.randn(1, LAYOUT.tokens, 24), LAYOUT)
    small = AttentionOperator(torch.eye(4), torch.eye(4), 1.0)
    with pytest.raises(ValueError, match=rf"attention is 4 x 4, the plan {plan.query_length} x"):
        LiftedAttention(small, plan)
    rows = torch.eye(plan.key_length)
    lifted = LiftedAttention(AttentionOperator(rows, rows, 1.0), plan)
    assert lifted.dense(limit=235).shape == (235, 235)
    with pytest.raises(ValueError, match="a 235 x 235 matrix"):
        lifted.dense(limit=234)
    every = torch.arange(2**14 + 1)[None]
    one = Grouping(every, torch.zeros(1, 1, dtype=torch.int64))
    sizes = torch.full((1, 1), 2.0**14 + 1, dtype=torch.float64)
    plan = Plan(2**14 + 1, one, sizes, queries=one, output_rows=torch.zeros_like(every))
    merged = AttentionOperator(torch.ones(1, 4), torch.ones(1, 4), 1.0)
    monkeypatch.setattr(merged, "dense", lambda: pytest.fail("it would take 2 GiB"))
    with pytest.raises(ValueError, match="takes 2 GiB"):
        LiftedAttention(merged, plan).dense()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_only_a_cpu_and_cuda_have_the_kernels(dtype):
    q = torch.empty(4, 8, device="meta", dtype=dtype)
    with pytest.raises(NotImplementedError, match=f"log-sum-exp for {dtype} on meta"):
        AttentionOperator(q, q, 1.0)


@pytest.mark.usefixtures("unchecked")
def test_errors_name_the_value():
    q = torch.randn(8, 4)
    with pytest.raises(ValueError, match=r"\(8, 4\).*\(8, 3\)"):
        AttentionOperator(q, torch.randn(8, 3), 1.0)
    with pytest.raises(ValueError, match="scale = 0"):
        AttentionOperator(q, q, 0.0)
    with pytest.raises(ValueError, match="log_sizes"):
        AttentionOperator(q, q, 1.0, torch.zeros(7))
    with pytest.raises(ValueError, match="float64"):
        AttentionOperator(q, q.double(), 1.0)
    with pytest.raises(ValueError, match="frames = 3"):
        frame_pooled(AttentionOperator(q, q, 1.0), 3)
    wide = torch.zeros(32_768, 1)
    with pytest.raises(ValueError, match="takes 8 GiB"):
        AttentionOperator(wide, wide, 1.0).dense()
    long = torch.zeros(2**14 + 1, 1)
    with pytest.raises(ValueError, match="limit = 16384"):
        AttentionOperator(long, long[:1], 1.0).dense()
    assert AttentionOperator(long[1:], long[:1], 1.0).dense().shape == (2**14, 1)
    with pytest.raises(ValueError, match="limit = 4"):
        AttentionOperator(q, q, 1.0).dense(limit=4)


def test_one_frame_is_all_of_it():
    q = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    assert frame_pooled(AttentionOperator(q, q, 1.0), 1).item() == pytest.approx(1.0)


@pytest.mark.parametrize("rows", [2, 3])
def test_a_token_may_sit_in_two_key_rows_and_not_in_three(rows):
    members = torch.tensor([[0, 1, 0, 2, 0][: 2 * rows - rows // 3]])
    grouping = Grouping(members, torch.tensor([[0, 2, 4][:rows]]))
    plan = Plan(tokens=3, keys=grouping, sizes=torch.full((1, rows), 3 / rows, dtype=torch.float64))
    merged = AttentionOperator(torch.eye(3, 2).double(), torch.eye(rows, 2).double(), 1.0)
    if rows == 2:
        assert torch.allclose(LiftedAttention(merged, plan).dense().sum(1), torch.ones(3).double())
    else:
        with pytest.raises(ValueError, match="more than two key rows"):
            LiftedAttention(merged, plan)


@pytest.mark.parametrize("dense", [True, False])
def test_scalars_with_their_bracket_compute_nothing_twice(dense):
    """Of a small matrix the full SVD says σ₁, of a large one the scalars say the energy."""
    op, budget, below = operator("peaked"), Budget(), 10**6 if dense else 0
    alone, apart = exact_scalars(op, seed=1), spectrum_bracket(op, 1, budget, dense_below=below)
    scalars, found = bracketed_scalars(op, 1, budget, below)
    sigma = torch.linalg.svdvals(op.dense())
    assert scalars.largest == pytest.approx(float(sigma[0]), rel=1e-12 if dense else 1e-6)
    assert scalars.largest_error < (1e-12 if dense else 5e-4)
    assert scalars.stable_rank == pytest.approx(Measures.of(sigma).stable_rank, rel=1e-6)
    for name in ("entropy", "lower", "upper", "nuclear", "largest", "stable_rank", "steps"):
        assert getattr(found, name) == pytest.approx(getattr(apart, name), rel=1e-9), name
    assert scalars.passes + found.passes < alone.passes + apart.passes
