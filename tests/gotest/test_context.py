"""Go's context_test.go, x_test.go and afterfunc_test.go, each for what it checks.

TestAllocs counts allocations of Go's compiler, and has no counterpart here.  The
String tests check here that a repr tells how a context was derived.
"""

import random
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from gopark import Chan, go, gosched, num_goroutine, run, select
from gopark.context import (
    Canceled,
    Context,
    DeadlineExceeded,
    after_func,
    background,
    cause,
    todo,
    with_cancel,
    with_cancel_cause,
    with_deadline,
    with_timeout,
    with_timeout_cause,
    with_value,
    without_cancel,
)

SHORT = 0.001
FOREVER = 3_600_000.0


async def is_done(ctx: Context) -> bool:
    i, _ = await select(ctx.done(), default=True)
    return i == 0


def children(ctx: Context) -> int:
    done: Any = ctx.done()
    return len(done._children)


def is_kind(err: object, kind: type[BaseException] | None) -> bool:
    return err is None if kind is None else type(err) is kind


class OtherContext(Context):
    """A context that is not of gopark's types, around one that is."""

    def __init__(self, inner: Context) -> None:
        self.inner = inner

    def deadline(self) -> float | None:
        return self.inner.deadline()

    def done(self) -> Chan[None] | None:
        return self.inner.done()

    def err(self) -> Exception | None:
        return self.inner.err()

    def value(self, key: object) -> Any:
        return self.inner.value(key)


class CustomDoneContext(OtherContext):
    """With a done channel of its own."""

    def __init__(self, inner: Context) -> None:
        super().__init__(inner)
        self.donec: Chan[None] = Chan()

    def done(self) -> Chan[None]:
        return self.donec


# -- context_test.go ----------------------------------------------------------


def test_parent_finishes_child(procs: int) -> None:
    async def main() -> None:
        # parent -> cancel_child; parent -> value_child -> timer_child; parent -> after_child
        parent, cancel = with_cancel(background())
        cancel_child, _stop1 = with_cancel(parent)
        value_child = with_value(parent, "key", "value")
        timer_child, _stop2 = with_timeout(value_child, FOREVER)
        stop = after_func(parent, lambda: None)
        family = [parent, cancel_child, value_child, timer_child]
        assert not any([await is_done(ctx) for ctx in family])
        assert children(parent) == 3

        cancel()
        assert children(parent) == 0
        for ctx in [*family, with_value(parent, "key", "value"), with_cancel(parent).ctx]:
            assert await is_done(ctx)
            assert type(ctx.err()) is Canceled
        assert stop() is False

    run(main, procs=procs)


def test_child_finishes_first(procs: int) -> None:
    async def main() -> None:
        cancelable, _stop = with_cancel(background())
        for parent in (background(), cancelable):
            child, cancel = with_cancel(parent)
            assert not await is_done(parent)
            assert not await is_done(child)
            assert parent is background() or children(parent) == 1
            cancel()
            assert parent is background() or children(parent) == 0
            assert await is_done(child)
            assert type(child.err()) is Canceled
            assert not await is_done(parent)
            assert parent.err() is None

    run(main, procs=procs)


@pytest.mark.parametrize(
    "derive",
    [
        lambda ctx: with_cancel(ctx)[1],
        lambda ctx: with_timeout(ctx, FOREVER)[1],
        lambda ctx: after_func(ctx, lambda: None),
    ],
    ids=["with_cancel", "with_timeout", "after_func"],
)
def test_cancel_removes(derive: Callable[[Context], Callable[[], object]]) -> None:
    async def main() -> None:
        ctx, _stop = with_cancel(background())
        assert children(ctx) == 0
        cancel = derive(ctx)
        assert children(ctx) == 1
        cancel()
        assert children(ctx) == 0

    run(main)


