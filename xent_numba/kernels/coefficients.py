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

# log(1 + t) = q + q^3 A(q^2) on [0, 0.7624]:
# relative error below 2^-27.78.
LOG1P_FLOAT32 = (
    float.fromhex("0x1.55558e0000000p-4"),
    float.fromhex("0x1.9979a40000000p-7"),
    float.fromhex("0x1.277c6a0000000p-9"),
    float.fromhex("0x1.8ceb580000000p-12"),
    float.fromhex("0x1.374bcc0000000p-13"),
)

# log(1 + t) = q + q^3 A(q^2) on [0, 0.1178]:
# relative error below 2^-30.13.
LOG_FLOAT32 = (
    float.fromhex("0x1.55557a0000000p-4"),
    float.fromhex("0x1.995ec20000000p-7"),
    float.fromhex("0x1.31e2640000000p-9"),
)

# exp(r) = 1 + r + r^2 Q(r) on [-0.3466, 0.3466]:
# relative error below 2^-56.35.
EXP_FLOAT64 = (
    float.fromhex("0x1.000000000000ap-1"),
    float.fromhex("0x1.55555555554fap-3"),
    float.fromhex("0x1.5555555550881p-5"),
    float.fromhex("0x1.1111111127bcdp-7"),
    float.fromhex("0x1.6c16c1842919ep-10"),
    float.fromhex("0x1.a01a012a5e646p-13"),
    float.fromhex("0x1.a0199a0f2b155p-16"),
    float.fromhex("0x1.71df25472669fp-19"),
    float.fromhex("0x1.28ad702250c36p-22"),
    float.fromhex("0x1.ad7f7a31a7000p-26"),
)

# log(1 + t) = q + q^3 A(q^2) on [0, 0.7624]:
# relative error below 2^-57.76.
LOG1P_FLOAT64 = (
    float.fromhex("0x1.5555555555530p-4"),
    float.fromhex("0x1.99999999a016ep-7"),
    float.fromhex("0x1.24924921734efp-9"),
    float.fromhex("0x1.c71c7347d65e8p-12"),
    float.fromhex("0x1.745ce12073851p-14"),
    float.fromhex("0x1.3b1886eaee6a4p-16"),
    float.fromhex("0x1.10c7bda6361aep-18"),
    float.fromhex("0x1.e7c43bafed8eap-21"),
    float.fromhex("0x1.863bce9168576p-23"),
    float.fromhex("0x1.21132f19ed8f6p-24"),
    float.fromhex("-0x1.65dfe7616af71p-28"),
    float.fromhex("0x1.19bd1a1fe40aap-27"),
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
