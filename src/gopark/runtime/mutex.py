"""The Mutex (Go: ``sync/mutex.go``).

A woken waiter is given nothing (see sema.py for what else there is), as Go does it:
in *normal mode* ``unlock`` unlocks, and makes the first waiter ready to try again
(``SEMA_WOKEN``); whoever runs meanwhile may have the lock first.  That saves a switch
each time.  Two rules keep it safe and fair:

* While one woken waiter is on its way (``woken``) no second is woken, and it clears
  the flag under the lock when it tries: either it has the lock then, and will
  unlock, or somebody else has, and will find the flag clear.
* A waiter that loses goes back to the front.  If it first came more than 1 ms ago,
  the Mutex enters *starvation mode*: ``unlock`` leaves it locked, and the first
  waiter owns it.  That ends with a waiter who is the last, or came less than 1 ms ago.

Uncontended, `lock` and ``unlock`` are one compare-and-swap each.  As soon as somebody
waits, ``MUTEX_WAITING`` makes both fail, and all go through the lock.
"""

import cython

if cython.compiled:
    from cython.cimports.gopark.runtime.chan import dequeue, enqueue, yielding
    from cython.cimports.gopark.runtime.proc import (
        enter,
        getg,
        gopark,
        leaf,
        leave,
        mustwait,
        refuse,
        thisg,
    )
    from cython.cimports.gopark.runtime.runtime2 import (
        PS_NONE,
        G,
        M,
        ref,
        sched,
        waitReasonSyncMutexLock,
    )
    from cython.cimports.gopark.runtime.seam import (
        acas,
        aload,
        astore,
        lock,
        nanotime,
        tlsget,
        unlock,
    )
    from cython.cimports.gopark.runtime.sema import (
        SEMA_GRANTED,
        SEMA_NONE,
        SEMA_WOKEN,
        enqueuefirst,
        readyall,
        sema,
        semop,
        unwaitsema,
    )
    from cython.cimports.libc.stdint import int32_t, int64_t
else:
    from . import seam
    from .chan import dequeue, enqueue, yielding
    from .proc import enter, getg, gopark, leaf, leave, mustwait, refuse, thisg
    from .runtime2 import G, M, sched
    from .seam import acas, aload, astore, lock, nanotime, ref, tlsget, unlock
    from .sema import enqueuefirst, readyall, sema, semop, unwaitsema

    int32_t = int64_t = int
    globals().update(seam.constants("runtime2.pxd"))
    globals().update(seam.constants("sema.pxd"))
    globals().update(seam.constants("mutex.pxd"))

_STARVING = cython.declare(cython.longlong, 1_000_000)  # ns (Go: starvationThresholdNs)


@cython.cclass
class rtMutex(sema):
    """The insides of `gopark.sync.Mutex`."""

    def __init__(self):
        pass  # takes no arguments

    def lock(self):
        """Lock it; waits until it is unlocked."""
        return semop(self, 0, waitReasonSyncMutexLock)

    def try_lock(self):
        """Lock it if it is unlocked now.  Did that succeed?  From any thread."""
        if acas(self.state, 0, MUTEX_LOCKED):
            return True
        lock(self.guard)
        s: int32_t = aload(self.state)
        done: cython.bint = not s & MUTEX_LOCKED and acas(self.state, s, s | MUTEX_LOCKED)
        unlock(self.guard)
        return done

    def unlock(self):
        """Unlock it, whoever has locked it; from any thread.

        Raises RuntimeError if it is not locked.
        """
        unlockmutex(self)

    def locked(self):
        """Is it locked?"""
        return aload(self.state) & MUTEX_LOCKED != 0

    def __aenter__(self):
        # ``async with`` awaits what it gets at once: no need to wait for that.
        if lockfast(self):
            return leaf
        return semop(self, 0, waitReasonSyncMutexLock)

    def __aexit__(self, kind, exc, tb):
        unlockmutex(self)
        return leaf

    def __repr__(self):
        return f"<{type(self).__name__}, {'' if self.locked() else 'un'}locked>"

    def obtain(self, n, reason):
        return not lockfast(self) and lockslow(self, None, n == MUTEX_SHIELD)

    def retry(self, gp):
        return lockslow(self, gp, gp.shield)

    def left(self):
        if self.first == ref(None):
            self.starving = False
            astore(self.state, aload(self.state) & ~MUTEX_WAITING)
        return None

    def undo(self, m, gp, how):
        if how == SEMA_GRANTED:
            mutexunlock(m, self)
        else:
            passon(m, self)
        return 0


