"""Least squares against brute force and scipy, and exponents from row to row."""

import math

import numpy as np
import pytest

from book.study.fits import Fit, local_exponents, polynomial

X = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
Y = np.array([0.2, 0.9, 0.4, 0.8, 0.1])


def test_fit_agrees_with_numpy_and_leaves_one_out_by_refitting():
    fit = Fit(polynomial(X, 1), Y)
    assert fit.coefficients[::-1] == pytest.approx(np.polyfit(X, Y, 1))
    errors = []
    for i in range(5):
        rest = np.arange(5) != i
        errors.append(Y[i] - np.polyval(np.polyfit(X[rest], Y[rest], 1), X[i]))
    assert fit.leave_one_out == pytest.approx(np.sqrt(np.mean(np.square(errors))))
    assert fit.rms == pytest.approx(np.sqrt(np.mean(fit.residuals**2)))
    assert fit.aic == pytest.approx(5 * math.log(fit.rms**2) + 6)


def test_t_statistics_agree_with_scipy():
    from scipy.stats import linregress

    found = linregress(X, Y)
    assert Fit(polynomial(X, 1), Y).t_statistics[1] == pytest.approx(found.slope / found.stderr)


def test_fit_refuses_what_it_cannot_determine():
    with pytest.raises(ValueError, match="more than 3 values"):
        Fit(polynomial(X[:3], 2), Y[:3])
    with pytest.raises(ValueError, match="linearly dependent"):
        Fit(np.ones((5, 2)), Y)
    with pytest.raises(ValueError, match="leverage"):
        _ = Fit(np.array([[1.0, 1], [1, 0], [1, 0]]), Y[:3]).leave_one_out


def test_local_exponents_and_their_interval():
    exponent, low, high = local_exponents([0.25, 0.125], [0.5, 0.5], 0.01)
    assert exponent == pytest.approx([2, 3])
    assert np.all(low < exponent) and np.all(exponent < high)
