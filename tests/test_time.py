"""Every rule of sleep, after, after_func, Timer and Ticker, one test each.

Waits are short, and no test minds if they take long: what is asserted is order,
what happened and what did not, and that nothing came too early.
"""

import asyncio
import contextvars
import gc
import math
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from gopark import (
    CLOSED,
    Chan,
    Deadlock,
    GoPanic,
    TooManyGoroutines,
    WouldBlock,
    current,
    go,
    gosched,
    num_goroutine,
    run,
    select,
    sleep,
)
from gopark.time import Ticker, Timer, after, after_func

ALL_PROCS = pytest.mark.parametrize("procs", [1, 2, 8])
HOUR = 3600.0
SOON = 0.002


def assert_empty(c: Chan[float]) -> None:
    with pytest.raises(WouldBlock):
        c.recv_nowait()


async def until_fired(timer: Timer | Ticker) -> None:
    """Wait until the time stands in the channel, and leave it there."""
    while len(timer.c) == 0:
        await sleep(0.0005)


# -- sleep --------------------------------------------------------------------


@ALL_PROCS
def test_a_sleep_is_not_shorter_than_asked(procs: int) -> None:
    async def main() -> None:
        for seconds in (0.001, 0.02):
            begin = time.monotonic()
            await sleep(seconds)
            assert time.monotonic() - begin >= seconds

    run(main, procs=procs)


def test_sleepers_wake_in_the_order_of_their_times() -> None:
    woken: list[int] = []

    async def sleeper(k: int) -> None:
        await sleep(0.005 * (k + 1))
        woken.append(k)

    async def main() -> None:
        sleepers = [go(sleeper(k)) for k in (3, 0, 4, 1, 2)]
        for g in sleepers:
            await g

    run(main, procs=1)
    assert woken == [0, 1, 2, 3, 4]


def test_a_sleeper_lets_others_run() -> None:
    async def main() -> list[str]:
        seen = []

        async def other() -> None:
            seen.append("other")

        go(other())
        await sleep(SOON)
        seen.append("main")
        return seen

    assert run(main) == ["other", "main"]


@pytest.mark.parametrize("seconds", [0, 0.0, -0.0, -1, -math.inf])
def test_a_sleep_of_nothing_lets_others_run(seconds: float) -> None:
    async def main() -> bool:
        ran = []

        async def other() -> None:
            ran.append(True)

        g = go(other())
        while not g.done():
            await sleep(seconds)
        return ran == [True]

    assert run(main, procs=1)


def test_a_sleep_of_nan_raises() -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="NaN"):
            await sleep(math.nan)
        await sleep(0)

    run(main)


@pytest.mark.parametrize("seconds", [None, "1", [1]])
def test_a_sleep_of_no_number_raises(seconds: Any) -> None:
    async def main() -> None:
        with pytest.raises(TypeError):
            await sleep(seconds)

    run(main)


@pytest.mark.parametrize("seconds", [math.inf, 1e300, 1e10])
def test_a_sleep_for_ever_ends_with_the_program(seconds: float) -> None:
    ended = []

    async def sleeper() -> None:
        try:
            await sleep(seconds)
        finally:
            ended.append(True)

    async def main() -> None:
        g = go(sleeper())
        while g.wait_reason != "sleep":
            await gosched()
        await sleep(SOON)
        assert not g.done()

    run(main)
    assert ended == [True]


def test_a_sleep_outside_of_a_program_raises() -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match="only a goroutine can wait"):
            await sleep(SOON)

    asyncio.run(main())


def test_a_sleep_in_a_finally_block_at_the_programs_end_raises() -> None:
    errors = []

    async def sleeper() -> None:
        try:
            await sleep(HOUR)
        finally:
            await sleep(0)
            try:
                await sleep(SOON)
            except RuntimeError as exc:
                errors.append(str(exc))

    async def main() -> None:
        g = go(sleeper())
        while g.wait_reason != "sleep":
            await gosched()

    run(main)
    (error,) = errors
    assert "cannot wait: main has returned" in error


