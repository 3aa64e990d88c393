"""What the Numba implementations are made of.

``bits`` holds the bit tricks, ``exp``, ``log`` and ``losses`` the mathematics, ``blocks`` the
loops and sums, ``memory`` where arrays lie, ``caching`` what keeps compiled code fresh.
``minimax`` writes ``coefficients``.

Every scalar function is free of branches, so that a loop over it vectorises, and uses ``fma``
where it wants one and nowhere else, so that a sample has the same bits in a scalar register
and in any lane of any SIMD width.
"""

FEW = 1024
"""Up to so many samples the call costs more than the samples, and has a way of its own."""
