"""Which types values keep on their way through gopark."""

from collections.abc import Awaitable
from functools import partial
from traceback import StackSummary
from typing import Any, NoReturn, assert_type

import gopark
from gopark import Chan, G, context, go, gosched, run, select, sleep
from gopark.context import Context
from gopark.sync import Cond, Mutex, Once, RWMutex, Semaphore, WaitGroup
from gopark.time import Ticker, Timer, after, after_func


class Job:
    pass


async def double(n: int) -> int:
    return 2 * n


def length(text: str, *, strip: bool = False) -> int:
    return len(text.strip() if strip else text)


async def channels() -> None:
    jobs: Chan[Job] = Chan(10)
    assert_type(Chan[int](), Chan[int])
    assert_type(await jobs.send(Job()), None)
    assert_type(await jobs.recv(), Job)
    assert_type(await jobs.recv_ok(), tuple[Job | None, bool])
    assert_type(jobs.send_nowait(Job()), None)
    assert_type(jobs.recv_nowait(), Job)
    async for job in jobs:
        assert_type(job, Job)
    assert_type([job async for job in jobs], list[Job])
    assert_type(jobs.close(), None)
    assert_type(len(jobs), int)
    assert_type(jobs.capacity, int)
    assert_type(jobs.closed, bool)
    sending: Awaitable[None] = jobs.send(Job())
    await sending


async def goroutines() -> None:
    assert_type(go(double(21)), G[int])
    assert_type(go(double(21), name="doubler"), G[int])
    assert_type(go(double, 21), G[int])
    assert_type(go(double, 21, name="doubler"), G[int])
    assert_type(go(length, "four", strip=True), G[int])
    assert_type(go(length, "four", strip=True, name=None), G[int])
    assert_type(go(lambda: double(21)), G[int])
    assert_type(go(lambda: go(double(21))), G[G[int]])  # the handle is its result
    assert_type(go(Chan[int]().send, 1), G[None])
    assert_type(go(partial(double, 21)), G[int])
    assert_type(go(Chan[int]().recv()), G[int])
    assert_type(go(Chan[int]().send(1)), G[None])
    assert_type(await go(double(21)), int)
    assert_type(await go(length, "four"), int)
    assert_type([await g for g in [go(double(n)) for n in range(3)]], list[int])

    g = go(double(21))
    assert_type(g.id, int)
    assert_type(g.name, str)
    assert_type(g.status, str)
    assert_type(g.wait_reason, str)
    assert_type(g.created_by, tuple[str, int, str] | None)
    assert_type(g.done(), bool)
    assert_type(g.stack(), StackSummary)
    number: G[float] = g  # a handle only gives values
    g.name = "renamed"
    assert_type(await number, float)

    assert_type(gopark.current(), G[Any])
    assert_type(gopark.num_goroutine(), int)
    assert_type(gopark.gomaxprocs(2), int)
    assert_type(await gosched(), None)
    assert_type(await sleep(0.1), None)


async def selects(a: Chan[int], b: Chan[str]) -> None:
    assert_type(await select(a, (b, "text"), None, timeout=1.0), tuple[int, Any])
    assert_type(await select(a, default=True), tuple[int, Any])
    if (await select(a))[1] is gopark.CLOSED:
        pass


async def timers() -> None:
    assert_type(await Timer(0.1).c.recv(), float)
    assert_type(await after(0.1).recv(), float)
    assert_type(Timer(0.1).stop(), bool)
    assert_type(after_func(0.1, double, 21), Timer)
    async for time in Ticker(0.1).c:
        assert_type(time, float)


async def locks() -> None:
    mu, rw, wg = Mutex(), RWMutex(), WaitGroup()
    async with mu as nothing:
        assert_type(nothing, None)
    assert_type(await mu.lock(), None)
    assert_type(mu.unlock(), None)
    assert_type(mu.try_lock(), bool)
    assert_type(go(mu.lock()), G[None])
    assert_type(gopark.block_on(mu.lock()), None)
    async with rw, rw.reader():
        assert_type(rw.try_rlock(), bool)
    async with Semaphore(2) as nothing:
        assert_type(nothing, None)
    assert_type(Semaphore(2).available, int)
    assert_type(wg.go(double, 21), G[int])
    assert_type(wg.go(double(21), name="doubler"), G[int])
    assert_type(wg.go(length, "four", strip=True), G[int])
    assert_type(await wg.wait(), None)
    async with Cond(mu) as nothing:
        assert_type(nothing, None)
    assert_type(await Cond().wait(), None)
    assert_type(await Cond().wait_for(lambda: [Job()]), list[Job])
    assert_type(await Once().do(double, 21), int)
    assert_type(await Once().do(length, "four"), int)


async def contexts(parent: Context) -> None:
    ctx, cancel = context.with_timeout(parent, 1)
    assert_type(ctx, Context)
    assert_type(cancel(), None)
    with context.with_cancel_cause(parent) as ctx:
        assert_type(ctx, Context)
    context.with_cancel_cause(parent).cancel(ValueError("why"))
    assert_type(ctx.err(), Exception | None)
    assert_type(context.cause(ctx), BaseException | None)
    assert_type(ctx.deadline(), float | None)
    assert_type(ctx.done(), Chan[None] | None)
    assert_type(await ctx.wait(), Exception)
    assert_type(context.after_func(ctx, double, 21)(), bool)
    assert_type(await select(ctx.done(), Chan[int](), ctx=ctx), tuple[int, Any])
    assert_type(await sleep(1, ctx), None)


def leave() -> NoReturn:
    gopark.goexit()


def programs() -> None:
    assert_type(run(double, 21), int)
    assert_type(run(double(21)), int)
    assert_type(run(length, "four", procs=2, max_goroutines=1000), int)
    try:
        run(channels)
    except gopark.GoPanic as panic:
        assert_type(panic.exception, BaseException)
        assert_type(panic.goroutine_id, int)
    except gopark.Deadlock as deadlock:
        assert_type(deadlock.goroutines[0].wait_reason, str)
