"""What the stress tests share. GOPARK_STRESS=60 makes each soak last so many seconds."""

import os
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from gopark import run
from gopark.runtime.export_test import retake

Play = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]


@contextmanager
def robber() -> Iterator[None]:
    """A thread takes Ps from goroutines in user code all the time."""
    over = threading.Event()

    def rob() -> None:
        while not over.is_set():
            for p in range(8):
                retake(p)
            time.sleep(0.0002)

    thread = threading.Thread(target=rob)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.fixture(params=[1, 2, 8])
def procs(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(params=[False, True], ids=["calm", "robbed"])
def robbed(request: pytest.FixtureRequest) -> bool:
    """Are Ps taken from goroutines in user code all the time?"""
    return bool(request.param)


@pytest.fixture(params=[1, 2])
def seed(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def play(procs: int, robbed: bool, seed: str, monkeypatch: pytest.MonkeyPatch) -> Play:
    """Runs a program in every way that there is."""
    monkeypatch.setenv("GOPARK_SEED", seed)

    def play(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async def victim() -> None:
            with robber():
                await main()

        run(victim if robbed else main, procs=procs)

    return play


@pytest.fixture
def soak() -> float:
    """How many seconds a soak lasts."""
    return float(os.environ.get("GOPARK_STRESS", "8"))
