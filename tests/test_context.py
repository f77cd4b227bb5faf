"""Every rule of gopark.context, and of sleep and select with a context, one test each.

What Go's own tests check is in tests/gotest/test_context.py.
"""

from __future__ import annotations

import contextvars
import gc
import math
import sys
import threading
import time
import traceback
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
    block_on,
    context,
    current,
    go,
    gosched,
    num_goroutine,
    run,
    select,
    sleep,
)
from gopark.context import (
    Canceled,
    Context,
    DeadlineExceeded,
    after_func,
    background,
    todo,
    with_cancel,
    with_cancel_cause,
    with_deadline,
    with_deadline_cause,
    with_timeout,
    with_timeout_cause,
    with_value,
    without_cancel,
)

ALL_PROCS = pytest.mark.parametrize("procs", [1, 2, 8])
HOUR = 3600.0
SOON = 0.002
DERIVE: dict[str, Callable[[Context], context.Cancelable | context.CancelableCause]] = {
    "with_cancel": with_cancel,
    "with_cancel_cause": with_cancel_cause,
    "with_deadline": lambda parent: with_deadline(parent, time.monotonic() + HOUR),
    "with_deadline_cause": lambda parent: with_deadline_cause(
        parent, time.monotonic() + HOUR, ValueError("late")
    ),
    "with_timeout": lambda parent: with_timeout(parent, HOUR),
    "with_timeout_cause": lambda parent: with_timeout_cause(parent, HOUR, ValueError("late")),
}
EVERY_WAY = pytest.mark.parametrize("derive", DERIVE.values(), ids=DERIVE.keys())


def channel(ctx: Context) -> Chan[None]:
    done = ctx.done()
    assert done is not None
    return done


def children(ctx: Context) -> int:
    """How many entries its children have, dead ones included."""
    done: Any = ctx.done()
    return len(done._children)


async def until_dead(*refs: weakref.ref[Any]) -> None:
    """On free-threaded builds an object may die a little later than its last reference."""
    while any(r() is not None for r in refs):
        gc.collect()
        await gosched()


async def until_waiting(*goroutines: Any) -> None:
    while any(g.status != "waiting" for g in goroutines):
        await gosched()


async def until_alone() -> None:
    while num_goroutine() > 1:
        await gosched()


class Own(Context):
    """A context of a user's own, that ends when told, with any error."""

    def __init__(self) -> None:
        self.c: Chan[None] = Chan()
        self.error: Exception | None = None

    def end(self, error: Exception | None) -> None:
        self.error = error
        self.c.close()

    def deadline(self) -> float | None:
        return None

    def done(self) -> Chan[None]:
        return self.c

    def err(self) -> Exception | None:
        return self.error

    def value(self, key: object) -> Any:
        return "own" if key == "whose" else None