def test_custom_context_goroutines(procs: int) -> None:
    """A goroutine watches a parent only if it has a done channel of its own."""

    async def settled() -> int:
        for _ in range(100):
            await gosched()
        return num_goroutine()

    async def main() -> None:
        alone = num_goroutine()
        for derive in (with_cancel, lambda ctx: with_timeout(ctx, FOREVER)):
            _ctx0, cancel0 = derive(CustomDoneContext(background()))
            assert num_goroutine() == alone + 1
            cancel0()
            while num_goroutine() > alone:
                await gosched()

        ctx1, cancel1 = with_cancel(background())
        ctx2 = OtherContext(ctx1)
        ctx3, _cancel3 = with_cancel(ctx2)
        assert num_goroutine() == alone
        _ctx3b, cancel3b = with_cancel(CustomDoneContext(ctx2))
        assert num_goroutine() == alone + 1
        ctx4, _cancel4 = with_timeout(ctx3, FOREVER)
        ctx5, cancel5 = with_cancel(ctx4)
        cancel5()
        _ctx6, cancel6 = with_timeout(ctx5, FOREVER)
        cancel6()
        cancel1()
        _ctx7, _cancel7 = with_cancel(ctx5)
        assert await settled() == alone + 1
        cancel3b()
        while num_goroutine() > alone:
            await gosched()

    run(main, procs=procs)


# -- x_test.go ----------------------------------------------------------------


@pytest.mark.parametrize(("root", "name"), [(background(), "background()"), (todo(), "todo()")])
def test_background_and_todo(root: Context, name: str) -> None:
    async def main() -> None:
        assert not await is_done(root)
        assert repr(root) == name

    run(main)


def test_with_cancel(procs: int) -> None:
    async def main() -> None:
        c1, cancel = with_cancel(background())
        assert repr(c1) == "background().with_cancel()"
        o = OtherContext(c1)
        c2, _cancel2 = with_cancel(o)
        contexts = [c1, o, c2]
        for c in contexts:
            assert c.done() is not None
            assert c.err() is None
            assert not await is_done(c)
        cancel()
        for c in contexts:
            assert await is_done(c)
            assert type(c.err()) is Canceled

    run(main, procs=procs)


@pytest.mark.parametrize(
    "make",
    [
        lambda: with_deadline(background(), time.monotonic() + SHORT)[0],
        lambda: OtherContext(with_deadline(background(), time.monotonic() + SHORT)[0]),
        lambda: with_deadline(
            OtherContext(with_deadline(background(), time.monotonic() + SHORT)[0]),
            time.monotonic() + FOREVER,
        )[0],
        lambda: with_deadline(background(), time.monotonic() - SHORT)[0],
        lambda: with_deadline(background(), time.monotonic())[0],
        lambda: with_timeout(background(), SHORT)[0],
        lambda: OtherContext(with_timeout(background(), SHORT)[0]),
        lambda: with_timeout(OtherContext(with_timeout(background(), SHORT)[0]), FOREVER)[0],
    ],
)
def test_deadline_and_timeout(procs: int, make: Callable[[], Context]) -> None:
    async def main() -> None:
        c = make()
        assert "background().with_deadline(" in repr(getattr(c, "inner", c)) or "Other" in repr(c)
        assert type(await c.wait()) is DeadlineExceeded
        assert type(c.err()) is DeadlineExceeded

    run(main, procs=procs)


def test_canceled_timeout(procs: int) -> None:
    async def main() -> None:
        first, _cancel = with_timeout(background(), 60)
        c, cancel = with_timeout(OtherContext(first), FOREVER)
        cancel()
        assert await is_done(c)
        assert type(c.err()) is Canceled

    run(main, procs=procs)


