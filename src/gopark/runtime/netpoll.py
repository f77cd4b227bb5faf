"""The network poller (Go: ``runtime/netpoll.go``).

Goroutines wait for descriptors; the operating system tells the poller which ones
have become ready, by epoll or kqueue (seam.h).  Who looks: an M that has a P and
nothing to run looks in passing (`netpoll`); the last M that goes idle sleeps in the
poller until the earliest timer is due (`netpollblock`); and when every P is busy
sysmon looks, 10 ms after it did so last.

**A descriptor** is registered once for its life, when a goroutine first has to wait
for it, edge-triggered and for both directions.  poll.py has the operations, which
try first and wait afterwards.

**No readiness is lost.**  Every event adds one to the direction's ``seq``.  An
operation (1) reads ``seq``, (2) tries, and if it would block (3) queues its goroutine
under ``pd.lock``, unless ``seq`` has moved on since (1): then it tries again.  An
event between (1) and (3) is seen by (3), one after (3) finds the goroutine in the
queue.  Registering tells of what is ready already, so it may come between (2) and
(3).  An event wakes all who wait in its direction: the first may leave something
that no further event would tell the next one of.  (Go remembers a readiness in the
waiter's place, and lets one goroutine wait in each direction.)

**A read that cannot succeed is not tried.**  One that got less than it asked for has
emptied a TCP stream; it notes the ``seq`` that it began with in ``pd.dry``.  As long as
``seq`` is the same nothing has come since, so the next read goes from (1) to (3).  That
does not hold once the stream ends, fails or has urgent data, behind which more may lie:
``pd.last`` then says that every read has to be tried.

**No stale event is delivered.**  An event carries a tag: the slot in
``sched.polldescs``, and a number that is never used again.  Closing empties the slot
before the descriptor's number can be used anew.

Whoever takes a goroutine out of ``pd.g`` (under ``pd.lock``: an event, a deadline, a
close) makes it ready, and nobody else does; `unwaitio` takes itself out.

**Timers and the sleeper.**  It is the M that swapped ``sched.lastpoll`` for 0; it
writes ``sched.pollUntil``.  Whoever starts a timer stores the heap's ``wakeTime``
first and then reads ``lastpoll`` and ``pollUntil``; the sleeper writes those two first
and then reads every ``wakeTime``.  So a new timer is seen by the sleeper or breaks
its sleep, and the queue remembers a break that comes before the sleep.  In the same
way an M that goes idle and finds neither timer nor waiter either breaks the sleep, or
the sleeper has found none itself: only then can the program be seen to be dead.
"""

import cython

if cython.compiled:
    from cython.cimports.gopark.runtime.runtime2 import (
        PS_NONE,
        PS_PARKED,
        PS_READY,
        G,
        P,
        _Grunnable,
        gptr,
        ref,
        sched,
        waitReasonIOWait,
    )
    from cython.cimports.gopark.runtime.seam import (
        POLL_LAST,
        POLL_READ,
        POLL_WRITE,
        aadd,
        aload,
        aload64,
        astore,
        astore64,
        axchg,
        guintptr,
        lock,
        nanotime,
        pollbreak,
        pollclear,
        pollctl,
        pollmode,
        polltag,
        pollunctl,
        pollwait,
        tlsget,
        unlock,
    )
    from cython.cimports.libc.stdint import int32_t, int64_t
else:
    from . import seam
    from .runtime2 import G, P, sched
    from .seam import (
        POLL_LAST,
        POLL_READ,
        POLL_WRITE,
        aadd,
        aload,
        aload64,
        astore,
        astore64,
        axchg,
        gptr,
        lock,
        nanotime,
        pollbreak,
        pollclear,
        pollctl,
        pollmode,
        polltag,
        pollunctl,
        pollwait,
        ref,
        tlsget,
        unlock,
    )

    int32_t = int64_t = int
    guintptr = object
    globals().update(seam.constants("runtime2.pxd"))
    globals().update(seam.constants("netpoll.pxd"))

_SLOT = cython.declare(cython.longlong, 0xFFFFFFFF)


@cython.no_gc  # what it refers to knows it only while a deadline is set
@cython.cclass
class pollDesc:
    pass


if not cython.compiled:
    seam.declare("netpoll.pxd", pollDesc)


# -- registration -------------------------------------------------------------


def netpollopen(pd):
    """Register a descriptor, under its lock; the error number, or 0 (Go: ``netpollopen``)."""
    lock(sched.polllock)
    try:
        if not sched.pollslots:
            sched.pollslots.append(len(sched.polldescs))
            sched.polldescs.append(None)
        slot: int64_t = sched.pollslots.pop()
        sched.polldescs[slot] = pd
        sched.polltags += 1
        pd.tag = slot | sched.polltags << 32
    finally:
        unlock(sched.polllock)
    err: cython.int = pollctl(sched.pollq, pd.fd, pd.tag)
    pd.epoch = sched.epoch
    if err:
        netpollclose(pd)
    return err


def netpollclose(pd):
    """No event reaches it from here on (Go: ``netpollclose``); under its lock."""
    if pd.epoch != sched.epoch:
        return
    pd.epoch = 0
    slot: int64_t = pd.tag & _SLOT
    lock(sched.polllock)
    sched.polldescs[slot] = None
    sched.pollslots.append(slot)
    unlock(sched.polllock)
    pollunctl(sched.pollq, pd.fd)