class OwnAfterFunc(Own):
    """One that calls functions itself."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Callable[[], object]] = []
        self.stopped = 0

    def after_func(self, fn: Callable[[], object]) -> Callable[[], object]:
        if self.error is not None:
            fn()
        self.calls.append(fn)
        return self.stop

    def stop(self) -> None:
        self.stopped += 1

    def end(self, error: Exception | None) -> None:
        self.error = error
        for fn in self.calls:
            fn()


# -- cancelling ---------------------------------------------------------------


@EVERY_WAY
def test_cancel_ends_the_context(
    derive: Callable[[Context], context.Cancelable | context.CancelableCause],
) -> None:
    async def main() -> None:
        ctx, cancel = derive(background())
        assert ctx.err() is None
        assert ctx.cause() is None
        assert not channel(ctx).closed
        cancel()
        assert type(ctx.err()) is Canceled
        assert type(ctx.cause()) is Canceled
        assert channel(ctx).closed
        cancel()  # a second time does nothing

    run(main)


@EVERY_WAY
def test_a_with_block_cancels_at_its_end(
    derive: Callable[[Context], context.Cancelable | context.CancelableCause],
) -> None:
    async def main() -> None:
        with derive(background()) as ctx:
            ctx.raise_if_done()
        assert type(ctx.err()) is Canceled
        with pytest.raises(KeyError), derive(background()) as ctx:
            raise KeyError
        assert type(ctx.err()) is Canceled

    run(main)


def test_an_exception_that_leaves_the_block_is_the_cause() -> None:
    with pytest.raises(KeyError) as info, with_cancel_cause(background()) as ctx:
        raise KeyError("left")
    assert ctx.cause() is info.value
    with with_cancel_cause(background()) as ctx:
        pass
    assert type(ctx.cause()) is Canceled


def test_a_context_ends_what_is_below_it_and_nothing_above_or_beside() -> None:
    top = with_cancel(background())
    left, right = with_cancel(top.ctx), with_cancel(top.ctx)
    below = with_cancel(with_value(left.ctx, "k", 1))
    left.cancel()
    assert [c.err() is None for c in (top.ctx, left.ctx, right.ctx, below.ctx)] == [
        *(True, False),
        *(True, False),
    ]


def test_the_first_cancel_says_why() -> None:
    first, second = ValueError("first"), ValueError("second")
    ctx, cancel = with_cancel_cause(background())
    cancel(first)
    cancel(second)
    assert ctx.cause() is first


@pytest.mark.parametrize("cause", ["because", ValueError, 3])
def test_a_cause_must_be_an_exception(cause: Any) -> None:
    ctx, cancel = with_cancel_cause(background())
    with pytest.raises(TypeError, match="a cause must be an exception"):
        cancel(cause)
    assert ctx.err() is None
    with pytest.raises(TypeError, match="a cause must be an exception"):
        with_timeout_cause(background(), 0, cause)


def test_each_who_asks_gets_an_error_of_its_own() -> None:
    """One that many raise would collect all their tracebacks, and keep their frames alive."""
    why = ValueError("why")
    ctx, cancel = with_cancel_cause(background())
    cancel(why)
    errors = []
    for _ in range(2):
        with pytest.raises(Canceled, match="context canceled") as info:
            ctx.raise_if_done()
        errors.append(info.value)
    assert errors[0] is not errors[1]
    assert [len(traceback.extract_tb(e.__traceback__)) for e in errors] == [2, 2]
    assert all(e.__cause__ is why for e in errors)


def test_a_context_that_has_not_ended_raises_nothing() -> None:
    for ctx in (background(), todo(), with_cancel(background()).ctx):
        ctx.raise_if_done()


def test_a_child_of_an_ended_context_has_ended() -> None:
    why = ValueError("why")
    parent, cancel = with_cancel_cause(background())
    cancel(why)
    child, _cancel = with_cancel(parent)
    assert channel(child).closed
    assert child.cause() is why
    assert children(parent) == 0


def test_the_done_channel_is_always_the_same() -> None:
    ctx, _cancel = with_cancel(background())
    assert ctx.done() is ctx.done()
    assert with_value(ctx, "k", 1).done() is ctx.done()
    assert without_cancel(ctx).done() is None


def test_only_the_context_closes_its_channel() -> None:
    ctx, cancel = with_cancel(background())
    done = channel(ctx)
    with pytest.raises(TypeError, match=r"call the context's cancel\(\)"):
        done.close()
    with pytest.raises(TypeError, match="nothing can be sent"):
        done.send(None)
    with pytest.raises(TypeError, match="nothing can be sent"):
        done.send_nowait(None)
    assert ctx.err() is None
    cancel()
    assert done.closed


def test_what_never_ends_is_waited_for_until_the_program_is_dead() -> None:
    async def main() -> None:
        await background().wait()

    with pytest.raises(Deadlock):
        run(main)


@ALL_PROCS
def test_a_cancel_wakes_all_who_wait(procs: int) -> None:
    async def main() -> None:
        ctx, cancel = with_cancel(background())
        waiters = [go(ctx.wait()) for _ in range(1000)]
        await until_waiting(*waiters)
        cancel()
        errors = [await g for g in waiters]
        assert {type(e) for e in errors} == {Canceled}
        assert len({id(e) for e in errors}) == 1000

    run(main, procs=procs)


def test_select_receives_closed() -> None:
    async def main() -> None:
        ctx, cancel = with_cancel(background())
        c: Chan[int] = Chan(1)
        c.send_nowait(1)
        assert await select(ctx.done(), background().done(), c) == (2, 1)
        cancel()
        assert await select(ctx.done(), background().done(), c) == (0, CLOSED)

    run(main)


def test_a_deep_tree_needs_no_recursion() -> None:
    ctx, cancel = with_cancel(background())
    top = ctx
    for n in range(3000):
        ctx = with_value(with_cancel(ctx).ctx, n, n)
    assert ctx.value(0) == 0
    assert ctx.value("no such key") is None
    assert repr(ctx).count("with_cancel()") == 3001
    cancel()
    assert type(ctx.err()) is Canceled
    assert children(top) == 0
    del ctx, top  # nor does its end


def test_a_long_row_of_values_needs_no_recursion() -> None:
    ctx, cancel = with_cancel(background())
    for n in range(3000):
        ctx = with_value(ctx, n, n)
    assert ctx.deadline() is None
    assert ctx.done() is not None
    cancel()
    assert type(ctx.err()) is Canceled


class Meddled(list[Any]):
    """The list of fates, with something that happens while one is added."""

    def __init__(self, meddle: Callable[[Meddled], object]) -> None:
        self.meddle = meddle

    def append(self, fate: Any) -> None:
        super().append(fate)
        self.meddle(self)


def test_the_error_is_seen_when_the_channel_is_closed_and_not_before() -> None:
    seen = []
    ctx, cancel = with_cancel(background())
    done: Any = ctx.done()
    done._fates = Meddled(lambda _fates: seen.append((done.closed, ctx.err(), ctx.cause())))
    cancel()
    assert seen == [(False, None, None)]
    assert type(ctx.err()) is Canceled


def test_of_two_who_cancel_at_once_one_says_why_to_all() -> None:
    first, second = ValueError("first"), ValueError("second")
    ctx, cancel = with_cancel_cause(background())
    other, cancel_other = with_cancel_cause(background())
    cancel_other(first)
    child, _cancel = with_cancel(ctx)
    done: Any = ctx.done()
    theirs: Any = other.done()
    done._fates = Meddled(lambda fates: fates.insert(0, theirs._fates[0]))
    cancel(second)
    assert [ctx.cause(), child.cause()] == [first, first]


# -- deadlines ----------------------------------------------------------------


def test_a_deadline_ends_the_context_not_too_early() -> None:
    async def main() -> None:
        when = time.monotonic() + SOON
        ctx, cancel = with_deadline(background(), when)
        assert ctx.deadline() == when
        error = await ctx.wait()
        assert time.monotonic() >= when
        assert type(error) is DeadlineExceeded
        assert str(error) == "context deadline exceeded"
        cancel()
        assert type(ctx.err()) is DeadlineExceeded

    run(main)


def test_a_timeout_is_a_deadline() -> None:
    async def main() -> None:
        before = time.monotonic()
        ctx, _cancel = with_timeout(background(), HOUR)
        deadline = ctx.deadline()
        assert deadline is not None
        assert before + HOUR <= deadline <= time.monotonic() + HOUR

    run(main)


def test_the_sooner_deadline_counts() -> None:
    async def main() -> None:
        now = time.monotonic()
        parent, _cancel = with_deadline(background(), now + HOUR)
        assert with_deadline(parent, now + 2 * HOUR).ctx.deadline() == now + HOUR
        assert with_deadline(parent, now + HOUR / 2).ctx.deadline() == now + HOUR / 2
        assert with_cancel(parent).ctx.deadline() == now + HOUR
        assert with_value(parent, "k", 1).deadline() == now + HOUR
        assert without_cancel(parent).deadline() is None

    run(main)


def test_the_parents_deadline_ends_the_child_with_its_cause() -> None:
    async def main() -> None:
        late, later = ValueError("late"), ValueError("later")
        parent, _cancel = with_timeout_cause(background(), SOON, late)
        child, _cancel2 = with_timeout_cause(parent, HOUR, later)
        error = await child.wait()
        assert type(error) is DeadlineExceeded
        assert error.__cause__ is late
        assert child.cause() is late

    run(main)


@pytest.mark.parametrize("seconds", [0, -1, -math.inf])
def test_a_past_deadline_needs_no_timer_and_so_no_program(seconds: float) -> None:
    ctx, _cancel = with_timeout(background(), seconds)
    assert type(ctx.err()) is DeadlineExceeded


def test_infinity_is_no_deadline() -> None:
    ctx, cancel = with_timeout(background(), math.inf)
    assert ctx.deadline() is None
    cancel()
    assert type(ctx.err()) is Canceled


def test_a_bad_deadline_raises_and_leaves_nothing() -> None:
    async def main() -> None:
        parent, _cancel = with_cancel(background())
        for bad, error in ((math.nan, ValueError), ("soon", TypeError), (None, TypeError)):
            with pytest.raises(error):
                with_timeout(parent, bad)  # type: ignore[arg-type]
            with pytest.raises(error):
                with_deadline(parent, bad)  # type: ignore[arg-type]
        gc.collect()
        assert children(parent) == 0

    run(main)


def test_a_deadline_outside_of_a_goroutine_raises_and_leaves_nothing() -> None:
    parent, _cancel = with_cancel(background())
    with pytest.raises(RuntimeError, match=r"gopark\.run"):
        with_timeout(parent, HOUR)
    gc.collect()
    assert children(parent) == 0


@pytest.mark.parametrize("end", ["cancelled", "parent cancelled", "dropped", "dropped in a tree"])
def test_no_timer_is_left_behind(end: str) -> None:
    """If one were, the program would not be dead before it fires."""

    async def main() -> None:
        parent, cancel_parent = with_cancel(background())
        ctx, cancel = with_timeout(parent, HOUR)
        match end:
            case "cancelled":
                cancel()
            case "parent cancelled":
                cancel_parent()
            case "dropped":
                del ctx, cancel
            case _:
                ctx = with_value(with_cancel(ctx).ctx, "k", 1)
                del ctx, cancel, parent, cancel_parent
        gc.collect()
        await Chan[None]().recv()

    with pytest.raises(Deadlock):
        run(main)


def test_a_context_may_outlive_its_program() -> None:
    async def main() -> context.Cancelable:
        return with_timeout(background(), HOUR)

    ctx, cancel = run(main)
    assert ctx.err() is None
    cancel()
    assert type(ctx.err()) is Canceled


# -- values -------------------------------------------------------------------


def test_the_nearest_value_counts() -> None:
    ctx = with_value(with_cancel(with_value(background(), "k", 1)).ctx, "k", 2)
    assert ctx.value("k") == 2
    assert with_cancel(ctx).ctx.value("k") == 2
    assert without_cancel(ctx).value("k") == 2
    assert ctx.value("other") is None


def test_a_key_is_compared_as_a_dicts_key() -> None:
    ctx = with_value(background(), ("a", 1), "found")
    assert ctx.value(("a", 1)) == "found"


def test_a_value_context_ends_with_its_parent() -> None:
    why = ValueError("why")
    parent, cancel = with_cancel_cause(background())
    ctx = with_value(with_value(parent, "k", 1), "l", 2)
    cancel(why)
    assert type(ctx.err()) is Canceled
    assert ctx.cause() is why


# -- who holds whom -----------------------------------------------------------


def made_and(end: str, derive: Callable[[Context], Any], parent: Context, times: int) -> None:
    for _ in range(times):
        _ctx, cancel = derive(parent)
        if end == "cancelled":
            cancel()


@pytest.mark.parametrize("end", ["cancelled", "dropped"])
@EVERY_WAY
def test_a_long_lived_parent_keeps_nothing_of_its_children(
    derive: Callable[[Context], Any], end: str
) -> None:
    async def main() -> None:
        parent, _cancel = with_cancel(background())
        made_and(end, derive, parent, 1000)
        gc.collect()
        blocks = sys.getallocatedblocks()
        made_and(end, derive, parent, 100_000)
        gc.collect()
        assert sys.getallocatedblocks() - blocks < 5000
        assert children(parent) == 0

    run(main, procs=1)


@EVERY_WAY
def test_a_dropped_context_dies_without_the_collector(derive: Callable[[Context], Any]) -> None:
    async def main() -> None:
        gc.disable()
        try:
            parent, _cancel = with_cancel(background())
            ctx, cancel = derive(parent)
            refs = [weakref.ref(ctx), weakref.ref(ctx.done())]
            assert children(parent) == 1
            del ctx, cancel
            assert [r() for r in refs] == [None, None]
            assert children(parent) == 0
        finally:
            gc.enable()

    run(main, procs=1)


def test_a_child_keeps_its_parents_alive() -> None:
    top = with_cancel(background())
    done = channel(with_value(with_cancel(with_cancel(top.ctx).ctx).ctx, "k", 1))
    gc.collect()
    top.cancel()
    assert done.closed


def test_who_waits_keeps_the_context_alive() -> None:
    async def main() -> None:
        top, cancel = with_cancel(background())
        waiters = [
            go(with_cancel(top).ctx.wait()),
            go(channel(with_timeout(top, HOUR).ctx).recv_ok()),
            go(sleep(HOUR, with_timeout(top, HOUR).ctx)),
        ]
        await until_waiting(*waiters)
        gc.collect()
        assert children(top) == 3
        cancel()
        assert type(await waiters[0]) is Canceled
        assert await waiters[1] == (None, False)
        with pytest.raises(Canceled):
            await waiters[2]

    run(main)


# -- after_func ---------------------------------------------------------------


def test_after_func_passes_arguments_to_async_and_plain_functions() -> None:
    async def main() -> None:
        ctx, cancel = with_cancel(background())
        c: Chan[tuple[str, int]] = Chan(2)

        async def called(word: str, n: int) -> None:
            await c.send((word, n))

        after_func(ctx, called, "async", 1)
        after_func(ctx, c.send_nowait, ("plain", 2))
        cancel()
        assert {await c.recv(), await c.recv()} == {("async", 1), ("plain", 2)}

    run(main)


def test_after_func_calls_in_a_goroutine_and_context_of_its_own() -> None:
    var = contextvars.ContextVar("var", default=0)

    async def main() -> None:
        ctx, cancel = with_cancel(background())
        c: Chan[tuple[int, int]] = Chan(1)
        var.set(1)
        after_func(ctx, lambda: c.send_nowait((current().id, var.get())))
        var.set(2)
        cancel()
        who, value = await c.recv()
        assert who != current().id
        assert value == 1

    run(main)


def test_a_failure_in_after_func_is_a_panic() -> None:
    async def main() -> None:
        ctx, cancel = with_cancel(background())
        after_func(ctx, lambda: 1 / 0)
        cancel()
        await sleep(HOUR)

    with pytest.raises(GoPanic) as info:
        run(main)
    assert isinstance(info.value.exception, ZeroDivisionError)


@pytest.mark.parametrize("fn", [None, 42, "print"])
def test_after_func_needs_a_function(fn: Any) -> None:
    with pytest.raises(TypeError, match="needs a function"):
        after_func(background(), fn)


def test_after_func_of_what_never_ends_can_be_stopped() -> None:
    stop = after_func(background(), print)
    assert stop() is True
    assert stop() is False


@pytest.mark.parametrize("how", ["parent", "deadline", "own", "own with after_func"])
def test_after_func_is_called_though_nobody_holds_its_context(how: str) -> None:
    async def main() -> None:
        top, cancel = with_cancel(background())
        c: Chan[str] = Chan(1)
        own = {"own": Own(), "own with after_func": OwnAfterFunc()}.get(how)
        ctx = with_timeout(top, SOON).ctx if how == "deadline" else with_cancel(own or top).ctx
        after_func(with_value(ctx, "k", 1), c.send_nowait, "called")
        del ctx
        gc.collect()
        if own is not None:
            own.end(Canceled())
        elif how == "parent":
            cancel()
        assert await c.recv() == "called"

    run(main)


def test_a_long_lived_context_keeps_nothing_of_functions_that_were_stopped() -> None:
    parent, _cancel = with_cancel(background())
    below = with_cancel(parent).ctx
    blocks = sys.getallocatedblocks()
    for _ in range(20_000):
        assert after_func(below, print)() is True
    gc.collect()
    assert sys.getallocatedblocks() - blocks < 5000


@pytest.mark.parametrize("how", ["stopped", "called"])
def test_after_func_lets_its_context_go(how: str) -> None:
    async def main() -> None:
        ctx, cancel = with_cancel(background())
        c: Chan[None] = Chan()
        stop = after_func(ctx, c.close)
        ref = weakref.ref(channel(ctx))
        if how == "stopped":
            assert stop() is True
        else:
            cancel()
            await c.recv_ok()
        del ctx, cancel, stop
        await until_dead(ref)

    run(main)


@pytest.mark.parametrize("seconds", [None, HOUR])
def test_a_function_dies_with_all_that_could_end_its_context(seconds: float | None) -> None:
    async def main() -> None:
        top, cancel = with_cancel(background())
        ctx = top if seconds is None else with_timeout(top, seconds).ctx
        died = []
        for parent in (ctx, with_cancel(with_value(ctx, "k", 1)).ctx):
            stop: Any = after_func(parent, print)
            died.append(weakref.ref(stop.__self__))
        del ctx, parent, stop
        gc.collect()
        assert None not in [r() for r in died]
        del top, cancel
        if seconds is None:
            await until_dead(*died)
        else:
            gc.collect()
            assert None not in [r() for r in died]

    run(main)


def test_functions_that_cannot_start_do_not_keep_a_cancel_from_its_work() -> None:
    async def main() -> None:
        top, cancel = with_cancel(background())
        below = [with_cancel(top).ctx for _ in range(3)]
        stops = [after_func(ctx, gosched) for ctx in (top, below[1])]
        waiter = go(sleep(HOUR))
        with pytest.raises(ExceptionGroup) as info:
            cancel()
        assert [type(e) for e in info.value.exceptions] == [TooManyGoroutines] * 2
        assert all(ctx.err() is not None for ctx in (top, *below))
        assert children(top) == 0
        assert [stop() for stop in stops] == [False, False]
        assert not waiter.done()

    run(main, max_goroutines=2)


def test_a_function_that_cannot_start_makes_cancel_fail() -> None:
    """No program runs, so there are no goroutines."""
    ctx, cancel = with_cancel(background())
    after_func(ctx, print)
    with pytest.raises(RuntimeError, match="go"):
        cancel()
    assert type(ctx.err()) is Canceled


@ALL_PROCS
def test_after_func_is_called_or_stopped_and_never_both(procs: int) -> None:
    async def main() -> None:
        for _ in range(200):
            ctx, cancel = with_cancel(background())
            calls: list[int] = []
            ended: Chan[None] = Chan(1)

            def fn(calls: list[int] = calls, ended: Chan[None] = ended) -> None:
                calls.append(1)
                ended.send_nowait(None)

            stop = after_func(ctx, fn)
            canceller, stopper = go(cancel), go(stop)
            await canceller
            if await stopper:
                await gosched()
            else:
                await ended.recv()
            assert len(calls) == (not await stopper)

    run(main, procs=procs)


# -- threads ------------------------------------------------------------------


@ALL_PROCS
def test_cancel_from_a_thread_wakes_a_goroutine(procs: int) -> None:
    async def main() -> None:
        ctx, cancel = with_cancel_cause(background())
        why = ValueError("from a thread")
        threading.Thread(target=cancel, args=(why,)).start()
        assert type(await ctx.wait()) is Canceled
        assert ctx.cause() is why

    run(main, procs=procs)


def test_a_thread_derives_and_waits() -> None:
    async def main() -> None:
        top, cancel = with_cancel(background())
        results: Chan[Exception] = Chan(1)

        def work() -> None:
            results.send_nowait(block_on(with_cancel(top).ctx.wait()))

        thread = threading.Thread(target=work)
        thread.start()
        await sleep(SOON)
        cancel()
        assert type(await results.recv()) is Canceled
        thread.join()

    run(main)


def test_threads_derive_while_another_cancels() -> None:
    """A child is cancelled whichever of the two comes first."""
    for _ in range(200):
        parent, cancel = with_cancel(background())
        ready = threading.Barrier(4)
        born: list[Context] = []

        def derive(
            parent: Context = parent, ready: threading.Barrier = ready, born: list[Context] = born
        ) -> None:
            ready.wait()
            born.extend(with_cancel(parent).ctx for _ in range(20))

        threads = [threading.Thread(target=derive) for _ in range(3)]
        for thread in threads:
            thread.start()
        ready.wait()
        cancel()
        for thread in threads:
            thread.join()
        assert len(born) == 60
        assert all(ctx.err() is not None for ctx in born)
        assert children(parent) == 0


def test_after_any_cancel_the_context_and_all_below_have_ended() -> None:
    """Also for one who comes second, while the first is still at work."""
    late: list[Context] = []
    for _ in range(200):
        top = with_cancel(background())
        tree = [top]
        for _ in range(30):
            tree.append(with_cancel(tree[len(tree) // 2].ctx))
        ready = threading.Barrier(4)

        def end(
            cancel: Callable[[], None],
            below: list[context.Cancelable],
            ready: threading.Barrier = ready,
        ) -> None:
            ready.wait()
            cancel()
            late.extend(ctx for ctx, _ in below if ctx.err() is None)

        threads = [threading.Thread(target=end, args=(top.cancel, tree)) for _ in range(3)]
        threads.append(threading.Thread(target=end, args=(tree[-1].cancel, tree[-1:])))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert late == []


# -- contexts of a user's own -------------------------------------------------


@ALL_PROCS
def test_a_goroutine_watches_a_context_of_ones_own(procs: int) -> None:
    async def main() -> None:
        own = Own()
        ctx, _cancel = with_timeout(own, HOUR)
        assert num_goroutine() == 2
        assert ctx.value("whose") == "own"
        error = LookupError("own error")
        own.end(error)
        assert await ctx.wait() is error
        assert ctx.cause() is error
        await until_alone()

    run(main, procs=procs)


@pytest.mark.parametrize("end", ["cancelled", "dropped"])
def test_no_watching_goroutine_is_left_behind(end: str) -> None:
    async def main() -> None:
        own = Own()
        made = [with_cancel(own) for _ in range(100)]
        assert num_goroutine() == 101
        if end == "cancelled":
            for _ctx, cancel in made:
                cancel()
        else:
            made.clear()
        await until_alone()

    run(main)


def test_a_context_of_ones_own_that_has_ended_needs_no_goroutine() -> None:
    own = Own()
    own.end(Canceled())
    ctx, _cancel = with_cancel(own)
    assert type(ctx.err()) is Canceled


def test_a_child_that_ends_while_it_is_made_is_taken_from_its_parent() -> None:
    own = OwnAfterFunc()
    own.end(LookupError("own"))
    ctx, _cancel = with_cancel(own)
    assert type(ctx.err()) is LookupError
    assert own.stopped == 1


def test_a_done_context_without_an_error_is_a_mistake() -> None:
    async def main() -> None:
        own = Own()
        own.end(None)
        with pytest.raises(RuntimeError, match=r"is done, but its err\(\) gives None"):
            with_cancel(own)
        with pytest.raises(RuntimeError, match=r"is done, but its err\(\) gives None"):
            await own.wait()

    run(main)


def test_a_context_must_have_the_four_methods() -> None:
    class Half(Context):
        def err(self) -> None:
            return None

    with pytest.raises(TypeError, match="deadline"):
        Half()  # type: ignore[abstract]


# -- sleep --------------------------------------------------------------------


def test_a_sleep_ends_with_its_context() -> None:
    async def main() -> None:
        why = ValueError("why")
        ctx, cancel = with_cancel_cause(background())
        g = go(sleep(HOUR, ctx))
        await until_waiting(g)
        cancel(why)
        with pytest.raises(Canceled) as info:
            await g
        assert info.value.__cause__ is why
        with pytest.raises(DeadlineExceeded):
            await sleep(HOUR, with_timeout(background(), SOON).ctx)

    run(main)


@pytest.mark.parametrize("make", [background, lambda: with_cancel(background()).ctx])
def test_a_sleep_in_a_living_context_is_not_shorter(make: Callable[[], Context]) -> None:
    async def main() -> None:
        begin = time.monotonic()
        await sleep(SOON, ctx=make())
        assert time.monotonic() >= begin + SOON

    run(main)


def test_a_sleep_of_nothing_in_a_living_context_lets_others_run() -> None:
    async def main() -> None:
        ctx, _cancel = with_cancel(background())
        g = go(gosched())
        while not g.done():
            await sleep(0, ctx)

    run(main, procs=1)


@pytest.mark.parametrize("seconds", [0, -1, SOON, math.inf])
def test_nobody_sleeps_in_an_ended_context(seconds: float) -> None:
    async def main() -> None:
        ctx, cancel = with_cancel(background())
        cancel()
        with pytest.raises(Canceled):
            await sleep(seconds, ctx)

    run(main)


@pytest.mark.parametrize(("seconds", "error"), [(math.nan, ValueError), ("1", TypeError)])
def test_a_bad_sleep_in_a_context_raises(seconds: Any, error: type[Exception]) -> None:
    async def main() -> None:
        with pytest.raises(error):
            await sleep(seconds, with_cancel(background()).ctx)

    run(main)


# -- select -------------------------------------------------------------------


def test_a_select_ends_with_its_context_and_leaves_no_trace() -> None:
    async def main() -> None:
        ctx, cancel = with_cancel(background())
        c: Chan[int] = Chan()
        g = go(select(c, (c, 1), ctx=ctx))
        await until_waiting(g)
        cancel()
        with pytest.raises(Canceled):
            await g
        with pytest.raises(WouldBlock):
            c.send_nowait(1)
        with pytest.raises(WouldBlock):
            c.recv_nowait()

    run(main)


def test_a_select_in_an_ended_context_does_no_case() -> None:
    async def main() -> None:
        ctx, cancel = with_cancel(background())
        c: Chan[int] = Chan(1)
        c.send_nowait(1)
        cancel()
        for _ in range(20):
            with pytest.raises(Canceled):
                await select(c, ctx=ctx)
            with pytest.raises(Canceled):
                await select(c, default=True, ctx=ctx)
        assert len(c) == 1

    run(main)


@pytest.mark.parametrize("make", [background, lambda: with_cancel(background()).ctx])
def test_a_select_in_a_living_context(make: Callable[[], Context]) -> None:
    async def main() -> None:
        ctx = make()
        a, b = Chan[int](1), Chan[int](1)
        b.send_nowait(2)
        assert await select(a, b, ctx=ctx) == (1, 2)
        assert await select(a, (b, 3), ctx=ctx) == (1, None)
        assert await select(a, None, default=True, ctx=ctx) == (-1, None)
        with pytest.raises(TimeoutError) as info:
            await select(a, timeout=SOON, ctx=ctx)
        assert type(info.value) is TimeoutError
        go(a.send(1))
        assert await select(a, ctx=ctx) == (0, 1)

    run(main)


def test_a_select_without_cases_waits_for_its_context() -> None:
    async def main() -> None:
        with pytest.raises(DeadlineExceeded):
            await select(ctx=with_timeout(background(), SOON).ctx)

    run(main)


def test_a_context_of_ones_own_ends_a_select() -> None:
    async def main() -> None:
        own = Own()
        g = go(select(Chan[int](), ctx=own))
        await until_waiting(g)
        own.end(LookupError("own"))
        with pytest.raises(LookupError, match="own"):
            await g

    run(main)


# -- names --------------------------------------------------------------------


def test_a_repr_tells_how_a_context_was_derived() -> None:
    async def main() -> None:
        ctx = with_cancel(without_cancel(with_value(todo(), "k", 1))).ctx
        assert repr(ctx) == "todo().with_value('k', 1).without_cancel().with_cancel()"
        ctx = with_cancel(with_timeout(background(), 10).ctx).ctx
        assert repr(ctx).startswith("background().with_deadline(")
        assert repr(ctx).endswith(" s]).with_cancel()")

    run(main)


def test_the_module_says_what_it_has() -> None:
    assert all(hasattr(context, name) for name in context.__all__)