def test_a_sleeper_is_no_deadlock() -> None:
    async def sleeper(c: Chan[int]) -> None:
        await sleep(0.02)
        await c.send(1)

    async def main() -> int:
        c: Chan[int] = Chan()
        go(sleeper(c))
        return await c.recv()

    assert run(main) == 1


@ALL_PROCS
def test_many_sleepers_all_wake(procs: int) -> None:
    async def sleeper(k: int) -> int:
        await sleep(0.0001 * (k * 7919 % 200))
        return k

    async def main() -> int:
        sleepers = [go(sleeper(k)) for k in range(5000)]
        return sum([await g for g in sleepers])

    assert run(main, procs=procs) == sum(range(5000))


@pytest.mark.parametrize("procs", [2, 8])
def test_a_busy_ps_timers_are_run_by_the_others(procs: int) -> None:
    woken: list[int] = []

    async def sleeper(k: int) -> None:
        await sleep(SOON)
        woken.append(k)

    async def main() -> None:
        sleepers = [go(sleeper(k)) for k in range(20)]
        while not all(g.wait_reason == "sleep" or g.done() for g in sleepers):
            await gosched()
        busy = 0
        while len(woken) < 20:  # never enters the runtime, which so never runs this P's timers
            busy += 1
        for g in sleepers:
            await g

    run(main, procs=procs)
    assert sorted(woken) == list(range(20))


# -- after --------------------------------------------------------------------


def test_after_gives_the_time_once() -> None:
    async def main() -> None:
        begin = time.monotonic()
        c = after(SOON)
        assert (len(c), c.capacity) == (0, 1)
        fired = await c.recv()
        assert begin + SOON <= fired <= time.monotonic()
        with pytest.raises(TimeoutError):
            await select(c, timeout=0.01)

    run(main)


@pytest.mark.parametrize("seconds", [0, -1, -math.inf])
def test_after_nothing_fires_at_once(seconds: float) -> None:
    async def main() -> None:
        assert await after(seconds).recv() <= time.monotonic()

    run(main)


def test_afters_fire_in_order() -> None:
    async def main() -> list[int]:
        late, early = after(0.02), after(0.001)
        order = []
        for _ in range(2):
            i, _fired = await select(late, early)
            order.append(i)
        return order

    assert run(main) == [1, 0]


def test_after_as_a_selects_timeout() -> None:
    async def main() -> None:
        c: Chan[int] = Chan()
        i, _fired = await select(c, after(SOON))
        assert i == 1
        go(c.send(5))
        assert await select(c, after(HOUR)) == (0, 5)

    run(main)


def test_a_value_that_nobody_receives_waits_for_nobody() -> None:
    async def main() -> int:
        for _ in range(100):
            after(0)
        await sleep(SOON)
        return num_goroutine()

    assert run(main) == 1


@pytest.mark.parametrize("make", [after, Timer, Ticker, lambda s: after_func(s, print)])
@pytest.mark.parametrize(("seconds", "error"), [(math.nan, ValueError), ("soon", TypeError)])
def test_a_bad_duration_raises(
    make: Callable[[Any], object], seconds: Any, error: type[Exception]
) -> None:
    async def main() -> None:
        with pytest.raises(error):
            make(seconds)

    run(main)


@pytest.mark.parametrize("make", [after, Timer, Ticker, lambda s: after_func(s, print)])
def test_a_timer_needs_a_program(make: Callable[[float], object]) -> None:
    with pytest.raises(RuntimeError, match=r"gopark\.run"):
        make(SOON)


@ALL_PROCS
def test_many_timers_all_fire(procs: int) -> None:
    async def main() -> None:
        channels = [after(0.0001 * (k * 7919 % 200)) for k in range(3000)]
        for c in channels:
            await c.recv()

    run(main, procs=procs)


# -- after_func ---------------------------------------------------------------


@ALL_PROCS
def test_after_func_calls_a_plain_function(procs: int) -> None:
    async def main() -> tuple[Any, ...]:
        c: Chan[Any] = Chan(1)
        begin = time.monotonic()
        after_func(SOON, lambda *args, **kwargs: c.send_nowait((args, kwargs)), 1, 2, key=3)
        called = await c.recv()
        assert time.monotonic() - begin >= SOON
        return called  # type: ignore[no-any-return]

    assert run(main, procs=procs) == ((1, 2), {"key": 3})


