"""Descriptors that goroutines wait on (Go: ``internal/poll``, ``FD`` and ``pollDesc``).

Every operation tries at once, and gives its result or `WAIT`:

    while (data := fd.read(n)) is WAIT:
        await PARK

It gives WAIT too, before it has done anything, when the goroutine's time slice is
over: the loop then comes back.  How readiness is waited for, and why none is lost,
stands in netpoll.py.

**A descriptor is closed once, and by nobody under the call of another.**  `FD.state`
counts the system calls under way; `close` sets its lowest bit, after which no call
begins, and who makes it exactly `CLOSED` closes the number: `close` itself, or the
last call to end.  So no call ever meets a number that has been given away anew.
(Go: ``fdMutex``.)  A call holds its P and is over at once; only what `call_read` and
`call_write` call may take its time, and runs as user code.

Locks: ``pd.lock`` guards what netpoll.pxd says, deadlines included, and their timers
are started and stopped under it.  A timer that fires compares its ``seq`` under that
lock, so one that was stopped or set anew meanwhile does nothing.
"""

import os
import time

import cython

from .errors import ClosedError

if cython.compiled:
    from cython.cimports.cpython.buffer import (
        PyBUF_SIMPLE,
        PyBUF_WRITABLE,
        PyBuffer_Release,
        PyObject_GetBuffer,
    )
    from cython.cimports.cpython.bytes import PyBytes_FromStringAndSize
    from cython.cimports.gopark.runtime.netpoll import (
        READ,
        WRITE,
        netpollclose,
        netpollenqueue,
        netpollgoready,
        netpollopen,
        netpolltake,
        pollDesc,
    )
    from cython.cimports.gopark.runtime.proc import (
        enter,
        getg,
        gopark,
        injectglist,
        leaf,
        leave,
        mustwait,
        noprogram,
        refuse,
        runqput,
        thism,
        wakeNetPoller,
        wakep,
    )
    from cython.cimports.gopark.runtime.runtime2 import (
        PS_GOSCHED,
        ArgTimer,
        G,
        M,
        Timer,
        ref,
        sched,
        waitReasonIOWait,
    )
    from cython.cimports.gopark.runtime.seam import (
        aadd,
        acas,
        aload,
        aload64,
        astore,
        astore64,
        guintptr,
        lock,
        nanotime,
        unlock,
    )
    from cython.cimports.gopark.runtime.timers import addtimer, deltimer
    from cython.cimports.libc.errno import EAGAIN
    from cython.cimports.libc.stdint import int32_t, int64_t

PARK = leaf
WAIT = mustwait

_DRY = cython.declare(cython.longlong, 1 << 32)  # what `begin` adds: reading would block


