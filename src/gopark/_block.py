"""Plain code and the scheduler: blocking calls, waits in plain functions, wired threads."""

from __future__ import annotations

import threading
from collections.abc import Awaitable
from types import TracebackType
from typing import Any, TypeVar

from ._chan import Chan
from ._select import select
from .runtime import awaits, proc

T = TypeVar("T")


def block_on(awaitable: Awaitable[T], timeout: float | None = None) -> T:
    """Wait for `awaitable` from plain code; returns its result, or raises its exception.

    In a goroutine (in a plain function that `go` runs, or in one that an async
    function calls) the goroutine waits together with its thread, and all others go
    on: a thread is what such a wait costs.  On any other thread of the program the
    awaitable runs as a goroutine of the running program, and the thread waits.

    Raises:
        TimeoutError: it took longer than `timeout` seconds.  The awaitable then
            goes on as a goroutine of its own.
        RuntimeError: no gopark program is running.
    """
    if proc.current_() is None:
        return _from_a_thread(awaitable, timeout)
    if timeout is not None:
        awaitable = _in_time(awaitable, timeout)
    coro: Any = awaits.asstack(awaitable, (), {}, "block_on")
    step, argument = coro.send, None
    while True:
        try:
            yielded = step(argument)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        step, argument = coro.send, None
        if yielded is not None or not proc.parkm_():
            step, argument = coro.throw, awaits.foreign_error(proc.current_(), yielded)


async def _in_time(awaitable: Awaitable[T], timeout: float) -> T:
    """The result of `awaitable`, run as a goroutine of its own, if it comes in time."""
    ended: Chan[None] = Chan()

    async def body() -> T:
        try:
            return await awaitable
        finally:
            ended.close()

    g = proc.go(body(), name="block_on")
    try:
        await select(ended, timeout=timeout)
    except TimeoutError:
        raise TimeoutError(f"block_on: not done within {timeout} seconds") from None
    return await g


def _from_a_thread(awaitable: Awaitable[T], timeout: float | None) -> T:
    if not proc.numrunning_():
        close = getattr(awaitable, "close", None)
        if close is not None:
            close()
        raise proc.noprogram("block_on() needs a running program: gopark.run(main) starts one")
    done = threading.Event()
    outcome: list[Any] = []

    async def body() -> None:
        try:
            outcome[:] = True, await awaitable
        except Exception as exc:
            outcome[:] = False, exc
        finally:
            done.set()

    proc.go(body(), name="block_on")
    if not done.wait(timeout):
        raise TimeoutError(f"block_on: not done within {timeout} seconds")
    if not outcome:
        raise RuntimeError("block_on: the gopark program ended before the awaitable did")
    ok, value = outcome
    if not ok:
        raise value
    return value  # type: ignore[no-any-return]


class blocking:
    """``with gopark.blocking():`` says that what follows blocks.

    The other goroutines go on at once, and not only when the runtime has noticed
    (about a millisecond later).  Outside of a goroutine it does nothing.
    """

    __slots__ = ()

    def __enter__(self) -> None:
        proc.blocking_()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        proc.pause_()


def lock_os_thread() -> None:
    """Wire the running goroutine to its thread: it runs there only, and nobody else does.

    For libraries that keep state by thread.  Each call needs an `unlock_os_thread`
    of its own; a goroutine that ends while it is wired ends its thread too.
    """
    proc.lockosthread_()


def unlock_os_thread() -> None:
    """Undo one `lock_os_thread`; without one it does nothing."""
    proc.unlockosthread_()


__all__ = ["block_on", "blocking", "lock_os_thread", "unlock_os_thread"]
