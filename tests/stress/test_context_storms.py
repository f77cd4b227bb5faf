"""Random trees of contexts, ended from everywhere at once: all end, and nothing is left."""

import gc
import random
import weakref
from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from typing import Any

import pytest

from gopark import Chan, Deadlock, G, context, go, gosched, num_goroutine, select, sleep
from gopark.context import Canceled, Context, DeadlineExceeded, background

Play = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]
HOUR = 3600.0


class Wrapped(Context):
    """Ends when its inner context does, with a channel of its own: has to be watched."""

    def __init__(self, inner: Context) -> None:
        self.inner = inner
        self.c: Chan[None] = Chan()
        context.after_func(inner, self.c.close)

    def deadline(self) -> float | None:
        return self.inner.deadline()

    def done(self) -> Chan[None]:
        return self.c

    def err(self) -> Exception | None:
        return self.inner.err() if self.c.closed else None

    def value(self, key: object) -> Any:
        return self.inner.value(key)


class Tree:
    """Contexts derived from each other at random, and the functions that cancel them."""

    def __init__(self, size: int) -> None:
        root, self.cancel_root = context.with_cancel(background())
        self.contexts = [root]
        self.cancels: list[Callable[[], object]] = []
        for _ in range(size):
            ctx, cancel = self.derive(random.choice(self.contexts))
            self.contexts.append(ctx)
            self.cancels.append(cancel)

    def derive(self, parent: Context) -> tuple[Context, Callable[[], object]]:
        match random.randrange(8):
            case 0:
                return context.with_timeout(parent, random.random() / 200)
            case 1:
                return context.with_timeout(parent, HOUR)
            case 2:
                return context.with_value(parent, "key", 1), no_cancel
            case 3:
                return Wrapped(parent), no_cancel
            case 4:
                return context.with_cancel_cause(parent)
            case _:
                return context.with_cancel(parent)


def no_cancel() -> None:
    """Stands for the cancel of a context that has none."""


def refs_to(contexts: list[Context]) -> list[weakref.ref[Any]]:
    """To them and to their channels: on free-threaded builds one may die after the other."""
    return [weakref.ref(x) for ctx in contexts for x in (ctx, ctx.done())]


async def nothing_left(*refs: weakref.ref[Any]) -> None:
    while num_goroutine() > 1:
        await gosched()
    while any(r() is not None for r in refs):
        gc.collect()
        await gosched()


async def childless(ctx: Context) -> None:
    """Until the finalizers of the dead, which other threads may run, are over."""
    done: Any = ctx.done()
    while done._children:
        gc.collect()
        await gosched()


async def witness(ctx: Context) -> None:
    """Waits in one of the ways that there are until the context ends."""
    match random.randrange(4):
        case 0:
            assert isinstance(await ctx.wait(), (Canceled, DeadlineExceeded))
        case 1:
            with pytest.raises((Canceled, DeadlineExceeded)):
                await sleep(HOUR, ctx)
        case 2:
            with pytest.raises((Canceled, DeadlineExceeded)):
                await select(Chan[int](), ctx=ctx)
        case _:
            while ctx.err() is None:
                await gosched()
    done = ctx.done()
    assert done is not None
    assert done.closed
    assert ctx.err() is not None


def test_random_trees_end_and_leave_nothing(play: Play) -> None:
    async def grow_and_cut() -> list[weakref.ref[Any]]:
        calls: list[int] = []
        tree = Tree(200)
        stops = [
            context.after_func(ctx, calls.append, 1)
            for ctx in random.sample(tree.contexts, 50)
            if ctx.done() is not None
        ]
        waiting: list[Any] = [stop.__self__ for stop in stops]  # type: ignore[attr-defined]
        witnesses = [go(witness(ctx)) for ctx in tree.contexts]
        workers: list[G[Any]] = [go(f) for f in random.sample(tree.cancels, len(tree.cancels))]
        workers += [go(Tree.derive, tree, random.choice(tree.contexts)) for _ in range(100)]
        stopping = [go(stop) for stop in stops[::2]]
        workers.insert(50, go(tree.cancel_root))
        for g in [*witnesses, *workers]:
            await g
        stopped = sum([await g for g in stopping])
        while len(calls) < len(stops) - stopped:
            await gosched()
        assert all(ctx.err() is not None for ctx in tree.contexts)
        for g in [go(stop) for stop in stops]:
            assert await g is False
        assert len(calls) == len(stops) - stopped
        return refs_to(tree.contexts) + [weakref.ref(c) for c in waiting]

    async def main() -> None:
        for _ in range(3):
            refs = await grow_and_cut()
            await nothing_left(*refs)

    play(main)


def test_dropped_trees_leave_nothing(play: Play, robbed: bool) -> None:
    """Nobody cancels: they just die, wherever they were dropped, with their timers."""

    async def main() -> None:
        top, cancel = context.with_cancel(background())
        for _ in range(5):
            droppers = [go(drop_under(top)) for _ in range(20)]
            refs = [r for g in droppers for r in await g]
            await nothing_left(*refs)
        await childless(top)
        cancel()
        if not robbed:  # while the robber's thread lives, no program counts as dead
            await Chan[None]().recv()  # with a timer left it would not be dead before that fires

    async def drop_under(top: Context) -> list[weakref.ref[Any]]:
        made = [top]
        for _ in range(50):
            parent = random.choice(made)
            made.append(random.choice([context.with_cancel, hourly])(parent).ctx)
            await gosched()
        return refs_to(made[1:])

    def hourly(parent: Context) -> context.Cancelable:
        return context.with_timeout(parent, HOUR)

    with nullcontext() if robbed else pytest.raises(Deadlock):
        play(main)


def test_children_come_and_go_under_one_parent(play: Play) -> None:
    async def main() -> None:
        parent, cancel = context.with_cancel(background())
        c: Chan[int] = Chan()

        async def request(n: int) -> int:
            ended = 0
            for k in range(20):
                with context.with_timeout(parent, random.choice([0, 1e-4, HOUR])) as ctx:
                    try:
                        if (n + k) % 2:
                            await select(c, ctx=ctx, timeout=1e-4)
                        else:
                            await sleep(1e-5, ctx)
                    except TimeoutError:
                        pass
                ended += ctx.err() is not None
            return ended

        requests = [go(request(n)) for n in range(100)]
        assert [await g for g in requests] == [20] * 100
        await childless(parent)
        cancel()
        await nothing_left()

    play(main)
