"""What the core lends from plain Python: generators, and whatever need not be fast.

Awaiting a compiled object that returns a value is slow, awaiting a Python
generator is fast; so the frames that carry values are here (`join`), and in the
public face.  Everything else in this file runs when a program starts, ends or
fails.  The core reaches it through ``runtime2.hooks``, and knows no module above.
"""

from __future__ import annotations

import atexit
import gc
import inspect
import os
import sys
import threading
import traceback
import types
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import Any

from . import errors, fork, proc, sema
from .runtime2 import G, hooks

PARK = proc.PARK


def join(g: Any) -> Generator[None, None, Any]:
    """``await g``."""
    if proc.joinwait(g):
        yield from PARK
    return proc.joinresult(g)


def waiting(s: Any, g: Any) -> Generator[None, None, None]:
    """Goroutine `g` waits for `s`, a lock or its like (see sema.py)."""
    try:
        yield from PARK
        while sema.retry(s, g):
            yield from PARK
    except BaseException:
        sema.abandon(s, g)
        raise


async def counted(wg: Any, stack: Any) -> Any:
    """A goroutine of a WaitGroup."""
    try:
        if isinstance(stack, tuple):
            fn, args, kwargs = stack
            value = fn(*args, **kwargs)
            stack = ascoroutine(value)
            if stack is None:
                return value
        return await stack
    finally:
        wg.done()


def breathe() -> None:
    """Run bytecode, so that the interpreter sees to signals and to dead objects."""


# -- what a coroutine awaits --------------------------------------------------


def frames(coro: Any) -> traceback.StackSummary:
    """The frames of a suspended coroutine, outermost first, through all its awaits."""
    found = []
    while coro is not None and not isinstance(coro, tuple):
        frame = None
        for prefix in ("cr", "gi", "ag"):
            if hasattr(coro, f"{prefix}_frame"):
                frame = getattr(coro, f"{prefix}_frame")
                coro = getattr(coro, f"{prefix}_await", None) or getattr(
                    coro, f"{prefix}_yieldfrom", None
                )
                break
        else:
            coro = _asyncgen_of(coro)
            continue
        if frame is not None:
            found.append((frame, frame.f_lineno))
    return traceback.StackSummary.extract(iter(found), lookup_lines=False)


def _asyncgen_of(awaitable: Any) -> Any:
    """The async generator that ``async for`` waits for a value of.

    What it awaits has no attribute for that, but the collector knows.
    """
    if type(awaitable).__name__ not in ("async_generator_asend", "async_generator_athrow"):
        return None
    found = (o for o in gc.get_referents(awaitable) if isinstance(o, types.AsyncGeneratorType))
    return next(found, None)


def foreign(g: Any, coro: Any, yielded: Any) -> Any:
    """`coro` awaited something that only another runtime understands; raise that inside it."""
    return _Throw(coro, foreign_error(g, yielded))


def foreign_error(g: Any, yielded: Any) -> TypeError:
    what = f"{type(yielded).__module__}.{type(yielded).__qualname__}"
    if yielded is None:
        what = "a bare yield (asyncio.sleep(0) is one)"
        hint = "await gopark.gosched() lets other goroutines run"
    elif hasattr(yielded, "_asyncio_future_blocking"):
        yielded._asyncio_future_blocking = False
        hint = "asyncio's futures, tasks and locks work only on asyncio's loop: use channels"
    else:
        hint = "a goroutine can await coroutines, goroutines and gopark's own operations"
    return TypeError(f"goroutine {g.id} [{g.name}] awaited {what}, which gopark cannot run: {hint}")


class _Throw:
    """Stands in for a coroutine: its next resumption raises `error` inside it."""

    def __init__(self, coro: Any, error: BaseException) -> None:
        self.coro: Any = coro
        self.error: BaseException | None = error

    def send(self, value: Any) -> Any:
        error, self.error = self.error, None
        if error is not None:
            return self.coro.throw(error)
        return self.coro.send(value)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.coro, name)


# -- starting -----------------------------------------------------------------


def ascoroutine(value: Any) -> Any:
    """The coroutine with which a plain function goes on, None if it gave its result."""
    if isinstance(value, types.CoroutineType):
        return value
    if inspect.isawaitable(value) and not isinstance(value, G):
        return _await(value)
    return None


