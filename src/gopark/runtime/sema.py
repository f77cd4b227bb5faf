"""What locks are made of (Go: ``runtime/sema.go``, and the fast halves of ``sync``).

A `sema` is a thing to wait for: a queue of goroutines under a lock, and a rule
that says who may go on.  Go keeps the queues apart from the things, in one table
by address, as a lock there is a word in anybody's structure; here a lock is an
object, and has its queue inside.

**No wake-up and no permit is lost**, by these rules:

* What is asked for is taken, or the goroutine is queued, under one hold of the lock;
  who gives something back looks into the queue under that lock too.
* Whoever takes a waiter out of the queue gives it, in the same hold, what it waited
  for (``SEMA_GRANTED``), and then makes it ready; nobody else will.  So nobody can
  snatch it in between, and waiters are served first come first.
* A waiter that leaves by itself (`unwaitsema`) takes itself out under the lock, and
  lets go on who only waited behind it.  If it is no longer there, it has been
  granted: then the wait has ended well.
* Where a goroutine is unwound though it was granted (its program is over), the
  generator that it waits in gives the grant back (`abandon`).

The Mutex alone gives a woken waiter nothing but a chance (``SEMA_WOKEN``, see
mutex.py); RWMutex, Semaphore, WaitGroup and Cond are in sync.py.

No two of these locks are ever held at once, nor one with a channel's; the place
in the lock order is the channel's.
"""

import warnings

import cython

from .runtime2 import hooks

if cython.compiled:
    from cython.cimports.gopark.runtime.chan import enqueue, unqueue, waitq, yielding
    from cython.cimports.gopark.runtime.proc import (
        enter,
        getg,
        gopark,
        goready,
        leaf,
        leave,
        mustwait,
        refuse,
        thism,
    )
    from cython.cimports.gopark.runtime.runtime2 import G, M, Sudog, gptr, ref, sgptr
    from cython.cimports.gopark.runtime.seam import lock, unlock
    from cython.cimports.libc.stdint import int32_t, int64_t
else:
    from . import seam
    from .chan import enqueue, unqueue, waitq, yielding
    from .proc import enter, getg, gopark, goready, leaf, leave, mustwait, refuse, thism
    from .runtime2 import G, M, Sudog
    from .seam import gptr, lock, ref, sgptr, unlock

    int32_t = int64_t = int
    globals().update(seam.constants("runtime2.pxd"))
    globals().update(seam.constants("sema.pxd"))


@cython.cclass
class sema(waitq):
    """What the kinds override stands in sema.pxd; here is what most of them do."""

    def take(self, n):
        return False

    def queueof(self, n):
        return self

    def left(self):
        return None

    def obtain(self, n, reason):
        return semacquire(self, n, reason)

    def retry(self, gp):
        return False

    def undo(self, m, gp, how):
        return 0


@cython.freelist(32)
@cython.cclass
class SemOp:
    """``mu.lock()``, ``sem.acquire()`` and their like: happens when it is awaited.

    No coroutine, as none of them gives a value (see `SendOp` in chan.py).
    """

    def __await__(self):
        s: sema = self.s
        if s is None:
            raise RuntimeError("cannot await the same operation twice: call the method again")
        self.s = None
        if s.obtain(self.n, self.reason):
            return hooks["waiting"](s, gptr(thism().curg))
        return leaf

    def __dealloc__(self):
        if self.s is not None:
            neverawaited(self.s)

    def __repr__(self):
        return f"<wait for {self.s!r}>" if self.s is not None else "<wait, awaited>"


@cython.cfunc
def neverawaited(s: sema) -> object:
    warnings.warn(
        f"what locks, acquires or waits for a {type(s).__name__} was never awaited",
        RuntimeWarning,
        stacklevel=2,
    )


def semop(s, n, reason):
    op: SemOp = SemOp.__new__(SemOp)
    op.s = s
    op.n = n
    op.reason = reason
    return op


def semacquire(s, n, reason):
    """Have `n` of `s`: True if the goroutine must wait (Go: ``semacquire1``)."""
    m: M = enter()
    gp: G = getg(m)
    lock(s.guard)
    if s.take(n):
        unlock(s.guard)
        gp.ticket = n
        return yielding(m, None) is mustwait
    if not gopark(m, gp, reason):
        unlock(s.guard)
        leave(m)
        raise refuse(gp)
    gp.c = s
    gp.ticket = n
    gp.success = SEMA_NONE
    enqueue(s.queueof(n), gp)
    unlock(s.guard)
    leave(m)
    return True


def trytake(s, n):
    """Have it if that needs no wait; from any thread."""
    lock(s.guard)
    done: cython.bint = s.take(n)
    unlock(s.guard)
    return done


def retry(s: sema, gp: G):
    """It was woken, or had given way: True to await `PARK` again."""
    return s.retry(gp)


def abandon(s: sema, gp: G):
    """`gp` is unwound where it waits: what it was granted meanwhile goes to the others."""
    m: M = enter()
    if m is not None and m.curg == ref(gp):
        how: int32_t = gp.success
        gp.success = SEMA_NONE
        gp.shield = False
        if how:
            s.undo(m, gp, how)
    leave(m)


def unwaitsema(gp):
    """Take a goroutine out of its queue; False if somebody has granted it what it waits for."""
    s: sema = cython.cast(sema, gp.c)
    first: G = None
    lock(s.guard)
    found: cython.bint = unqueue(s.queueof(gp.ticket), gp)
    if found:
        first = s.left()
    unlock(s.guard)
    readyall(thism(), first)
    return found


# -- queues -------------------------------------------------------------------


def detach(q, last):
    """Grant all up to `last`, and take them out; they stay linked, for `readyall`."""
    first: Sudog = sgptr(q.first)
    q.first = last.next
    after: Sudog = sgptr(last.next)
    if after is None:
        q.last = ref(None)
    else:
        after.prev = ref(None)
    last.next = ref(None)
    sg: Sudog = first
    while sg is not None:
        sg.prev = ref(None)
        sg.queued = False
        sg.success = SEMA_GRANTED
        sg = sgptr(sg.next)
    return cython.cast(G, first)


def detachall(q):
    last: Sudog = sgptr(q.last)
    return None if last is None else detach(q, last)


def enqueuefirst(q, sg):
    """Before all others: it has waited in this queue already."""
    sg.prev = ref(None)
    sg.next = q.first
    after: Sudog = sgptr(q.first)
    if after is None:
        q.last = ref(sg)
    else:
        after.prev = ref(sg)
    q.first = ref(sg)
    sg.queued = True


def readyall(m, gp):
    """Make them ready, the first one to run next.  Holds no lock."""
    next: cython.bint = True
    while gp is not None:
        after: G = gptr(gp.next)
        gp.next = ref(None)
        goready(m, gp, next)
        next = False
        gp = after


if not cython.compiled:
    seam.declare("sema.pxd", sema, SemOp)
