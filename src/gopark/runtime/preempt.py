"""Asynchronous preemption: stop a goroutine in the middle of plain Python code.

What SIGURG is to Go, local events of ``sys.monitoring`` (PEP 669) are here.  sysmon
has taken the P of a goroutine that calls nothing of the runtime; `arm` finds the
code that its thread runs and sets events on just those code objects.  At the
interpreter's next safe point one fires, in that very thread, and `pause` holds it
until it has a P again.

Several threads may run the same code: an event fires in all of them, and is for
those in `_wanted`.  An event is disarmed when the last of them has come by, or has
entered the runtime by itself; so none is left behind.  Code that was armed may
never run again, in a helper that has returned: sysmon arms anew, at longer and
longer intervals, whoever has not come by (`rearm`).

Before 3.12 there is no ``sys.monitoring``, and a process may have no tool id left:
then the P is taken all the same, and the interpreter's own thread switching shares
the core.

Lock: `_guard`, innermost; it is taken by sysmon, and by threads that have no P.
This module is compiled for its sake: no bytecode runs under it, so no signal
handler does, which might want a P in its turn.  What may die is handed out of it.
"""

import os
import sys
import threading
from pathlib import Path

import cython

from . import proc

if cython.compiled:
    from cython.cimports.gopark.runtime.seam import lock, lockinit, unlock
else:
    from . import seam
    from .seam import lock, lockinit, unlock

    _guard = seam.Mutex("preempt.guard")

_HERE = str(Path(__file__).parent.parent)
_monitoring = getattr(sys, "monitoring", None)
_gil = getattr(sys, "_is_gil_enabled", lambda: True)
_tool = None
_wanted = {}  # by thread: the list of code objects armed for it
_armed = {}  # code object: for how many threads


def arm(ident):
    """Have the thread `ident` pause at its next line.  Was that possible?"""
    return _monitoring is not None and _arm(ident, _codes(ident), True)


def _arm(ident, codes, anyway):
    """Arm `codes` for a thread, `anyway` or only if it has not come by."""
    before = ()
    if not codes and not anyway:
        return True  # later, then
    lock(_guard)
    try:
        done = bool(codes) and (anyway or ident in _wanted) and _open()
        before = _release(ident)
        if done:
            _wanted[ident] = codes
            for code in codes:
                _armed[code] = _armed.get(code, 0) + 1
                if _armed[code] == 1:
                    _monitoring.set_local_events(_tool, code, _events())
    finally:
        unlock(_guard)
    del before
    return done


def want(ident):
    """Have the thread `ident` armed by the next `rearm`.  Was that possible?"""
    if _monitoring is None:
        return False
    lock(_guard)
    _wanted.setdefault(ident, ())
    unlock(_guard)
    return True


def rearm():
    """Arm anew those who have not come by; how many they are."""
    lock(_guard)
    idents = list(_wanted)
    unlock(_guard)
    for ident in idents:
        _arm(ident, _codes(ident), False)
    return len(idents)


def wanted():
    """How many threads are to pause."""
    return len(_wanted)


def disarm(ident):
    """The thread is in the runtime, or pauses."""
    lock(_guard)
    try:
        codes = _release(ident)
    finally:
        unlock(_guard)
    del codes


def _release(ident):
    """Disarm what is armed for that thread.  Holds _guard."""
    codes = _wanted.pop(ident, ())
    for code in codes:
        _armed[code] -= 1
        if not _armed[code]:
            del _armed[code]
            _monitoring.set_local_events(_tool, code, 0)
    return codes


def close():
    """The program is over: leave no event, and give the tool id back."""
    global _tool
    if _tool is None:
        return
    for ident in list(_wanted):
        disarm(ident)
    for event in _each_event():
        _monitoring.register_callback(_tool, event, None)
    _monitoring.free_tool_id(_tool)
    _tool = None


def _after_fork():
    """In a child: the threads are gone that anything was armed for."""
    lockinit(_guard)  # its holder may be gone, half-way
    for code in {*_armed, *(code for codes in _wanted.values() for code in codes)}:
        _monitoring.set_local_events(_tool, code, 0)
    _armed.clear()
    _wanted.clear()
    close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _open():
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


def _each_event():
    e = _monitoring.events
    return (e.LINE, e.JUMP, e.PY_START, e.PY_RESUME)


def _events():
    return sum(_each_event())


def _codes(ident):
    """What the thread runs, innermost first; not gopark's own.

    Without the GIL only the innermost frame stands still long enough to be read.
    """
    frame = sys._current_frames().get(ident)
    found = []
    while frame is not None and len(found) < 32:
        code = frame.f_code
        if code.co_filename.startswith(_HERE):
            break
        if code not in found and not _isbookkeeping(code):
            found.append(code)
        if not _gil():
            break
        frame = frame.f_back
    return found


def _isbookkeeping(code):
    """A callback of a weak reference: it is short, and what `pause_` may raise gets lost there."""
    return code.co_filename.endswith(("weakref.py", "_weakrefset.py"))


def _pause(code, *where):
    """An event fired: is it for this thread?"""
    ident = threading.get_ident()
    if ident in _wanted:
        disarm(ident)
        proc.pause_()
