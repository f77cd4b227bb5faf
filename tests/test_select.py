"""Every rule of select, one test each."""

import asyncio
import contextlib
import gc
import math
import pickle
import weakref
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import gopark
from gopark import (
    CLOSED,
    Chan,
    ChanClosed,
    Deadlock,
    G,
    WouldBlock,
    go,
    gosched,
    run,
    select,
)

ALL_PROCS = pytest.mark.parametrize("procs", [1, 2, 8])


async def waiting(operation: Awaitable[Any]) -> G[Any]:
    """Start a goroutine that is going to wait, and see it wait."""
    g = go(operation)
    while g.status != "waiting":
        assert not g.done()
        await gosched()
    return g


def assert_nobody_waits(c: Chan[Any]) -> None:
    """Nobody stands in either queue of an open and empty, unbuffered channel."""
    with pytest.raises(WouldBlock):
        c.send_nowait("nobody receives")
    with pytest.raises(WouldBlock):
        c.recv_nowait()


# -- one case that is ready ---------------------------------------------------


@pytest.mark.parametrize("index", [0, 1, 2])
def test_it_receives_from_the_channel_that_is_ready(index: int) -> None:
    async def main() -> None:
        channels: list[Chan[str]] = [Chan(1) for _ in range(3)]
        await channels[index].send("value")
        assert await select(*channels) == (index, "value")

    run(main)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_it_sends_to_the_channel_that_is_ready(index: int) -> None:
    async def main() -> None:
        channels: list[Chan[int]] = [Chan(0) for _ in range(3)]
        receiver = await waiting(channels[index].recv())
        assert await select(*((c, i) for i, c in enumerate(channels))) == (index, None)
        assert await receiver == index

    run(main)


def test_it_sends_into_a_buffer_with_room() -> None:
    async def main() -> None:
        full: Chan[int] = Chan(1)
        await full.send(0)
        roomy: Chan[int] = Chan(1)
        assert await select((full, 1), (roomy, 2)) == (1, None)
        assert (full.recv_nowait(), roomy.recv_nowait()) == (0, 2)

    run(main)


def test_it_receives_from_a_waiting_sender() -> None:
    async def main() -> None:
        c: Chan[int] = Chan()
        sender = await waiting(c.send(1))
        assert await select(Chan(), c) == (1, 1)
        await sender

    run(main)


def test_it_takes_the_waiting_sender_into_the_buffer() -> None:
    async def main() -> None:
        c: Chan[int] = Chan(1)
        await c.send(1)
        sender = await waiting(c.send(2))
        assert await select(c) == (0, 1)
        await sender
        assert await select(c) == (0, 2)

    run(main)


@pytest.mark.parametrize("value", [None, False, 0, (), (1, 2), [], CLOSED])
def test_any_value_can_be_sent_and_received(value: object) -> None:
    async def main() -> None:
        c: Chan[object] = Chan(1)
        assert await select((c, value)) == (0, None)
        i, received = await select(c)
        assert i == 0
        assert received is value
        receiver = await waiting(select(c))
        assert await select((c, value)) == (0, None)
        i, received = await receiver
        assert received is value

    run(main)


# -- waiting ------------------------------------------------------------------


def test_it_waits_until_a_sender_comes() -> None:
    async def main() -> None:
        a: Chan[int] = Chan()
        b: Chan[int] = Chan()
        g = await waiting(select(a, b))
        assert g.wait_reason == "select"
        await b.send(1)
        assert await g == (1, 1)

    run(main)


def test_it_waits_until_a_receiver_comes() -> None:
    async def main() -> None:
        a: Chan[int] = Chan()
        b: Chan[int] = Chan()
        g = await waiting(select((a, 1), (b, 2)))
        assert await b.recv() == 2
        assert await g == (1, None)

    run(main)


@pytest.mark.parametrize("sends", [False, True])
def test_two_selects_meet(sends: bool) -> None:
    async def main() -> None:
        a: Chan[int] = Chan()
        b: Chan[int] = Chan()
        one = await waiting(select(*([(a, 1), (b, 2)] if sends else [a, b])))
        i, v = await select(*([b] if sends else [(b, 2)]))
        assert (i, v) == (0, 2 if sends else None)
        assert await one == (1, None if sends else 2)

    run(main)


def test_of_many_waiting_selects_each_is_woken_once() -> None:
    async def main() -> None:
        channels: list[Chan[int]] = [Chan() for _ in range(3)]
        selects = [await waiting(select(*channels)) for _ in range(30)]
        for i in range(30):
            await channels[i % 3].send(i)
        assert [await g for g in selects] == [(i % 3, i) for i in range(30)]

    run(main)