@cython.no_gc
@cython.cclass
class FD:
    """A descriptor, which it owns, and makes non-blocking unless told otherwise.

    `stream` is for TCP: a read that gets less than it asked for has left nothing.

    `OSError` as the system call has it; `ClosedError` after :meth:`close`;
    `TimeoutError` past a deadline; `gopark.Cancelled` in a cancelled goroutine.
    """

    def __cinit__(
        self, fd: cython.int, nonblocking: cython.bint = True, stream: cython.bint = False
    ):
        self.sysfd = fd
        self.state = CLOSED
        if fd < 0:
            raise ValueError(f"a descriptor cannot be negative: {fd}")
        err: cython.int = setnonblock(fd) if nonblocking else 0
        if err < 0:
            raise oserror(err)
        self.pd = pollDesc.__new__(pollDesc)
        self.pd.fd = fd
        self.pd.dry = -1
        self.stream = stream
        self.state = 0

    def __dealloc__(self):
        if self.state == 0:
            shut(self)

    def __repr__(self):
        return f"<FD {self.fileno()}>"

    def fileno(self):
        """The descriptor's number, -1 once it is closed."""
        return -1 if aload(self.state) & CLOSED else self.sysfd

    @property
    def closed(self):
        """Has it been closed, or detached?"""
        return bool(aload(self.state) & CLOSED)

    def close(self):
        """Close it.  Whoever waits for it, or comes later, gets `ClosedError`."""
        if markclosed(self) == 0:
            shut(self)
        else:
            evict(self.pd)  # whose call is under way or who waits: the last one shuts it

    def detach(self):
        """Give the descriptor away, still non-blocking: its number, which nobody waits for here."""
        if aload(self.state) & CLOSED:
            raise closederror()
        self.given = True
        self.close()
        return self.sysfd

    # -- reading and writing --

    def read(self, n: cython.Py_ssize_t):
        """At most `n` bytes, and 64 kB; ``b""`` at the end of the stream."""
        if n < 0:
            raise ValueError(f"the number of bytes to read cannot be negative: {n}")
        op: ioop
        op.op = IO_READ
        op.buf = scratch()
        op.len = min(n, SCRATCH)
        r: cython.Py_ssize_t = perform(self, READ, cython.address(op))
        if r == WAITING:
            return mustwait
        return PyBytes_FromStringAndSize(op.buf, r)

    def readinto(self, buffer):
        """Read into a writable buffer: how many bytes, 0 at the end of the stream."""
        return transfer(self, READ, IO_READ, buffer, PyBUF_WRITABLE)

    def write(self, buffer):
        """Write a buffer, or its beginning: how many bytes."""
        return transfer(self, WRITE, IO_WRITE, buffer, PyBUF_SIMPLE)

    def writev(self, buffers):
        """Write several buffers, or the beginning of that: how many bytes."""
        return self.call_write(os.writev, self.sysfd, buffers)

    def sendfile(self, source, offset, count):
        """Copy from a file's descriptor: how many bytes, 0 at the end of the file."""
        return self.call_write(os.sendfile, self.sysfd, source, offset, count)

    def accept(self):
        """A new connection's descriptor, non-blocking and not inherited."""
        return simple(self, READ, IO_ACCEPT)

    def waitread(self):
        """None when it can be read from, or has failed; else WAIT."""
        return None if (r := simple(self, READ, IO_POLLIN)) == 1 else r

    def waitwrite(self):
        """None when it can be written to, or has failed; else WAIT."""
        return None if (r := simple(self, WRITE, IO_POLLOUT)) == 1 else r

    def call_read(self, fn, *args):
        """``fn(*args)``; or WAIT, until it can be read from, when that raises BlockingIOError."""
        return callio(self, READ, fn, args)

    def call_write(self, fn, *args):
        """``fn(*args)``; or WAIT, until it can be written to, when that raises BlockingIOError."""
        return callio(self, WRITE, fn, args)

    # -- deadlines --

    def set_read_deadline(self, at):
        """From `at` on, in `time.monotonic`'s seconds, reading raises TimeoutError; None: never."""
        setdeadline(self, READ, at)

    def set_write_deadline(self, at):
        """From `at` on, in `time.monotonic`'s seconds, writing raises TimeoutError; None: never."""
        setdeadline(self, WRITE, at)


# -- one call -----------------------------------------------------------------


@cython.cfunc
def oserror(err: cython.Py_ssize_t) -> object:
    return OSError(-err, os.strerror(-err))


@cython.cfunc
def closederror() -> object:
    return ClosedError(9, "it has been closed")


@cython.cfunc
def begin(m: M, gp: G, self: FD, mode: cython.int) -> int64_t:
    """A call begins: how often the descriptor has become ready, and `_DRY`.  -1: yield first.

    Where it must not it raises, having left the runtime.
    """
    if aload(m.p.preempt) and not sched.closing:
        astore(gp.parkstate, PS_GOSCHED)
        leave(m)
        return -1
    while True:
        state: int32_t = aload(self.state)
        if state & CLOSED:
            leave(m)
            raise closederror()
        if acas(self.state, state, state + CALL):
            break
    pd: pollDesc = self.pd
    lock(pd.lock)
    seq: int64_t = pd.seq[mode]
    past: cython.bint = pd.deadline[mode] < 0
    dry: cython.bint = mode == READ and aload64(pd.dry) == seq and not pd.last
    unlock(pd.lock)
    if past:
        end(self)
        leave(m)
        raise TimeoutError(f"the deadline for {'writing' if mode else 'reading'} is over")
    return seq | _DRY if dry else seq


