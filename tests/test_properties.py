"""What the mathematics says of the functions, on every implementation that claims to be stable."""

from __future__ import annotations

import numpy as np
import pytest

import xent_numba
from xent_numba.operations import OPERATIONS

STABLE = pytest.mark.targets(lambda t: t.declaration.formulation == "stable")


def operation(*names):
    return pytest.mark.targets(lambda t: t.operation.name in names)


def spread(target, reach=None):
    """Scores of both signs and all sizes, in ascending order, where no failure is declared."""
    reach = reach or {"float32": 120.0, "float64": 800.0}[target.dtype.name]
    small = np.geomspace(1e-6, 1, 40)
    positive = np.concatenate([small, np.linspace(1, reach, 700)[1:]])
    scores = np.concatenate([-positive[::-1], [0.0], positive]).astype(target.dtype)
    hard = target.operation.labels.hard if target.operation.labels else (None,)
    failing = [
        any(target.declaration.known_failure(s, y, target.dtype.name) for y in hard)
        for s in scores.tolist()
    ]
    return scores[~np.array(failing)]


def ulp(values, count):
    return count * np.spacing(np.abs(values))


@STABLE
@operation("sigmoid")
class TestSigmoid:
    def test_value_at_zero(self, target):
        zeros = np.array([0.0, -0.0], target.dtype)
        assert target(zeros).tolist() == [0.5, 0.5]

    def test_limits(self, target):
        infinities = np.array([np.inf, -np.inf, np.nan], target.dtype)
        np.testing.assert_array_equal(target(infinities), [1, 0, np.nan])

    def test_range_and_monotonicity(self, target):
        values = target(spread(target))
        assert ((values >= 0) & (values <= 1)).all()
        # Neighbours on this grid are further apart than twice the declared error.
        steps = np.diff(values)
        assert (steps >= -ulp(values[1:], 2 * target.limit("loss"))).all()
        assert (np.diff(values[::25]) >= 0).all()

    def test_symmetry(self, target):
        """1 - g(s) = g(-s)."""
        scores = spread(target, 30)
        scores = scores[np.isin(-scores, scores)]
        error = np.abs((1 - target(scores)) - target(-scores))
        assert (error <= ulp(np.ones(1, target.dtype), 1 + 2 * target.limit("loss"))).all()


@STABLE
@operation("logistic_loss")
class TestLogisticLoss:
    def test_limits(self, target):
        scores = np.array([np.inf, -np.inf, np.inf, -np.inf], target.dtype)
        labels = np.array([1, -1, -1, 1], np.int8)
        for score, label, loss in zip(scores, labels, [0, 0, np.inf, np.inf], strict=True):
            if not target.declaration.known_failure(float(score), float(label), str(target.dtype)):
                assert target(score.reshape(1), label.reshape(1), reduction="none")[0] == loss

    def test_falls_as_the_margin_grows(self, target):
        """Strictly: every fourth point of the grid, until the loss has vanished."""
        margins = spread(target)
        for label in (-1, 1):
            losses = target(
                label * margins, np.full(margins.shape, label, np.int8), reduction="none"
            )
            coarse = losses[::4]
            steps = np.diff(coarse[coarse > 0])
            assert (steps < 0).all()
            assert (np.diff(losses) <= ulp(losses[1:], 2 * target.limit("loss"))).all()

    def test_rises_towards_the_penalty_line(self, target):
        """L is above both 0 and -m, and the distance to -m falls with the margin."""
        margins = spread(target)
        losses = target(margins, np.ones(margins.shape, np.int8), reduction="none")
        slack = ulp(losses, target.limit("loss"))
        assert (losses >= 0).all()
        assert (losses >= -margins - slack).all()
        far = margins < -40
        assert (np.abs(losses + margins)[far] <= slack[far]).all()

    def test_never_negative_zero(self, target):
        margins = np.concatenate([spread(target), np.array([1e30], target.dtype)])
        for label in (-1, 1):
            losses = target(
                label * margins, np.full(margins.shape, label, np.int8), reduction="none"
            )
            assert not np.signbit(losses).any()

    def test_both_forms_agree(self, target):
        """With y01 = (y + 1) / 2 and p = g(s), where p is far enough from 1 to have digits left."""
        scores = np.linspace(-12, 5, 200).astype(target.dtype)
        labels = np.where(np.arange(200) % 2, 1, -1).astype(np.int8)
        probabilities = xent_numba.sigmoid(scores, implementation="numpy_stable")
        here = target(scores, labels, reduction="none")
        there = xent_numba.binary_cross_entropy(
            probabilities,
            (labels + 1) // 2,
            reduction="none",
            implementation="numpy_stable",
        )
        # An error of p by 4 ULP moves log(1 - p) by that over 1 - p.
        tolerance = (20 + 5 / (1 - probabilities)) * np.finfo(target.dtype).eps
        assert (np.abs(here - there) <= tolerance * np.maximum(here, 1)).all()

    def test_with_logits_is_the_same_loss(self, target):
        scores = spread(target, 50)
        labels = np.where(np.arange(scores.size) % 2, 1, -1).astype(np.int8)
        here = target(scores, labels, reduction="none")
        there = xent_numba.binary_cross_entropy_with_logits(
            scores, (labels + 1) // 2, reduction="none", implementation="numpy_stable"
        )
        assert (np.abs(here - there) <= ulp(there, 5 + target.limit("loss"))).all()


