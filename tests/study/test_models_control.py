"""The control for the wider world: what decides its predictions, on made errors."""

from __future__ import annotations

import numpy as np
import pytest

from book.study.models.control import DECLARED, NEVER_VARIED, PLAINER, VARIED, WIDER, quantities
from lib.training.domains import DOMAINS


def made(wider: float, plainer: float, count: int = 20) -> dict[str, np.ndarray]:
    """Errors that are the same multiple of the shipped network's in every room, apart from the seeds."""
    still = np.linspace(5, 15, count)
    level = {"still": 1.0, "shipped": 0.5, WIDER[0]: wider, WIDER[1]: wider, PLAINER[0]: plainer - 0.05}
    return {name: still * share for name, share in (level | {PLAINER[1]: plainer + 0.05}).items()}


def test_every_quantity_of_the_declaration() -> None:
    rooms = {name: made(0.3, 0.4) for name in DOMAINS}
    rooms |= {name: made(0.2, 0.4) for name in NEVER_VARIED}
    rooms["rooms"] = made(0.5, 0.4)
    found = quantities(rooms, made(0.6, 0.8, count=12))
    assert found == pytest.approx(
        {
            "control_wider_high": 0.75,
            "control_plain_carries": 0.8,
            "control_painted": 1.25,
            "control_never_less_varied": np.log(0.5 / 0.75),
            "control_photographs": 0.75,
            "control_again_gap": found["control_again_gap"],
        }
    )
    assert -0.4 * 15 < found["control_again_gap"] < -0.4 * 5  # inside the sample, and better than still
    assert [one.quantity for one in DECLARED] == list(found)


def test_all_ingredients_are_varied_or_never() -> None:
    assert {*NEVER_VARIED, *VARIED} == {*DOMAINS} - {"rooms", "all"}
