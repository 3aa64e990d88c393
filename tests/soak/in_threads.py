"""Threads that call at random, for some seconds; each result has the bits it has alone."""

import random
import threading
import time

from trial import call, expected, report, told

THREADS = 8


def main() -> None:
    kinds, seconds = told()
    right = expected(kinds)
    end = time.monotonic() + seconds
    counts, wrong = [0] * THREADS, []

    def calls(caller: int) -> None:
        draw = random.Random(caller)
        while time.monotonic() < end:
            number = draw.randrange(kinds)
            if call(number) != right[number]:
                wrong.append(number)
            counts[caller] += 1

    callers = [threading.Thread(target=calls, args=(caller,)) for caller in range(THREADS)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    report(calls=sum(counts), wrong=len(wrong), least=min(counts), right=right)


main()
