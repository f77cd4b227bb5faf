"""Signals while a program runs: Ctrl-C, and the end of what does not end by itself.

Python runs signal handlers on the main thread only, between two instructions.  If
that is the thread that called `run`, it is the program's m0; which goroutine it
runs at that moment is chance.

**Ctrl-C.**  ``KeyboardInterrupt`` is for main: raised at once if m0 runs main, else
by the wait that main is in, or by its next one.  Main in plain code on another
thread cannot be reached so: the program ends, and main is interrupted on its way.
A second Ctrl-C ends the program in any case.  A handler that the program has set
itself is left alone.

**The program is over, and m0 is in plain code.**  Other threads are left behind
after a second, but `run` must return on this one.  sysmon sends the thread
SIGURG, which breaks off a system call, and whose handler raises `ProgramOver`
there.  SIGURG is Go's choice for preemption too, and for the same reasons: by
default it does nothing, and next to nobody uses it.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any, NoReturn

from . import proc
from .errors import ProgramOver
from .runtime2 import hooks

_SIGURG: Any = getattr(signal, "SIGURG", None)  # Windows has none
_count = 0  # of Ctrl-C, in this program
_overdue: list[tuple[int, str]] = []  # who was stuck on m0


def install() -> Callable[[], None]:
    """Handle signals while a program runs; what it returns undoes that."""
    global _count
    _count = 0
    _overdue.clear()
    undo: list[tuple[Any, Any, Any]] = []
    if threading.current_thread() is threading.main_thread():
        _replace(undo, signal.SIGINT, signal.default_int_handler, _interrupted)
        if _SIGURG is not None:
            _replace(undo, _SIGURG, signal.SIG_DFL, _break_off)
    return lambda: _restore(undo)


def _replace(undo: list[tuple[Any, Any, Any]], number: Any, default: Any, handler: Any) -> None:
    if signal.getsignal(number) is default:
        signal.signal(number, handler)
        undo.append((number, default, handler))


def _restore(undo: list[tuple[Any, Any, Any]]) -> None:
    for number, default, handler in undo:
        if signal.getsignal(number) is handler:
            signal.signal(number, default)


def overdue() -> list[tuple[int, str]]:
    """``(id, name)`` of the goroutines that `ProgramOver` was raised in."""
    return list(dict.fromkeys(_overdue))


def _interrupted(number: int, frame: object) -> None:
    """SIGINT."""
    global _count
    _count += 1
    if proc.interrupt_(_count > 1):
        raise KeyboardInterrupt


def _break_off(number: int, frame: object) -> None:
    """SIGURG, from `_hurry`, or from anywhere else, which is ignored."""
    if proc.isoverdue_():
        _over()


def _over() -> NoReturn:
    g = proc.current_()
    _overdue.append((g.id, g.name))  # type: ignore[union-attr]
    hooks["disarm"](threading.get_ident())  # or its finally blocks would be broken off as well
    raise ProgramOver("the gopark program has ended")


def _hurry(ident: int) -> None:
    """sysmon found that the program is over, and its m0, of that thread, has not come for long."""
    if _SIGURG is not None and signal.getsignal(_SIGURG) is _break_off:
        signal.pthread_kill(ident, _SIGURG)
    elif (g := proc.breakoff_()) is not None:
        _overdue.append((g.id, g.name))


hooks["hurry"] = _hurry