# -- several that are ready ---------------------------------------------------


def chi_square(counts: Counter[int], cases: int, draws: int) -> float:
    expected = draws / cases
    return sum((counts[i] - expected) ** 2 / expected for i in range(cases))


# What chi-square exceeds once in 10,000 times, by degrees of freedom.
LIMIT = {1: 15.1, 2: 18.4, 3: 21.1, 7: 29.9}


@pytest.mark.parametrize("seed", ["1", "2", "3"])
@pytest.mark.parametrize("cases", [2, 3, 4, 8])
def test_it_is_uniform_among_ready_receives(
    cases: int, seed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOPARK_SEED", seed)
    draws = 4000

    async def main() -> Counter[int]:
        channels: list[Chan[int]] = [Chan() for _ in range(cases)]
        for c in channels:
            c.close()
        return Counter([(await select(*channels))[0] for _ in range(draws)])

    assert chi_square(run(main, procs=1), cases, draws) < LIMIT[cases - 1]


def test_it_is_uniform_among_ready_sends_and_receives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOPARK_SEED", "4")
    draws = 4000

    async def main() -> Counter[int]:
        room: Chan[int] = Chan(draws)
        other: Chan[int] = Chan(draws)
        closed: Chan[int] = Chan()
        closed.close()
        filled: Chan[int] = Chan(draws)
        for i in range(draws):
            filled.send_nowait(i)
        cases = (room, 1), closed, filled, (other, 2)
        return Counter([(await select(*cases))[0] for _ in range(draws)])

    assert chi_square(run(main, procs=1), 4, draws) < LIMIT[3]


def test_only_the_ready_ones_take_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOPARK_SEED", "5")
    draws = 2000

    async def main() -> Counter[int]:
        never: Chan[int] = Chan()
        full: Chan[int] = Chan(1)
        full.send_nowait(0)
        closed: Chan[int] = Chan()
        closed.close()
        cases = never, closed, None, (full, 1), (never, 1), closed
        return Counter([(await select(*cases))[0] for _ in range(draws)])

    counts = run(main, procs=1)
    assert set(counts) == {1, 5}
    assert chi_square(Counter({0: counts[1], 1: counts[5]}), 2, draws) < LIMIT[1]


def test_a_seeded_run_draws_the_same_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> list[int]:
        closed: Chan[int] = Chan()
        closed.close()
        return [(await select(closed, closed, closed))[0] for _ in range(100)]

    monkeypatch.setenv("GOPARK_SEED", "6")
    once = run(main, procs=1)
    assert run(main, procs=1) == once
    monkeypatch.setenv("GOPARK_SEED", "7")
    assert run(main, procs=1) != once


# -- default, timeout ---------------------------------------------------------


def test_default_when_nothing_is_ready() -> None:
    async def main() -> None:
        c: Chan[int] = Chan()
        assert await select(c, (c, 1), None, default=True) == (-1, None)
        assert await select(default=True) == (-1, None)
        assert_nobody_waits(c)

    run(main)


def test_default_is_not_taken_when_something_is_ready() -> None:
    async def main() -> None:
        c: Chan[int] = Chan(1)
        for _ in range(100):
            assert await select((c, 1), default=True) == (0, None)
            assert await select(c, default=True) == (0, 1)

    run(main)


def test_default_wins_over_timeout() -> None:
    async def main() -> None:
        assert await select(Chan(), default=True, timeout=0) == (-1, None)
        assert await select(Chan(), default=True, timeout=1000) == (-1, None)

    run(main)


@pytest.mark.parametrize("timeout", [0, 0.0, -1, -math.inf])
def test_a_timeout_of_nothing_only_looks(timeout: float) -> None:
    async def main() -> None:
        c: Chan[int] = Chan(1)
        with pytest.raises(TimeoutError):
            await select(c, timeout=timeout)
        assert await select((c, 1), timeout=timeout) == (0, None)
        assert await select(c, timeout=timeout) == (0, 1)

    run(main)


@ALL_PROCS
def test_a_timeout_raises_and_leaves_no_trace(procs: int) -> None:
    async def main() -> None:
        c: Chan[int] = Chan()
        with pytest.raises(TimeoutError, match="no case became ready"):
            await select(c, (c, 1), timeout=0.001)
        assert_nobody_waits(c)

    run(main, procs=procs)


def test_a_timeout_does_not_come_early() -> None:
    async def main() -> None:
        begin = gopark.time.after(0)
        then = await begin.recv()
        with pytest.raises(TimeoutError):
            await select(Chan(), timeout=0.02)
        now = await gopark.time.after(0).recv()
        assert now - then >= 0.02

    run(main)


def test_a_timeout_without_cases() -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError):
            await select(timeout=0.001)
        with pytest.raises(TimeoutError):
            await select(None, None, timeout=0.001)

    run(main)


