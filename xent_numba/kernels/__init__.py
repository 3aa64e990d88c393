"""What the Numba implementations are made of.

In ``cpu``, ``lanes`` makes a vector a value, ``bits`` holds the bit tricks, ``exp``, ``log``,
``losses`` and ``soft_labels`` the mathematics, ``blocks`` the loops, ``summation``, ``weights`` and
``partials`` the sums, ``memory`` where arrays lie, ``float_state`` how the processor rounds,
``parts`` and ``teams`` how it is compiled and shared among threads, ``caching`` what keeps compiled
code fresh. ``cuda`` is its mirror on a GPU.
``tools/minimax.py`` writes ``coefficients``.

Every function of a sample is free of branches, takes a number or lanes, and uses ``fma``
where it wants one and nowhere else, so that a sample has the same bits in a scalar register
and in any lane of any SIMD width.
"""

SMALL_CALL = 1024
"""Samples up to which the call costs more than the samples, and takes a way of its own."""
