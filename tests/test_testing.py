"""`gopark.testing.no_leaks`: what a block leaves behind."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

import gopark
from gopark import Chan, block_on, go, gosched, run, sleep, testing
from gopark.testing import GoroutinesLeft, no_leaks

PROCS = pytest.mark.parametrize("procs", [1, 2, 4])


async def receive(c: Any) -> None:
    await c.recv()


async def give_way(rounds: int) -> None:
    for _ in range(rounds):
        await gosched()


class Block:
    """`no_leaks` around a function, as ``with`` and as ``async with``."""

    @staticmethod
    async def plain(fn: Callable[[], object], **options: Any) -> None:
        with no_leaks(**options):
            fn()

    @staticmethod
    async def asynchronous(fn: Callable[[], object], **options: Any) -> None:
        async with no_leaks(**options):
            fn()


BOTH = pytest.mark.parametrize("block", [Block.plain, Block.asynchronous])


@PROCS
@BOTH
def test_what_ends_is_no_leak(block: Any, procs: int) -> None:
    async def main() -> None:
        await block(lambda: [go(give_way(n)) for n in range(20)])
        assert gopark.num_goroutine() == 1

    run(main, procs=procs)


@PROCS
@BOTH
def test_a_chain_that_ends(block: Any, procs: int) -> None:
    async def chain(n: int) -> None:
        if n:
            await go(chain(n - 1))

    async def main() -> None:
        await block(lambda: go(chain(30)))

    run(main, procs=procs)


@PROCS
@BOTH
def test_leaked(block: Any, procs: int) -> None:
    async def main() -> None:
        await block(lambda: go(receive(Chan()), name="worker"))

    with pytest.raises(GoroutinesLeft) as caught:
        run(main, procs=procs)
    (report,) = caught.value.leaked
    assert caught.value.alive == ()
    assert report.name == "worker"
    text = str(caught.value)
    assert text.startswith("1 goroutine outlives the block that started them\n\nLeaked")
    assert "goroutine 2 [chan receive] worker:\n" in text
    assert "in receive" in text
    assert f"created by {main.__qualname__.removesuffix('main')}" in text


@PROCS
@BOTH
def test_alive(block: Any, procs: int) -> None:
    async def main() -> None:
        c: Chan[int] = Chan()
        await block(lambda: (go(receive(c), name="first"), go(sleep(1000), name="second")))
        c.close()

    with pytest.raises(GoroutinesLeft, match="2 goroutines outlive") as caught:
        run(main, procs=procs)
    assert caught.value.leaked == ()
    assert sorted(report.name for report in caught.value.alive) == ["first", "second"]
    assert "Leaked" not in str(caught.value)


@PROCS
def test_one_of_each(procs: int) -> None:
    async def main() -> None:
        with no_leaks():
            go(receive(Chan()), name="lost")
            go(sleep(1000), name="sleeper")

    with pytest.raises(AssertionError) as caught:
        run(main, procs=procs)
    assert isinstance(caught.value, GoroutinesLeft)
    assert [r.name for r in caught.value.leaked] == ["lost"]
    assert [r.name for r in caught.value.alive] == ["sleeper"]


@PROCS
@BOTH
def test_what_was_there_before(block: Any, procs: int) -> None:
    async def main() -> None:
        go(receive(Chan()))
        await block(lambda: None)

    run(main, procs=procs)


@PROCS
@BOTH
@pytest.mark.parametrize("ignore", ["pool-*", ["other", "pool-1"], ("pool-?",)])
def test_ignore(block: Any, ignore: Any, procs: int) -> None:
    async def main(name: str) -> None:
        await block(lambda: go(receive(Chan()), name=name), ignore=ignore)

    run(main, "pool-1", procs=procs)
    with pytest.raises(GoroutinesLeft):
        run(main, "pond-1", procs=procs)


@BOTH
def test_an_exception_of_the_block_goes_first(block: Any) -> None:
    def fail() -> None:
        go(receive(Chan()))
        raise LookupError("the block's own")

    async def main() -> None:
        await block(fail)

    with pytest.raises(LookupError, match="the block's own"):
        run(main)


def test_in_a_plain_function() -> None:
    def check() -> None:
        with no_leaks():
            block_on(go(give_way(3)))
        with pytest.raises(GoroutinesLeft), no_leaks():
            go(sleep(1000))

    run(check)


def test_nested() -> None:
    async def main() -> None:
        async with no_leaks():
            c: Chan[int] = Chan()
            with pytest.raises(GoroutinesLeft):
                async with no_leaks():
                    go(receive(c))
            await c.send(1)

    run(main)


def test_one_that_runs_beside_us_gets_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """In plain code on another thread, until the check sees that."""
    end = threading.Event()
    busy = testing._busy

    def seen() -> bool:
        end.set()
        return busy()

    async def main() -> None:
        begun = threading.Event()
        async with no_leaks():
            go(lambda: (begun.set(), end.wait()))
            begun.wait()

    monkeypatch.setattr(testing, "_busy", seen)
    run(main, procs=2)
    assert end.is_set()


def test_one_that_runs_on() -> None:
    over: list[bool] = []

    async def spin() -> None:
        while not over:
            await gosched()

    async def main() -> None:
        try:
            async with no_leaks():
                go(spin(), name="spinner")
        finally:
            over.append(True)

    with pytest.raises(GoroutinesLeft) as caught:
        run(main)
    assert [r.name for r in caught.value.alive] == ["spinner"]


@BOTH
def test_outside_of_a_goroutine(block: Any) -> None:
    with pytest.raises(RuntimeError, match=r"no goroutine is running here.*gopark\.run"):
        block(lambda: None).send(None)
