"""What is declared of further training with finer patches, from errors and keys that are known."""

from __future__ import annotations

import numpy as np
import pytest

from book.study import hypothesis
from book.study.networks import finer

LENGTHS = (8, 16, 32)


def test_every_declared_quantity_is_measured() -> None:
    powers = np.array([[1.0, 0.1], [1.0, 0.2], [1.0, 0.6]])  # (rooms, blocks)
    keys = np.log(LENGTHS)[:, None, None] * powers
    walks = np.array([3.0, 6.0]), np.array([2.0, 4.0])
    found = finer.quantities(walks, np.array([1.0, 2.0, 90.0]), keys, LENGTHS)
    assert found == pytest.approx({"finer_few": 2.0, "finer_growth": 1.5, "finer_least": 0.2})
    assert {*found} == {one.quantity for one in hypothesis.read(finer.DECLARED_FINER)}