def test_a_case_that_comes_in_time_beats_the_timeout() -> None:
    async def main() -> None:
        c: Chan[int] = Chan()
        g = await waiting(select(c, timeout=1000))
        await c.send(1)
        assert await g == (0, 1)

    run(main)


@pytest.mark.parametrize("timeout", [math.inf, 1e300])
def test_a_timeout_of_for_ever(timeout: float) -> None:
    async def main() -> None:
        c: Chan[int] = Chan()
        g = await waiting(select(c, timeout=timeout))
        await c.send(1)
        assert await g == (0, 1)

    run(main)


def test_a_timeout_that_is_over_does_not_hide_a_deadlock() -> None:
    async def main() -> None:
        c: Chan[int] = Chan()
        for timeout in (3600, 7200, 1800):
            g = await waiting(select(c, timeout=timeout))
            await c.send(1)
            await g
        await c.recv()

    with pytest.raises(Deadlock):
        run(main)


@ALL_PROCS
def test_an_old_timeout_never_fires_into_the_next_select(procs: int) -> None:
    async def wait(soon: Chan[int], later: Chan[int]) -> None:
        for n in range(1000):
            with contextlib.suppress(TimeoutError):
                await select(soon, timeout=2e-6 * (n % 10))
            await select(later)

    async def wake(channels: tuple[Chan[int], ...], waiters: list[G[None]]) -> None:
        while not all(g.done() for g in waiters):
            for c in channels:
                await select((c, 1), default=True)
                await gosched()

    async def main() -> None:
        pairs: list[tuple[Chan[int], ...]] = [(Chan(), Chan()) for _ in range(4)]
        waiters = [go(wait, *pair) for pair in pairs]
        wakers = [go(wake, pair, waiters) for pair in pairs]
        for g in waiters + wakers:
            await g

    run(main, procs=procs)


# -- no cases, None cases -----------------------------------------------------


@pytest.mark.parametrize("cases", [(), (None,), (None, None)])
def test_without_cases_it_waits_for_ever(cases: tuple[None, ...]) -> None:
    async def main() -> None:
        await select(*cases)

    with pytest.raises(Deadlock) as info:
        run(main)
    (report,) = info.value.goroutines
    assert report.wait_reason == "select (no cases)"


def test_none_cases_keep_their_index() -> None:
    async def main() -> None:
        c: Chan[int] = Chan(1)
        c.send_nowait(1)
        assert await select(None, None, c, None) == (2, 1)

    run(main)


# -- one channel several times ------------------------------------------------


def test_the_same_channel_twice_is_drawn_from_uniformly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOPARK_SEED", "8")
    draws = 2000

    async def main() -> Counter[int]:
        c: Chan[int] = Chan(draws)
        for i in range(draws):
            c.send_nowait(i)
        seen: Counter[int] = Counter()
        for expected in range(draws):
            i, v = await select(c, c)
            assert v == expected
            seen[i] += 1
        return seen

    assert chi_square(run(main, procs=1), 2, draws) < LIMIT[1]


def test_waiting_at_the_same_channel_twice_takes_one_value() -> None:
    async def main() -> None:
        c: Chan[int] = Chan()
        g = await waiting(select(c, c, c))
        await c.send(1)
        i, v = await g
        assert i in {0, 1, 2}
        assert v == 1
        assert_nobody_waits(c)

    run(main)


def test_the_same_channel_twice_sends_one_value() -> None:
    async def main() -> None:
        c: Chan[int] = Chan()
        g = await waiting(select((c, 10), (c, 11)))
        v = await c.recv()
        assert await g == (v - 10, None)
        assert_nobody_waits(c)

    run(main)


@pytest.mark.parametrize("procs", [1, 2, 8])
def test_a_select_does_not_meet_itself(procs: int) -> None:
    async def main() -> None:
        c: Chan[int] = Chan()
        with pytest.raises(TimeoutError):
            await select(c, (c, 1), timeout=0.001)
        g = await waiting(select(c, (c, 1)))
        assert await c.recv() == 1
        assert await g == (1, None)
        g = await waiting(select(c, (c, 1)))
        await c.send(2)
        assert await g == (0, 2)
        assert_nobody_waits(c)

    run(main, procs=procs)


