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

# exp(r) = 1 + r + r^2 Q(r) on [-0.02167, 0.02167]:
# relative error below 2^-29.22.
EXP_SIXTEENTH_FLOAT32 = (
    float.fromhex("0x1.00021e0000000p-1"),
    float.fromhex("0x1.55559a0000000p-3"),
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

# exp(r) = 1 + r + r^2 Q(r) on [-0.02167, 0.02167]:
# relative error below 2^-65.28.
EXP_SIXTEENTH_FLOAT64 = (
    float.fromhex("0x1.0000000000004p-1"),
    float.fromhex("0x1.5555555555545p-3"),
    float.fromhex("0x1.555555547fdaep-5"),
    float.fromhex("0x1.111111125c5b9p-7"),
    float.fromhex("0x1.6c18413a40989p-10"),
    float.fromhex("0x1.a0191217253b0p-13"),
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

# 2^(k/16) less k in the four bits behind the exponent.
POWERS_FLOAT32 = (
    float.fromhex("0x1.0000000000000p+0"),
    float.fromhex("0x1.fb55860000000p-1"),
    float.fromhex("0x1.f72b840000000p-1"),
    float.fromhex("0x1.f387a60000000p-1"),
    float.fromhex("0x1.f06fe00000000p-1"),
    float.fromhex("0x1.edea640000000p-1"),
    float.fromhex("0x1.ebfdae0000000p-1"),
    float.fromhex("0x1.eab07e0000000p-1"),
    float.fromhex("0x1.ea09e60000000p-1"),
    float.fromhex("0x1.ea11480000000p-1"),
    float.fromhex("0x1.eace540000000p-1"),
    float.fromhex("0x1.ec49180000000p-1"),
    float.fromhex("0x1.ee89fa0000000p-1"),
    float.fromhex("0x1.f199be0000000p-1"),
    float.fromhex("0x1.f5818e0000000p-1"),
    float.fromhex("0x1.fa4afa0000000p-1"),
)

# What rounding took from 2^(k/16), less k likewise.
POWERS_REST_FLOAT32 = (
    float.fromhex("0x1.0000000000000p-39"),
    float.fromhex("0x1.8f31220000000p-25"),
    float.fromhex("-0x1.a157420000000p-27"),
    float.fromhex("0x1.9eac480000000p-25"),
    float.fromhex("0x1.0636e20000000p-25"),
    float.fromhex("0x1.3246840000000p-25"),
    float.fromhex("-0x1.f93abc0000000p-26"),
    float.fromhex("-0x1.ebd5ec0000000p-28"),
    float.fromhex("0x1.1fcef40000000p-26"),
    float.fromhex("-0x1.f29fd00000000p-26"),
    float.fromhex("0x1.75506e0000000p-28"),
    float.fromhex("0x1.a1f8480000000p-28"),
    float.fromhex("-0x1.e94b140000000p-27"),
    float.fromhex("-0x1.6d56b20000000p-28"),
    float.fromhex("-0x1.a22dbc0000000p-28"),
    float.fromhex("0x1.62486c0000000p-28"),
)

# 2^(k/16) less k in the four bits behind the exponent.
POWERS_FLOAT64 = (
    float.fromhex("0x1.0000000000000p+0"),
    float.fromhex("0x1.fb5586cf9890fp-1"),
    float.fromhex("0x1.f72b83c7d517bp-1"),
    float.fromhex("0x1.f387a6e756238p-1"),
    float.fromhex("0x1.f06fe0a31b715p-1"),
    float.fromhex("0x1.edea64c123422p-1"),
    float.fromhex("0x1.ebfdad5362a27p-1"),
    float.fromhex("0x1.eab07dd485429p-1"),
    float.fromhex("0x1.ea09e667f3bcdp-1"),
    float.fromhex("0x1.ea11473eb0187p-1"),
    float.fromhex("0x1.eace5422aa0dbp-1"),
    float.fromhex("0x1.ec49182a3f090p-1"),
    float.fromhex("0x1.ee89f995ad3adp-1"),
    float.fromhex("0x1.f199bdd85529cp-1"),
    float.fromhex("0x1.f5818dcfba487p-1"),
    float.fromhex("0x1.fa4afa2a490dap-1"),
)

# What rounding took from 2^(k/16), less k likewise.
POWERS_REST_FLOAT64 = (
    float.fromhex("0x1.0000000000000p-85"),
    float.fromhex("0x1.7a62e4adc610bp-54"),
    float.fromhex("-0x1.f9041b9d78a76p-56"),
    float.fromhex("0x1.6b07eb6c70573p-54"),
    float.fromhex("0x1.2f46ad23182e4p-55"),
    float.fromhex("0x1.5da0911f09ebcp-55"),
    float.fromhex("0x1.74397afec42e2p-56"),
    float.fromhex("0x1.f324c054647adp-55"),
    float.fromhex("-0x1.3dd3413b26456p-54"),
    float.fromhex("-0x1.b1577ee04992fp-56"),
    float.fromhex("0x1.ce9f156864b27p-55"),
    float.fromhex("0x1.17c46b071f2bep-56"),
    float.fromhex("0x1.ba1cd345dcc81p-55"),
    float.fromhex("0x1.41065895048ddp-56"),
    float.fromhex("0x1.4ed02d75b3707p-56"),
    float.fromhex("-0x1.f9c23179c2893p-55"),
)