async def _await(awaitable: Any) -> Any:
    return await awaitable


def asstack(fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any], caller: str) -> Any:
    """What `caller` was given, as a coroutine, or as (fn, args, kwargs) for a plain function."""
    if callable(fn) and not inspect.isawaitable(fn):
        if inspect.iscoroutinefunction(inspect.unwrap(fn)):
            fn, args, kwargs = fn(*args, **kwargs), (), {}
        elif inspect.isasyncgenfunction(fn) or inspect.isgeneratorfunction(fn):
            raise TypeError(
                f"{caller}() was given the generator function {fn.__qualname__}: a goroutine is "
                "made of an async function, a coroutine or a plain function"
            )
        else:
            return fn, args, kwargs
    if args or kwargs:
        raise TypeError(f"{caller}() takes arguments only with a function, not with a coroutine")
    if isinstance(fn, types.CoroutineType):
        if fn.cr_frame is None or fn.cr_suspended or fn.cr_running:
            raise reused(fn)
        return fn
    if inspect.isawaitable(fn):
        return _await(fn)
    hint = ""
    if inspect.isgenerator(fn) or inspect.isasyncgen(fn):
        hint = "; a generator is not awaitable: go() an async function that iterates over it"
    raise TypeError(
        f"{caller}() needs a coroutine, an async function or a plain function, not "
        f"{type(fn).__name__}{hint}"
    )


def reused(coro: Any) -> RuntimeError:
    """The error for a coroutine that has been awaited, or started, before."""
    return RuntimeError(
        f"the coroutine {coro.__qualname__} has already been awaited or started: a goroutine "
        "needs a fresh one, so call the async function again"
    )


_asyncgens: set[Any] = set()
_orphans: list[AsyncGenerator[Any, Any]] = []
_asyncgens_lock = threading.RLock()


def _firstiter(agen: Any) -> None:
    import weakref

    with _asyncgens_lock:
        _asyncgens.add(weakref.ref(agen, _forget))


def _forget(ref: Any) -> None:
    with _asyncgens_lock:
        _asyncgens.discard(ref)


def disown(agen: Any) -> None:
    """The program's end is not to close it."""
    with _asyncgens_lock:
        for ref in [ref for ref in _asyncgens if ref() is agen]:
            _asyncgens.discard(ref)


def _finalizer(agen: Any) -> None:
    """An async generator was dropped before its end: run what its ``finally`` blocks await."""
    with _asyncgens_lock:
        _orphans.append(agen)
    closing = _aclose(agen)
    try:
        proc.go_(closing, "close async generator")
    except RuntimeError:  # the program is over: asyncgens() sees to it
        closing.close()


async def _aclose(agen: Any) -> None:
    await agen.aclose()
    with _asyncgens_lock:
        _orphans[:] = [other for other in _orphans if other is not agen]


def asyncgens() -> Coroutine[Any, Any, None] | None:
    """What closes the async generators that a program leaves behind, if there are any."""
    with _asyncgens_lock:
        left = [agen for r in list(_asyncgens) if (agen := r()) is not None] + _orphans
        _asyncgens.clear()
        _orphans.clear()
    left = [agen for agen in left if agen.ag_frame is not None]
    return _aclose_all(left) if left else None


async def _aclose_all(agens: list[Any]) -> None:
    for agen in agens:
        try:
            await agen.aclose()
        except Exception as exc:
            unraisable(exc, "while closing an async generator at the program's end", agen)


def mstart() -> Callable[[], None]:
    """Prepare a thread of the runtime; what it returns undoes that."""
    before = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(firstiter=_firstiter, finalizer=_finalizer)
    if threading.get_ident() != threading.main_thread().ident:
        if (trace := threading.gettrace()) is not None and sys.gettrace() is None:
            sys.settrace(trace)
        if (profile := threading.getprofile()) is not None and sys.getprofile() is None:
            sys.setprofile(profile)
    return lambda: sys.set_asyncgen_hooks(*before)


# -- ending -------------------------------------------------------------------

_panics: list[errors.Failure] = []