def test_two_selects_that_both_send_and_receive_meet() -> None:
    async def main() -> None:
        c: Chan[str] = Chan()
        one = await waiting(select(c, (c, "from one")))
        other = await select(c, (c, "from other"))
        assert (await one, other) in [
            ((0, "from other"), (1, None)),
            ((1, None), (0, "from one")),
        ]
        assert_nobody_waits(c)

    run(main)


def test_a_buffered_select_may_receive_what_it_sent() -> None:
    async def main() -> None:
        c: Chan[int] = Chan(1)
        for _ in range(50):
            assert await select(c, (c, 1)) == (1, None)
            assert await select(c, (c, 1)) == (0, 1)

    run(main)


# -- closed channels ----------------------------------------------------------


def test_a_receive_from_a_closed_and_drained_channel_gives_closed() -> None:
    async def main() -> None:
        c: Chan[int] = Chan(2)
        c.send_nowait(1)
        c.send_nowait(2)
        c.close()
        assert await select(Chan(), c) == (1, 1)
        assert await select(Chan(), c) == (1, 2)
        for _ in range(3):
            i, v = await select(Chan(), c)
            assert i == 1
            assert v is CLOSED

    run(main)


def test_closed_is_false_and_one_of_its_kind() -> None:
    assert not CLOSED
    assert repr(CLOSED) == "gopark.CLOSED"
    assert gopark.CLOSED is CLOSED
    assert pickle.loads(pickle.dumps(CLOSED)) is CLOSED


def test_a_send_on_a_closed_channel_raises() -> None:
    async def main() -> None:
        c: Chan[int] = Chan(1)
        c.close()
        with pytest.raises(ChanClosed, match="send on a closed channel"):
            await select(Chan(), (c, 1))
        with pytest.raises(ChanClosed):
            await select((c, 1), default=True)
        with pytest.raises(ChanClosed):
            await select((c, 1), timeout=0)

    run(main)


def test_close_wakes_a_waiting_receive_case() -> None:
    async def main() -> None:
        a: Chan[int] = Chan()
        b: Chan[int] = Chan()
        g = await waiting(select(a, b, (a, 1)))
        b.close()
        assert await g == (1, CLOSED)
        assert_nobody_waits(a)

    run(main)


def test_close_fails_a_waiting_send_case() -> None:
    async def main() -> None:
        a: Chan[int] = Chan()
        b: Chan[int] = Chan()
        g = await waiting(select(a, (b, 1)))
        b.close()
        with pytest.raises(ChanClosed, match="send on a closed channel"):
            await g
        assert_nobody_waits(a)

    run(main)


def test_a_closed_send_and_a_closed_receive_are_both_ready() -> None:
    async def main() -> None:
        c: Chan[int] = Chan()
        c.close()
        outcomes: set[object] = set()
        while len(outcomes) < 2:
            try:
                outcomes.add(await select(c, (c, 1)))
            except ChanClosed:
                outcomes.add("raised")
        assert outcomes == {(0, CLOSED), "raised"}

    run(main)


# -- no trace in the losers ---------------------------------------------------


def test_the_losers_queues_are_empty_afterwards() -> None:
    async def main() -> None:
        winner: Chan[int] = Chan()
        losers: list[Chan[int]] = [Chan() for _ in range(5)]
        for _ in range(10):
            g = await waiting(select(*losers, winner, *((c, 1) for c in losers)))
            await winner.send(1)
            assert await g == (5, 1)
            for c in losers:
                assert_nobody_waits(c)

    run(main)


def test_a_loser_in_the_middle_of_the_queue_leaves_the_others_in_order() -> None:
    async def main() -> None:
        winner: Chan[int] = Chan()
        c: Chan[int] = Chan()
        first = await waiting(c.recv())
        loser = await waiting(select(c, winner))
        last = await waiting(select(c))
        await winner.send(0)
        assert await loser == (1, 0)
        await c.send(1)
        await c.send(2)
        assert (await first, await last) == (1, (0, 2))

    run(main)


def test_a_losers_value_is_not_kept() -> None:
    class Value:
        pass

    async def select_and_wait(loser: Chan[Value], winner: Chan[Value], value: Value) -> None:
        await select((loser, value), winner)
        del loser, winner, value
        await select()

    async def main() -> None:
        loser: Chan[Value] = Chan()
        winner: Chan[Value] = Chan()
        value = Value()
        g = await waiting(select_and_wait(loser, winner, value))
        await winner.send(Value())
        while g.wait_reason != "select (no cases)":
            await gosched()
        died: list[weakref.ref[Any]] = [weakref.ref(o) for o in (value, loser, winner)]
        del value, loser, winner
        gc.collect()
        assert [r() is None for r in died] == [True] * 3

    run(main, procs=1)