@ALL_PROCS
def test_after_func_runs_an_async_function(procs: int) -> None:
    async def called(c: Chan[int], value: int) -> None:
        await sleep(SOON)
        await c.send(value)

    async def main() -> int:
        c: Chan[int] = Chan()
        after_func(SOON, called, c, value=7)
        return await c.recv()

    assert run(main, procs=procs) == 7


def test_after_func_calls_in_a_goroutine_of_its_own() -> None:
    async def main() -> None:
        ids: Chan[int] = Chan(2)
        for _ in range(2):
            after_func(0, lambda: ids.send_nowait(current().id))
        assert len({current().id, await ids.recv(), await ids.recv()}) == 3

    run(main)


def test_after_func_calls_in_a_copy_of_the_context() -> None:
    var = contextvars.ContextVar("var", default=0)

    async def main() -> None:
        seen: Chan[int] = Chan()

        async def called() -> None:
            value = var.get()
            var.set(99)
            await seen.send(value)

        var.set(1)
        timer = after_func(0, called)
        var.set(2)
        assert await seen.recv() == 1
        timer.reset(0)
        assert await seen.recv() == 1
        assert var.get() == 2

    run(main)


def test_a_failure_in_after_func_is_a_panic() -> None:
    async def main() -> None:
        after_func(0, lambda: 1 / 0)
        await sleep(HOUR)

    with pytest.raises(GoPanic) as info:
        run(main)
    assert isinstance(info.value.exception, ZeroDivisionError)


@ALL_PROCS
def test_a_timers_function_is_called_at_the_limit_of_goroutines(procs: int) -> None:
    async def main() -> None:
        c: Chan[int] = Chan(1)
        leave: Chan[None] = Chan()
        go(leave.recv_ok())
        for n in range(3):
            after_func(0, c.send_nowait, n)
            assert await c.recv() == n
        with pytest.raises(TooManyGoroutines):
            go(gosched)
        leave.close()
        while num_goroutine() > 1:
            await gosched()
        await go(gosched)  # those that timers started are not counted for ever

    run(main, procs=procs, max_goroutines=2)


def test_a_stopped_after_func_is_not_called() -> None:
    async def main() -> None:
        calls: list[int] = []
        timer = after_func(0.005, calls.append, 1)
        assert timer.stop() is True
        await sleep(0.02)
        assert calls == []
        assert timer.stop() is False

    run(main)


def test_stopping_an_after_func_that_was_called() -> None:
    async def main() -> None:
        c: Chan[int] = Chan()
        timer = after_func(0, c.close)
        await c.recv_ok()
        assert timer.stop() is False

    run(main)


def test_an_after_func_can_be_reset_again_and_again() -> None:
    async def main() -> None:
        c: Chan[int] = Chan(1)
        timer = after_func(HOUR, c.send_nowait, 1)
        assert timer.reset(0) is True
        for _ in range(5):
            assert await c.recv() == 1
            assert timer.reset(0) is False
        await c.recv()

    run(main)


def test_an_after_func_may_reset_itself() -> None:
    async def main() -> None:
        done: Chan[int] = Chan()
        calls = []

        def called() -> None:
            calls.append(1)
            if len(calls) == 5:
                done.close()
            else:
                timers[0].reset(0)

        timers = [after_func(HOUR, called)]
        timers[0].reset(SOON)
        assert await done.recv_ok() == (None, False)
        assert len(calls) == 5

    run(main)


def test_after_func_has_no_channel() -> None:
    async def main() -> None:
        with pytest.raises(AttributeError, match="has no channel"):
            _ = after_func(HOUR, print).c

    run(main)


@pytest.mark.parametrize("fn", [None, 42, "print"])
def test_after_func_needs_a_function(fn: Any) -> None:
    async def main() -> None:
        with pytest.raises(TypeError, match="needs a function"):
            after_func(0, fn)

    run(main)


# -- Timer --------------------------------------------------------------------


def test_a_timer_fires_once() -> None:
    async def main() -> None:
        begin = time.monotonic()
        timer = Timer(SOON)
        assert begin + SOON <= await timer.c.recv() <= time.monotonic()
        with pytest.raises(TimeoutError):
            await select(timer.c, timeout=0.01)

    run(main)


