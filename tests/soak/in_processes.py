"""Processes of every kind, of a parent that has used its threads; each result has the same bits."""

import multiprocessing
import os
import threading
import warnings
from concurrent.futures import ProcessPoolExecutor

import joblib
import numpy as np
from trial import call, expected, report, told

import xent_numba

WORKERS = 2


def pools(numbers: range) -> dict[str, list[str]]:
    """What each kind of pool gives."""
    found = {}
    for method in multiprocessing.get_all_start_methods():
        context = multiprocessing.get_context(method)
        with context.Pool(WORKERS) as pool:
            found[f"Pool, {method}"] = pool.map(call, numbers)
        with ProcessPoolExecutor(WORKERS, mp_context=context) as executor:
            found[f"ProcessPoolExecutor, {method}"] = list(executor.map(call, numbers))
        found[f"Process, {method}"] = [alone(context, number) for number in numbers[:2]]
    parallel = joblib.Parallel(WORKERS)
    found["joblib"] = parallel(joblib.delayed(call)(number) for number in numbers)
    return found


def alone(context: object, number: int) -> str:
    """What a process of its own gives."""
    queue = context.SimpleQueue()
    process = context.Process(target=answer, args=(queue, number))
    process.start()
    given = queue.get()
    process.join()
    return given


def answer(queue: object, number: int) -> None:
    queue.put(call(number))


def forks_beside_a_kernel(count: int, numbers: range, right: list[str]) -> int:
    """Fork while another thread is in a kernel, or compiles one; how many children were right."""
    stop = threading.Event()
    scores = np.zeros(3_000_000)

    def busy() -> None:
        while not stop.is_set():
            xent_numba.sigmoid(scores)

    thread = threading.Thread(target=busy)
    thread.start()
    good = 0
    for turn in range(count):
        number = numbers[turn % len(numbers)]
        child = os.fork()
        if child == 0:
            os._exit(0 if call(number) == right[number] else 1)
        good += os.waitpid(child, 0)[1] == 0
    stop.set()
    thread.join()
    return good


def main() -> None:
    kinds, forks = told()
    # Python 3.12 says that a fork beside threads may be stuck: that it is not is what is tried.
    warnings.simplefilter("ignore", DeprecationWarning)
    right = expected(kinds)
    numbers = range(kinds)
    found = pools(numbers)
    wrong = sum(a != b for given in found.values() for a, b in zip(given, right, strict=False))
    good = forks_beside_a_kernel(forks, numbers, right)
    results = sum(map(len, found.values()))
    report(results=results, wrong=wrong, forks=forks, forks_right=good, right=right)


if __name__ == "__main__":
    main()
