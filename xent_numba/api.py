"""The public functions: one for each operation, on any kind of array."""

from __future__ import annotations

from typing import Any

import numpy as np

from xent_numba import dispatch
from xent_numba.dispatch import loss
from xent_numba.operations import OPERATIONS, Call, Reduction

_SIGMOID = OPERATIONS["sigmoid"]
_CROSS_ENTROPY = OPERATIONS["binary_cross_entropy"]
_LOGISTIC_LOSS = OPERATIONS["logistic_loss"]
_WITH_LOGITS = OPERATIONS["binary_cross_entropy_with_logits"]
_LOGISTIC_LOSS_AND_GRAD = OPERATIONS["logistic_loss_and_grad"]
_WITH_LOGITS_AND_GRAD = OPERATIONS["binary_cross_entropy_with_logits_and_grad"]


def sigmoid(
    scores: Any,
    *,
    out: np.ndarray | None = None,
    implementation: str = "auto",
) -> Any:
    """Logistic sigmoid of each score.

    .. math:: g(s) = 1 / (1 + e^{-s})

    Parameters
    ----------
    scores : array_like of real numbers, any shape
        Pre-sigmoid scores s, dimensionless; +-inf are allowed, NaN propagates. float16 and float32
        are computed in float32, all other real input in float64.
    out : ndarray, optional
        Where the result goes: the shape and dtype of `scores`. Left as it was if
        an argument does not fit, NaN if a value is not accepted.
    implementation : str, default "auto"
        Name of an implementation, or the fastest for the kind of array.

    Returns
    -------
    scalar or ndarray
        In the shape and dtype of `scores`.

    Raises
    ------
    ValueError
        For an unknown implementation, or an `out` that does not fit.
    TypeError
        For dtypes that are no real numbers, and for masks and units, which would be ignored.
    ImplementationUnavailableError
        If the implementation cannot run here.

    Notes
    -----
    g(+inf) = 1, g(-inf) = 0, g(0) = 0.5, g(NaN) = NaN. Tiny results are subnormal, not flushed.
    The default implementation is within 1 ULP of the true value.

    References
    ----------
    .. [1] D. R. Cox, "The regression analysis of binary sequences", Journal of the Royal
       Statistical Society B 20 (1958), 215-242.

    Examples
    --------
    >>> import xent_numba
    >>> xent_numba.sigmoid([-2.0, 0.0, 2.0]).round(3)
    array([0.119, 0.5  , 0.881])
    """
    if type(scores) is np.ndarray:
        found = dispatch.small_sigmoid(scores, out, implementation)
        if found is not None:
            return found
    return dispatch.evaluate(Call(_SIGMOID, scores, out=out), implementation)


