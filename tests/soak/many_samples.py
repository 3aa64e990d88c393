"""More samples than an int32 can count, most of them of memory that is never written."""

import math

import numpy as np
from trial import report, told

import xent_numba


def main() -> None:
    (power,) = told()
    size = 2**power + 4097
    scores, labels = np.zeros(size, np.float32), np.zeros(size, np.int8)
    scores[-1] = far = 2.0**power
    total = xent_numba.binary_cross_entropy_with_logits(scores, labels, reduction="sum")
    right = (size - 1) * math.log(2) + far
    labels[-1] = 2
    try:
        xent_numba.binary_cross_entropy_with_logits(scores, labels)
        sentence = "none"
    except ValueError as error:
        sentence = str(error)
    named = str(size - 1) in sentence.replace(",", "")
    report(samples=size, relative_error=abs(float(total) / right - 1), named=named)


main()
