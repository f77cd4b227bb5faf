"""Asynchronous preemption: stop a goroutine in the middle of plain Python code.

What SIGURG is to Go, local events of ``sys.monitoring`` (PEP 669) are here.  sysmon
has taken the P of a goroutine that calls nothing of the runtime; `arm` finds the
code that its thread runs and sets events on just those code objects.  At the
interpreter's next safe point one fires, in that very thread, and `pause` holds it
until it has a P again.

Several threads may run the same code: an event fires in all of them, and is for
those in `_wanted`.  An event is disarmed when the last of them has come by, or has
entered the runtime by itself; so none is left behind.

Before 3.12 there is no ``sys.monitoring``, and a process may have no tool id left:
then the P is taken all the same, and the interpreter's own thread switching shares
the core.

Lock: `_guard`, innermost; it is taken by sysmon, and by threads that have no P.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from types import CodeType
from typing import Any

from . import proc

_HERE = str(Path(__file__).parent.parent)
_monitoring: Any = getattr(sys, "monitoring", None)
_guard = threading.RLock()
_tool: int | None = None
_wanted: dict[int, list[CodeType]] = {}  # by thread: the code armed for it
_armed: dict[CodeType, int] = {}  # for how many threads


def arm(ident: int) -> bool:
    """Have the thread `ident` pause at its next line.  Was that possible?"""
    if _monitoring is None:
        return False
    with _guard:
        if ident in _wanted or not _open():
            return ident in _wanted
        codes = _codes(ident)
        if not codes:
            return False
        _wanted[ident] = codes
        for code in codes:
            _armed[code] = _armed.get(code, 0) + 1
            if _armed[code] == 1:
                _monitoring.set_local_events(_tool, code, _events())
    return True


def disarm(ident: int) -> None:
    """The thread is in the runtime, or pauses."""
    with _guard:
        for code in _wanted.pop(ident, ()):
            _armed[code] -= 1
            if not _armed[code]:
                del _armed[code]
                _monitoring.set_local_events(_tool, code, 0)


def close() -> None:
    """The program is over: leave no event, and give the tool id back."""
    global _tool
    if _tool is None:
        return
    with _guard:
        for ident in list(_wanted):
            disarm(ident)
        for event in _each_event():
            _monitoring.register_callback(_tool, event, None)
        _monitoring.free_tool_id(_tool)
        _tool = None


def _open() -> bool:
    """Take a tool id, from those that no kind of tool has a claim to first."""
    global _tool
    if _tool is not None:
        return True
    for tool in (3, 4, 5, 1, 2, 0):
        if _monitoring.get_tool(tool) is None:
            try:
                _monitoring.use_tool_id(tool, "gopark")
            except ValueError:
                continue  # somebody was faster
            _tool = tool
            for event in _each_event():
                _monitoring.register_callback(tool, event, _pause)
            return True
    return False


def _each_event() -> tuple[int, ...]:
    e = _monitoring.events
    return (e.LINE, e.JUMP, e.PY_START, e.PY_RESUME)


def _events() -> int:
    return sum(_each_event())


def _codes(ident: int) -> list[CodeType]:
    """What the thread runs, innermost first; not gopark's own, which may hold a lock.

    Without the GIL only the innermost frame stands still long enough to be read.
    """
    frame = sys._current_frames().get(ident)
    found: list[CodeType] = []
    while frame is not None and len(found) < 32:
        code = frame.f_code
        if code.co_filename.startswith(_HERE):
            break
        if code not in found:
            found.append(code)
        if not _gil():
            break
        frame = frame.f_back
    return found


def _gil() -> bool:
    return getattr(sys, "_is_gil_enabled", lambda: True)()


def _pause(code: CodeType, *where: object) -> None:
    """An event fired: is it for this thread?"""
    ident = threading.get_ident()
    if ident in _wanted:
        disarm(ident)
        proc.pause_()