# -- waiting and being ready --------------------------------------------------


def netpollenqueue(pd, mode, gp):
    """Make a goroutine that parks visible to events; under the lock."""
    gp.c = pd
    gp.issend = mode
    gp.queued = True
    first: G = gptr(pd.g[mode])
    gp.prev = ref(None)
    gp.next = pd.g[mode]
    if first is not None:
        first.prev = ref(gp)
    pd.g[mode] = ref(gp)
    aadd(sched.netpollWaiters, 1)


@cython.cfunc
@cython.exceptval(check=False)
def unwaitio(gp: G) -> cython.bint:
    """Take a goroutine out of what it waits for.  False: it is being made ready."""
    pd: pollDesc = cython.cast(pollDesc, gp.c)
    lock(pd.lock)
    queued: cython.bint = gp.queued
    if queued:
        gp.queued = False
        after: G = gptr(gp.next)
        before: G = gptr(gp.prev)
        if after is not None:
            after.prev = gp.prev
        if before is not None:
            before.next = gp.next
        else:
            pd.g[gp.issend] = gp.next
        gp.next = ref(None)
        gp.prev = ref(None)
    unlock(pd.lock)
    if queued:
        aadd(sched.netpollWaiters, -1)
    return queued


sched.unwait[waitReasonIOWait] = unwaitio


def netpolltake(pd, mode):
    """Take out all who wait; under the lock.  Whoever took them calls `netpollgoready`."""
    waiters: guintptr = pd.g[mode]
    pd.g[mode] = ref(None)
    w: guintptr = waiters
    while w != ref(None):
        gptr(w).queued = False
        w = gptr(w).next
    return waiters


def netpollgoready(waiters, toRun):
    """Make them runnable: those who were suspended are put before the list `toRun`.

    Waiters are the newest first, so the list has the oldest first.  After the exchange
    one that was not suspended goes on, and is not ours any more.
    """
    while waiters != ref(None):
        gp: G = gptr(waiters)
        waiters = gp.next
        gp.next = ref(None)
        gp.prev = ref(None)
        aadd(sched.netpollWaiters, -1)
        if axchg(gp.parkstate, PS_READY) == PS_PARKED:
            astore(gp.parkstate, PS_NONE)
            gp.status_ = _Grunnable
            gp.schedlink = toRun
            toRun = ref(gp)
    return toRun


def netpollready(pd, mode, toRun):
    """The descriptor has become ready in a direction (Go: ``netpollready``)."""
    lock(pd.lock)
    pd.seq[mode] += 1
    waiters: guintptr = netpolltake(pd, mode)
    unlock(pd.lock)
    return netpollgoready(waiters, toRun)


# -- looking for events -------------------------------------------------------


def netpoll(delay):
    """The goroutines that events make runnable, by schedlink (Go: ``netpoll``).

    Waits for the first event for `delay` ns, -1 for ever.  The caller queues them.
    """
    toRun: guintptr = ref(None)
    i: cython.int
    n: cython.int = pollwait(sched.pollq, delay, tlsget() == ref(sched.m0))
    for i in range(n - 1, -1, -1):  # the list has the last one first
        tag: int64_t = polltag(i)
        pd: pollDesc = None
        lock(sched.polllock)
        if (tag & _SLOT) < len(sched.polldescs):
            pd = cython.cast(pollDesc, sched.polldescs[tag & _SLOT])
        unlock(sched.polllock)
        if pd is None or pd.tag != tag:
            continue  # closed meanwhile
        if pollmode(i) & POLL_LAST:
            lock(pd.lock)
            pd.last = True
            unlock(pd.lock)
        if pollmode(i) & POLL_READ:
            toRun = netpollready(pd, READ, toRun)
        if pollmode(i) & POLL_WRITE:
            toRun = netpollready(pd, WRITE, toRun)
    return toRun


def netpollblock(until):
    """Sleep until something is ready, until `until` (nanotime; 0: for ever), or until broken."""
    pollclear(sched.pollq)
    astore64(sched.pollUntil, until)
    earliest: int64_t = checkTimersNoP()
    delay: int64_t = 0  # the timers have been stopped, or nobody waits any more: look again
    if earliest:
        if until and until < earliest:
            earliest = until
        delay = max(earliest - nanotime(), 0)
    elif not until and aload(sched.netpollWaiters):
        delay = -1
    if aload(sched.stopping):
        delay = 0
    toRun: guintptr = netpoll(delay)
    astore64(sched.pollUntil, 0)
    astore64(sched.lastpoll, nanotime())
    return toRun


def netpollBreak():
    """Wake the M that sleeps in netpollblock, or keep the next one from sleeping."""
    pollbreak(sched.pollq)


def checkTimersNoP():
    """When the earliest timer of all Ps is due, 0 for none; callable by anyone."""
    least: int64_t = 0
    i: int32_t
    for i in range(sched.gomaxprocs):
        pp: P = sched.allp[i]
        when: int64_t = aload64(pp.timers.wakeTime)
        if when and (least == 0 or when < least):
            least = when
    return least
