r"""Variances of many benchmarks, shrunk towards what they have in common.

Ten pairs say little about how far a benchmark's pairs spread: a variance with 5 degrees of freedom
is often off by a factor of two, and the t distribution, which must allow for that, is ruinous where
levels are corrected for many benchmarks. But benchmarks of one run on one machine spread alike.
With Smyth's model [1]_, in which the true variances follow a scaled inverse chi-square distribution
of d_0 degrees of freedom about s_0^2,

.. math:: \tilde s^2 = \frac{d_0 s_0^2 + d s^2}{d_0 + d},

and the quotient of a mean and its error so made has d_0 + d degrees of freedom. s_0 and d_0 come
from mean and variance of the logarithms z = log s^2 - psi(d/2) + log(d/2), by

.. math:: \psi'(d_0/2) = \operatorname{var}(z) - \psi'(d/2), \qquad
          \log s_0^2 = \bar z + \psi(d_0/2) - \log(d_0/2).

The variance of a few logarithms is itself uncertain, and one that is too small by accident would
have benchmarks lend one another a certainty that they do not have. So it is taken larger by
`CAUTION` of its own standard errors, and fewer than `FEWEST` benchmarks are left as they are.

References
----------
.. [1] G. K. Smyth, "Linear models and empirical Bayes methods for assessing differential expression
   in microarray experiments", Statist. Appl. Genet. Mol. Biol. 3, 2004, sections 4 and 6.2.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.special import digamma, polygamma

FEWEST = 8
CAUTION = 2.0

#: Of d_0, where variances differ by no more than chance: more changes nothing.
_MOST = 1000.0

Floats = npt.NDArray[np.float64]


def moderated(variances: Floats, freedom: Floats) -> tuple[Floats, Floats]:
    """Shrink variances.

    Parameters
    ----------
    variances : ndarray of shape (m,), float64
        Of m benchmarks. Those that are 0 stay so, and have no say in the others.
    freedom : ndarray of shape (m,), float64
        Their degrees of freedom.

    Returns
    -------
    ndarray, ndarray of shape (m,), float64
        The variances and their degrees of freedom.
    """
    known = variances > 0
    if np.count_nonzero(known) < FEWEST:
        return variances, freedom
    s2, d = variances[known], freedom[known]
    z = np.log(s2) - digamma(d / 2) + np.log(d / 2)
    spread = np.var(z, ddof=1) * (1 + CAUTION * math.sqrt(2 / (len(z) - 1)))
    excess = float(spread - np.mean(polygamma(1, d / 2)))
    d0 = min(_MOST, 2 * inverse_trigamma(max(excess, float(polygamma(1, _MOST / 2)))))
    s0 = np.exp(np.mean(z) + digamma(d0 / 2) - math.log(d0 / 2))
    shrunk, more = variances.copy(), freedom.copy()
    shrunk[known], more[known] = (d0 * s0 + d * s2) / (d0 + d), d0 + d
    return shrunk, more


def inverse_trigamma(value: float) -> float:
    """Solve psi'(x) = value, for a value between 1e-6 and 1e12."""
    from scipy.optimize import brentq  # not above: it takes 0.3 s, and small suites need it not

    return float(brentq(lambda x: polygamma(1, x) - value, 1e-6, 1e6))