def binary_cross_entropy(
    probabilities: Any,
    labels: Any,
    *,
    sample_weight: Any = None,
    reduction: Reduction = "mean",
    out: np.ndarray | None = None,
    implementation: str = "auto",
) -> Any:
    r"""Cross-entropy of probabilities with labels 0/1.

    .. math:: L = -[y \log p + (1 - y) \log(1 - p)]

    Parameters
    ----------
    probabilities : array_like of real numbers, any shape
        Probabilities p of the class 1, in [0, 1]. float16 and float32 are computed in
        float32, all other real input in float64.
    labels : array_like, shape of `probabilities`
        0, 1, or a soft label in [0, 1], of any real dtype; bool, int8, uint8, int32, int64, float32
        and float64 are read as they are. A soft label is rounded to the dtype of `probabilities`.
    sample_weight : array_like, shape of `probabilities`, optional
        Weights w, finite and >= 0, in any magnitude: no mean depends on their scale. 0 times an
        infinite loss is NaN.
    reduction : {"mean", "sum", "none"}, default "mean"
        "none" gives w L per sample, "sum" the sum of w L, "mean" sum(w L) / sum(w).
    out : ndarray, optional
        Where the result goes: the dtype of `probabilities`; their shape for the reduction "none",
        else shape (). Left as it was if an argument does not fit, NaN if a value is not
        accepted.
    implementation : str, default "auto"
        Name of an implementation, or the fastest for the kind of array.

    Returns
    -------
    scalar or ndarray
        In the dtype of `probabilities`; an array for the reduction "none".

    Raises
    ------
    ValueError
        For a label, probability or weight outside its set (the first one is named), shapes that
        differ, an unknown reduction or implementation, an `out` that does not fit, a mean over no
        samples or over weights that sum to 0.
    TypeError
        For dtypes that are no real numbers, and for masks and units, which would be ignored.
    ImplementationUnavailableError
        If the implementation cannot run here.

    Notes
    -----
    For p of exactly 0 or 1 the loss is 0 when it is right and +inf when it is wrong: nothing is
    clamped, and 0 log 0 = 0.
    The default implementation is within 1 ULP of the true value per sample. Its sums err no more
    than samples do on average, and by one rounding; they do not depend on the number of threads.

    References
    ----------
    .. [1] C. M. Bishop, "Pattern Recognition and Machine Learning", Springer 2006, eq. (4.90).

    Examples
    --------
    >>> import xent_numba
    >>> xent_numba.binary_cross_entropy([0.9, 0.2], [1, 0], reduction="none").round(3)
    array([0.105, 0.223])
    """
    return loss(
        _CROSS_ENTROPY, probabilities, labels, sample_weight, reduction, out, implementation
    )


def logistic_loss(
    scores: Any,
    labels: Any,
    *,
    sample_weight: Any = None,
    reduction: Reduction = "mean",
    out: np.ndarray | None = None,
    implementation: str = "auto",
) -> Any:
    r"""Logistic loss of scores with labels -1/+1.

    .. math:: L = -\log g(y s) = \log(1 + e^{-y s})

    Parameters
    ----------
    scores : array_like of real numbers, any shape
        Pre-sigmoid scores s, dimensionless; +-inf are allowed, NaN propagates. float16 and float32
        are computed in float32, all other real input in float64.
    labels : array_like, shape of `scores`
        -1 or +1, of any real dtype; int8, int32, int64, float32 and float64 are read as they are.
    sample_weight : array_like, shape of `scores`, optional
        Weights w, finite and >= 0, in any magnitude: no mean depends on their scale. 0 times an
        infinite loss is NaN.
    reduction : {"mean", "sum", "none"}, default "mean"
        "none" gives w L per sample, "sum" the sum of w L, "mean" sum(w L) / sum(w).
    out : ndarray, optional
        Where the result goes: the dtype of `scores`; their shape for the reduction "none", else
        shape (). Left as it was if an argument does not fit, NaN if a value is not
        accepted.
    implementation : str, default "auto"
        Name of an implementation, or the fastest for the kind of array.

    Returns
    -------
    scalar or ndarray
        In the dtype of `scores`; an array for the reduction "none".

    Raises
    ------
    ValueError
        For a label or weight outside its set (the first one is named), shapes that
        differ, an unknown reduction or implementation, an `out` that does not fit, a mean over no
        samples or over weights that sum to 0.
    TypeError
        For dtypes that are no real numbers, and for masks and units, which would be ignored.
    ImplementationUnavailableError
        If the implementation cannot run here.

    Notes
    -----
    L is 0 for a margin y s of +inf and +inf for -inf. It is never negative, nor -0.0.
    The default implementation is within 1 ULP of the true value per sample. Its sums err no more
    than samples do on average, and by one rounding; they do not depend on the number of threads.

    References
    ----------
    .. [1] M. Maechler, "Accurately computing log(1 - exp(-\|a\|))", R package Rmpfr vignette, 2012.

    Examples
    --------
    >>> import xent_numba
    >>> xent_numba.logistic_loss([2.0, -1.0], [1, -1], reduction="none").round(3)
    array([0.127, 0.313])
    """
    return loss(_LOGISTIC_LOSS, scores, labels, sample_weight, reduction, out, implementation)


