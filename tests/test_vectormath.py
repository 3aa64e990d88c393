"""The functions for a user's own loops: what they give, where, and what becomes of the loops."""

from __future__ import annotations

import functools
import hashlib
import os
import subprocess
import sys

import numba
import numpy as np
import pytest

import xent_numba
from xent_numba import vectormath
from xent_numba.codegen import assembly

FUNCTIONS = [name for name in vectormath.__all__ if name != "prefer_full_vectors"]
DTYPES = ("float32", "float64")
LOG2 = 0.6931471805599453
INF, NAN = np.inf, np.nan
#: At 0, -0, inf, -inf and NaN, then at 1 and -1.
SPECIAL = {
    "exp": (1.0, 1.0, INF, 0.0, NAN, 2.718281828459045, 0.36787944117144233),
    "expm1": (0.0, -0.0, INF, -1.0, NAN, 1.718281828459045, -0.6321205588285577),
    "log": (-INF, -INF, INF, NAN, NAN, 0.0, NAN),
    "log1p": (0.0, -0.0, INF, NAN, NAN, LOG2, -INF),
    "log1p_derivative": (1.0, 1.0, 0.0, -0.0, NAN, 0.5, INF),
    "sigmoid": (0.5, 0.5, 1.0, 0.0, NAN, 0.7310585786300049, 0.2689414213699951),
    "sigmoid_derivative": (0.25, 0.25, 0.0, 0.0, NAN, 0.19661193324148185, 0.19661193324148185),
    "softplus": (LOG2, LOG2, INF, 0.0, NAN, 1.3132616875182228, 0.31326168751822286),
    "log_sigmoid": (-LOG2, -LOG2, -0.0, -INF, NAN, -0.31326168751822286, -1.3132616875182228),
}
AT = (0.0, -0.0, INF, -INF, NAN, 1.0, -1.0)
#: Inputs, by dtype, on the two sides of an edge, and whether the result beyond it is infinite or 0.
EDGES = {
    ("exp", "float32"): [(88.72283, 88.72284, INF), (-103.97208, -103.97209, 0)],
    ("exp", "float64"): [
        (709.782712893384, 709.7827128933841, INF),
        (-745.13321910194, -745.14, 0),
    ],
    ("expm1", "float32"): [(88.72283, 88.72284, INF)],
    ("expm1", "float64"): [(709.782712893384, 709.7827128933841, INF)],
}


@functools.cache
def loop(name, dtype, fastmath=False):
    """A user's loop over a function, compiled."""
    function = getattr(vectormath, name)

    def user(inputs, results):
        for i in range(inputs.size):
            results[i] = function(inputs[i])

    array = assembly.array_type(dtype)
    return numba.njit((array, array), fastmath=fastmath)(user)


def of_all(inputs, results):
    """Each function in a row of its own."""
    for i in range(inputs.size):
        x = inputs[i]
        results[0, i] = vectormath.exp(x)
        results[1, i] = vectormath.expm1(x)
        results[2, i] = vectormath.log(x)
        results[3, i] = vectormath.log1p(x)
        results[4, i] = vectormath.log1p_derivative(x)
        results[5, i] = vectormath.log_sigmoid(x)
        results[6, i] = vectormath.sigmoid(x)
        results[7, i] = vectormath.sigmoid_derivative(x)
        results[8, i] = vectormath.softplus(x)


def computed(dtype, decorate):
    inputs = samples(dtype)
    results = np.empty((len(FUNCTIONS), inputs.size), dtype)
    decorate(of_all)(inputs, results)
    return results


@functools.cache
def expected(dtype):
    return computed(dtype, numba.njit)


def samples(dtype, size=10_007):
    """Numbers of all magnitudes, and special ones."""
    some = np.random.default_rng(0).normal(0, 1, size) * np.geomspace(1e-6, 1e3, size)
    info = np.finfo(dtype)
    ends = [info.smallest_subnormal, info.tiny, info.max, *AT]
    return np.concatenate([some.astype(dtype), np.array(ends, dtype)])


