"""Where the last idle M sleeps (Go: ``runtime/netpoll.go``).

When nothing is runnable, one M without a P sleeps here until the earliest timer
is due, or until `netpollBreak`.  There are no descriptors to wait for yet, so the
sleep is that of a note, which works the same on every platform.

Who sleeps: the M that swapped ``sched.lastpoll`` for 0; it writes
``sched.pollUntil``.  Whoever starts a timer stores the heap's ``wakeTime`` first
and then reads ``lastpoll`` and ``pollUntil``; the sleeper writes those two first
and then reads every ``wakeTime``.  So a new timer is seen by the sleeper or breaks
its sleep, and the note remembers a break that comes before the sleep.  In the same
way an M that goes idle and finds no timer at all either breaks the sleep, or the
sleeper has found none itself: only then can the program be seen to be dead.
"""

import cython

if cython.compiled:
    from cython.cimports.gopark.runtime.runtime2 import P, sched
    from cython.cimports.gopark.runtime.seam import (
        aload,
        aload64,
        astore64,
        nanotime,
        noteclear,
        notetsleep,
        notewakeup,
    )
    from cython.cimports.libc.stdint import int32_t, int64_t
else:
    from .runtime2 import sched
    from .seam import aload, aload64, astore64, nanotime, noteclear, notetsleep, notewakeup

    int32_t = int64_t = int


def netpoll(until):
    """Sleep until `until` (nanotime), or until broken.  -1: a signal came, else 0."""
    noteclear(sched.pollnote)
    astore64(sched.pollUntil, until)
    earliest: int64_t = checkTimersNoP()
    if earliest < until:  # 0: all have been stopped
        until = earliest
    delay: int64_t = until - nanotime()
    woken: cython.int = 0
    if delay > 0 and not aload(sched.stopping):
        woken = notetsleep(sched.pollnote, delay)
    astore64(sched.pollUntil, 0)
    astore64(sched.lastpoll, nanotime())
    return -1 if woken < 0 else 0


def netpollBreak():
    """Wake the M that sleeps in netpoll, or keep the next one from sleeping."""
    notewakeup(sched.pollnote)


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