@STABLE
@operation("binary_cross_entropy")
def test_losses_of_probabilities_are_never_negative_zero(target):
    probabilities = np.concatenate([np.linspace(0, 1, 101), [0.0, 1.0]]).astype(target.dtype)
    for label in (0, 1):
        labels = np.full(probabilities.shape, label, np.int8)
        assert not np.signbit(target(probabilities, labels, reduction="none")).any()


@STABLE
@pytest.mark.targets(lambda t: t.operation.gradient and t.dtype == np.float64)
def test_gradient_is_the_finite_difference(target):
    scores = np.linspace(-15, 15, 101)
    labels = np.where(np.arange(101) % 2, *target.operation.labels.hard).astype(np.int8)
    # Truncation falls with h^2, rounding rises with 1/h: they meet at the cube root of eps.
    h = np.finfo(np.float64).eps ** (1 / 3)
    loss = {"implementation": target.name, "reduction": "none"}
    function = getattr(xent_numba, target.operation.loss)
    name_has_loss = target.operation.loss in xent_numba.implementations()[target.name].operations
    if not name_has_loss:
        pytest.skip(f"{target.name} has no {target.operation.loss}")
    slope = (function(scores + h, labels, **loss) - function(scores - h, labels, **loss)) / (2 * h)
    _, gradient = target(scores, labels, reduction="none")
    np.testing.assert_allclose(gradient, slope, rtol=0, atol=1e-8)


@STABLE
@pytest.mark.targets(lambda t: t.operation.labels)
def test_sum_is_the_sum_of_the_samples(target):
    arguments = target.sample(4097)
    each = target.per_sample(*arguments)["loss"]
    for reduction, expected in (("sum", 1), ("mean", each.size)):
        result = target(*arguments, reduction=reduction)
        reduced = result[0] if target.operation.gradient else result
        assert float(reduced) == pytest.approx(
            each.sum(dtype=np.float64) / expected,
            rel={"float32": 1e-6, "float64": 1e-12}[target.dtype.name],
        )


@STABLE
@pytest.mark.targets(lambda t: t.operation.gradient)
def test_loss_with_gradient_is_the_loss(target):
    loss = OPERATIONS[target.operation.loss]
    declarations = xent_numba.implementations()[target.name].operations
    if loss.name not in declarations:
        pytest.skip(f"{target.name} has no {loss.name}")
    first, labels = target.sample(1000)
    right = [
        declarations[loss.name].known_failure(*row, target.dtype.name) is None
        for row in zip(first.tolist(), labels.tolist(), strict=True)
    ]
    first, labels = first[right], labels[right]
    alone = getattr(xent_numba, loss.name)(
        first, labels, reduction="none", implementation=target.name
    )
    together = target.per_sample(first, labels)["loss"]
    allowed = target.limit("loss") + declarations[loss.name].max_ulp[target.dtype.name]
    assert (np.abs(alone - together) <= ulp(alone, allowed)).all()
