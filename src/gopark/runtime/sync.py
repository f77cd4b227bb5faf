"""RWMutex, Semaphore, WaitGroup and Cond: rules over a `sema` (Go: ``sync``, ``x/sync/semaphore``).

Whoever changes a state grants, under the same hold of the lock, what others may now
have; so there is never one who waits for what is there (see sema.py).
"""

import cython

from .runtime2 import _nameof, hooks

if cython.compiled:
    from cython.cimports.gopark.runtime.chan import enqueue, waitq
    from cython.cimports.gopark.runtime.mutex import (
        MUTEX_LOCKED,
        MUTEX_SHIELD,
        mutexunlock,
        rtMutex,
        unlockmutex,
    )
    from cython.cimports.gopark.runtime.proc import (
        enter,
        getg,
        gopark,
        leaf,
        leave,
        newproc,
        refuse,
    )
    from cython.cimports.gopark.runtime.runtime2 import (
        G,
        M,
        Sudog,
        gptr,
        ref,
        sched,
        sgptr,
        waitReasonSemacquire,
        waitReasonSyncCondWait,
        waitReasonSyncMutexLock,
        waitReasonSyncRWMutexLock,
        waitReasonSyncRWMutexRLock,
        waitReasonSyncWaitGroupWait,
    )
    from cython.cimports.gopark.runtime.seam import acas, aload, lock, unlock
    from cython.cimports.gopark.runtime.sema import (
        SEMA_NONE,
        detach,
        detachall,
        readyall,
        sema,
        semop,
        trytake,
        unwaitsema,
    )
    from cython.cimports.libc.stdint import int64_t
else:
    from . import seam
    from .chan import enqueue, waitq
    from .mutex import mutexunlock, rtMutex, unlockmutex
    from .proc import enter, getg, gopark, leaf, leave, newproc, refuse
    from .runtime2 import G, M, Sudog, sched
    from .seam import acas, aload, gptr, lock, ref, sgptr, unlock
    from .sema import detach, detachall, readyall, sema, semop, trytake, unwaitsema

    int64_t = int
    globals().update(seam.constants("runtime2.pxd"))
    globals().update(seam.constants("sema.pxd"))
    globals().update(seam.constants("mutex.pxd"))
    globals().update(seam.constants("sync.pxd"))

# -- RWMutex ------------------------------------------------------------------


@cython.cclass
class rtRWMutex(sema):
    """The insides of `gopark.sync.RWMutex`.

    Readers and writers take turns, as in Go: a writer that waits holds back new
    readers, and when it is done all readers that wait by then go before the next.
    """

    def __cinit__(self):
        self.writers = waitq.__new__(waitq)

    def __init__(self):
        pass  # takes no arguments

    def lock(self):
        """Lock it for writing; waits for readers and other writers."""
        return semop(self, RW_WRITE, waitReasonSyncRWMutexLock)

    def rlock(self):
        """Lock it for reading; waits for a writer that has it, or waits for it."""
        return semop(self, RW_READ, waitReasonSyncRWMutexRLock)

    def try_lock(self):
        """Lock it for writing if that needs no wait.  From any thread."""
        return trytake(self, RW_WRITE)

    def try_rlock(self):
        """Lock it for reading if that needs no wait.  From any thread."""
        return trytake(self, RW_READ)

    def unlock(self):
        """Undo one `lock`.  Raises RuntimeError if it is not locked for writing."""
        unlockrw(self, True)

    def runlock(self):
        """Undo one `rlock`.  Raises RuntimeError if it is not locked for reading."""
        unlockrw(self, False)

    def reader(self):
        """``async with rw.reader():`` holds it for reading."""
        r: rlocker = rlocker.__new__(rlocker)
        r.rw = self
        return r

    def __aenter__(self):
        return semop(self, RW_WRITE, waitReasonSyncRWMutexLock)

    def __aexit__(self, kind, exc, tb):
        unlockrw(self, True)
        return leaf

    def __repr__(self):
        state = "locked" if self.writing else f"{self.readers} readers"
        return f"<{type(self).__name__}, {state}>"

    def take(self, n):
        if self.writing:
            return False
        if n == RW_READ:
            if self.writers.first != ref(None):
                return False
            self.readers += 1
            return True
        if self.readers:
            return False
        self.writing = True
        return True

    def queueof(self, n):
        return self.writers if n == RW_WRITE else self

    def left(self):
        if self.writing or self.writers.first != ref(None):
            return None
        return admitreaders(self)

    def undo(self, m, gp, how):
        rwrelease(m, self, gp.ticket == RW_WRITE)
        return 0


@cython.cclass
class rlocker:
    """An RWMutex, to be held for reading (Go: ``RLocker``)."""

    def __aenter__(self):
        return semop(self.rw, RW_READ, waitReasonSyncRWMutexRLock)

    def __aexit__(self, kind, exc, tb):
        unlockrw(self.rw, False)
        return leaf