def panic(failure: errors.Failure) -> None:
    """Nobody can await that goroutine any more."""
    if proc.numrunning_():
        _panics.append(failure)
        proc.endpanic_()
    else:
        unraisable(failure.exception, f"in goroutine {failure.id}", None)


def panics() -> list[errors.GoPanic]:
    """Every failure of the program that nobody took; each is given once."""
    found = [*_panics, *errors.untaken()]
    _panics.clear()
    for failure in found:
        failure.take()
    return [errors.GoPanic(failure) for failure in found]


def explain(coro: Any, exc: RuntimeError) -> RuntimeError:
    """Say more where the interpreter's or asyncio's own message says too little."""
    message = str(exc)
    if message == "cannot reuse already awaited coroutine" and coro.cr_frame is None:
        return reused(coro)
    if message == "no running event loop":
        exc.add_note(
            "asyncio's functions need asyncio's event loop, and this is a goroutine: use "
            "gopark's own (gopark.sleep, gopark.go, Chan ...)"
        )
    return exc


def close(g: Any, coro: Any, context: Any) -> None:
    """Close a goroutine whose program is over."""
    if isinstance(coro, tuple):
        return  # a plain function that has not begun
    try:
        context.run(coro.close)
    except (errors.Goexit, errors.ProgramOver):
        pass
    except BaseException as exc:
        unraisable(exc, f"while closing goroutine {g.id} [{g.name}]: main has returned", None)


def unraisable(exc: BaseException, message: str, obj: object) -> None:
    sys.unraisablehook(
        types.SimpleNamespace(  # type: ignore[arg-type]
            exc_type=type(exc),
            exc_value=exc,
            exc_traceback=exc.__traceback__,
            err_msg=f"Exception ignored {message}",
            object=obj,
        )
    )


def report(goroutines: list[Any]) -> tuple[errors.GoroutineReport, ...]:
    return tuple(errors.GoroutineReport(g) for g in goroutines)


def otherthreads() -> bool:
    """Does a thread run that is not the runtime's, and so may wake a goroutine?"""
    import _thread

    ours = proc.threads_()
    all_ = _thread._count()
    return all_ > ours or proc.threads_() != ours  # one begins or ends: look again later


def nothread(exc: BaseException) -> None:
    import warnings

    warnings.warn(
        f"gopark could not start a thread ({exc}): it goes on with those it has",
        RuntimeWarning,
        stacklevel=1,
    )


# -- in a forked child --------------------------------------------------------


def _after_fork() -> None:
    """Nothing is left of the parent's program, and its goroutines are the parent's business."""
    global _asyncgens_lock
    _asyncgens_lock = threading.RLock()  # its holder may be gone
    _asyncgens.clear()
    _orphans.clear()
    for failure in _panics:
        failure.take()
    _panics.clear()
    if fork.afterfork():
        sys.set_asyncgen_hooks(None, None)


def endchild(end: BaseException) -> None:
    """A goroutine of the parent has ended in the child, on a thread that did not call `run`.

    That is the child's only thread, so the process ends: as an exception would end it
    that nobody catches, but without the interpreter's finalization, which crashes on
    such a thread.  (multiprocessing ends its processes in the same way.)
    """
    code = 1
    try:
        code = exitcode(end)
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def exitcode(end: BaseException) -> int:
    """The exit code of a process that `end` ends; says on stderr what there is to say."""
    if not isinstance(end, SystemExit):
        sys.excepthook(type(end), end, end.__traceback__)
        return 1
    if end.code is None or isinstance(end.code, int):
        return (end.code or 0) & 255
    print(end.code, file=sys.stderr)
    return 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

errors._on_panic[:] = [panic]
hooks.setdefault("startsysmon", breathe)  # uncompiled there is no sysmon
hooks.setdefault("stopsysmon", breathe)
hooks.update(
    ascoroutine=ascoroutine,
    asstack=asstack,
    asyncgens=asyncgens,
    breathe=breathe,
    close=close,
    counted=counted,
    endchild=endchild,
    explain=explain,
    foreign=foreign,
    frames=frames,
    join=join,
    mstart=mstart,
    nothread=nothread,
    otherthreads=otherthreads,
    report=report,
    reused=reused,
    waiting=waiting,
)