def binary_cross_entropy_with_logits(
    scores: Any,
    labels: Any,
    *,
    sample_weight: Any = None,
    reduction: Reduction = "mean",
    out: np.ndarray | None = None,
    implementation: str = "auto",
) -> Any:
    r"""Cross-entropy of the sigmoid of scores, with labels 0/1.

    .. math:: L = \log(1 + e^s) - y s

    Parameters
    ----------
    scores : array_like of real numbers, any shape
        Pre-sigmoid scores s, dimensionless; +-inf are allowed, NaN propagates. float16 and float32
        are computed in float32, all other real input in float64.
    labels : array_like, shape of `scores`
        0, 1, or a soft label in [0, 1], of any real dtype; bool, int8, uint8, int32, int64, float32
        and float64 are read as they are. A soft label is rounded to the dtype of `scores`.
    sample_weight : array_like, shape of `scores`, optional
        Weights w, finite and >= 0, in any magnitude: no mean depends on their scale. 0 times an
        infinite loss is NaN.
    reduction : {"mean", "sum", "none"}, default "mean"
        "none" gives w L per sample, "sum" the sum of w L, "mean" sum(w L) / sum(w).
    out : ndarray, optional
        Where the result goes: the dtype of `scores`; their shape for the reduction "none", else
        shape (). Left as it was if an argument does not fit, NaN if a value is not
        accepted.
    implementation : str, default "auto"
        Name of an implementation, or the fastest for the kind of array.

    Returns
    -------
    scalar or ndarray
        In the dtype of `scores`; an array for the reduction "none".

    Raises
    ------
    ValueError
        For a label or weight outside its set (the first one is named), shapes that
        differ, an unknown reduction or implementation, an `out` that does not fit, a mean over no
        samples or over weights that sum to 0.
    TypeError
        For dtypes that are no real numbers, and for masks and units, which would be ignored.
    ImplementationUnavailableError
        If the implementation cannot run here.

    Notes
    -----
    Infinite scores give the mathematical limit: 0 where score and label agree, else +inf.
    The default implementation is within 1 ULP of the true value per sample. Its sums err no more
    than samples do on average, and by one rounding; they do not depend on the number of threads.

    Examples
    --------
    >>> import xent_numba
    >>> xent_numba.binary_cross_entropy_with_logits([2.0, -1.0], [1, 0], reduction="none").round(3)
    array([0.127, 0.313])
    """
    return loss(_WITH_LOGITS, scores, labels, sample_weight, reduction, out, implementation)


def logistic_loss_and_grad(
    scores: Any,
    labels: Any,
    *,
    sample_weight: Any = None,
    reduction: Reduction = "mean",
    out: np.ndarray | None = None,
    grad_out: np.ndarray | None = None,
    implementation: str = "auto",
) -> Any:
    r"""Logistic loss of scores with labels -1/+1, and its gradient.

    .. math:: L = \log(1 + e^{-y s}), \qquad dL/ds = -y \, g(-y s)

    Parameters
    ----------
    scores : array_like of real numbers, any shape
        Pre-sigmoid scores s, dimensionless; +-inf are allowed, NaN propagates. float16 and float32
        are computed in float32, all other real input in float64.
    labels : array_like, shape of `scores`
        -1 or +1, of any real dtype; int8, int32, int64, float32 and float64 are read as they are.
    sample_weight : array_like, shape of `scores`, optional
        Weights w, finite and >= 0, in any magnitude: no mean depends on their scale. 0 times an
        infinite loss is NaN.
    reduction : {"mean", "sum", "none"}, default "mean"
        "none" gives w L per sample, "sum" the sum of w L, "mean" sum(w L) / sum(w).
    out : ndarray, optional
        Where the result goes: the dtype of `scores`; their shape for the reduction "none", else
        shape (). Left as it was if an argument does not fit, NaN if a value is not
        accepted.
    grad_out : ndarray, optional
        Where the gradient goes: the shape and dtype of `scores`. Left as it was if
        an argument does not fit, NaN if a value is not accepted.
    implementation : str, default "auto"
        Name of an implementation, or the fastest for the kind of array.

    Returns
    -------
    loss : scalar or ndarray
        In the dtype of `scores`; an array for the reduction "none".
    gradient : ndarray
        Derivative of the reduced loss with respect to each score: w dL/ds for "none" and "sum",
        w dL/ds / sum(w) for "mean".

    Notes
    -----
    Infinite scores give the limits: gradient 0 at a margin of +inf, -y at -inf.
    One pass over the inputs gives both. Errors are those of `logistic_loss`.

    Examples
    --------
    >>> import xent_numba
    >>> loss, gradient = xent_numba.logistic_loss_and_grad([2.0, 0.0], [1, -1], reduction="sum")
    >>> gradient.round(3)
    array([-0.119,  0.5  ])
    """
    call = Call(_LOGISTIC_LOSS_AND_GRAD, scores, labels, sample_weight, reduction, out, grad_out)
    return dispatch.evaluate(call, implementation)


