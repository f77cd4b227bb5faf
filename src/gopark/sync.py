"""Locks and their kin: ``Mutex``, ``RWMutex``, ``WaitGroup``, ``Once``, ``Cond``, ``Semaphore``.

(Go: ``sync``, ``golang.org/x/sync/semaphore``.)  Who waits parks its goroutine and never
a thread.  What does not wait (``unlock``, ``release``, ``done`` ...) is a plain call, from
any goroutine and from any thread.  A plain function waits with ``gopark.block_on(mu.lock())``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, NoReturn, TypeVar, overload

from .runtime import awaits
from .runtime.mutex import rtMutex
from .runtime.proc import PARK, current_
from .runtime.sync import condwait, relock, rtCond, rtRWMutex, rtSemaphore, rtWaitGroup

__all__ = ["Cond", "Mutex", "Once", "RWMutex", "Semaphore", "WaitGroup"]

T = TypeVar("T")


class _Uncopyable:
    """A copy would be another lock: pass the thing itself."""

    __slots__ = ()

    def __copy__(self) -> NoReturn:
        name = type(self).__name__
        raise TypeError(f"a {name} cannot be copied: pass the {name} itself")

    def __deepcopy__(self, memo: Any) -> NoReturn:
        self.__copy__()

    def __reduce__(self) -> NoReturn:
        name = type(self).__name__
        raise TypeError(f"a {name} cannot be pickled: it lives in one process")


class Mutex(_Uncopyable, rtMutex):
    """One goroutine at a time: ``async with mu:``, or ``await mu.lock()`` and ``mu.unlock()``.

    It has no owner, as in Go: any goroutine, and any thread, may unlock it.  So one
    that locks it twice waits for itself.  Waiters get it first come first served,
    except that a running goroutine may be quicker than one that is still being
    woken; from 1 ms of waiting on, it is handed over to who has waited longest.
    """

    __slots__ = ()


class RWMutex(_Uncopyable, rtRWMutex):
    """Many readers or one writer: ``async with rw.reader():``, and ``async with rw:`` to write.

    Nobody starves: a writer that waits holds back new readers, and when a writer is
    done all readers that wait by then come before the next writer.  So a goroutine
    that reads must not lock it for reading again: a writer may stand in between.
    """

    __slots__ = ()


class Semaphore(_Uncopyable, rtSemaphore):
    """``n`` permits: ``async with sem:`` holds one; ``await sem.acquire(k)`` takes k at once.

    Strictly first come first served: who wants many and waits holds back those behind it.

    Raises TypeError or ValueError if `n` is not a positive int.
    """

    __slots__ = ()


class WaitGroup(_Uncopyable, rtWaitGroup):
    """Waits for a number of goroutines: ``wg.go(f)`` for each, then ``await wg.wait()``.

    ``add`` before ``go`` and ``done`` at the end are the same by hand.  It can be used
    again when its counter is back at 0.
    """

    __slots__ = ()


class Cond(_Uncopyable, rtCond):
    """Wait until something that a Mutex guards has changed.

    ``async with cond:`` holds its Mutex, which is a new one unless told.  A goroutine
    that waits is woken by ``signal`` or ``broadcast`` alone, and then holds the Mutex
    again; meanwhile others may have changed things, so wait in a loop, or use `wait_for`.

    Raises TypeError if `mutex` is not a Mutex.
    """

    __slots__ = ()

    def __init__(self, mutex: Mutex | None = None) -> None:
        super().__init__(Mutex() if mutex is None else mutex)

    async def wait(self) -> None:
        """Unlock the Mutex, wait to be woken, and lock it again, also if this raises.

        Raises RuntimeError if the Mutex is not locked.
        """
        condwait(self)
        try:
            await PARK
        finally:
            await relock(self)

    async def wait_for(self, predicate: Callable[[], T]) -> T:
        """Wait until ``predicate()`` is true; returns what it gave.  Called with the Mutex held."""
        while not (value := predicate()):
            await self.wait()
        return value


class Once(_Uncopyable):
    """A function that runs once, for all who need its result: ``await once.do(fn)``."""

    __slots__ = ("__weakref__", "_mutex", "_outcome", "_runner")

    def __init__(self) -> None:
        self._mutex = Mutex()
        self._runner: Any = None
        self._outcome: tuple[bool, Any, TracebackType | None] | None = None

    @property
    def done(self) -> bool:
        """Has it run, and is its result, or its error, there?"""
        return self._outcome is not None

    @overload
    async def do(self, fn: Callable[..., Awaitable[T]], /, *args: Any, **kwargs: Any) -> T: ...
    @overload
    async def do(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> T: ...
    async def do(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call `fn` (async or plain), if this is the first call; others wait for it.

        Every call returns its result, or raises its exception (Go: ``OnceValue``).  One
        whose goroutine was cancelled or ended meanwhile has not run: the next call tries.

        Raises RuntimeError if `fn` itself waits for the same Once.
        """
        if self._outcome is None:
            await self._run(fn, args, kwargs)
        assert self._outcome is not None
        ok, value, traceback = self._outcome
        if ok:
            return value
        raise value.with_traceback(traceback)

    async def _run(
        self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        if self._runner is not None and self._runner is current_():
            raise RuntimeError("Once.do was called by the very function that it runs")
        async with self._mutex:
            if self._outcome is not None:
                return
            self._runner = current_()
            try:
                value = fn(*args, **kwargs)
                coro = awaits.ascoroutine(value)
                self._outcome = True, value if coro is None else await coro, None
            except Exception as exc:
                self._outcome = False, exc, exc.__traceback__
            finally:
                self._runner = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__}, {'' if self.done else 'not '}done>"
