"""`run` and the functions that speak about the running program."""

from __future__ import annotations

import os
import random
import sys
import warnings
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NoReturn, TypeVar, overload

from .runtime import awaits, proc, signals, sysmon  # noqa: F401  sysmon registers itself
from .runtime.errors import Cancellation, Deadlock, Failure, Goexit
from .runtime.runtime2 import G

T = TypeVar("T")

_STOP_MAIN, _STOP_DEADLOCK, _STOP_PANIC, _STOP_EXIT = 1, 2, 3, 4


@overload
def run(
    main: Callable[..., Coroutine[Any, Any, T]],
    *args: Any,
    procs: int | None = None,
    max_goroutines: int | None = None,
    max_threads: int = 10_000,
) -> T: ...
@overload
def run(
    main: Awaitable[T],
    *,
    procs: int | None = None,
    max_goroutines: int | None = None,
    max_threads: int = 10_000,
) -> T: ...
@overload
def run(
    main: Callable[..., T],
    *args: Any,
    procs: int | None = None,
    max_goroutines: int | None = None,
    max_threads: int = 10_000,
) -> T: ...
def run(
    main: Any,
    *args: Any,
    procs: int | None = None,
    max_goroutines: int | None = None,
    max_threads: int = 10_000,
) -> Any:
    """Run a program of goroutines; returns what `main` returns, or raises what it raises.

    Args:
        main: the first goroutine: an async function or a plain one, called with
            `args`, or a coroutine.
        procs: how many goroutines run at the same time at most: the number of Ps.
            By default ``GOMAXPROCS`` from the environment; else 1 with the GIL,
            and without it the number of CPUs that the process may use.
        max_goroutines: `go` raises TooManyGoroutines when as many are alive.
        max_threads: the program ends with a RuntimeError when it needs more, as
            each goroutine that blocks in plain code does.

    When `main` returns the program is over.  Goroutines that still wait are
    closed, so that their ``finally`` blocks run; one that is stuck in plain code
    for more than a second is left behind, with a RuntimeWarning that names it.

    Raises:
        Deadlock: nothing can run, or ever will.
        GoPanic: a goroutine failed, and nobody awaits it or can any more.
        RuntimeError: a program is running already, here or on another thread.
    """
    n = procs_wanted(procs)
    limit = _positive_int("max_goroutines", max_goroutines) if max_goroutines is not None else 0
    threads = _positive_int("max_threads", max_threads)
    stack = [awaits.asstack(main, args, {}, "run")]
    del main, args  # only its goroutine is to hold them (see debug.leaks)
    restore = signals.install()
    try:
        reason, value, result, failed, report, stuck = proc.rt_run(
            stack, n, limit, threads, int(os.environ.get("GOPARK_SEED") or random.getrandbits(63))
        )
    except BaseException:
        if stack and hasattr(stack[0], "close"):
            stack[0].close()
        raise
    finally:
        restore()
    return _outcome(reason, value, result, failed, report, stuck)


def _outcome(
    reason: int, value: Any, result: Any, failed: bool, report: Any, stuck: list[Any]
) -> Any:
    """What becomes of a program that has ended."""
    _warn("left behind", [(g.id, g.name) for g in stuck])
    _warn("stopped there, on the thread that called run", signals.overdue())
    error: BaseException | None = None
    if reason == _STOP_EXIT:
        error = value
    elif failed and isinstance(result, (Failure, Cancellation)):
        error = result.take()
    panics = awaits.panics()
    if error is None and panics:
        error = panics.pop(0)
        error.others = tuple(panics)
        panics = []
    for panic in panics:
        assert error is not None
        error.add_note(f"moreover, {panic}")
        awaits.unraisable(panic.exception, f"in goroutine {panic.goroutine_id}", None)
    if error is None and reason == _STOP_DEADLOCK:
        raise _deadlock(report)
    if error is not None:
        try:
            raise error
        finally:
            del error, value, result, panics  # no reference cycle through this frame
    return result


def _warn(fate: str, stuck: list[tuple[int, str]]) -> None:
    if stuck:
        names = ", ".join(f"{id} [{name}]" for id, name in stuck)
        warnings.warn(
            f"the program is over, but goroutines were stuck in plain code, and were {fate}: "
            f"{names}",
            RuntimeWarning,
            stacklevel=4,
        )


def _deadlock(report: tuple[Any, ...]) -> Deadlock:
    if not report:
        return Deadlock("all goroutines are asleep: main called goexit, and no others are left")
    shown = report[:100]
    more = f"\n\n... and {len(report) - 100} more" if len(report) > 100 else ""
    text = "\n\n".join(str(g) for g in shown)
    return Deadlock(f"all goroutines are asleep\n\n{text}{more}", report)


def procs_wanted(procs: int | None) -> int:
    """How many Ps `run` makes."""
    if procs is not None:
        return _at_most_1024("procs", procs)
    env = os.environ.get("GOMAXPROCS", "")
    if env.isdigit() and int(env) > 0:
        return _at_most_1024("GOMAXPROCS", int(env))
    if getattr(sys, "_is_gil_enabled", lambda: True)():
        return 1
    return cpu_count()


def cpu_count() -> int:
    """How many CPUs this process may use (Go: ``runtime.NumCPU``)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _positive_int(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, not {value}")
    return value


def _at_most_1024(name: str, value: object) -> int:
    n = _positive_int(name, value)
    if n > 1024:
        raise ValueError(f"{name} must be at most 1024, not {n}")
    return n


def current() -> G[Any]:
    """The running goroutine.  Raises RuntimeError outside of one."""
    g = proc.current_()
    if g is None:
        raise proc.noprogram("no goroutine is running here: gopark.run(main) starts a program")
    return g


def goexit() -> NoReturn:
    """End the running goroutine; its ``finally`` blocks run, and its result is None.

    In `main` the other goroutines go on; when they have all ended, `run` raises
    Deadlock, as in Go.
    """
    current()
    raise Goexit


def num_goroutine() -> int:
    """How many goroutines are alive."""
    return proc.numgoroutine_()


def gomaxprocs(n: int | None = None) -> int:
    """The number of Ps before the call; `n` sets a new one, at once.

    Outside of a program: how many `run` would make.
    """
    if n is None and not proc.numrunning_():
        return procs_wanted(None)
    return proc.gomaxprocs_(0 if n is None else _at_most_1024("n", n))
