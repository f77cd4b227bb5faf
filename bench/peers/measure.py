"""What the programs of all peers share: the clock, the calibration, the line that they print.

A row is a function of a few whole numbers, or words, that returns the row's value. Most rows are
rates: their body performs n operations and says how many seconds those took, set-up not included;
``per_op`` runs it with small n first, to warm up and to find the n that fills the time budget.
"""

import json
import os
import resource
import sys
from collections.abc import Awaitable, Callable, Generator
from inspect import isawaitable
from time import perf_counter, process_time
from typing import Any, NoReturn

BUDGET = float(os.environ.get("BENCH_SECONDS", "0.3"))
PROCS = int(os.environ.get("GOMAXPROCS", "1"))
PAGE = resource.getpagesize()
clock = perf_counter


def main(rows: tuple[Callable[..., Any], ...], run: Callable[[Any], Any]) -> None:
    """Run the row that the command line names and print its value as one line of JSON."""
    name, *words = sys.argv[1:]
    row = next(row for row in rows if row.__name__ == name)
    value = row(*(int(word) if word.isdigit() else word for word in words))
    if isawaitable(value):
        value = run(value)
    if value is not None:
        report(value)


def report(value: float | list[float]) -> None:
    gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    print(json.dumps({"value": value, "gil": gil}), flush=True)


def report_and_exit(value: float) -> NoReturn:
    """For the rows with many waiting tasks: to take them down one by one is not part of the row."""
    report(value)
    os._exit(0)


def calibration() -> Generator[int, float, float]:
    """Yield each n to run, be sent its seconds, return the nanoseconds of one operation.

    Every n is a multiple of 1000, so that tasks and batches divide it.
    """
    n = 1000
    seconds = yield n
    while seconds < BUDGET / 10:
        n *= 4
        seconds = yield n
    n = 1000 * (1 + int(n * BUDGET / seconds) // 1000)
    seconds = yield n
    return 1e9 * seconds / n


async def per_op(body: Callable[[int], Awaitable[float]]) -> float:
    steps = calibration()
    n = next(steps)
    while True:
        try:
            n = steps.send(await body(n))
        except StopIteration as end:
            return end.value


def per_op_plain(body: Callable[[int], float]) -> float:
    """``per_op`` for a runtime whose functions are not coloured."""
    steps = calibration()
    n = next(steps)
    while True:
        try:
            n = steps.send(body(n))
        except StopIteration as end:
            return end.value


def resident() -> int:
    """This process's resident memory in bytes; without /proc, the most that it ever was."""
    try:
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * PAGE
    except FileNotFoundError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


class Parked:
    """The growth of resident memory while n tasks start and wait."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.started = 0
        self.before = resident()

    def start(self) -> None:
        self.started += 1

    def all_started(self) -> bool:
        return self.started >= self.n

    def report(self) -> NoReturn:
        report_and_exit((resident() - self.before) / self.n)


class Sleepers:
    """n tasks wait at a gate until all have started, then sleep twice.

    The CPU time between the moment when all are in their first sleep and the moment when all are
    in their second is one fire, one switch and one new timer each.
    """

    def __init__(self, n: int) -> None:
        self.n = n
        self.waiting = 0
        self.asleep = 0
        self.again = 0
        self.made = clock()
        self.head_start = 0.0
        self.began = 0.0
        self.cpu = 0.0

    def waits(self) -> None:
        self.waiting += 1

    def all_waiting(self) -> bool:
        """The first sleep is to last until all are in it: about as long as it took to start all."""
        self.head_start = clock() - self.made + 1.5
        return self.waiting == self.n

    def delay(self, i: int) -> float:
        """Spread over half a second, so that timers are not set in the order in which they fire."""
        return self.head_start + i * 7919 % 1000 / 2000

    def falls_asleep(self) -> None:
        self.asleep += 1

    def falls_asleep_again(self) -> None:
        self.again += 1
        if self.again == self.n:
            self.cpu = process_time() - self.began

    def all_asleep(self) -> bool:
        """Starts the clock when it returns True."""
        if self.again:
            raise RuntimeError("the first sleeper woke before the last one slept")
        self.began = process_time()
        return self.asleep == self.n

    def all_asleep_again(self) -> bool:
        return self.again == self.n

    def report(self) -> NoReturn:
        report_and_exit(1e6 * self.cpu / self.n)


def burn(loops: int) -> int:
    """Only compute."""
    total = 0
    for i in range(loops):
        total += i * i % 7
    return total