def test_stopping_a_timer_before_it_fires() -> None:
    async def main() -> None:
        timer = Timer(0.005)
        assert timer.stop() is True
        assert timer.stop() is False
        await sleep(0.02)
        assert_empty(timer.c)
        assert not timer.c.closed

    run(main)


def test_stopping_a_timer_that_was_received() -> None:
    async def main() -> None:
        timer = Timer(0)
        await timer.c.recv()
        assert timer.stop() is False

    run(main)


def test_no_stale_value_is_received_after_stop() -> None:
    async def main() -> None:
        timer = Timer(0)
        await until_fired(timer)
        assert timer.stop() is True
        assert len(timer.c) == 0
        assert_empty(timer.c)

    run(main)


def test_no_stale_value_is_received_after_reset() -> None:
    async def main() -> None:
        timer = Timer(0)
        await until_fired(timer)
        again = time.monotonic()
        assert timer.reset(SOON) is True
        assert await timer.c.recv() >= again + SOON

    run(main)


def test_reset_moves_a_timer() -> None:
    async def main() -> None:
        timer = Timer(HOUR)
        assert timer.reset(SOON) is True
        await timer.c.recv()
        assert timer.reset(HOUR) is False
        assert timer.stop() is True

    run(main)


def test_reset_starts_a_stopped_timer_again() -> None:
    async def main() -> None:
        timer = Timer(HOUR)
        timer.stop()
        assert timer.reset(SOON) is False
        await timer.c.recv()

    run(main)


def test_a_bad_reset_changes_nothing() -> None:
    async def main() -> None:
        timer = Timer(SOON)
        with pytest.raises(ValueError, match="NaN"):
            timer.reset(math.nan)
        await timer.c.recv()

    run(main)


def test_a_timer_wakes_only_the_first_waiter() -> None:
    async def main() -> None:
        timer = Timer(0.005)
        first, second = go(timer.c.recv), go(timer.c.recv)
        while first.status != "waiting" or second.status != "waiting":
            await gosched()
        while not (first.done() or second.done()):
            await sleep(0.001)
        assert not (first.done() and second.done())

    run(main, procs=1)


@ALL_PROCS
def test_stop_and_reset_race_with_the_firing(procs: int) -> None:
    async def contend() -> None:
        for n in range(300):
            timer = Timer(1e-6 * (n % 50))
            await gosched()
            if n % 2:
                timer.stop()
                await gosched()
                assert_empty(timer.c)
            else:
                again = time.monotonic()
                timer.reset(1e-5)
                assert await timer.c.recv() >= again + 1e-5

    async def main() -> None:
        for g in [go(contend()) for _ in range(8)]:
            await g

    run(main, procs=procs)


@ALL_PROCS
def test_a_stopped_after_func_is_called_at_most_if_stop_came_late(procs: int) -> None:
    async def main() -> None:
        called: Chan[int] = Chan(1000)
        late = 0
        for n in range(1000):
            timer = after_func(1e-6 * (n % 50), called.send_nowait, n)
            await gosched()
            late += not timer.stop()
        for _ in range(late):
            await called.recv()
        await sleep(SOON)
        assert len(called) == 0

    run(main, procs=procs)


@pytest.mark.parametrize("order", [1, -1], ids=["first due first", "last due first"])
def test_stopped_timers_do_not_hide_a_deadlock(order: int) -> None:
    async def main() -> None:
        for timer in [Timer(HOUR + k) for k in range(10)][::order]:
            timer.stop()
        await Chan[int]().recv()

    with pytest.raises(Deadlock):
        run(main)


def test_a_stopped_timer_that_another_thread_waits_for_does_not_hide_a_deadlock() -> None:
    """The M that sleeps until the timer is due must learn that it has none to wait for."""

    async def main() -> None:
        timer = Timer(HOUR)
        await sleep(SOON)
        time.sleep(0.02)  # noqa: ASYNC251  the other M goes to sleep meanwhile
        timer.stop()
        await Chan[int]().recv()

    with pytest.raises(Deadlock):
        run(main, procs=2)