@cython.cfunc
def end(self: FD) -> cython.int:
    """The call is over; the last one after `close` closes the descriptor."""
    if aadd(self.state, -CALL) == CLOSED:
        shut(self)
    return 0


@cython.cfunc
def block(m: M, gp: G, self: FD, mode: cython.int, seq: int64_t) -> cython.bint:
    """The call would block: True if the goroutine must wait, False to try again.

    Go: ``netpollblock``.  True has left the runtime.
    """
    pd: pollDesc = self.pd
    err: cython.int = 0
    lock(pd.lock)
    if pd.closing or pd.deadline[mode] < 0 or pd.seq[mode] != seq:
        unlock(pd.lock)
        return False
    if pd.epoch != sched.epoch:
        err = netpollopen(pd)
    if err:
        unlock(pd.lock)
        leave(m)
        raise oserror(-err)
    if not gopark(m, gp, waitReasonIOWait):
        unlock(pd.lock)
        leave(m)
        raise refuse(gp)
    netpollenqueue(pd, mode, gp)
    unlock(pd.lock)
    leave(m)
    return True


@cython.cfunc
def perform(self: FD, mode: cython.int, op: cython.pointer(ioop)) -> cython.Py_ssize_t:
    """One system call: its result, or WAITING."""
    m: M = enter()
    gp: G = getg(m)
    while True:
        seq: int64_t = begin(m, gp, self, mode)
        if seq < 0:
            return WAITING
        r: cython.Py_ssize_t = -EAGAIN
        if seq & _DRY:
            seq ^= _DRY
        else:
            r = fdio(self.sysfd, op)
            if self.stream and op.op == IO_READ and 0 < r < op.len:
                astore64(self.pd.dry, seq)
        end(self)
        if r >= 0:
            leave(m)
            return r
        if r != -EAGAIN:
            leave(m)
            raise oserror(r)
        if block(m, gp, self, mode, seq):
            return WAITING


@cython.cfunc
def simple(self: FD, mode: cython.int, what: cython.int) -> object:
    op: ioop
    op.op = what
    r: cython.Py_ssize_t = perform(self, mode, cython.address(op))
    return mustwait if r == WAITING else r


@cython.cfunc
def transfer(self: FD, mode: cython.int, what: cython.int, buffer, flags: cython.int) -> object:
    view: Py_buffer
    op: ioop
    PyObject_GetBuffer(buffer, cython.address(view), flags)
    op.op = what
    op.buf = cython.cast(cython.p_char, view.buf)
    op.len = view.len
    try:
        r: cython.Py_ssize_t = perform(self, mode, cython.address(op))
    finally:
        PyBuffer_Release(cython.address(view))
    return mustwait if r == WAITING else r


@cython.cfunc
def callio(self: FD, mode: cython.int, fn, args) -> object:
    """`perform` for a Python function."""
    while True:
        m: M = enter()
        gp: G = getg(m)
        seq: int64_t = begin(m, gp, self, mode)
        if seq < 0:
            return mustwait
        leave(m)
        seq &= _DRY - 1
        try:
            return fn(*args)
        except BlockingIOError:
            pass
        finally:
            end(self)
        m = enter()
        gp = getg(m)
        if block(m, gp, self, mode, seq):
            return mustwait
        leave(m)


# -- closing ------------------------------------------------------------------


@cython.cfunc
@cython.exceptval(check=False)
def markclosed(self: FD) -> int32_t:
    """From here on no call begins.  0: none is under way; else others see to the rest."""
    while True:
        state: int32_t = aload(self.state)
        if state & CLOSED:
            return -1
        if acas(self.state, state, state | CLOSED):
            return state


