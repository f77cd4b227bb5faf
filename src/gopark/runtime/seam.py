"""Python stand-ins for seam.h, so that the core also runs uncompiled.

Every operation has the name and the meaning that it has in seam.h.  Where the
compiled core has a field of type ``aint`` or ``mutex``, the uncompiled one has
a cell object there, made by :func:`declare` from the very lines of the ``.pxd``
files: the structures are declared once.

The stand-ins are real (they work between threads), and slow.  A test that wants
to choose who goes next replaces :data:`point`, which is called before every
atomic operation, and the classes :class:`Mutex` and :class:`Note`.
"""

from __future__ import annotations

import random
import re
import threading
import time
import types
from pathlib import Path
from sys import getrefcount as Py_REFCNT  # noqa: F401
from typing import Any

import cython

GOPARK_GIL = False

_atomically = threading.RLock()


def point(operation: str, cell: Any) -> None:
    """The scheduler's next atomic step is `operation` on `cell`.  Tests hook in here."""


class Cell:
    """A field that several threads may touch."""

    __slots__ = ("name", "v")

    def __init__(self, v: Any = 0, name: str = "") -> None:
        self.v = v
        self.name = name


class Mutex:
    def __init__(self, name: str = "") -> None:
        self.name = name
        self._lock = threading.Lock()

    def lock(self) -> None:
        self._lock.acquire()

    def unlock(self) -> None:
        self._lock.release()


class Note:
    def __init__(self, name: str = "") -> None:
        self.name = name
        self._event = threading.Event()

    def clear(self) -> None:
        self._event.clear()

    def wakeup(self) -> None:
        self._event.set()

    def tsleep(self, ns: int) -> int:
        return int(self._event.wait(None if ns < 0 else ns / 1e9))


# -- atomics ------------------------------------------------------------------


def aload(c: Cell) -> Any:
    point("load", c)
    return c.v


def astore(c: Cell, v: Any) -> None:
    point("store", c)
    c.v = v


def axchg(c: Cell, v: Any) -> Any:
    point("xchg", c)
    with _atomically:
        old, c.v = c.v, v
    return old


def aadd(c: Cell, d: int) -> int:
    point("add", c)
    with _atomically:
        c.v += d
        return int(c.v)


def acas(c: Cell, old: Any, new: Any) -> bool:
    point("cas", c)
    with _atomically:
        if c.v is old or c.v == old:
            c.v = new
            return True
    return False


aload_acq = aload64 = gload = aload
astore_rel = astore64 = gstore = astore
axchg64 = gxchg = axchg
aadd64 = aadd
acas64 = gcas = acas


# -- lock and note ------------------------------------------------------------


def lock(m: Mutex) -> None:
    point("lock", m)
    m.lock()


def unlock(m: Mutex) -> None:
    m.unlock()
    point("unlock", m)


def lockinit(m: Mutex) -> None:
    """In a forked child: whoever held it is not there any more."""
    m.__init__(m.name)  # type: ignore[misc]


def noteclear(n: Note) -> None:
    n.clear()


def notewakeup(n: Note) -> None:
    point("wakeup", n)
    n.wakeup()


def notetsleep(n: Note, ns: int) -> int:
    point("sleep", n)
    return n.tsleep(ns)


def notesignals(n: Note) -> None:
    """Whoever sleeps on it is to notice signals."""


def noteclose(n: Note) -> None:
    """It is not slept on any more."""


# -- the poller's queue of events: uncompiled there are none, and it is a note -----


POLL_READ, POLL_WRITE, POLL_LAST = 1, 2, 4


def pollinit(n: Note) -> int:
    n.clear()
    return 0


def pollctl(n: Note, fd: int, tag: int) -> int:
    """Have the queue tell of what happens to `fd`."""
    return 0


def pollunctl(n: Note, fd: int) -> None:
    """Tell of it no more."""


def pollwait(n: Note, ns: int, signals: bool) -> int:
    notetsleep(n, ns)
    return 0


def polltag(i: int) -> int:
    raise IndexError(i)


pollmode = polltag
pollclear, pollbreak, pollclose = noteclear, notewakeup, noteclose


# -- threads ------------------------------------------------------------------


def setasyncexc(ident: int, exception: type[BaseException]) -> None:
    """Have the thread `ident` raise `exception` at its next instruction."""
    import ctypes

    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(exception))


def noterenew(n: Note) -> None:
    """In a forked child: share nothing with the parent."""
    n.__init__(n.name)  # type: ignore[misc]


def checkinterrupt() -> None:
    """Raise what a signal handler raised meanwhile."""


# -- clock, randomness, threads ----------------------------------------------

nanotime = time.monotonic_ns


def coarse(ns: int) -> int:
    return ns // 10_000_000 & 0xFFFFFFFF


def coarsetime() -> int:
    """Hundredths of a second.  Compiled, sysmon keeps this clock; to read it is no `point`."""
    return coarse(time.monotonic_ns())


def usleep_detached(us: int) -> None:
    point("usleep", None)
    time.sleep(us / 1e6)


