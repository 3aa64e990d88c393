r"""exp, log, sigmoid, softplus and their like for anyone's compiled loops, which vectorise.

Numba compiles ``math.exp`` in a loop to a call of the C library for each sample: since llvmlite
0.45 it has no vector mathematics. The functions here are arithmetic without branches or calls, so
that the loop around them becomes full vectors on its own. Each takes one number and can be called
in functions compiled by ``numba.njit`` (``parallel=True`` too), ``vectorize``, ``guvectorize`` and
``cuda.jit``, and from Python.

float32 gives float32, computed in float32; float64 gives float64; integers and booleans become
float64. Results are within 1 ULP, subnormal ones too, and the same bits in a scalar, in any lane of
any SIMD width, and whatever ``fastmath`` the caller asks for: that says how the caller's own
arithmetic is compiled, not this one.

The derivative of `exp` and of `expm1` is `exp`, that of `softplus` is `sigmoid`, that of
`log_sigmoid` at x is ``sigmoid(-x)``, that of `log` is ``1 / x``. `sigmoid` and `log1p` have
`sigmoid_derivative` and `log1p_derivative`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import types
from numba.core.errors import TypingError
from numba.extending import overload, register_jitable

from xent_numba.kernels.cpu import elementary
from xent_numba.kernels.cpu.bits import prefer_full_vectors

__all__ = [
    "exp",
    "expm1",
    "log",
    "log1p",
    "log1p_derivative",
    "log_sigmoid",
    "prefer_full_vectors",
    "sigmoid",
    "sigmoid_derivative",
    "softplus",
]

_Number = TypeVar("_Number", np.float32, float)
_Function = TypeVar("_Function", bound=Callable[[Any], Any])
_ACCEPTED = (
    "accepted is a float32, float64, integer or boolean number; call it in a loop that numba.njit "
    "or numba.vectorize compiles"
)


def _computed_by(kernel: Any) -> Callable[[_Function], _Function]:
    """Let compiled code and Python call a kernel by the name of the function that describes it."""

    def declare(described: _Function) -> _Function:
        name = described.__name__

        def checked(x: Any) -> Any:
            number = np.asarray(x)
            if number.ndim or number.dtype.char not in "fd?bBhHiIlLqQ":
                kind = f"{type(x).__name__} of {number.dtype}"
                raise TypeError(f"x of vectormath.{name} is a {kind}; {_ACCEPTED}")
            value = kernel(number[()] if number.dtype.char in "fd" else float(x))
            return type(x)(value) if isinstance(x, np.floating) else value

        @overload(checked)
        def of_compiled_code(x):  # type: ignore[no-untyped-def]
            if x in (types.float32, types.float64):
                return lambda x: kernel(x)
            if isinstance(x, types.Integer | types.Boolean | types.IntegerLiteral):
                return lambda x: kernel(np.float64(x))
            raise TypingError(f"x of vectormath.{name} is {x}; {_ACCEPTED}")

        @register_jitable
        @functools.wraps(described)
        def function(x: Any) -> Any:
            return checked(x)  # and no more, so that numba.vectorize takes the function itself

        return cast("_Function", function)

    return declare


@_computed_by(elementary.exp)
def exp(x: _Number) -> _Number:
    r"""Exponential.

    .. math:: e^x

    Parameters
    ----------
    x : float32 or float64
        Any; dimensionless.

    Returns
    -------
    float32 or float64
        e^x, 0 where that is less than half of the smallest subnormal number.

    Notes
    -----
    exp(+-0) = 1, exp(inf) = inf, exp(-inf) = 0, exp(NaN) = NaN; inf from 88.72284 (float32) or
    709.78271 (float64) on. Range reduction by ln 2 in two parts [1]_ and a minimax polynomial.

    References
    ----------
    .. [1] W. J. Cody and W. Waite, "Software Manual for the Elementary Functions", 1980.

    Examples
    --------
    >>> from xent_numba import vectormath
    >>> vectormath.exp(1.0)
    2.718281828459045
    >>> vectormath.exp(-1000.0)
    0.0
    """
    raise NotImplementedError


@_computed_by(elementary.expm1)
def expm1(x: _Number) -> _Number:
    r"""Exponential less 1, exact near 0.

    .. math:: e^x - 1

    Parameters
    ----------
    x : float32 or float64
        Any; dimensionless.

    Returns
    -------
    float32 or float64
        e^x - 1, from -1 up.

    Notes
    -----
    expm1(+-0) = +-0, expm1(inf) = inf, expm1(-inf) = -1, expm1(NaN) = NaN. 2^n - 1 + 2^n (e^r -
    1), where both additions keep what they round off [1]_.

    References
    ----------
    .. [1] D. E. Knuth, "The Art of Computer Programming", vol. 2, 3rd ed., 1997, 4.2.2 (TwoSum).

    Examples
    --------
    >>> from xent_numba import vectormath
    >>> vectormath.expm1(1e-20)
    1e-20
    >>> vectormath.expm1(-1000.0)
    -1.0
    """
    raise NotImplementedError


@_computed_by(elementary.log)
def log(x: _Number) -> _Number:
    r"""Natural logarithm.

    .. math:: \log x

    Parameters
    ----------
    x : float32 or float64
        From 0 to infinity.

    Returns
    -------
    float32 or float64
        log x.

    Notes
    -----
    log(+-0) = -inf, log(1) = 0, log(inf) = inf, log(NaN) = NaN; NaN for x < 0. The derivative
    is 1 / x. x = 2^n (1 + t), log(1 + t) = 2 artanh(t / (2 + t)) by one division and a minimax
    polynomial [1]_.

    References
    ----------
    .. [1] J.-M. Muller, "Elementary Functions", 3rd ed., 2016, section 11.4.

    Examples
    --------
    >>> from xent_numba import vectormath
    >>> vectormath.log(0.5)
    -0.6931471805599453
    >>> vectormath.log(-1.0)
    nan
    """
    raise NotImplementedError


@_computed_by(elementary.log1p)
def log1p(x: _Number) -> _Number:
    r"""Logarithm of 1 plus a number, exact near 0.

    .. math:: \log(1 + x)

    Parameters
    ----------
    x : float32 or float64
        From -1 to infinity.

    Returns
    -------
    float32 or float64
        log(1 + x).

    Notes
    -----
    log1p(+-0) = +-0, log1p(-1) = -inf, log1p(inf) = inf, log1p(NaN) = NaN; NaN for x < -1. As
    `log`, of 1 + x with what rounding that sum lost [1]_.

    References
    ----------
    .. [1] D. E. Knuth, "The Art of Computer Programming", vol. 2, 3rd ed., 1997, 4.2.2 (TwoSum).

    Examples
    --------
    >>> from xent_numba import vectormath
    >>> vectormath.log1p(1e-20)
    1e-20
    >>> vectormath.log1p(-1.0)
    -inf
    """
    raise NotImplementedError


@_computed_by(elementary.log1p_derivative)
def log1p_derivative(x: _Number) -> _Number:
    r"""Derivative of `log1p`.

    .. math:: \frac{d}{dx} \log(1 + x) = \frac{1}{1 + x}

    Parameters
    ----------
    x : float32 or float64
        Any; the derivative itself needs x > -1.

    Returns
    -------
    float32 or float64
        1 / (1 + x).

    Notes
    -----
    inf at -1, 0 at inf, -0 at -inf, NaN at NaN. A quotient corrected by its residual [1]_.

    References
    ----------
    .. [1] J.-M. Muller et al., "Handbook of Floating-Point Arithmetic", 2nd ed., 2018, section 4.7.

    Examples
    --------
    >>> from xent_numba import vectormath
    >>> vectormath.log1p_derivative(1.0)
    0.5
    """
    raise NotImplementedError


@_computed_by(elementary.sigmoid)
def sigmoid(x: _Number) -> _Number:
    r"""Logistic sigmoid.

    .. math:: g(x) = 1 / (1 + e^{-x})

    Parameters
    ----------
    x : float32 or float64
        Any; dimensionless.

    Returns
    -------
    float32 or float64
        g(x), in [0, 1].

    Notes
    -----
    g(+-0) = 0.5, g(inf) = 1, g(-inf) = 0, g(NaN) = NaN. 1 - g(x) = g(-x) to rounding. e / (1 +
    e) of e = e^-\|x\|, corrected by its residual [1]_.

    References
    ----------
    .. [1] J.-M. Muller et al., "Handbook of Floating-Point Arithmetic", 2nd ed., 2018, section 4.7.

    Examples
    --------
    >>> from xent_numba import vectormath
    >>> vectormath.sigmoid(0.0)
    0.5
    """
    raise NotImplementedError


@_computed_by(elementary.sigmoid_derivative)
def sigmoid_derivative(x: _Number) -> _Number:
    r"""Derivative of `sigmoid`.

    .. math:: g'(x) = g(x) g(-x)

    Parameters
    ----------
    x : float32 or float64
        Any; dimensionless.

    Returns
    -------
    float32 or float64
        g(x) g(-x), in [0, 1/4].

    Notes
    -----
    1/4 at +-0, 0 at +-inf, NaN at NaN. An even function, to the bit. h (1 - h) of h = g(-\|x\|),
    each factor with what rounding it lost [1]_.

    References
    ----------
    .. [1] J.-M. Muller et al., "Handbook of Floating-Point Arithmetic", 2nd ed., 2018, section 5.1.

    Examples
    --------
    >>> from xent_numba import vectormath
    >>> vectormath.sigmoid_derivative(0.0)
    0.25
    """
    raise NotImplementedError


@_computed_by(elementary.softplus)
def softplus(x: _Number) -> _Number:
    r"""Logarithm of 1 plus an exponential: the loss of a score on the wrong side.

    .. math:: \log(1 + e^x)

    Parameters
    ----------
    x : float32 or float64
        Any; dimensionless.

    Returns
    -------
    float32 or float64
        log(1 + e^x), from 0 up.

    Notes
    -----
    log 2 at +-0, inf at inf, 0 at -inf, NaN at NaN. Never overflows before x does. max(x, 0) +
    log1p(e^-\|x\|), where the addition keeps what it rounds off [1]_.

    References
    ----------
    .. [1] M. Maechler, "Accurately computing log(1 - exp(-\|a\|))", 2012, vignette of the R package
       Rmpfr.

    Examples
    --------
    >>> from xent_numba import vectormath
    >>> vectormath.softplus(0.0)
    0.6931471805599453
    """
    raise NotImplementedError


@_computed_by(elementary.log_sigmoid)
def log_sigmoid(x: _Number) -> _Number:
    r"""Logarithm of the sigmoid: minus the loss of a score on the right side.

    .. math:: \log g(x) = -\log(1 + e^{-x})

    Parameters
    ----------
    x : float32 or float64
        Any; dimensionless.

    Returns
    -------
    float32 or float64
        log g(x), up to -0.

    Notes
    -----
    -log 2 at +-0, -0 at inf, -inf at -inf, NaN at NaN. min(x, 0) - log1p(e^-\|x\|), where the
    addition keeps what it rounds off [1]_.

    References
    ----------
    .. [1] M. Maechler, "Accurately computing log(1 - exp(-\|a\|))", 2012, vignette of the R package
       Rmpfr.

    Examples
    --------
    >>> from xent_numba import vectormath
    >>> vectormath.log_sigmoid(0.0)
    -0.6931471805599453
    """
    raise NotImplementedError
