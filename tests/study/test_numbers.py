"""Numbers as a reader sees them: the examples of the docstrings, and values that are awkward."""

import doctest

import pytest

from book.study import numbers


def test_the_examples_of_the_docstrings():
    failed, tried = doctest.testmod(numbers)
    assert failed == 0 and tried >= 5


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (numbers.number(1234.5), "1.23·10³"),
        (numbers.number(-0.0001234, 2), "−0.00012"),
        (numbers.number(0), "0"),
        (numbers.percent(0.5), "50 %"),
        (numbers.percent(0.004, signed=True), "0 %"),
        (numbers.percent(-0.126, 1), "−12.6 %"),
        (numbers.minus("-1 (-2 … 3)"), "−1 (−2 … 3)"),
    ],
)
def test_awkward_values(shown, text):
    assert shown == text