def cheaprand(s: Cell) -> int:
    return s.v.getrandbits(32)  # type: ignore[no-any-return]


def seedrand(cell: Cell, seed: int) -> None:
    cell.v = random.Random(seed)


_tls = threading.local()


def tlsget() -> Any:
    return getattr(_tls, "m", None)


def tlsset(m: Any) -> None:
    _tls.m = m


def this_tstate() -> None:
    return None


def merge_pending(tstate: None) -> bool:
    return False


# -- pointers -----------------------------------------------------------------


def ref(x: Any) -> Any:
    """A borrowed pointer: uncompiled, the object itself."""
    return x


gptr = sgptr = mptr = tptr = scptr = ref
address = id


def own(x: Any) -> None:
    """Take a reference that a borrowed pointer stands for."""


def disown(x: Any) -> None:
    """Give it back."""


def track(x: Any) -> None:
    """Let the collector see it."""


def untrack(x: Any) -> None:
    """Keep the collector from it."""


# -- structures ---------------------------------------------------------------

_FIELD = re.compile(r"cdef (?P<type>[\w ]+?) ?(?P<ptr>\*?)(?P<name>\w+)(?:\[(?P<n>\d+)\])?$")
_ENUM = re.compile(r"(\w+) = (-?\d+)$")
_HERE = Path(__file__).parent


def _lines(pxd: str) -> list[str]:
    return [line.split("#")[0].rstrip() for line in (_HERE / pxd).read_text().splitlines()]


def constants(pxd: str) -> dict[str, int]:
    """The enum constants of a ``.pxd`` file."""
    found, inside = {}, False
    for line in _lines(pxd):
        if line:
            inside = line.startswith(" ") and inside or line.startswith("cdef enum")
            if inside and (m := _ENUM.match(line.strip())):
                found[m[1]] = int(m[2])
    return found


def _maker(type_: str, ptr: str, name: str, n: str | None) -> Any:
    if n:
        empty = {"unwaitfunc": cython.NULL, "guintptr": None}.get(type_, 0)
        return lambda: [empty] * int(n)
    if ptr:
        return list
    if type_ in ("aint", "aint64"):
        return lambda: Cell(0, name)
    if type_ == "aguintptr":
        return lambda: Cell(None, name)
    if type_ == "mutex":
        return lambda: Mutex(name)
    if type_ in ("note", "pollqueue"):
        return lambda: Note(name)
    if name == "M.rand":
        return lambda: Cell(random.Random(0), name)
    if type_ == "bint":
        return bool
    if re.fullmatch(r"u?int\d+_t|int|long|double", type_):
        return int
    return type(None)


_makers: dict[str, dict[str, Any]] = {}  # of each class, by field; a base may be in another file


def declare(pxd: str, *classes: type) -> None:
    """Give Python classes the fields that `pxd` declares for the compiled ones."""
    fields: dict[str, Any] | None = None
    cls = ""
    for line in _lines(pxd):
        if m := re.match(r"cdef class (\w+)", line):
            cls = m[1]
            fields = _makers.setdefault(cls, {})
        elif not line.startswith("    "):
            fields = fields if not line else None
        elif fields is not None and (m := _FIELD.match(line.strip())):
            if m["name"] != "__weakref__":
                fields[m["name"]] = _maker(m["type"], m["ptr"], f"{cls}.{m['name']}", m["n"])
    for class_ in classes:
        class_.__new__ = _new  # type: ignore[assignment,method-assign]


def _new(cls: type, *args: Any, **kwargs: Any) -> Any:
    self = object.__new__(cls)
    for base in reversed(cls.__mro__):
        for field, make in _makers.get(base.__name__, {}).items():
            setattr(self, field, make())
    for base in reversed(cls.__mro__):
        if "__cinit__" in vars(base):
            vars(base)["__cinit__"](self, *args, **kwargs)
    return self


# -- the goroutine's stack ----------------------------------------------------

GO_RAISED, GO_RETURNED, GO_YIELDED, GO_FOREIGN = -1, 0, 1, 2


def resume(gp: Any) -> int:
    """Run goroutine `gp` until its coroutine yields, returns or raises."""
    try:
        value = gp.context.run(gp.coro.send, None)
    except StopIteration as stop:
        gp.elem = stop.value
        return GO_RETURNED
    except BaseException as exc:
        gp.elem = exc
        return GO_RAISED
    if value is None:
        return GO_YIELDED
    gp.elem = value
    return GO_FOREIGN


def iscoro(x: Any) -> bool:
    return isinstance(x, types.CoroutineType)


def fresh(coro: Any) -> bool:
    return coro.cr_frame is not None and not coro.cr_suspended and not coro.cr_running


def callerpc(gp: Any) -> None:
    """Note in `gp` who called the running compiled function."""
    import sys

    frame: Any = sys._getframe(1)
    while frame is not None and "gopark/runtime" in frame.f_code.co_filename:
        frame = frame.f_back
    if frame is not None:
        gp.gopc, gp.golasti = frame.f_code, frame.f_lasti


assert not cython.compiled
