"""The runtime's structures (Go: ``runtime/runtime2.go``).

Their fields, with who owns each and which lock guards it, are declared in
``runtime2.pxd``.  Here is only what a user of a goroutine handle sees of them.
"""

import types

import cython

if cython.compiled:
    from cython.cimports.gopark.runtime.seam import (
        PyCoro_CheckExact,
        PyObject,
        coroutine_name,
        lock,
        unlock,
    )
else:
    from . import seam
    from .seam import lock, unlock

    globals().update(seam.constants("runtime2.pxd"))

waitReasonStrings = (
    "",
    "chan receive",
    "chan send",
    "select",
    "select (no cases)",
    "sleep",
    "await goroutine",
    "sync.Mutex.Lock",
    "sync.RWMutex.RLock",
    "sync.RWMutex.Lock",
    "sync.Cond.Wait",
    "sync.WaitGroup.Wait",
    "semacquire",
    "IO wait",
)

_STATUS = {
    _Gidle: "idle",
    _Grunnable: "runnable",
    _Grunning: "running",
    _Gsyscall: "syscall",
    _Gwaiting: "waiting",
    _Gdead: "dead",
}

hooks = {}  # what plain Python lends the core; see awaits.py


@cython.cclass
class Sudog:
    pass


@cython.cclass
class SelectSudog(Sudog):
    pass


@cython.no_gc  # it is in no cycle, and a million sleepers should not slow the collector
@cython.cclass
class Timer:
    pass


@cython.cclass
class ArgTimer(Timer):
    pass


@cython.cclass
class Scope(Timer):
    pass


@cython.cclass
class Timers:
    pass


@cython.cclass
class G(Sudog):
    """A goroutine: what :func:`gopark.go` returns.

    ``await g`` waits for its end and gives its result, or raises its exception.
    """

    __class_getitem__ = classmethod(types.GenericAlias)

    @property
    def id(self):
        """The goroutine's number; main is 1."""
        return self.goid

    @property
    def name(self):
        """Its name: the one given, or that of its function."""
        lock(self.lock)
        name = self.name_
        coro = self.coro
        unlock(self.lock)
        return _nameof(coro) if name is None else name

    @name.setter
    def name(self, value):
        if not isinstance(value, str):
            raise TypeError(f"a goroutine's name must be a str, not {type(value).__name__}")
        lock(self.lock)
        before = self.name_
        self.name_ = value
        unlock(self.lock)
        del before  # only now may it die

    @property
    def status(self):
        """``"runnable"``, ``"running"``, ``"waiting"``, ``"dead"`` ..."""
        return _STATUS[self.status_]

    @property
    def wait_reason(self):
        """What it waits for (``"chan receive"`` ...), or ``""`` if it does not wait."""
        return waitReasonStrings[self.waitreason] if self.status_ == _Gwaiting else ""

    @property
    def waited(self):
        """For how many seconds it has waited, to about a hundredth; 0.0 if it does not wait."""
        return hooks["waited"](self)

    @property
    def created_by(self):
        """Where ``go`` made it, as ``(file, line, function)``, or None if unknown."""
        code = self.gopc
        if code is None:
            return None
        line = code.co_firstlineno
        for start, end, lineno in code.co_lines():
            if start <= self.golasti < end and lineno is not None:
                line = lineno
                break
        return code.co_filename, line, code.co_qualname

    def done(self):
        """Has it ended?"""
        return self.status_ == _Gdead

    def cancel(self, msg=""):
        """Have every wait of the goroutine raise `Cancelled`, from now on.

        False if it has ended already.  In plain code it goes on until its next wait.
        Whoever awaits it gets GoCancelled if that ends it.
        """
        return hooks["cancel"](self, msg)

    def stack(self):
        """Its call stack as ``traceback.StackSummary``, outermost first, through all its awaits.

        Empty for one that has ended.  What a running goroutine's stack shows is
        only where it entered its outermost coroutine: ask a parked one.
        """
        return hooks["stack"](self)

    def __await__(self):
        return hooks["join"](self)

    def __repr__(self):
        why = self.wait_reason
        return f"<goroutine {self.goid} {self.name!r} {self.status}{': ' + why if why else ''}>"


@cython.ccall
def _nameof(coro) -> object:
    if isinstance(coro, tuple):  # a plain function that has not run yet
        coro = coro[0]
    if cython.compiled:
        if PyCoro_CheckExact(coro):
            return coroutine_name(cython.cast(cython.pointer(PyObject), coro))
    return getattr(coro, "__qualname__", None) or type(coro).__qualname__


def takecoro(g):
    """A goroutine's coroutine, or (fn, args, kwargs), or None; callable by anyone."""
    lock(g.lock)
    coro = g.coro
    unlock(g.lock)
    return coro


@cython.cclass
class P:
    pass


@cython.cclass
class M:
    pass


@cython.cclass
class Sched:
    pass


if not cython.compiled:
    seam.declare("runtime2.pxd", Sudog, SelectSudog, Timer, ArgTimer, Scope, Timers, G, P, M, Sched)

sched = Sched.__new__(Sched)