def test_a_stopped_timer_is_freed() -> None:
    async def main() -> None:
        c = (timers := [Timer(HOUR) for _ in range(1000)])[0].c
        died = [weakref.ref(t.c) for t in timers]
        for timer in timers:
            timer.stop()
        timers.clear()
        del timer, c
        gc.collect()
        assert sum(r() is not None for r in died) <= 100  # few may wait to be swept

    run(main)


def test_timers_do_not_outlive_the_program() -> None:
    calls: list[int] = []
    kept: list[Timer] = []

    async def main() -> None:
        after_func(0.01, calls.append, 1)
        kept.append(Timer(0.01))

    run(main)
    run(sleep(0.03))
    assert calls == []
    assert_empty(kept[0].c)


def test_a_timer_can_be_reset_in_a_later_program() -> None:
    kept: list[Timer] = []

    async def main() -> None:
        kept.append(Timer(HOUR))

    async def later() -> None:
        assert kept[0].reset(SOON) is False
        await kept[0].c.recv()

    run(main)
    run(later)


# -- Ticker -------------------------------------------------------------------


@ALL_PROCS
def test_a_ticker_ticks_again_and_again(procs: int) -> None:
    async def main() -> None:
        begin = time.monotonic()
        ticker = Ticker(SOON)
        ticks = [await ticker.c.recv() for _ in range(5)]
        ticker.stop()
        assert ticks == sorted(set(ticks))
        assert ticks[0] >= begin + SOON
        assert ticks[-1] >= begin + 5 * SOON

    run(main, procs=procs)


def test_a_ticker_drops_ticks_for_a_slow_receiver() -> None:
    async def main() -> None:
        ticker = Ticker(0.001)
        await sleep(0.05)
        assert len(ticker.c) == 1
        slept = time.monotonic()
        assert await ticker.c.recv() < slept  # the first that had room, not the newest
        await ticker.c.recv()
        ticker.stop()
        assert ticker.c.capacity == 1

    run(main)


def test_a_stopped_ticker_does_not_tick() -> None:
    async def main() -> None:
        ticker = Ticker(0.001)
        await until_fired(ticker)
        ticker.stop()
        assert_empty(ticker.c)
        await sleep(0.02)
        assert_empty(ticker.c)
        assert not ticker.c.closed
        ticker.stop()

    run(main)


def test_reset_changes_a_tickers_interval() -> None:
    async def main() -> None:
        ticker = Ticker(HOUR)
        begin = time.monotonic()
        ticker.reset(SOON)
        for _ in range(2):
            await ticker.c.recv()
        assert time.monotonic() >= begin + 2 * SOON
        ticker.reset(HOUR)
        with pytest.raises(TimeoutError):
            await select(ticker.c, timeout=0.02)

    run(main)


def test_reset_starts_a_stopped_ticker_again() -> None:
    async def main() -> None:
        ticker = Ticker(HOUR)
        ticker.stop()
        ticker.reset(SOON)
        for _ in range(3):
            await ticker.c.recv()
        ticker.stop()

    run(main)


@pytest.mark.parametrize("seconds", [0, 0.0, -1, -math.inf, math.nan])
def test_a_tickers_interval_must_be_positive(seconds: float) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="must be positive"):
            Ticker(seconds)
        ticker = Ticker(SOON)
        with pytest.raises(ValueError, match="must be positive"):
            ticker.reset(seconds)
        await ticker.c.recv()
        await ticker.c.recv()

    run(main)


def test_an_interval_below_a_nanosecond_ticks_on() -> None:
    async def main() -> None:
        ticker = Ticker(1e-12)
        for _ in range(3):
            await ticker.c.recv()
        ticker.reset(1e-15)
        for _ in range(3):
            await ticker.c.recv()

    run(main)


def test_a_closed_channel_does_not_break_its_timers() -> None:
    async def main() -> None:
        ticker, timer = Ticker(0.001), Timer(0.001)
        ticker.c.close()
        timer.c.close()
        await sleep(0.01)
        assert await select(ticker.c) == (0, CLOSED)
        assert await select(timer.c) == (0, CLOSED)
        timer.reset(0)
        await sleep(0.01)
        ticker.stop()
        timer.stop()

    run(main)
