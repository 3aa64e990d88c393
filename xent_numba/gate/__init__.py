"""Whether a change made a project slower, or worse in what can be counted.

Works for any project with asv benchmarks: what is benchmarked, and how it is built, is read from
its ``asv.conf.json``. Nothing in this folder knows what the benchmarks compute.
"""


class GateError(Exception):
    """The gate cannot answer; the message says why, in one sentence."""
