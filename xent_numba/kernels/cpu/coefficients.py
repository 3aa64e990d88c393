"""Minimax coefficients, constant term first. Written by ``minimax.py``."""

# exp(r) = 1 + r + r^2 Q(r) on [-0.3466, 0.3466]:
# relative error below 2^-27.97.
EXP_FLOAT32 = (
    float.fromhex("0x1.fffffc0000000p-2"),
    float.fromhex("0x1.5554920000000p-3"),
    float.fromhex("0x1.5558f20000000p-5"),
    float.fromhex("0x1.1239de0000000p-7"),
    float.fromhex("0x1.6a24380000000p-10"),
)

# log(1 + t) = q + q^3 A(q^2) on [0, 0.4445]:
# relative error below 2^-27.44.
LOG1P_FLOAT32 = (
    float.fromhex("0x1.5555020000000p-4"),
    float.fromhex("0x1.99d20e0000000p-7"),
    float.fromhex("0x1.1ebca40000000p-9"),
    float.fromhex("0x1.1ed9f40000000p-11"),
)

# log(1 + t) = q + q^3 A(q^2) on [0, 0.1178]:
# relative error below 2^-30.13.
LOG_FLOAT32 = (
    float.fromhex("0x1.55557a0000000p-4"),
    float.fromhex("0x1.995ec20000000p-7"),
    float.fromhex("0x1.31e2640000000p-9"),
)

# log(1 + t) = t - t^2/2 + t^3 T(t) on [0, 1]:
# relative error below 2^-26.64.
LOG1P_DIRECT_FLOAT32 = (
    float.fromhex("0x1.5554b40000000p-2"),
    float.fromhex("-0x1.ffdd060000000p-3"),
    float.fromhex("0x1.9818140000000p-3"),
    float.fromhex("-0x1.4c5e3a0000000p-3"),
    float.fromhex("0x1.03b3ee0000000p-3"),
    float.fromhex("-0x1.5ffe4e0000000p-4"),
    float.fromhex("0x1.6b03c20000000p-5"),
    float.fromhex("-0x1.e157080000000p-7"),
    float.fromhex("0x1.2a8f020000000p-9"),
)

# log(1 + t) = t - t^2/2 + t^3 T(t) on [-0.2930, 0.4143]:
# relative error below 2^-27.23.
LOG_DIRECT_FLOAT32 = (
    float.fromhex("0x1.5555540000000p-2"),
    float.fromhex("-0x1.0002280000000p-2"),
    float.fromhex("0x1.99a0140000000p-3"),
    float.fromhex("-0x1.5471fa0000000p-3"),
    float.fromhex("0x1.22d8c00000000p-3"),
    float.fromhex("-0x1.0d86d60000000p-3"),
    float.fromhex("0x1.05667a0000000p-3"),
    float.fromhex("-0x1.38c96c0000000p-4"),
)

# exp(r) = 1 + r + r^2 Q(r) on [-0.3466, 0.3466]:
# relative error below 2^-60.27.
EXP_FLOAT64 = (
    float.fromhex("0x1.0000000000000p-1"),
    float.fromhex("0x1.555555555555bp-3"),
    float.fromhex("0x1.5555555555503p-5"),
    float.fromhex("0x1.111111110ec5fp-7"),
    float.fromhex("0x1.6c16c16c30465p-10"),
    float.fromhex("0x1.a01a01b37d859p-13"),
    float.fromhex("0x1.a01a0136981f6p-16"),
    float.fromhex("0x1.71ddf0229909fp-19"),
    float.fromhex("0x1.27e5b4396dac3p-22"),
    float.fromhex("0x1.af6be4b0d95c6p-26"),
    float.fromhex("0x1.1e3d3a1ba1717p-29"),
)

# log(1 + t) = q + q^3 A(q^2) on [0, 0.4445]:
# relative error below 2^-58.61.
LOG1P_FLOAT64 = (
    float.fromhex("0x1.5555555555535p-4"),
    float.fromhex("0x1.99999999a06e1p-7"),
    float.fromhex("0x1.2492492090000p-9"),
    float.fromhex("0x1.c71c741a93dacp-12"),
    float.fromhex("0x1.745cb4453d70ap-14"),
    float.fromhex("0x1.3b1dd57430347p-16"),
    float.fromhex("0x1.1068168e6be8ap-18"),
    float.fromhex("0x1.efd31b578037fp-21"),
    float.fromhex("0x1.55c854344a4acp-23"),
    float.fromhex("0x1.5c62d56da735bp-24"),
)

# log(1 + t) = q + q^3 A(q^2) on [0, 0.1178]:
# relative error below 2^-59.0.
LOG_FLOAT64 = (
    float.fromhex("0x1.5555555555592p-4"),
    float.fromhex("0x1.999999997fdd2p-7"),
    float.fromhex("0x1.24924941f1617p-9"),
    float.fromhex("0x1.c71c5207de955p-12"),
    float.fromhex("0x1.74663f778af03p-14"),
    float.fromhex("0x1.39a1a61c7619cp-16"),
    float.fromhex("0x1.2f066e6c11b94p-18"),
)
