"""Time of a call of a thousand samples, which is most of it the call, and of a million."""

import numpy as np

from benchmarks.common import OPERATIONS, SUBJECT, timed

for _operation in OPERATIONS:
    globals()[f"time_{_operation}"] = timed(_operation, (SUBJECT,))


def time_control():
    np.exp(time_control.values, out=time_control.out)


# What steps here, where no line is ours, is the machine's, or NumPy's.
time_control.values, time_control.out = np.full((2, 1_000_000), -1.0)
time_control.pretty_name = "control: numpy.exp"
