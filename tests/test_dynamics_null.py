"""The null of random attention: constants by quadrature, effective rank against singular values."""

import math

import pytest
from scipy.integrate import quad

from book.study.effective_rank.null import (
    BULK_MEAN,
    BULK_MEAN_LOG,
    BULK_RANK,
    random_attention,
    random_attention_rank,
)
from lib.spectra import dense_measures


def test_constants_are_integrals_of_the_quarter_circle():
    mean = quad(lambda x: x * math.sqrt(4 - x * x) / math.pi, 0, 2)[0]
    logs = quad(lambda x: x * math.log(x) * math.sqrt(4 - x * x) / math.pi, 1e-300, 2)[0]
    assert pytest.approx(mean) == BULK_MEAN
    assert pytest.approx(logs) == BULK_MEAN_LOG
    assert pytest.approx(mean * math.exp(-logs / mean)) == BULK_RANK


@pytest.mark.parametrize("deviation", [0.3, 1.0])
def test_rank_of_random_attention(deviation):
    attention = random_attention(500, deviation, seed=0)
    assert attention.sum(-1).numpy() == pytest.approx(1)
    rank = dense_measures(attention).effective_rank
    assert rank == pytest.approx(random_attention_rank(500, deviation), rel=0.03)
    assert random_attention(500, deviation, seed=0).equal(attention)


def test_bulk_alone_in_the_limit():
    assert random_attention_rank(1e16, 1.0) / 1e16 == pytest.approx(BULK_RANK, rel=1e-5)
