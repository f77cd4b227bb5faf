"""The small examples, run as a user runs them."""

import re
from collections.abc import Callable

import pytest


def is_prime(n: int) -> bool:
    return all(n % d for d in range(2, int(n**0.5) + 1))


def test_sieve(run: Callable) -> None:
    done = run("sieve", "100")
    assert (done.returncode, done.stderr) == (0, "")
    assert [int(line) for line in done.stdout.split()] == [n for n in range(2, 542) if is_prime(n)]


@pytest.mark.parametrize("count", [1, 20_000])
def test_million(run: Callable, count: int) -> None:
    done = run("million", str(count))
    assert (done.returncode, done.stderr) == (0, "")
    parked, summed = done.stdout.splitlines()
    assert re.fullmatch(rf"{count:,} goroutines parked after \S+ s, \d+ bytes each", parked)
    total = sum(range(count))
    assert re.fullmatch(rf"their numbers sum up to {total:,}, after \S+ s", summed)


def test_semaphore(run: Callable) -> None:
    done = run("semaphore", "10")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [
        re.fullmatch(r"job (\d+) is done: (\d) are at work of \d+", line)
        for line in done.stdout.splitlines()
    ]
    assert {int(line[1]) for line in lines} == set(range(10))
    assert max(int(line[2]) for line in lines) == 3
