"""What tensors of PyTorch's say of themselves to compiled code."""

import sys

import pytest
from dlpack_table import table

from xent_numba.kernels.cuda import exchange


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture(scope="module")
def describe(torch):
    function = exchange.function_for(torch.Tensor)
    if not function:
        pytest.skip(f"torch {torch.__version__} has no table of functions")
    return exchange.describer(function)


def test_addresses_are_those_of_the_elements(torch, describe):
    tensors = torch.zeros(4, 3)[1:], torch.zeros(3, dtype=torch.int8), torch.zeros(())
    _, places = describe(*tensors, None)
    assert places == (*(tensor.data_ptr() for tensor in tensors), 0)


def test_equal_bytes_mean_equal_dtypes_and_shapes(torch, describe):
    numbers = "float16", "bfloat16", "float32", "float64", "int8", "uint8", "int32", "bool"
    shapes = (), (1,), (12,), (4, 3), (3, 4), (1, 12), (12, 1), (1, 1, 12), (2, 1, 6), (1,) * 6

    def all_said():
        tensors = [
            torch.zeros(shape, dtype=getattr(torch, number))
            for number in numbers
            for shape in shapes
        ]
        return [
            describe(*(tensor if i == role else None for i in range(4)))[0]
            for tensor in tensors
            for role in range(4)
        ]

    said = all_said()
    assert said == all_said()
    assert len(set(said)) == len(said) == len(numbers) * len(shapes) * 4


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize(
    "odd",
    [
        lambda torch, plain: plain.t(),
        lambda torch, plain: plain[::2],
        lambda torch, plain: plain[:, :2],
        lambda torch, plain: plain[:1].expand(4, 3),
        lambda torch, plain: torch.zeros((1,) * 7),
        lambda torch, plain: plain.to_sparse(),
        lambda torch, plain: torch.zeros(3, device="meta"),
        lambda torch, plain: torch.nested.nested_tensor([plain[0], plain[0, :2]]),
    ],
    ids=["turned", "rows", "columns", "expanded", "seven", "sparse", "meta", "nested"],
)
def test_what_is_not_plain_is_not_described(torch, describe, odd):
    plain = torch.zeros(4, 3)
    tensor = odd(torch, plain)
    for role in range(4):
        assert describe(*(tensor if i == role else plain for i in range(4))) is None
    assert describe(plain, plain, None, None) is not None


def test_strides_of_one_element_do_not_matter(torch, describe):
    plain = torch.zeros(4, 3)
    assert describe(plain[:1, :2], plain[:, None], plain[1:2, 1:2], None) is not None


def test_tensors_within_vmap_have_no_address(torch, describe):
    found = []
    torch.vmap(lambda row: (found.append(describe(row, None, None, None)), row)[1])(
        torch.zeros(4, 3)
    )
    assert found == [None]


def test_nothing_is_kept_of_a_call(torch, describe):
    plain = torch.zeros(4, 3)
    turned = plain.t()
    before = [sys.getrefcount(one) for one in (None, plain, turned)]
    for _ in range(1000):
        describe(plain, plain, None, None)
        describe(plain, turned, None, None)
    after = [sys.getrefcount(one) for one in (None, plain, turned)]
    assert max(abs(now - then) for now, then in zip(after, before, strict=True)) < 100


def test_a_table_that_is_not_known_is_left_alone():
    class Nothing:
        pass

    class Other:
        __dlpack_c_exchange_api__ = "a table"

    class Later:
        __dlpack_c_exchange_api__ = table(1, major=2)

    class Known:
        __dlpack_c_exchange_api__ = table(1)

    assert [exchange.function_for(kind) for kind in (Nothing, Other, Later)] == [0] * 3
    assert exchange.function_for(Known) == 1