@cython.cfunc
@cython.exceptval(check=False)
def shut(self: FD) -> cython.void:
    """The last step of closing."""
    evict(self.pd)
    if not self.given:
        fdclose(self.sysfd)


@cython.cfunc
@cython.exceptval(check=False)
def evict(pd: pollDesc) -> cython.void:
    """No event comes any more, and all who wait find it closed (Go: ``pollDesc.evict``)."""
    lock(pd.lock)
    pd.closing = True
    netpollclose(pd)
    if pd.rt is not None:
        deltimer(pd.rt)
    if pd.wt is not None:
        deltimer(pd.wt)
    rt: ArgTimer = pd.rt
    wt: ArgTimer = pd.wt
    pd.rt = None
    pd.wt = None
    readers: guintptr = netpolltake(pd, READ)
    writers: guintptr = netpolltake(pd, WRITE)
    unlock(pd.lock)
    del rt, wt  # they refer to pd
    wake(netpollgoready(readers, netpollgoready(writers, ref(None))))


@cython.cfunc
@cython.exceptval(check=False)
def wake(toRun: guintptr) -> cython.void:
    """Queue goroutines from anywhere: the runtime, user code, or a thread without a P."""
    if toRun == ref(None):
        return
    m: M = thism()
    if m is None or m.p is None or m.depth == 0:
        injectglist(None, toRun)
        return
    runqput(m.p, injectglist(m, toRun), False)
    wakep()


# -- deadlines ----------------------------------------------------------------


@cython.cfunc
def setdeadline(self: FD, mode: cython.int, at) -> object:
    """Go: ``poll_runtime_pollSetDeadline``."""
    delay: cython.double = 0 if at is None else at - time.monotonic()
    if delay != delay:
        raise ValueError("a deadline cannot be NaN")
    pd: pollDesc = self.pd
    m: M = enter()
    if m is None:
        raise noprogram("deadlines can be set only in a goroutine, inside gopark.run(main)")
    when: int64_t = 0
    if at is not None:
        when = -1 if delay <= 0 else nanotime() + cython.cast(int64_t, min(delay, 1e9) * 1e9)
    t: ArgTimer = None
    if when > 0:
        t = ArgTimer.__new__(ArgTimer)
        t.f = pollDeadline
        t.arg = pd
    past: guintptr = ref(None)
    lock(pd.lock)
    t = startdeadline(m, pd, mode, when, t)
    if when < 0:
        past = netpolltake(pd, mode)
    closed: cython.bint = pd.closing
    unlock(pd.lock)
    del t
    wake(netpollgoready(past, ref(None)))
    leave(m)
    if closed:
        raise closederror()
    if when > 0:
        wakeNetPoller(when)


def startdeadline(m, pd, mode, when, t):
    """Under the lock; the timer that it replaces, which may die only later."""
    before: ArgTimer = pd.wt if mode else pd.rt
    if before is not None:
        deltimer(before)
    if pd.closing:
        return t
    pd.deadline[mode] = when
    if mode:
        pd.wt = t
    else:
        pd.rt = t
    if t is not None:
        addtimer(m.p.timers, t, when, 0)
    return before


@cython.cfunc
@cython.exceptval(check=False)
def pollDeadline(sleeper: Timer, seq: int32_t) -> cython.void:
    """Whoever waits finds that the time is over (Go: ``netpolldeadlineimpl``)."""
    t: ArgTimer = cython.cast(ArgTimer, sleeper)
    pd: pollDesc = cython.cast(pollDesc, t.arg)
    waiters: guintptr = ref(None)
    lock(pd.lock)
    mode: cython.int = WRITE if pd.wt is t else READ
    if aload(t.seq) == seq and (pd.wt is t or pd.rt is t):
        pd.deadline[mode] = -1
        waiters = netpolltake(pd, mode)
    unlock(pd.lock)
    wake(netpollgoready(waiters, ref(None)))
