"""The child of ``os.fork`` (Go has none: there a thread alone is not a program).

A child has a copy of all memory, but of all threads only the one that called fork.
So the structures of the program are there, and its Ms are not.  Nothing can be
run with that: the child has no runtime, and every operation that needs one says
so, until the child starts a program of its own.

`afterfork` runs in every child before any other code.  It gives up what the child
shares with its parent (the eventfds of notes), the locks whose holders are gone,
and the calling thread, if that is an M (`orphan` in proc.py).  The goroutines of
the parent are neither run nor closed in the child: their ``finally`` blocks are
the parent's business.  Nobody frees them, either.

But they stand in queues of channels that the child may go on to use: `disinherit`
takes them out, so that no value of the child's is given to a goroutine that will
never run.
"""

import _thread

import cython

if cython.compiled:
    from cython.cimports.gopark.runtime.chan import hchan
    from cython.cimports.gopark.runtime.netpoll import pollDesc
    from cython.cimports.gopark.runtime.proc import monitor, orphan, thism
    from cython.cimports.gopark.runtime.runtime2 import (
        PS_CANCELLED,
        PS_NONE,
        PS_PARKED,
        PS_PARKING,
        STOP_EXIT,
        G,
        M,
        P,
        Sudog,
        gptr,
        sched,
    )
    from cython.cimports.gopark.runtime.seam import (
        aload,
        astore,
        lockinit,
        noteclose,
        noterenew,
        notewakeup,
        pollclose,
    )
    from cython.cimports.gopark.runtime.sema import sema
    from cython.cimports.libc.stdint import int32_t
else:
    from . import seam
    from .chan import hchan
    from .netpoll import pollDesc
    from .proc import orphan, thism
    from .runtime2 import G, M, P, Sudog, sched
    from .seam import aload, astore, gptr, lockinit, noteclose, noterenew, notewakeup, pollclose
    from .sema import sema

    int32_t = int
    globals().update(seam.constants("runtime2.pxd"))


def afterfork():
    """In a child: there is no program.  Is this thread one of the parent's Ms?"""
    pp: P
    lockinit(sched.lock)
    lockinit(sched.scopelock)
    lockinit(sched.polllock)
    for pp in sched.allp or ():
        lockinit(pp.allglock)
        lockinit(pp.timers.lock)
    renewnotes()
    inherited: cython.bint = aload(sched.running)
    sched.epoch += 1
    astore(sched.running, 0)
    astore(sched.stopping, STOP_EXIT)
    astore(sched.gcwaiting, 0)
    sched.m0 = None
    sched.maing = None
    sched.pidle = None
    astore(sched.npidle, 0)
    # The interpreter goes on counting the threads that are gone.  None may wake anybody.
    astore(sched.nthreads, _thread._count())
    orphaned: cython.bint = orphan(
        RuntimeError(
            "os.fork was called in a gopark program, and the child has come back to the "
            "scheduler, which has nothing to run there: end a child with os._exit"
        )
    )
    if inherited:
        sched.child = True
        disinherit()
    return orphaned


def renewnotes():
    """Sleep on nothing that the parent sleeps on.

    A signal handler may have forked over the sleep of this very thread: so they are
    woken.  The next program clears them.
    """
    pollclose(sched.pollq)  # what it registered stays registered for the parent
    noterenew(sched.exitnote)
    noterenew(sched.sysmonnote)
    if cython.compiled:
        noterenew(monitor.wake)
    m0: M = sched.m0
    if m0 is not None:
        noterenew(m0.park)
        notewakeup(m0.park)
        if thism() is not m0:
            noteclose(m0.park)


def disinherit():
    """Take the parent's goroutines out of what they wait for."""
    pp: P
    for pp in sched.allp:
        gp: G = gptr(pp.allgs)
        while gp is not None:
            state: int32_t = aload(gp.parkstate)
            if state == PS_PARKING or state == PS_PARKED or state == PS_CANCELLED:
                unlockwaits(gp)
                sched.unwait[gp.waitreason](gp)
                astore(gp.parkstate, PS_NONE)
            gp = gptr(gp.allnext)


def unlockwaits(gp):
    """The locks of what it waits for may have been held by threads that are gone."""
    s: Sudog = gp if gp.c is not None else gp.waitlink
    while s is not None:
        if isinstance(s.c, hchan):
            lockinit(cython.cast(hchan, s.c).lock)
        elif isinstance(s.c, sema):
            lockinit(cython.cast(sema, s.c).guard)
        elif isinstance(s.c, pollDesc):
            lockinit(cython.cast(pollDesc, s.c).lock)
        elif isinstance(s.c, G):
            lockinit(cython.cast(G, s.c).lock)
        s = s.waitlink