def test_values() -> None:
    k1, k2, k3 = object(), object(), object()

    def check(c: Context, *expected: str | None) -> None:
        assert (c.value(k1), c.value(k2), c.value(k3)) == expected

    check(background(), None, None, None)
    c1 = with_value(background(), k1, "c1k1")
    check(c1, "c1k1", None, None)
    c2 = with_value(c1, k2, "c2k2")
    check(c2, "c1k1", "c2k2", None)
    c3 = with_value(c2, k3, "c3k3")
    check(c3, "c1k1", "c2k2", "c3k3")
    c4 = with_value(c3, k1, None)
    check(c4, None, "c2k2", "c3k3")

    check(OtherContext(background()), None, None, None)
    o1 = OtherContext(with_value(background(), k1, "c1k1"))
    check(o1, "c1k1", None, None)
    o2 = with_value(o1, k2, "o2k2")
    check(o2, "c1k1", "o2k2", None)
    o3 = OtherContext(c4)
    check(o3, None, "c2k2", "c3k3")
    check(with_value(o3, k3, None), None, "c2k2", None)

    named = with_value(with_value(background(), "k1", 1), "k2", None)
    assert repr(named) == "background().with_value('k1', 1).with_value('k2', None)"


def test_simultaneous_cancels(procs: int) -> None:
    async def main() -> None:
        root = with_cancel(background())
        tree, queue = [root], [root]
        while len(tree) < 100:
            parent = queue.pop(0)
            born = [with_cancel(parent.ctx) for _ in range(4)]
            tree += born
            queue += born
        cancels = [go(cancel) for _ctx, cancel in random.sample(tree, len(tree))]
        for ctx, _cancel in random.sample(tree, len(tree)):
            assert type(await ctx.wait()) is Canceled
        for g in cancels:
            await g

    run(main, procs=procs)


def test_interlocked_cancels(procs: int) -> None:
    async def main() -> None:
        parent, cancel_parent = with_cancel(background())
        child, cancel_child = with_cancel(parent)

        async def chain() -> None:
            await parent.wait()
            cancel_child()

        g = go(chain())
        cancel_parent()
        await child.wait()
        await g

    run(main, procs=procs)