def lockfast(mu):
    """Lock it if it is free and nobody waits; not where `lockslow` has something to say."""
    p = tlsget()  # no references
    return (
        p != ref(None)
        and cython.cast(M, p).curg != ref(None)
        and aload(cython.cast(G, cython.cast(M, p).curg).parkstate) == PS_NONE
        and not aload(cython.cast(G, cython.cast(M, p).curg).cancelled)
        and cython.cast(M, p).p is not None
        and not aload(cython.cast(M, p).p.preempt)
        and acas(mu.state, 0, MUTEX_LOCKED)
    )


def lockslow(mu, waited, shield):
    """Lock it, or stand in line: True if the goroutine must wait (Go: ``lockSlow``).

    `waited` is the goroutine itself, after it has waited.  With `shield` the wait
    cannot be cancelled, and goes without the lock once the program is over.
    """
    m: M = enter()
    # Who was woken tries once more, cancelled or not: nobody else was woken meanwhile.
    gp: G = thisg(m) if shield or waited is not None else getg(m)
    lock(mu.guard)
    if waited is not None:
        if gp.success == SEMA_GRANTED:
            unlock(mu.guard)
            gp.shield = False
            leave(m)
            return False
        mu.woken = False
        gp.success = SEMA_NONE
    while True:
        s: int32_t = aload(mu.state)
        if not s & MUTEX_LOCKED:
            if acas(mu.state, s, s | MUTEX_LOCKED):
                unlock(mu.guard)
                gp.shield = False
                return yielding(m, None) is mustwait
        elif s & MUTEX_WAITING or acas(mu.state, s, s | MUTEX_WAITING):
            break
    gp.shield = shield
    if not gopark(m, gp, waitReasonSyncMutexLock):
        mu.left()
        unlock(mu.guard)
        gp.shield = False
        leave(m)
        if shield:
            return False
        raise refuse(gp)
    now: int64_t = nanotime()
    if waited is not None:
        mu.starving = mu.starving or now - gp.ticket > _STARVING
        enqueuefirst(mu, gp)
    else:
        gp.ticket = now
        enqueue(mu, gp)
    gp.c = mu
    gp.success = SEMA_NONE
    unlock(mu.guard)
    leave(m)
    return True


def unlockmutex(mu):
    if acas(mu.state, MUTEX_LOCKED, 0):
        return
    m: M = enter()
    done: cython.bint = mutexunlock(m, mu)
    leave(m)
    # A Cond.wait that was unwound at the program's end may have gone without the lock.
    if not done and not (sched.closing and aload(sched.running)):
        raise RuntimeError("unlock of a Mutex that is not locked")


def mutexunlock(m, mu):
    """Unlock it, or hand it over (Go: ``unlockSlow``).  False if it is not locked."""
    gp: G = None
    lock(mu.guard)
    s: int32_t = aload(mu.state)
    if not s & MUTEX_LOCKED:
        unlock(mu.guard)
        return False
    if mu.starving:
        gp = cython.cast(G, dequeue(mu))
        gp.success = SEMA_GRANTED
        mu.starving = mu.first != ref(None) and nanotime() - gp.ticket > _STARVING
    else:
        s &= ~MUTEX_LOCKED
        if not mu.woken:
            gp = cython.cast(G, dequeue(mu))
            if gp is not None:
                gp.success = SEMA_WOKEN
                mu.woken = True
    if mu.first == ref(None):
        s &= ~MUTEX_WAITING
    astore(mu.state, s)
    unlock(mu.guard)
    readyall(m, gp)
    return True


def passon(m, mu):
    """One that was woken does not try: wake the next, unless somebody will unlock."""
    gp: G = None
    lock(mu.guard)
    mu.woken = False
    if not aload(mu.state) & MUTEX_LOCKED:
        gp = cython.cast(G, dequeue(mu))
        if gp is not None:
            gp.success = SEMA_WOKEN
            mu.woken = True
            mu.left()
    unlock(mu.guard)
    readyall(m, gp)


if not cython.compiled:
    seam.declare("mutex.pxd", rtMutex)

sched.unwait[waitReasonSyncMutexLock] = unwaitsema