def digest(*arrays):
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_special_values(name, dtype):
    inputs = np.array(AT, dtype)
    results = np.empty_like(inputs)
    loop(name, dtype)(inputs, results)
    true = np.array(SPECIAL[name], dtype)
    np.testing.assert_array_max_ulp(results, true, 1)
    numbers = ~np.isnan(true)
    np.testing.assert_array_equal(np.signbit(results[numbers]), np.signbit(true[numbers]))


@pytest.mark.parametrize(("name", "dtype"), EDGES)
def test_edges(name, dtype):
    for inside, beyond, limit in EDGES[name, dtype]:
        inputs = np.array([inside, beyond], dtype)
        results = np.empty_like(inputs)
        loop(name, dtype)(inputs, results)
        assert np.isfinite(results[0])
        assert results[0] != 0
        assert results[1] == limit


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["expm1", "log1p"])
def test_tiny_numbers_come_back(name, dtype):
    info = np.finfo(dtype)
    inputs = np.array([info.smallest_subnormal, info.tiny / 2, info.tiny, 1e-30], dtype)
    inputs = np.concatenate([inputs, -inputs])
    results = np.empty_like(inputs)
    loop(name, dtype)(inputs, results)
    np.testing.assert_array_equal(results, inputs)


@pytest.mark.skipif(not assembly.readable(), reason="only x86 assembly is read")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_users_loop_is_full_vectors_without_a_call(name, dtype):
    function = getattr(vectormath, name)

    def user(inputs, results):
        vectormath.prefer_full_vectors()
        for i in range(inputs.size):
            results[i] = function(inputs[i])

    array = assembly.array_type(dtype)
    compiled = numba.njit((array, array))(user)
    text = compiled.inspect_asm(compiled.signatures[0])
    found = assembly.read_loops(text, assembly.SUFFIXES[dtype], (1,))
    assert found.width == assembly.machine_width()
    assert found.calls == 0
    assert not assembly.read_libm(text)


@pytest.mark.skipif(not assembly.readable(), reason="only x86 assembly is read")
def test_a_loop_of_calls_is_told_from_vectors():
    import math

    def user(inputs, results):
        for i in range(inputs.size):
            results[i] = math.exp(inputs[i])

    array = assembly.array_type("float64")
    text = assembly.assembly(user, (array, array))
    assert assembly.read_loops(text, "pd", (1,)).width == 0
    assert assembly.read_libm(text) == {"exp"}


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_are_what_each_function_gives(dtype):
    inputs, results = samples(dtype), np.empty_like(samples(dtype))
    for row, name in zip(expected(dtype), FUNCTIONS, strict=True):
        loop(name, dtype)(inputs, results)
        np.testing.assert_array_equal(row, results)
        one_by_one = np.array([getattr(vectormath, name)(x) for x in inputs[::997]])
        assert one_by_one.dtype == dtype
        np.testing.assert_array_equal(one_by_one, results[::997])


def in_parallel(inputs, results):
    for i in numba.prange(inputs.size):
        of_all_compiled(inputs[i : i + 1], results[:, i : i + 1])


of_all_compiled = numba.njit(of_all)


