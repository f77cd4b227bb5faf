"""What the stress tests share. GOPARK_STRESS=60 makes each soak last so many seconds."""

import os
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from robber import robber

from gopark import run

Play = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]


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