@cython.cfunc
def unlockrw(rw: rtRWMutex, write: cython.bint) -> object:
    m: M = enter()
    done: cython.bint = rwrelease(m, rw, write)
    leave(m)
    if not done:
        raise RuntimeError(
            "unlock of an RWMutex that is not locked for writing"
            if write
            else "runlock of an RWMutex that is not locked for reading"
        )


def rwrelease(m, rw, write):
    """A writer or a reader is done.  False if there is none."""
    first: G = None
    lock(rw.guard)
    held: cython.bint = rw.writing if write else rw.readers > 0
    if held:
        if write:
            rw.writing = False
            first = admitreaders(rw)
        else:
            rw.readers -= 1
        if rw.readers == 0 and rw.writers.first != ref(None):
            rw.writing = True
            first = detach(rw.writers, sgptr(rw.writers.first))
    unlock(rw.guard)
    readyall(m, first)
    return held


@cython.cfunc
def admitreaders(rw: rtRWMutex) -> G:
    """All readers that wait may read."""
    first: G = detachall(rw)
    gp: G = first
    while gp is not None:
        rw.readers += 1
        gp = gptr(gp.next)
    return first


# -- Semaphore ----------------------------------------------------------------


@cython.cclass
class rtSemaphore(sema):
    """The insides of `gopark.sync.Semaphore` (Go: ``x/sync/semaphore``)."""

    def __init__(self, n):
        size: int64_t = amount(n, "a semaphore's size")
        if size == 0:
            raise ValueError("a semaphore of size 0 could never be acquired")
        if self.size:
            raise RuntimeError("a semaphore's size cannot be changed")
        self.size = self.free = size

    @property
    def available(self):
        """How much could be acquired now, if nobody waited."""
        return self.free

    def acquire(self, n=1):
        """Acquire `n`; waits until they are free, behind all who came before.

        Raises ValueError if `n` is negative, or more than there will ever be.
        """
        return semop(self, wanted(self, n), waitReasonSemacquire)

    def try_acquire(self, n=1):
        """Acquire `n` if that needs no wait.  Did that succeed?  From any thread."""
        return trytake(self, wanted(self, n))

    def release(self, n=1):
        """Give `n` back; from any thread.  Raises RuntimeError if so many are not out."""
        releasesem(self, amount(n, "what is released"))

    def __aenter__(self):
        return semop(self, wanted(self, 1), waitReasonSemacquire)

    def __aexit__(self, kind, exc, tb):
        releasesem(self, 1)
        return leaf

    def __repr__(self):
        return f"<{type(self).__name__}, {self.free} of {self.size} free>"

    def take(self, n):
        if self.first != ref(None) or self.free < n:
            return False
        self.free -= n
        return True

    def left(self):
        return admit(self)

    def undo(self, m, gp, how):
        semrelease(m, self, gp.ticket)
        return 0


@cython.cfunc
@cython.exceptval(-1)
def amount(n, what: str) -> int64_t:
    if not isinstance(n, int) or isinstance(n, bool):
        raise TypeError(f"{what} must be an int, not {type(n).__name__}")
    if n < 0:
        raise ValueError(f"{what} cannot be negative: {n}")
    return n


@cython.cfunc
@cython.exceptval(-1)
def wanted(s: rtSemaphore, n) -> int64_t:
    want: int64_t = amount(n, "what is acquired")
    if want > s.size:
        raise ValueError(f"acquire({n}) of a semaphore of size {s.size} could never succeed")
    return want


@cython.cfunc
def releasesem(s: rtSemaphore, n: int64_t) -> object:
    m: M = enter()
    done: cython.bint = semrelease(m, s, n)
    leave(m)
    if not done:
        raise RuntimeError(f"release({n}) of a semaphore of which less is acquired")


def semrelease(m, s, n):
    """Give `n` back (Go: ``Weighted.Release``).  False if so many are not out."""
    first: G = None
    lock(s.guard)
    held: cython.bint = n <= s.size - s.free
    if held:
        s.free += n
        first = admit(s)
    unlock(s.guard)
    readyall(m, first)
    return held


def admit(s):
    """Those at the front who fit now.  The first who does not holds back all behind it."""
    last: Sudog = None
    sg: Sudog = sgptr(s.first)
    while sg is not None and cython.cast(G, sg).ticket <= s.free:
        s.free -= cython.cast(G, sg).ticket
        last = sg
        sg = sgptr(sg.next)
    return None if last is None else detach(s, last)


# -- WaitGroup ----------------------------------------------------------------