@pytest.mark.parametrize("timeout", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_layers(procs: int, timeout: bool, seed: int) -> None:
    r = random.Random(seed)

    async def main() -> None:
        ctx = background()
        keys: list[object] = []
        cancels: list[Callable[[], None]] = []
        timers = 0
        layers = 0
        while layers < 30 or not (timers and cancels and keys):
            layers += 1
            match r.randrange(3):
                case 0:
                    keys.append(object())
                    ctx = with_value(ctx, keys[-1], keys[-1])
                case 1:
                    ctx, cancel = with_cancel(ctx)
                    cancels.append(cancel)
                case _:
                    ctx, cancel = with_timeout(ctx, SHORT if timeout else FOREVER)
                    cancels.append(cancel)
                    timers += 1
        assert repr(ctx).startswith("background().")
        assert all(ctx.value(key) is key for key in keys)
        if timeout:
            await ctx.wait()
        else:
            assert not await is_done(ctx)
            r.choice(cancels)()
            assert await is_done(ctx)
        assert all(ctx.value(key) is key for key in keys)

    run(main, procs=procs)


def test_with_cancel_canceled_parent() -> None:
    async def main() -> None:
        why = ValueError("because")
        parent, cancel_parent = with_cancel_cause(background())
        cancel_parent(why)
        c, _cancel = with_cancel(parent)
        assert await is_done(c)
        assert type(c.err()) is Canceled
        assert cause(c) is why

    run(main)


def test_with_cancel_simultaneously_canceled_parent(procs: int) -> None:
    async def main() -> None:
        for _ in range(100):
            why = ValueError("because")
            parent, cancel_parent = with_cancel_cause(background())
            g = go(cancel_parent, why)
            c, _cancel = with_cancel(parent)
            assert type(await c.wait()) is Canceled
            assert cause(c) is why
            await g

    run(main, procs=procs)


def test_with_value_checks_key() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        with_value(background(), [], "bar")
    with pytest.raises(TypeError, match="None"):
        with_value(background(), None, "bar")


@pytest.mark.parametrize(
    "derive",
    [
        with_cancel,
        lambda ctx: with_deadline(ctx, time.monotonic() + SHORT),
        lambda ctx: with_value(ctx, "foo", "bar"),
        without_cancel,
        lambda ctx: after_func(ctx, print),
    ],
)
def test_invalid_derived_fail(derive: Callable[[Any], object]) -> None:
    with pytest.raises(TypeError, match="a Context is needed"):
        derive(None)


def test_deadline_exceeded_supports_timeout() -> None:
    assert issubclass(DeadlineExceeded, TimeoutError)


# -- TestCause ----------------------------------------------------------------

PARENT, CHILD = ValueError("parent"), ValueError("child")
SLOW, EARLY = ValueError("too slow"), ValueError("finished early")


class CustomContext(OtherContext):
    """Ends when its parent does, by an after_func, or by its own cancel."""

    def __init__(self, inner: Context) -> None:
        super().__init__(inner)
        self.donec: Chan[None] = Chan()
        self.error: Exception | None = None
        self.once = threading.Lock()
        after_func(inner, lambda: self.end(inner.err()))

    def end(self, error: Exception | None) -> None:
        if self.once.acquire(blocking=False):
            self.error = error
            self.donec.close()

    def done(self) -> Chan[None]:
        return self.donec

    def err(self) -> Exception | None:
        return self.error if self.donec.closed else None


def canceled() -> Context:
    ctx, cancel = with_cancel(background())
    cancel()
    return ctx


def cancel_cause(why: Exception | None) -> Context:
    ctx, cancel = with_cancel_cause(background())
    cancel(why)
    return ctx


def two(*steps: str, child_takes_cause: bool = True, parent_takes_cause: bool = True) -> Context:
    """A parent and a child, cancelled in this order."""
    parent, cancel_parent = (with_cancel_cause if parent_takes_cause else with_cancel)(background())
    child, cancel_child = (with_cancel_cause if child_takes_cause else with_cancel)(parent)
    for step in steps:
        if step == "parent":
            cancel_parent(*[PARENT] * parent_takes_cause)
        else:
            cancel_child(*[CHILD] * child_takes_cause)
    return child


def timeout_cause(seconds: float) -> Context:
    ctx, cancel = with_timeout_cause(background(), seconds, SLOW)
    cancel()
    return ctx


def stacked_timeout_cause(seconds: float) -> Context:
    parent, cancel = with_cancel_cause(background())
    ctx, _ = with_timeout_cause(parent, seconds, SLOW)
    cancel(EARLY)
    return ctx


def timeout_canceled(seconds: float) -> Context:
    ctx, cancel = with_timeout(background(), seconds)
    cancel()
    return ctx


def custom(*steps: str) -> Context:
    parent, cancel_parent = with_cancel_cause(background())
    ctx = CustomContext(parent)
    for step in steps:
        if step == "parent":
            cancel_parent(PARENT)
        else:
            ctx.end(Canceled())
    return ctx


@pytest.mark.parametrize(
    ("make", "err", "expected"),
    [
        (background, None, None),
        (todo, None, None),
        (canceled, Canceled, Canceled),
        (lambda: cancel_cause(PARENT), Canceled, PARENT),
        (lambda: cancel_cause(None), Canceled, Canceled),
        (lambda: two("parent", "child"), Canceled, PARENT),
        (lambda: two("child", "parent"), Canceled, CHILD),
        (lambda: two("parent", "child", child_takes_cause=False), Canceled, PARENT),
        (lambda: two("child", "parent", child_takes_cause=False), Canceled, Canceled),
        (lambda: two("parent", "child", parent_takes_cause=False), Canceled, Canceled),
        (lambda: two("child", "parent", parent_takes_cause=False), Canceled, CHILD),
        (lambda: timeout_canceled(0), DeadlineExceeded, DeadlineExceeded),
        (lambda: timeout_canceled(FOREVER), Canceled, Canceled),
        (lambda: timeout_cause(0), DeadlineExceeded, SLOW),
        (lambda: timeout_cause(FOREVER), Canceled, Canceled),
        (lambda: stacked_timeout_cause(0), DeadlineExceeded, SLOW),
        (lambda: stacked_timeout_cause(FOREVER), Canceled, EARLY),
        (lambda: without_cancel(background()), None, None),
        (lambda: without_cancel(cancel_cause(EARLY)), None, None),
        (lambda: without_cancel(timeout_cause(0)), None, None),
        (lambda: custom("own"), Canceled, Canceled),
        (lambda: custom("parent", "own"), Canceled, PARENT),
        # As in Go: a custom context cannot tell which of the two came first.
        (lambda: custom("own", "parent"), Canceled, PARENT),
    ],
)
def test_cause(
    make: Callable[[], Context],
    err: type[Exception] | None,
    expected: type[Exception] | Exception | None,
) -> None:
    async def main() -> None:
        ctx = make()
        if isinstance(ctx, CustomContext):
            await ctx.wait()
        assert is_kind(ctx.err(), err)
        assert is_kind(cause(ctx), type(expected) if isinstance(expected, Exception) else expected)
        if isinstance(expected, Exception):
            assert cause(ctx) is expected

    run(main)


def test_cause_race(procs: int) -> None:
    async def main() -> None:
        why = ValueError("race")
        ctx, cancel = with_cancel_cause(background())
        g = go(cancel, why)
        while (found := cause(ctx)) is None:
            await gosched()
        assert found is why
        await g

    run(main, procs=procs)


def test_without_cancel() -> None:
    ctx = without_cancel(with_value(background(), "key", "value"))
    assert ctx.deadline() is None
    assert ctx.done() is None
    assert ctx.err() is None
    assert ctx.value("key") == "value"


def test_custom_context_propagation(procs: int) -> None:
    async def main() -> None:
        why = ValueError("propagation")
        ctx1, cancel1 = with_cancel_cause(background())
        ctx2 = CustomDoneContext(ctx1)
        ctx3, _cancel3 = with_cancel(ctx2)
        cancel1(why)
        ctx2.donec.close()
        assert type(await ctx3.wait()) is Canceled
        assert cause(ctx3) is why

    run(main, procs=procs)


class CustomCauseContext(Context):
    """Ends by its own cancel, and knows of no values."""

    def __init__(self) -> None:
        self.donec: Chan[None] = Chan()
        self.error: Exception | None = None
        self.cancel_child: Callable[[], None] | None = None

    def deadline(self) -> float | None:
        return None

    def done(self) -> Chan[None]:
        return self.donec

    def err(self) -> Exception | None:
        return self.error

    def value(self, key: object) -> None:
        return None

    def cancel(self) -> None:
        self.error = Canceled()
        self.donec.close()
        if self.cancel_child is not None:
            self.cancel_child()


def test_custom_context_cause(procs: int) -> None:
    async def main() -> None:
        alone = CustomCauseContext()
        alone.cancel()
        assert type(alone.err()) is Canceled
        assert type(cause(alone)) is Canceled

        parent = CustomCauseContext()
        ctx, cancel = with_cancel_cause(parent)
        why = ValueError("why")
        cancel(why)
        assert type(ctx.err()) is Canceled
        assert cause(ctx) is why
        assert parent.err() is None
        assert cause(parent) is None

        parent.cancel()
        assert type(ctx.err()) is Canceled
        assert cause(ctx) is why
        assert type(parent.err()) is Canceled
        assert type(cause(parent)) is Canceled

        parent = CustomCauseContext()
        child, cancel_child = with_cancel(parent)
        parent.cancel_child = cancel_child
        parent.cancel()
        for c in (child, parent):
            assert type(c.err()) is Canceled
            assert type(cause(c)) is Canceled

    run(main, procs=procs)


def test_after_func_called_after_cancel(procs: int) -> None:
    async def main() -> None:
        ctx, cancel = with_cancel(background())
        donec: Chan[None] = Chan()
        stop = after_func(ctx, donec.close)
        with pytest.raises(TimeoutError):
            await select(donec, timeout=SHORT)
        cancel()
        await donec.recv_ok()
        assert stop() is False

    run(main, procs=procs)


def test_after_func_called_after_timeout(procs: int) -> None:
    async def main() -> None:
        ctx, _cancel = with_timeout(background(), SHORT)
        donec: Chan[None] = Chan()
        after_func(ctx, donec.close)
        await donec.recv_ok()

    run(main, procs=procs)


def test_after_func_called_immediately(procs: int) -> None:
    async def main() -> None:
        donec: Chan[None] = Chan()
        after_func(canceled(), donec.close)
        await donec.recv_ok()

    run(main, procs=procs)


def test_after_func_not_called_after_stop(procs: int) -> None:
    async def main() -> None:
        ctx, cancel = with_cancel(background())
        donec: Chan[None] = Chan()
        stop = after_func(ctx, donec.close)
        assert stop() is True
        cancel()
        with pytest.raises(TimeoutError):
            await select(donec, timeout=SHORT)
        assert stop() is False

    run(main, procs=procs)


def test_after_func_called_asynchronously(procs: int) -> None:
    async def main() -> None:
        ctx, cancel = with_cancel(background())
        donec: Chan[None] = Chan()

        async def blocks() -> None:
            await donec.send(None)

        after_func(ctx, blocks)
        cancel()
        await donec.recv()

    run(main, procs=procs)


def test_context_err_done_race(procs: int) -> None:
    """Once err says that it has ended, its channel is closed (golang/go#75533)."""

    async def main() -> None:
        for _ in range(50):
            ctx, cancel = with_cancel(background())
            done = ctx.done()
            assert done is not None
            g = go(cancel)
            while ctx.err() is None:
                await gosched()
            assert done.closed
            await g

    run(main, procs=procs)


# -- afterfunc_test.go --------------------------------------------------------


class AfterFuncContext(Context):
    """Knows after_func, and never closes its channel."""

    def __init__(self) -> None:
        self.donec: Chan[None] = Chan()
        self.error: Exception | None = None
        self.after_funcs: dict[object, Callable[[], object]] = {}

    def deadline(self) -> float | None:
        return None

    def done(self) -> Chan[None]:
        return self.donec

    def err(self) -> Exception | None:
        return self.error

    def value(self, key: object) -> None:
        return None

    def after_func(self, fn: Callable[[], object]) -> Callable[[], bool]:
        key = object()
        self.after_funcs[key] = fn
        return lambda: self.after_funcs.pop(key, None) is not None

    def cancel(self, error: Exception) -> None:
        self.error = error
        for fn in self.after_funcs.values():
            go(fn)
        self.after_funcs = {}


@pytest.mark.parametrize("derive", [with_cancel, lambda ctx: with_timeout(ctx, FOREVER)])
def test_custom_context_after_func_cancel(
    procs: int, derive: Callable[[Context], tuple[Context, Any]]
) -> None:
    async def main() -> None:
        ctx0 = AfterFuncContext()
        ctx1, _cancel = derive(ctx0)
        assert num_goroutine() == 1
        ctx0.cancel(Canceled())
        assert type(await ctx1.wait()) is Canceled

    run(main, procs=procs)


def test_custom_context_after_func_after_func(procs: int) -> None:
    async def main() -> None:
        ctx0 = AfterFuncContext()
        donec: Chan[None] = Chan()
        after_func(ctx0, donec.close)
        ctx0.cancel(Canceled())
        await donec.recv_ok()

    run(main, procs=procs)


@pytest.mark.parametrize(
    "derive",
    [
        lambda ctx: with_cancel(ctx)[1],
        lambda ctx: with_timeout(ctx, FOREVER)[1],
        lambda ctx: after_func(ctx, lambda: None),
    ],
    ids=["with_cancel", "with_timeout", "after_func"],
)
def test_custom_context_after_func_unregister(
    derive: Callable[[Context], Callable[[], object]],
) -> None:
    async def main() -> None:
        ctx0 = AfterFuncContext()
        cancels = [derive(ctx0), derive(ctx0)]
        assert len(ctx0.after_funcs) == 2
        for cancel in cancels:
            cancel()
        assert len(ctx0.after_funcs) == 0

    run(main)