def test_a_select_that_ends_with_the_program_leaves_no_trace() -> None:
    c: Chan[int] = Chan()
    d: Chan[int] = Chan()

    async def main() -> None:
        await waiting(select(c, (d, 1)))
        await waiting(select(c, (d, 2), timeout=1000))

    run(main)
    assert_nobody_waits(c)
    assert_nobody_waits(d)


# -- bad cases ----------------------------------------------------------------


@pytest.mark.parametrize(
    "case", [1, "channel", (), (1, 2), [Chan(), 1], Chan, (None, 1), object(), True]
)
def test_a_bad_case_is_named(case: Any) -> None:
    async def main() -> None:
        c: Chan[int] = Chan()
        with pytest.raises(TypeError, match=r"select: case 2 is .*a case is a channel"):
            await select(c, (c, 1), case)
        assert_nobody_waits(c)

    run(main)


@pytest.mark.parametrize("size", [1, 3])
def test_a_tuple_of_another_length_is_a_bad_case(size: int) -> None:
    async def main() -> None:
        with pytest.raises(TypeError, match="select: case 0 is"):
            await select((Chan(),) * size)  # type: ignore[arg-type]

    run(main)


def test_a_bad_case_raises_even_if_another_is_ready() -> None:
    async def main() -> None:
        c: Chan[int] = Chan(1)
        c.send_nowait(1)
        with pytest.raises(TypeError, match="case 1"):
            await select(c, 5)  # type: ignore[arg-type]
        assert c.recv_nowait() == 1

    run(main)


def test_a_bad_timeout() -> None:
    async def main() -> None:
        c: Chan[int] = Chan(1)
        with pytest.raises(ValueError, match="NaN"):
            await select((c, 1), timeout=math.nan)
        with pytest.raises(TypeError):
            await select((c, 1), timeout="soon")  # type: ignore[arg-type]
        assert len(c) == 0

    run(main)


def test_the_runtime_goes_on_after_errors() -> None:
    async def main() -> None:
        c: Chan[int] = Chan()
        for _ in range(1000):
            with pytest.raises(TypeError):
                await select(c, c, c, 1)  # type: ignore[arg-type]
        g = await waiting(select(c))
        await c.send(1)
        assert await g == (0, 1)

    run(main)


# -- where it cannot wait -----------------------------------------------------


@pytest.mark.parametrize("default", [False, True])
def test_it_needs_a_goroutine(default: bool) -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match=r"only a goroutine can wait.*gopark\.run"):
            await select(Chan(), default=default)

    asyncio.run(main())


# -- many ---------------------------------------------------------------------


def test_a_thousand_cases() -> None:
    async def main() -> None:
        channels: list[Chan[int]] = [Chan() for _ in range(1000)]
        for index in (0, 999, 500):
            g = await waiting(select(*reversed(channels)))
            await channels[index].send(index)
            assert await g == (999 - index, index)
        for c in channels:
            assert_nobody_waits(c)

    run(main)


@ALL_PROCS
def test_selects_in_opposite_orders_do_not_lock_each_other_out(procs: int) -> None:
    async def main() -> None:
        a: Chan[int] = Chan()
        b: Chan[int] = Chan()

        async def work(cases: Callable[[], tuple[Any, ...]], counts: Counter[str]) -> None:
            for _ in range(300):
                i, _v = await select(*cases())
                counts["sent" if isinstance(cases()[i], tuple) else "received"] += 1

        orders: list[Callable[[], tuple[Any, ...]]] = [
            lambda: (a, b),
            lambda: (b, a),
            lambda: ((a, 1), (b, 2)),
            lambda: ((b, 2), (a, 1)),
        ]
        counts: list[Counter[str]] = [Counter() for _ in orders]
        workers = [go(work(cases, n)) for cases, n in zip(orders, counts, strict=True)]
        for g in workers:
            await g
        total = sum(counts, Counter())
        assert total == {"sent": 600, "received": 600}
        assert_nobody_waits(a)
        assert_nobody_waits(b)

    run(main, procs=procs)


@ALL_PROCS
def test_a_partner_that_two_channels_offer_is_won_once(procs: int) -> None:
    async def main() -> None:
        a: Chan[int] = Chan()
        b: Chan[int] = Chan()
        received: list[int] = []

        async def receive() -> None:
            for _ in range(300):
                _i, v = await select(a, b)
                received.append(v)

        async def send(c: Chan[int], start: int) -> None:
            for i in range(start, start + 300):
                await select((c, i))

        workers = [go(receive()), go(receive()), go(send(a, 0)), go(send(b, 300))]
        for g in workers:
            await g
        assert sorted(received) == list(range(600))

    run(main, procs=procs)
