"""Results that stay on a GPU: loops that wait for nothing, CUDA graphs, arrays of each library."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from on_gpu import LOSSES, call, sample

import xent_numba
from xent_numba.operations import OPERATIONS

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("cuda")]


def on_torch():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this PyTorch has no CUDA")
    return torch


def test_a_training_loop_waits_for_nothing_and_learns():
    """Loss and gradient stay on the device; PyTorch would raise where it is told not to wait."""
    torch = on_torch()
    generator = torch.Generator(device="cuda").manual_seed(0)
    features = torch.randn(20_000, 8, device="cuda", generator=generator)
    labels = (features @ torch.arange(8.0, device="cuda") > 0).to(torch.int8)
    weights = torch.zeros(8, device="cuda")
    loss, slope = torch.empty((), device="cuda"), torch.empty(20_000, device="cuda")
    history = torch.empty(50, device="cuda")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Synchronization debug mode is a prototype")
        torch.cuda.set_sync_debug_mode("error")
    try:
        for step in range(50):
            scores = features @ weights
            xent_numba.binary_cross_entropy_with_logits_and_grad(
                scores, labels, out=loss, grad_out=slope
            )
            history[step] = loss
            weights -= 5 * (features.T @ slope)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    losses = history.tolist()
    assert losses[0] == np.float32(np.log(2))
    assert losses[-1] < 0.3 < losses[0]
    right = torch.nn.functional.binary_cross_entropy_with_logits(features @ weights, labels.float())
    again = xent_numba.binary_cross_entropy_with_logits(features @ weights, labels)
    assert float(again) == pytest.approx(right.item(), rel=1e-5)


@pytest.mark.parametrize("size", [1000, 100_000])
def test_a_whole_step_in_a_cuda_graph_of_pytorch(size):
    torch = on_torch()
    operation = OPERATIONS["binary_cross_entropy_with_logits_and_grad"]
    scores, labels = (torch.as_tensor(a).cuda() for a in sample(operation, size, "float32"))
    others = torch.as_tensor(sample(operation, size, "float32", seed=6)[0]).cuda()
    weights = torch.rand(size, device="cuda")
    loss, slope = torch.empty((), device="cuda"), torch.empty_like(scores)
    for options in ({}, {"sample_weight": weights}):

        def step(options=options):
            call(operation, scores, labels, out=loss, grad_out=slope, **options)

        step()
        kept = scores.clone()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()
        for values in (others, kept):
            scores.copy_(values)
            loss.zero_()
            slope.zero_()
            graph.replay()
            got, slopes = loss.item(), slope.clone()
            right, gradient = call(operation, scores, labels, **options)
            assert got == right
            np.testing.assert_array_equal(slopes.cpu(), gradient.cpu())


def test_a_number_is_not_given_while_a_graph_is_captured():
    torch = on_torch()
    operation = OPERATIONS["logistic_loss"]
    scores, labels = (torch.as_tensor(a).cuda() for a in sample(operation, 1000, "float32"))
    expected = call(operation, scores, labels)
    graph = torch.cuda.CUDAGraph()
    with pytest.raises(RuntimeError), torch.cuda.graph(graph):  # noqa: PT012
        with pytest.raises(RuntimeError, match="accepted are calls with out= on the device"):
            call(operation, scores, labels)
        raise RuntimeError("the capture cannot go on")
    assert call(operation, scores, labels) == expected


def test_a_loss_in_a_cuda_graph_of_cupy():
    cupy = pytest.importorskip("cupy")
    operation = OPERATIONS["logistic_loss"]
    scores, labels = (cupy.asarray(array) for array in sample(operation, 50_000, "float32"))
    expected = call(operation, scores, labels)
    loss = cupy.zeros((), cupy.float32)
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        call(operation, scores, labels, out=loss)
        stream.synchronize()
        loss[...] = 0
        stream.begin_capture()
        call(operation, scores, labels, out=loss)
        graph = stream.end_capture()
        graph.launch(stream)
    stream.synchronize()
    assert loss.get() == expected


def test_bad_values_with_out_make_nan():
    torch = on_torch()
    for operation in LOSSES:
        for size in (1000, 100_000):
            first, labels = (torch.as_tensor(a).cuda() for a in sample(operation, size, "float32"))
            out, slope = torch.zeros((), device="cuda"), torch.zeros(size, device="cuda")
            outputs = {"out": out} | ({"grad_out": slope} if operation.gradient else {})
            call(operation, first, labels, **outputs)
            assert torch.isfinite(out)
            labels[77] = 9
            call(operation, first, labels, **outputs)
            assert torch.isnan(out)
            each = torch.zeros(size, device="cuda")
            call(operation, first, labels, reduction="none", **(outputs | {"out": each}))
            for result in (each, slope) if operation.gradient else (each,):
                assert torch.isnan(result[77])
                assert torch.isfinite(torch.cat([result[:77], result[78:]])).all()


def test_results_are_of_the_library_of_the_arguments():
    torch = on_torch()
    scores = torch.randn(10, device="cuda")
    assert isinstance(xent_numba.sigmoid(scores), torch.Tensor)
    assert xent_numba.sigmoid(scores.half()).dtype == torch.float32
    assert isinstance(xent_numba.sigmoid(scores[0]), torch.Tensor)
    with pytest.raises(TypeError, match=r"scores is a tensor that requires grad.*\.detach"):
        xent_numba.sigmoid(scores.requires_grad_())