def binary_cross_entropy_with_logits_and_grad(
    scores: Any,
    labels: Any,
    *,
    sample_weight: Any = None,
    reduction: Reduction = "mean",
    out: np.ndarray | None = None,
    grad_out: np.ndarray | None = None,
    implementation: str = "auto",
) -> Any:
    r"""Cross-entropy of the sigmoid of scores, with labels 0/1, and its gradient.

    .. math:: L = \log(1 + e^s) - y s, \qquad dL/ds = g(s) - y

    Parameters
    ----------
    scores : array_like of real numbers, any shape
        Pre-sigmoid scores s, dimensionless; +-inf are allowed, NaN propagates. float16 and float32
        are computed in float32, all other real input in float64.
    labels : array_like, shape of `scores`
        0, 1, or a soft label in [0, 1], of any real dtype; bool, int8, uint8, int32, int64, float32
        and float64 are read as they are. A soft label is rounded to the dtype of `scores`.
    sample_weight : array_like, shape of `scores`, optional
        Weights w, finite and >= 0, in any magnitude: no mean depends on their scale. 0 times an
        infinite loss is NaN.
    reduction : {"mean", "sum", "none"}, default "mean"
        "none" gives w L per sample, "sum" the sum of w L, "mean" sum(w L) / sum(w).
    out : ndarray, optional
        Where the result goes: the dtype of `scores`; their shape for the reduction "none", else
        shape (). Left as it was if an argument does not fit, NaN if a value is not
        accepted.
    grad_out : ndarray, optional
        Where the gradient goes: the shape and dtype of `scores`. Left as it was if
        an argument does not fit, NaN if a value is not accepted.
    implementation : str, default "auto"
        Name of an implementation, or the fastest for the kind of array.

    Returns
    -------
    loss : scalar or ndarray
        In the dtype of `scores`; an array for the reduction "none".
    gradient : ndarray
        Derivative of the reduced loss with respect to each score: w dL/ds for "none" and "sum",
        w dL/ds / sum(w) for "mean".

    Notes
    -----
    Infinite scores give the limits: gradient -y at -inf, 1 - y at +inf.
    One pass over the inputs gives both. Errors are those of `binary_cross_entropy_with_logits`.

    Examples
    --------
    >>> import xent_numba
    >>> loss, gradient = xent_numba.binary_cross_entropy_with_logits_and_grad([2.0, 0.0], [1, 0])
    >>> gradient.round(3)
    array([-0.06,  0.25])
    """
    call = Call(_WITH_LOGITS_AND_GRAD, scores, labels, sample_weight, reduction, out, grad_out)
    return dispatch.evaluate(call, implementation)