@pytest.mark.parametrize(
    "options",
    [{"fastmath": True}, {"fastmath": {"contract", "reassoc"}}, {"boundscheck": True}],
    ids=["fastmath", "contract and reassoc", "boundscheck"],
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_options_of_the_caller_change_no_bit(dtype, options):
    np.testing.assert_array_equal(computed(dtype, numba.njit(**options)), expected(dtype))


@pytest.mark.parametrize("name", ["expm1", "log1p", "sigmoid"])
def test_fastmath_changes_no_bit_of_full_vectors(name):
    inputs, results = samples("float32"), np.empty_like(samples("float32"))
    loop(name, "float32", fastmath=True)(inputs, results)
    np.testing.assert_array_equal(results, expected("float32")[FUNCTIONS.index(name)])


@pytest.mark.parametrize("dtype", DTYPES)
def test_same_bits_on_many_threads(dtype):
    found = computed(dtype, lambda _: numba.njit(parallel=True)(in_parallel))
    np.testing.assert_array_equal(found, expected(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_same_bits_in_a_generalised_ufunc(dtype):
    kind = getattr(numba, dtype)

    def by_gufunc(_):
        @numba.guvectorize([(kind[:], kind[:], kind[:, :])], "(n),(m)->(m,n)")
        def rows(inputs, _, results):
            of_all_compiled(inputs, results)

        return lambda inputs, results: rows(inputs, results[:, 0], results)

    with np.errstate(all="ignore"):  # NumPy looks at the flags, which a loop leaves as they are
        found = computed(dtype, by_gufunc)
    np.testing.assert_array_equal(found, expected(dtype))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_becomes_a_ufunc_that_warns_of_no_plain_number(name):
    element_wise = numba.vectorize(["float32(float32)"])(getattr(vectormath, name))
    inputs = samples("float32")
    with np.errstate(all="ignore"):
        found = element_wise(np.repeat(inputs, 3)[::3])
    np.testing.assert_array_equal(found, expected("float32")[FUNCTIONS.index(name)])
    with np.errstate(all="raise", under="ignore"):
        element_wise(np.array([1e-30, 0.3, 1, 80], np.float32))


@pytest.mark.slow
@pytest.mark.skipif(not assembly.readable(), reason="names a processor of x86")
def test_same_bits_on_a_processor_of_2013():
    script = "import test_vectormath as t\nprint(t.digest(*(t.expected(d) for d in t.DTYPES)))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={
            **os.environ,
            "NUMBA_CPU_NAME": "haswell",
            "NUMBA_CPU_FEATURES": "",
            "PYTHONPATH": path(),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split()[-1] == digest(*map(expected, DTYPES))


def path():
    return os.pathsep.join(entry or os.curdir for entry in sys.path)


def test_python_gets_what_compiled_code_gets():
    assert vectormath.exp(1.0) == 2.718281828459045
    assert type(vectormath.exp(1.0)) is float
    assert type(vectormath.exp(np.float32(1))) is np.float32
    assert vectormath.sigmoid(0) == 0.5
    assert vectormath.sigmoid(np.True_) == vectormath.sigmoid(1.0)


@pytest.mark.parametrize("x", [np.zeros(3), 1j, "1", np.float16(1), None, [1.0]], ids=repr)
def test_other_things_are_refused_in_one_sentence(x):
    with pytest.raises(TypeError, match=r"^x of vectormath\.log1p is a .*; accepted is a float32"):
        vectormath.log1p(x)


@pytest.mark.parametrize("x", [np.zeros(3), 1j], ids=repr)
def test_compiled_code_refuses_them_too(x):
    with pytest.raises(numba.core.errors.TypingError, match=r"x of vectormath\.log1p is "):
        numba.njit(lambda x: vectormath.log1p(x))(x)


def test_integers_become_float64_in_compiled_code():
    @numba.njit
    def user(x):
        return vectormath.exp(x), xent_numba.vectormath.log(2), vectormath.sigmoid(x > 0)

    assert user(1) == (2.718281828459045, LOG2, vectormath.sigmoid(1.0))


def test_importing_the_package_imports_no_numba():
    script = (
        "import sys, xent_numba\n"
        "assert 'vectormath' in dir(xent_numba)\n"
        "assert 'numba' not in sys.modules and 'xent_numba.vectormath' not in sys.modules\n"
        "assert xent_numba.vectormath is sys.modules['xent_numba.vectormath']\n"
        "from xent_numba import vectormath\n"
        "assert vectormath is xent_numba.vectormath\n"
        "try: xent_numba.vector\n"
        "except AttributeError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "module 'xent_numba' has no attribute 'vector'\n"


@pytest.mark.slow
def test_a_simulated_gpu_gives_the_same_bits():
    script = (
        "import numpy as np, test_vectormath as t\n"
        "from numba import cuda\n"
        "@cuda.jit\n"
        "def kernel(inputs, results):\n"
        "    i = cuda.grid(1)\n"
        "    if i < inputs.size:\n"
        "        t.of_all(inputs[i : i + 1], results[:, i : i + 1])\n"
        "inputs = t.samples('float32')[-64:]\n"
        "results = np.empty((len(t.FUNCTIONS), 64), np.float32)\n"
        "kernel[1, 64](inputs, results)\n"
        "print(t.digest(results))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "PYTHONPATH": path()},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split()[-1] == digest(np.ascontiguousarray(expected("float32")[:, -64:]))