@cython.cclass
class rtWaitGroup(sema):
    """The insides of `gopark.sync.WaitGroup`."""

    def __init__(self):
        pass  # takes no arguments

    def add(self, n=1):
        """`n` more to wait for, or fewer; at 0 all who wait go on.  From any thread.

        Raises RuntimeError, and changes nothing, if the counter would be negative.
        """
        if not isinstance(n, int):
            raise TypeError(f"a WaitGroup counts in ints, not {type(n).__name__}")
        count(self, n)

    def done(self):
        """One fewer to wait for."""
        count(self, -1)

    def wait(self):
        """Wait until the counter is 0."""
        return semop(self, 0, waitReasonSyncWaitGroupWait)

    def go(self, *args, **kwargs):
        """`gopark.go`, counted: ``add(1)`` now, ``done()`` when the goroutine has ended."""
        if not args:
            raise TypeError("WaitGroup.go() needs a coroutine or a function")
        name = kwargs.pop("name", None)
        if name is not None and not isinstance(name, str):
            raise TypeError(f"a goroutine's name must be a str, not {type(name).__name__}")
        stack = hooks["asstack"](args[0], args[1:], kwargs, "WaitGroup.go")
        coro = hooks["counted"](self, stack)
        count(self, 1)
        m: M = enter()
        try:
            return newproc(m, coro, _nameof(stack) if name is None else name, None)
        except BaseException:
            count(self, -1)
            coro.close()
            if stack is not args[0] and not isinstance(stack, tuple):
                stack.close()  # made here, so nobody else can await it
            raise
        finally:
            leave(m)

    def __repr__(self):
        return f"<{type(self).__name__}, {self.counter} to wait for>"

    def take(self, n):
        return self.counter == 0


@cython.cfunc
def count(wg: rtWaitGroup, n: int64_t) -> object:
    first: G = None
    m: M = enter()
    lock(wg.guard)
    valid: cython.bint = wg.counter + n >= 0
    if valid:
        wg.counter += n
        if wg.counter == 0:
            first = detachall(wg)
    unlock(wg.guard)
    readyall(m, first)
    leave(m)
    if not valid:
        raise RuntimeError("negative WaitGroup counter: more was done than was added")


# -- Cond ---------------------------------------------------------------------


@cython.cclass
class rtCond(sema):
    """The insides of `gopark.sync.Cond` (Go: ``notifyList``)."""

    def __init__(self, mutex):
        if not isinstance(mutex, rtMutex):
            raise TypeError(f"a Cond needs a Mutex, not {type(mutex).__name__}")
        if self.mu is not None:
            raise RuntimeError("a Cond's Mutex cannot be changed")
        self.mu = mutex

    def signal(self):
        """Wake the goroutine that has waited longest, if there is one; from any thread."""
        notify(self, False)

    def broadcast(self):
        """Wake all that wait; from any thread."""
        notify(self, True)

    def __aenter__(self):
        return semop(self.mu, 0, waitReasonSyncMutexLock)

    def __aexit__(self, kind, exc, tb):
        unlockmutex(self.mu)
        return leaf

    def __repr__(self):
        return f"<{type(self).__name__} with {self.mu!r}>"


def condwait(c: rtCond):
    """Stand in line, unlock the Mutex, and then await `PARK`, and `relock` whatever comes.

    In this order, so that a signal given under the Mutex finds whoever waits.
    """
    m: M = enter()
    gp: G = getg(m)
    if not aload(c.mu.state) & MUTEX_LOCKED:
        leave(m)
        raise RuntimeError("wait on a Cond whose Mutex is not locked")
    lock(c.guard)
    if not gopark(m, gp, waitReasonSyncCondWait):
        unlock(c.guard)
        leave(m)
        raise refuse(gp)
    gp.c = c
    gp.ticket = 0
    gp.success = SEMA_NONE
    enqueue(c, gp)
    unlock(c.guard)
    if not acas(c.mu.state, MUTEX_LOCKED, 0):
        mutexunlock(m, c.mu)
    leave(m)


def relock(c: rtCond):
    """The way back into the Mutex: nothing cancels it, as the caller is going to unlock."""
    return semop(c.mu, MUTEX_SHIELD, waitReasonSyncMutexLock)


@cython.cfunc
def notify(c: rtCond, everybody: cython.bint) -> object:
    first: G = None
    m: M = enter()
    lock(c.guard)
    if c.first != ref(None):
        first = detachall(c) if everybody else detach(c, sgptr(c.first))
    unlock(c.guard)
    readyall(m, first)
    leave(m)


if not cython.compiled:
    seam.declare("sync.pxd", rtRWMutex, rlocker, rtSemaphore, rtWaitGroup, rtCond)

sched.unwait[waitReasonSyncRWMutexRLock] = unwaitsema
sched.unwait[waitReasonSyncRWMutexLock] = unwaitsema
sched.unwait[waitReasonSyncCondWait] = unwaitsema
sched.unwait[waitReasonSyncWaitGroupWait] = unwaitsema
sched.unwait[waitReasonSemacquire] = unwaitsema
