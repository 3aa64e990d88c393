"""Kernels for CPU threads: the mathematics, the loops over samples, and the sums."""
