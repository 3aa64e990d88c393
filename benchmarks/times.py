"""Time of a million samples, in one call or in a thousand."""

from benchmarks.common import DTYPES, IMPLEMENTATIONS, prepare, timer

SAMPLES = 1_000_000


class _Time:
    # With a setup asv times single calls: the loop makes small sizes long enough for the clock.
    # Whatever the size, milliseconds are nanoseconds per element.
    params = (IMPLEMENTATIONS, DTYPES, (1_000, SAMPLES), ("flights",))
    param_names = ("implementation", "dtype", "size", "workload")
    samples = SAMPLES
    warmup_time = 0
    operation: str
    timer = timer

    def setup(self, implementation, dtype, size, workload):
        self.call = prepare(self.operation, implementation, dtype, size, workload)
        timer.follow(implementation)

    def _run(self, size):
        call = self.call
        for _ in range(self.samples // size):
            call()


class Sigmoid(_Time):
    operation = "sigmoid"

    def time_sigmoid(self, implementation, dtype, size, workload):
        self._run(size)


class BinaryCrossEntropy(_Time):
    operation = "binary_cross_entropy"

    def time_binary_cross_entropy(self, implementation, dtype, size, workload):
        self._run(size)


class LogisticLoss(_Time):
    operation = "logistic_loss"

    def time_logistic_loss(self, implementation, dtype, size, workload):
        self._run(size)


class BinaryCrossEntropyWithLogits(_Time):
    operation = "binary_cross_entropy_with_logits"

    def time_binary_cross_entropy_with_logits(self, implementation, dtype, size, workload):
        self._run(size)


class LogisticLossAndGrad(_Time):
    operation = "logistic_loss_and_grad"

    def time_logistic_loss_and_grad(self, implementation, dtype, size, workload):
        self._run(size)


class BinaryCrossEntropyWithLogitsAndGrad(_Time):
    operation = "binary_cross_entropy_with_logits_and_grad"

    def time_binary_cross_entropy_with_logits_and_grad(self, implementation, dtype, size, workload):
        self._run(size)
