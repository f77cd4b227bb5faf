"""The scheduler (Go: ``runtime/proc.go``).

It distributes runnable goroutines over threads.

    G   a goroutine.  A coroutine is its stack and its saved registers.
    M   a thread of the operating system ("machine").
    P   the right to run inside the runtime, with a queue of goroutines.
        There are GOMAXPROCS of them; an M needs one to schedule.

**User code is a system call.**  While an M runs a goroutine's Python code its P
is in ``_Psyscall``: anybody may take it with one compare-and-swap (`retake`),
as nobody can know how long that code will take.  Every operation of the runtime
that user code calls begins with `enter`, which swaps the P back to
``_Prunning`` (`exitsyscall`), and ends with `leave`.  Where the swap fails the P
was taken: the M looks for an idle P, and without one makes its goroutine
runnable on the global queue, locked to this M, and sleeps until a scheduler
that finds it hands over a P (`startlockedm`).  The swapped word holds the
owner's id too, so a P that went to another M and is again in ``_Psyscall`` is
not mistaken for one's own.  With the GIL the swap is a plain comparison.

What belongs to a P (its ring, ``runnext`` as far as the owner goes, its free
lists and counters) is touched only by the M whose P is in ``_Prunning``.

**Parking, and why no wake-up is lost.**  An operation that must wait (1) calls
`gopark`, which sets ``parkstate = PS_PARKING``, (2) makes the goroutine visible
to wakers, in a queue under that queue's lock, (3) returns `WAIT`, whereupon its
``async def`` awaits `PARK`, which yields down to (4) `park_m` on the M, which
moves ``PS_PARKING`` to ``PS_PARKED``.  A waker takes the goroutine out of the
queue, so there is one, and (5) exchanges ``parkstate`` for ``PS_READY``.  If (5)
finds ``PS_PARKED``, the coroutine is suspended and the waker makes it runnable.
If it finds ``PS_PARKING``, then (4) will fail, or PARK itself will see
``PS_READY``, and the goroutine simply goes on.  Both are single atomic steps on
one word, so exactly one side resumes it.

Go holds the channel's lock until the goroutine's stack is left; here Python
frames lie between the two, which a signal handler or the interpreter's own
thread switch may interrupt, and no lock is held while Python code runs.

**Spinning, and why no work is left behind.**  Whoever makes work available
pushes it first, and afterwards looks for idle Ps and spinning Ms (`wakep`); an M
that finds nothing gives up its P and its spinning first, and afterwards looks at
all queues once more (`findrunnable`).  All of these are sequentially consistent,
so at least one of the two sees the other.  Go lets only a spinning M look again,
and keeps a flag (``needspinning``) for the cases which that leaves out; looking
again costs an M that is about to sleep nothing that anybody waits for.

Rejected designs:

* One M per P, tied for good.  A blocking call would stop its P's goroutines.
* Handing a readied goroutine to an idle P at once.  Every ping-pong would cross
  threads; Go's comment on the same idea gives the other reasons.
* A lock around each ring.  The ring below is Go's, and as short as the locked one.

Lock order is in ``runtime2.pxd``.
"""

import cython

from . import errors
from .errors import Cancelled, Goexit, ProgramOver, TooManyGoroutines
from .runtime2 import hooks

if cython.compiled:
    from cython.cimports.cpython.contextvars import (
        PyContext_CopyCurrent,
        PyContext_Enter,
        PyContext_Exit,
    )
    from cython.cimports.cpython.ref import Py_REFCNT
    from cython.cimports.gopark.runtime.netpoll import (
        checkTimersNoP,
        netpoll,
        netpollblock,
        netpollBreak,
    )
    from cython.cimports.gopark.runtime.runtime2 import (
        CANCEL_INTERRUPT,
        GO_FOREIGN,
        GO_RAISED,
        GO_RETURNED,
        GO_YIELDED,
        PS_CANCELLED,
        PS_GOSCHED,
        PS_NONE,
        PS_PARKED,
        PS_PARKING,
        PS_READY,
        PSTATE_BITS,
        STOP_DEADLOCK,
        STOP_EXIT,
        STOP_MAIN,
        STOP_NONE,
        STOP_PANIC,
        G,
        M,
        P,
        SelectSudog,
        Timers,
        _Gdead,
        _Grunnable,
        _Grunning,
        _Gwaiting,
        _Pdead,
        _Pgcstop,
        _Pidle,
        _Prunning,
        _Psyscall,
        address,
        disown,
        gptr,
        own,
        ref,
        sched,
        takecoro,
        waitReasonJoin,
    )
    from cython.cimports.gopark.runtime.seam import (
        GOPARK_GIL,
        aadd,
        aadd64,
        acas,
        aload,
        aload64,
        aload_acq,
        astore,
        astore64,
        astore_rel,
        axchg,
        axchg64,
        cheaprand,
        checkinterrupt,
        coarse,
        fence,
        gcas,
        gload,
        gobuiltin,
        gopark_sysmonrefresh,
        gopark_sysmonwake,
        gstore,
        guintptr,
        gxchg,
        lock,
        merge_pending,
        nanotime,
        noteclear,
        noteclose,
        notesignals,
        notetsleep,
        notewakeup,
        pollclose,
        pollinit,
        setasyncexc,
        this_tstate,
        tlsget,
        tlsset,
        track,
        unlock,
        untrack,
        usleep_detached,
    )
    from cython.cimports.gopark.runtime.timers import (
        droptimers,
        movetimers,
        runtimers,
    )
    from cython.cimports.libc.stdint import int32_t, int64_t, uint32_t
else:
    from contextvars import copy_context as PyContext_CopyCurrent

    from . import seam
    from .netpoll import checkTimersNoP, netpoll, netpollblock, netpollBreak
    from .runtime2 import *  # noqa: F403
    from .seam import *  # noqa: F403
    from .timers import droptimers, movetimers, runtimers

    globals().update(seam.constants("runtime2.pxd"))
    int32_t = int64_t = uint32_t = guintptr = int

import _thread
import os

_ms = cython.declare(cython.longlong, 1_000_000)
_TICK = cython.declare(cython.int, 61)  # every so often the global queue goes first

_runqmask = cython.declare(cython.uint, 255)  # tests make it smaller

# "You must wait now", which an operation gives its async def; WAIT to Python.
mustwait = type("WAIT", (), {"__repr__": lambda _: "<gopark: must wait>", "__slots__": ()})()
WAIT = mustwait


# -- where user code enters the runtime ---------------------------------------


@cython.cfunc
@cython.inline
def curm() -> M:
    """This thread's M, or None (Go: ``getg().m``)."""
    p = tlsget()
    if p == ref(None):
        return None
    return cython.cast(M, p)


def thism():
    """`curm` for the other modules."""
    return curm()


def enter():
    """User code calls the runtime: take the P back (Go: ``exitsyscall``).

    None on a thread that is not the runtime's, or has no P: the operation then
    goes through the global queue.  Nests, since the collector and signal handlers
    may run user code inside the runtime.
    """
    m: M = curm()
    if m is None or m.p is None:
        return None
    if m.depth == 0:
        exitsyscall(m)
    m.depth += 1
    return m


def leave(m):
    """Back to user code: the P may be taken again (Go: ``entersyscall``)."""
    if m is None:
        return
    m.depth -= 1
    if m.depth == 0:
        entersyscall(m)


def getg(m):
    """The running goroutine, for an operation that may have to wait.

    Where that is not allowed it raises, having left the runtime.
    """
    gp: G = thisg(m)
    if aload(gp.cancelled) and not sched.closing:
        leave(m)
        raise refuse(gp)
    return gp


def thisg(m):
    """The running goroutine, cancelled or not."""
    gp: G = gptr(m.curg) if m is not None else None
    if gp is None:
        leave(m)
        raise noprogram(
            "this operation waits, and only a goroutine can wait: start the program with "
            "gopark.run(main), and call it in main or in a goroutine that go() made"
        )
    if aload(gp.parkstate) != PS_NONE and aload(gp.parkstate) != PS_GOSCHED:
        leave(m)
        raise RuntimeError(
            f"goroutine {gp.goid} already waits ({gp.wait_reason or 'parking'}): what it awaited "
            "yielded to code that did not pass it on; every wait must be awaited to its end"
        )
    return gp


def entersyscall(m):
    astore_rel(m.p.status, m.word | _Psyscall)


def exitsyscall(m):
    if acas(m.p.status, m.word | _Psyscall, m.word | _Prunning):
        return 0
    return exitsyscall0(m)


def exitsyscall0(m):
    """The P was taken while user code ran: get another, or wait for one."""
    gp: G = gptr(m.curg)
    lock(sched.lock)
    if aload(sched.stopping) or m.epoch != sched.epoch:
        unlock(sched.lock)
        raise ProgramOver("the gopark program has ended")
    lost: P = m.p
    m.p = None  # for finalizers that run while this M waits: they are not that goroutine
    pp: P = None
    if not aload(sched.gcwaiting):
        pp = pidleget()
    if pp is None:
        # Decision: its Python frames are on this thread's stack, so it can go
        # on nowhere else.  Whoever takes it from the queue gives its P to this M.
        gp.lockedm = m
        m.lockedg = ref(gp)
        gp.status_ = _Grunnable
        globrunqput(gp)
    unlock(sched.lock)
    if m.armed:
        m.armed = False
        hooks["disarm"](m.ident)
    if pp is not None:
        acquirep(m, pp)
    elif not stoplockedm(m):
        m.p = lost  # what enter tries, in vain, to take back
        raise ProgramOver("the gopark program has ended")
    unlockedm(m, gp)
    gp.status_ = _Grunning
    m.p.schedtick += 1
    return 0


# -- parking and readying -----------------------------------------------------


def gopark(m, gp, reason):
    """Announce that `gp` is about to wait; before any waker can see it.

    False if it must not: the program is over and `gp` is being closed, or it is
    cancelled.  Then nothing has changed, and the operation raises `refuse`.
    """
    if sched.closing:
        return False
    gp.waitreason = reason
    gp.waitsince = coarsetime()
    gp.raises = False
    astore(gp.parkstate, PS_PARKING)
    # After the store, as `callback` looks the other way round.
    if aload(gp.cancelled) and not gp.shield:
        astore(gp.parkstate, PS_NONE)
        return False
    return True


def refuse(gp):
    """The error for a wait that must not be."""
    if not sched.closing:
        return cancelerror(gp)
    return RuntimeError(
        f"goroutine {gp.goid} cannot wait: main has returned, and what still waited is being "
        "closed; in a finally block use only operations that do not wait"
    )


def cancelerror(gp):
    """What a cancelled goroutine's wait raises."""
    bits: int32_t = aload(gp.cancelled)
    while bits & CANCEL_INTERRUPT:
        if acas(gp.cancelled, bits, bits & ~CANCEL_INTERRUPT):
            return KeyboardInterrupt()
        bits = aload(gp.cancelled)
    return hooks["cancelled"](gp)


def callback(gp):
    """Call a goroutine back from its wait; its `cancelled` has been set.

    True: it was suspended, and the caller makes it runnable.  It takes itself out of
    what it waits in (`calledoff`), since it alone knows where it stands.
    """
    while True:
        s: int32_t = aload(gp.parkstate)
        if s == PS_PARKED:
            if acas(gp.parkstate, PS_PARKED, PS_CANCELLED):
                gp.status_ = _Grunnable
                return True
        elif s != PS_PARKING or acas(gp.parkstate, PS_PARKING, PS_CANCELLED):
            return False


def calledoff(gp):
    """Woken by `callback`: raise, unless what it waited for has happened nevertheless.

    True: this wait is shielded, and goes on.  Whoever has taken it out of its queue
    by now calls `goready`, which finds ``PS_CANCELLED``, sets ``PS_READY``, and leaves
    the rest to us.
    """
    if gp.shield:
        if acas(gp.parkstate, PS_CANCELLED, PS_PARKING):
            return True
        astore(gp.parkstate, PS_NONE)
        return False
    m: M = enter()
    happened: cython.bint = not sched.unwait[gp.waitreason](gp)
    while happened and aload(gp.parkstate) != PS_READY:
        usleep_detached(1)
    astore(gp.parkstate, PS_NONE)
    leave(m)
    if not happened:
        gp.elem = None
        gp.c = None
        raise cancelerror(gp)
    return False


def goready(m, gp, next):
    """Wake a parked goroutine, which the caller has taken out of what it waited on."""
    if axchg(gp.parkstate, PS_READY) != PS_PARKED:
        return  # not yet suspended: park_m or PARK sees it
    astore(gp.parkstate, PS_NONE)
    gp.status_ = _Grunnable
    ready(m, gp, next)


def ready(m, gp, next):
    """Queue a goroutine that has just become runnable."""
    if m is not None and m.depth:
        runqput(m.p, gp, next)
    else:  # a thread without a P (Go: injectglist)
        lock(sched.lock)
        globrunqput(gp)
        unlock(sched.lock)
    wakep()


def preempted(m, value):
    """A finished operation found that the goroutine's time is over: yield, then give `value`."""
    gp: G = gptr(m.curg)
    if gp is None or sched.closing:
        return value
    gp.elem = value
    gp.success = True
    gp.raises = False
    astore(gp.parkstate, PS_GOSCHED)
    return mustwait


@cython.cclass
class ParkLeaf:
    """What every wait awaits.  There is one, and it carries no value.

    Its state is the running goroutine's parkstate: the first ``__next__`` yields
    to the M, the one after the wake-up ends the await.
    """

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        p = tlsget()  # no references: this runs twice for every wait
        if p == ref(None) or cython.cast(M, p).curg == ref(None):
            raise noprogram("a wait of gopark was awaited outside of a goroutine")
        s: int32_t = aload(cython.cast(G, cython.cast(M, p).curg).parkstate)
        if s == PS_PARKING or s == PS_GOSCHED:
            return None
        gp: G = gptr(cython.cast(M, p).curg)
        if s == PS_READY:
            astore(gp.parkstate, PS_NONE)
        elif s == PS_CANCELLED and calledoff(gp):
            return None
        gp.c = None
        if gp.raises:
            gp.raises = False
            exc = gp.elem
            gp.elem = None
            raise exc
        raise StopIteration


@cython.cclass
class GoschedLeaf:
    """Awaiting it yields the processor; the call that gave it did nothing."""

    def __await__(self):
        p = tlsget()
        if p == ref(None) or cython.cast(M, p).curg == ref(None):
            getg(None)
        if not sched.closing:
            if aload(cython.cast(G, cython.cast(M, p).curg).cancelled):
                raise cancelerror(gptr(cython.cast(M, p).curg))
            acas(cython.cast(G, cython.cast(M, p).curg).parkstate, PS_NONE, PS_GOSCHED)
        return leaf


leaf = ParkLeaf()
PARK = leaf
goschedleaf = GoschedLeaf()


def gosched():
    """``await gosched()``: let others run; comes back through the global queue."""
    return goschedleaf


# -- starting a goroutine -----------------------------------------------------


def newproc(m, stack, name, context):
    """Make a goroutine and queue it to run next (Go: ``newproc``)."""
    gp: G = newproc1(m, stack, name, context)
    if m is None:
        lock(sched.lock)
        globrunqput(gp)
        unlock(sched.lock)
    else:
        runqput(m.p, gp, True)
    wakep()
    return gp


def newproc1(m, stack, name, context):
    """Make a goroutine, in no queue yet."""
    if sched.closing or not aload(sched.running):
        raise noprogram("go() was called, but the gopark program is over: main has returned")
    limit: int64_t = aload64(sched.maxgoroutines)
    # A timer's function, which brings its context, has no caller who could be told.
    if limit and aadd64(sched.ngoroutines, 1) > limit and context is None:
        aadd64(sched.ngoroutines, -1)
        raise TooManyGoroutines(
            f"{limit} goroutines are alive, and max_goroutines={limit}: wait for some to end "
            "(a channel of that capacity makes a semaphore), or raise the limit"
        )
    gp: G = G.__new__(G)
    gp.coro = stack
    gp.name_ = name
    gp.context = PyContext_CopyCurrent() if context is None else context
    callerpc(gp)
    pp: P = None
    if m is None:
        gp.goid = aadd64(sched.goidgen, 1)
        aadd64(sched.nforeign, 1)
        lock(sched.lock)
        pp = sched.allp[0]
        unlock(sched.lock)
    else:
        pp = m.p
        if pp.goidcache == pp.goidcacheend:
            pp.goidcacheend = aadd64(sched.goidgen, 16) + 1
            pp.goidcache = pp.goidcacheend - 16
        gp.goid = pp.goidcache
        pp.goidcache += 1
        pp.nborn += 1
    gp.status_ = _Grunnable
    allgadd(pp, gp)
    return gp


def allgadd(pp, gp):
    """The runtime holds every live goroutine, from here to goexit0.

    So the collector need not look at it, at its coroutine or at its context: what
    they refer to is alive.  With many goroutines it would do little else.
    """
    own(gp)
    untrack(gp)
    untrack(gp.coro)
    untrack(gp.context)
    gp.shard = pp.id
    lock(pp.allglock)
    head: G = gptr(pp.allgs)
    gp.allnext = pp.allgs
    if head is not None:
        head.allprev = ref(gp)
    pp.allgs = ref(gp)
    unlock(pp.allglock)


def allgdel(gp):
    pp: P = cython.cast(P, sched.allp[gp.shard])
    lock(pp.allglock)
    after: G = gptr(gp.allnext)
    before: G = gptr(gp.allprev)
    if after is not None:
        after.allprev = gp.allprev
    if before is not None:
        before.allnext = gp.allnext
    else:
        pp.allgs = gp.allnext
    gp.allnext = ref(None)
    gp.allprev = ref(None)
    unlock(pp.allglock)
    if Py_REFCNT(gp) > 2:
        track(gp)  # somebody has a handle
    track(gp.context)
    disown(ref(gp))


# -- the M's loop -------------------------------------------------------------


@cython.ccall
def mstart(m: M):
    """A new thread begins here (Go: ``mstart``)."""
    tlsset(ref(m))
    aadd(sched.nthreads, 1)
    m.tstate = this_tstate()
    m.ident = _thread.get_ident()
    m.depth = 1
    hooks["mstart"]()
    pp: P = m.nextp
    m.nextp = None
    acquirep(m, pp)
    scheduleloop(m)
    if m.forked is not None:
        hooks["endchild"](m.forked)
    if m.p is not None and m.dying:
        handoffp(releasep(m))
    mexit(m)
    tlsset(ref(None))
    aadd(sched.nthreads, -1)


def scheduleloop(m):
    """Rounds of the scheduler, until the program or this M is over.

    Between two goroutines the runtime calls a little Python, for failures above
    all, and on the main thread a signal handler may raise in it.
    """
    while True:
        try:
            if not schedule(m):
                return
        except BaseException as exc:
            m.depth = 1
            m.curg = ref(None)
            endprogram(STOP_EXIT, exc)


def schedule(m):
    """One round of the scheduler: find a runnable goroutine and run it.

    False when the program is over; the M then owns no P.
    """
    gp: G
    if m.lockedg != ref(None):
        gp = gptr(m.lockedg)
        if not stoplockedm(m):
            return False
        m.inherit = False
        execute(m, gp)
        return not m.dying
    while True:
        gp = findrunnable(m)
        if gp is None:
            return False
        if m.spinning:
            resetspinning(m)
        if gp.lockedm is not None:
            # Its frames are on another M's stack: hand that M this P.
            m.inherit = False
            startlockedm(m, gp)
            gp = None  # it may end while this M sleeps
            if not stopm(m):
                return False
            continue
        execute(m, gp)
        return not m.dying


def execute(m, gp):
    """Run `gp` until it parks, yields or ends (Go: ``execute``, which never returns)."""
    m.curg = ref(gp)
    gp.status_ = _Grunning
    if not m.inherit:
        m.p.schedtick += 1
    while True:
        how: cython.int = gogo(m, gp)
        if how == GO_YIELDED:
            if not mcall(m, gp):
                return 0
        elif how == GO_FOREIGN:
            foreign(gp)
        else:
            if m.curg != ref(None):
                goexit0(m, gp, how)
            return 0


def gogo(m, gp):
    """Into user code, and back."""
    if cython.compiled:
        PyContext_Enter(gp.context)
    m.depth = 0
    entersyscall(m)
    how: cython.int = resume(gp) if gp.started else firstrun(gp)
    if cython.compiled:
        PyContext_Exit(gp.context)
    try:
        exitsyscall(m)
    except ProgramOver:
        stopped(m, gp, how)
        how = GO_RETURNED
    m.depth = 1
    return how


def firstrun(gp):
    """Begin a goroutine: a coroutine, or a plain function, which may give a coroutine."""
    gp.started = True
    if isinstance(gp.coro, tuple):
        fn, args, kwargs = gp.coro
        try:
            if cython.compiled:
                gp.elem = fn(*args, **kwargs)
            else:
                gp.elem = gp.context.run(fn, *args, **kwargs)
        except BaseException as exc:
            gp.elem = exc
            return GO_RAISED
        coro = hooks["ascoroutine"](gp.elem)
        if coro is None:
            return GO_RETURNED
        call = gp.coro
        track(call)
        untrack(coro)
        lock(gp.lock)
        gp.coro = coro
        gp.elem = None
        unlock(gp.lock)
    elif iscoro(gp.coro) and not fresh(gp.coro):
        gp.elem = hooks["reused"](gp.coro)
        return GO_RAISED
    return resume(gp)


def mcall(m, gp):
    """The coroutine yielded to the scheduler.  Does it go on at once?"""
    s: int32_t = aload(gp.parkstate)
    if s == PS_GOSCHED:
        gosched_m(m, gp)
        return False
    if s == PS_NONE:
        gp.elem = None
        foreign(gp)  # a bare yield
        return True
    return park_m(m, gp)


def park_m(m, gp):
    """Step (4) of parking: the coroutine is suspended (Go: ``park_m``)."""
    gp.status_ = _Gwaiting
    m.curg = ref(None)
    if acas(gp.parkstate, PS_PARKING, PS_PARKED):
        return False
    gp.status_ = _Grunning  # woken meanwhile, as PARK will see
    m.curg = ref(gp)
    return True


def gosched_m(m, gp):
    """Go: ``goschedImpl``."""
    astore(gp.parkstate, PS_NONE)
    gp.status_ = _Grunnable
    m.curg = ref(None)
    lock(sched.lock)
    globrunqput(gp)
    unlock(sched.lock)
    if aload(sched.npidle):
        wakep()


def foreign(gp):
    """The coroutine awaited something of another runtime: tell it so, where it stands.

    PARK cannot raise here, as it is not what the coroutine awaits.
    """
    yielded = gp.elem
    gp.elem = None
    coro = gp.coro
    thrower = hooks["foreign"](gp, coro, yielded)
    track(coro)
    lock(gp.lock)
    gp.coro = thrower
    unlock(gp.lock)


def goexit0(m, gp, how):
    """The goroutine has ended (Go: ``goexit0``)."""
    if aload(gp.parkstate) != PS_NONE:
        abandonwait(gp)
    if how == GO_RAISED:
        failed(gp)
    name = gp.name_
    if Py_REFCNT(gp) > 2 and name is None:
        name = gp.name  # somebody has a handle, and may ask for it
    coro = gp.coro
    track(coro)
    m.curg = ref(None)
    m.p.ndied += 1
    if gp.lockedm is not None:
        # It may have left its thread in a state that no other should find.
        gp.lockedm = None
        m.lockedg = ref(None)
        m.lockedext = 0
        m.dying = m is not sched.m0
    lock(gp.lock)
    gp.name_ = name
    gp.coro = None
    gp.status_ = _Gdead
    w: G = gptr(gp.waiters)
    gp.waiters = ref(None)
    unlock(gp.lock)
    while w is not None:
        after: G = gptr(w.next)
        w.next = ref(None)
        goready(m, w, True)
        w = after
    if gp is sched.maing and not sched.mainexited:
        endprogram(STOP_MAIN, None)
    if gp.scope is not None:
        hooks["endscopes"](gp)
    if sched.maxgoroutines:
        aadd64(sched.ngoroutines, -1)
    allgdel(gp)


def abandonwait(gp):
    """It began to wait, but what it awaited was driven by hand and dropped."""
    s: int32_t = aload(gp.parkstate)
    if s != PS_GOSCHED and not sched.unwait[gp.waitreason](gp):
        while aload(gp.parkstate) != PS_READY:
            usleep_detached(1)  # whoever has taken it out of its queue is about to ready it
    astore(gp.parkstate, PS_NONE)


def leavewait(gp):
    """The program is over, and plain code waits with its M: take it out of its queue."""
    s: int32_t = aload(gp.parkstate)
    if s == PS_PARKED or s == PS_CANCELLED:
        if not sched.unwait[gp.waitreason](gp):
            while aload(gp.parkstate) == s:
                usleep_detached(1)  # its waker is about to put it in a run queue
    astore(gp.parkstate, PS_NONE)


def failed(gp):
    """Its coroutine raised: what becomes of the exception."""
    exc = gp.elem
    if type(exc) is RuntimeError:
        exc = hooks["explain"](gp.coro, exc)
    if isinstance(exc, Goexit):
        gp.elem = None
        if gp is sched.maing:
            sched.mainexited = True
    elif isinstance(exc, ProgramOver):
        gp.elem = None  # broken off, see signals.py
    elif isinstance(exc, (SystemExit, KeyboardInterrupt)):
        gp.elem = None
        endprogram(STOP_EXIT, exc)
    elif isinstance(exc, Cancelled):
        gp.elem = errors.Cancellation(gp, exc)
        gp.failed = True
    else:
        gp.elem = errors.Failure(gp, exc)
        gp.failed = True


def endprogram(reason, value):
    """The program is over; the first reason counts.  Every M sees `stopping` and leaves."""
    if not acas(sched.stopping, STOP_NONE, reason):
        return
    sched.exitvalue = value
    lock(sched.lock)
    mp: M
    for mp in sched.allm:
        notewakeup(mp.park)
    unlock(sched.lock)
    netpollBreak()
    wakesysmon()


def stopped(m, gp, how):
    """User code of `gp` came back after the program's end: there is no P any more."""
    m.p = None
    m.curg = ref(None)
    m.lockedg = ref(None)
    if m.forked is not None and how == GO_RAISED:
        m.forked = gp.elem
    if how == GO_YIELDED or how == GO_FOREIGN or m.epoch != sched.epoch:
        return
    die(gp)  # it may be in a run queue: closeall buries it, when nobody looks there any more


def die(gp):
    """End a goroutine of a program that is over: nobody waits for it any more."""
    coro = gp.coro
    elem = gp.elem
    name = gp.name
    track(coro)
    lock(gp.lock)
    gp.name_ = name
    gp.coro = None
    gp.elem = None
    gp.status_ = _Gdead
    unlock(gp.lock)
    del elem  # it and the coroutine die here, under no lock
    if gp.scope is not None:
        hooks["endscopes"](gp)


def mexit(m):
    """The M's thread ends (Go: ``mexit``)."""
    lock(sched.lock)
    if m.epoch == sched.epoch:
        sched.nm -= 1
        sched.allm.remove(m)
        notewakeup(sched.exitnote)
    unlock(sched.lock)


# -- finding work -------------------------------------------------------------


def findrunnable(m):
    """A goroutine to run; sleeps until there is one.  None: the program is over."""
    fruitless: int32_t = -1
    while True:
        fruitless += 1
        if fruitless > 1:
            # What it saw is for another M, which with the GIL needs that to get there.
            usleep_detached(1)
        if aload(sched.gcwaiting) and m.epoch == sched.epoch:
            gcstopm(m)
        if aload(sched.stopping) or m.epoch != sched.epoch:
            if m.spinning:
                m.spinning = False
                aadd(sched.nmspinning, -1)
            if m.p is not None:
                lock(sched.lock)
                pidleput(releasep(m))
                unlock(sched.lock)
            return None
        if m.p is None:
            if not stopm(m):
                return None
            continue
        pp: P = m.p
        if aload(pp.preempt):
            endslice(pp)
        if not GOPARK_GIL and pp.schedtick & 1023 == 0:
            wakemerge()
        m.inherit = False
        pollUntil: int64_t = 0
        if aload64(pp.timers.wakeTime):
            pollUntil = checkTimers(pp)
        gp: G
        if aload(sched.runqsize) and pp.schedtick % _TICK == 0:
            # Once in a while the global queue goes first: two goroutines that keep
            # readying each other would otherwise own the local queue for ever.
            lock(sched.lock)
            gp = globrunqget(pp, 1)
            unlock(sched.lock)
            if gp is not None:
                return gp
        gp = runqget(m, pp)
        if gp is not None:
            return gp
        if aload(sched.runqsize):
            lock(sched.lock)
            gp = globrunqget(pp, 0)
            unlock(sched.lock)
            if gp is not None:
                return gp

        # The network, unless somebody sleeps in the poller or is looking already.
        if aload(sched.netpollWaiters) and aload64(sched.lastpoll) and acas(sched.pollingNet, 0, 1):
            toRun: guintptr = netpoll(0)
            astore(sched.pollingNet, 0)
            if toRun != ref(None):
                return injectglist(m, toRun)

        # Spinning Ms: never more than half of the busy Ps, or a program of
        # little parallelism would burn CPU in search of it.
        if m.spinning or 2 * aload(sched.nmspinning) < sched.gomaxprocs - aload(sched.npidle):
            if not m.spinning:
                becomespinning(m)
            gp = stealWork(m)
            if gp is not None:
                return gp

        # Nothing.  Give the P back, unless something came in meanwhile.
        lock(sched.lock)
        if aload(sched.gcwaiting) or aload(sched.stopping):
            unlock(sched.lock)
            continue
        if aload(sched.runqsize):
            gp = globrunqget(pp, 0)
            unlock(sched.lock)
            return gp
        releasep(m)
        pidleput(pp)
        unlock(sched.lock)

        # First give up P and spinning, then look again (see the module's docstring).
        if m.spinning:
            m.spinning = False
            aadd(sched.nmspinning, -1)
        if aload(sched.runqsize) or checkRunqsNoP():
            lock(sched.lock)
            pp = pidleget()
            unlock(sched.lock)
            if pp is not None:
                acquirep(m, pp)
                becomespinning(m)
                continue
        pollUntil = checkTimersNoP()

        # The last one out sleeps in the poller, until the next timer if there is one.
        waiters: cython.bint = aload(sched.netpollWaiters) != 0
        if (pollUntil or waiters) and axchg64(sched.lastpoll, 0) != 0:
            setpoller(m)
            wakemerge()
            toRun = netpollblock(pollUntil)
            breathe(m)
            setpoller(None)
            lock(sched.lock)
            pp = pidleget()
            unlock(sched.lock)
            if pp is not None:
                acquirep(m, pp)
                if toRun != ref(None):
                    return injectglist(m, toRun)
                becomespinning(m)  # what is due may be another P's timer
                continue
            if toRun != ref(None):
                injectglist(None, toRun)
        elif aload64(sched.lastpoll) == 0:
            # Another M sleeps there: does it wake in time, and does it still wait for anything?
            until: int64_t = aload64(sched.pollUntil)
            if until > pollUntil or (until == 0 and (pollUntil or not waiters)):
                netpollBreak()
        if not stopm(m):
            return None


def injectglist(m, toRun):
    """Queue what the poller made runnable; an M with a P gets the first, to run it now."""
    first: G = None
    if m is not None:
        first = gptr(toRun)
        toRun = first.schedlink
        first.schedlink = ref(None)
    if toRun == ref(None):
        return first
    while toRun != ref(None):
        gp: G = gptr(toRun)
        toRun = gp.schedlink
        gp.schedlink = ref(None)
        if m is not None:
            runqput(m.p, gp, False)
        else:
            lock(sched.lock)
            globrunqput(gp)
            unlock(sched.lock)
    wakep()
    return first


def endslice(pp):
    """The time slice is over: whoever was to inherit it goes behind the others."""
    astore(pp.preempt, 0)
    g: guintptr = gxchg(pp.runnext, ref(None))
    if g != ref(None):
        runqput(pp, gptr(g), False)


def stealWork(m):
    """Try to take half of another P's queue, in random order, or to run its timers."""
    pp: P = m.p
    n: int32_t = sched.gomaxprocs
    i: int32_t
    k: int32_t
    for i in range(4):
        last: cython.bint = i == 3
        start: int32_t = cheaprand(m.rand) % n
        for k in range(n):
            p2: P = cython.cast(P, sched.allp[(start + k) % n])
            if aload(sched.gcwaiting) or aload(sched.stopping):
                return None
            if p2 is pp:
                continue
            if last and aload64(p2.timers.wakeTime):
                # Its timers' goroutines land in our queue.
                checkTimers(p2)
                gp: G = runqget(m, pp)
                if gp is not None:
                    return gp
            if aload(p2.status) & 7 != _Pidle:
                gp = runqsteal(pp, p2, last)
                if gp is not None:
                    return gp
    return None


def checkTimers(pp):
    """Run P's timers that are due (Go: ``checkTimers``); when the next one is, 0 for never."""
    when: int64_t = aload64(pp.timers.wakeTime)
    if when == 0:
        return 0
    now: int64_t = nanotime()
    if now < when:
        return when
    return runtimers(pp.timers, now)


def checkRunqsNoP():
    """Does any P have work queued?  Called without one, by an M about to sleep."""
    i: int32_t
    for i in range(sched.gomaxprocs):
        pp: P = cython.cast(P, sched.allp[i])
        if not runqempty(pp):
            return True
    return False


def wakeNetPoller(when):
    """A timer was started that is due at `when`: does its sleeper-in-chief know?"""
    if aload64(sched.lastpoll) == 0:
        until: int64_t = aload64(sched.pollUntil)
        if until == 0 or until > when:
            netpollBreak()
    elif aload(sched.npidle):
        wakep()


def becomespinning(m):
    m.spinning = True
    aadd(sched.nmspinning, 1)


def resetspinning(m):
    """It found work.  If it was the last to spin there may be more: wake another."""
    m.spinning = False
    aadd(sched.nmspinning, -1)
    wakep()


def wakep():
    """Work was made available: see that somebody looks for it (Go: ``wakep``)."""
    if aload(sched.npidle) == 0:
        return
    if aload(sched.stopping) or aload(sched.nmspinning) or not acas(sched.nmspinning, 0, 1):
        return
    lock(sched.lock)
    pp: P = pidleget()
    unlock(sched.lock)
    if pp is None:
        aadd(sched.nmspinning, -1)
        return
    startm(pp, True)


def startm(pp, spinning):
    """Run `pp` on some M, a new one if none is idle.  `spinning`: it is counted already."""
    lock(sched.lock)
    if aload(sched.stopping):
        if spinning:
            aadd(sched.nmspinning, -1)
        pidleput(pp)
        unlock(sched.lock)
        return
    mp: M = mget()
    unlock(sched.lock)
    if mp is None:
        newm(pp, spinning)
        return
    mp.spinning = spinning
    mp.nextp = pp
    notewakeup(mp.park)


def newm(pp, spinning):
    """A new thread for `pp` (Go: ``newm``)."""
    mp: M = allocm()
    mp.spinning = spinning
    mp.nextp = pp
    lock(sched.lock)
    if sched.nm >= sched.maxthreads:
        if spinning:
            aadd(sched.nmspinning, -1)
        pidleput(pp)
        unlock(sched.lock)
        endprogram(STOP_EXIT, toomanythreads())
        return
    sched.nm += 1
    sched.allm.append(mp)
    unlock(sched.lock)
    try:
        _thread.start_new_thread(mstart, (mp,))
    except RuntimeError as exc:
        # The work stays queued: the Ms that exist get to it.
        lock(sched.lock)
        sched.nm -= 1
        sched.allm.remove(mp)
        if spinning:
            aadd(sched.nmspinning, -1)
        pidleput(pp)
        unlock(sched.lock)
        hooks["nothread"](exc)


def stopm(m):
    """Sleep until somebody hands over a P.  False: the program is over (Go: ``stopm``)."""
    lock(sched.lock)
    if aload(sched.stopping) or m.epoch != sched.epoch:
        unlock(sched.lock)
        return False
    mput(m)
    dead: cython.bint = checkdead()
    surplus: cython.bint = sched.nmidle > sched.gomaxprocs + 1 and m is not sched.m0
    unlock(sched.lock)
    wakemerge()
    return waitp(m, dead, surplus)


def stoplockedm(m):
    """Sleep until a P is handed over for this M's own goroutine (Go: ``stoplockedm``)."""
    if m.p is not None and aload(m.p.status) == m.word | _Prunning:
        handoffp(releasep(m))
    lock(sched.lock)
    if aload(sched.stopping):
        # The wake-up for the program's end may have come while this M had been
        # woken for a P, and been taken for that one.
        unlock(sched.lock)
        return False
    sched.nmidlelocked += 1
    dead: cython.bint = checkdead()
    unlock(sched.lock)
    return waitp(m, dead, False)


def waitp(m, dead, surplus):
    """Sleep on m.park until nextp is there, and acquire it.

    A waker stores nextp before it wakes; the note is cleared before nextp is
    looked at again; so no wake-up is lost, and a stale one costs a turn.
    """
    backoff: int64_t = 10 * _ms
    while True:
        patience: int64_t = 5000 * _ms if surplus else -1
        if dead:
            if not otherthreads():
                deadlock()
                return False
            # A thread of the program's own may wake somebody yet.
            patience = backoff
            backoff = min(2 * backoff, 1000 * _ms)
        woken: cython.int = notetsleep(m.park, patience)
        if woken > 0:
            noteclear(m.park)
        if woken != 0:
            breathe(m)
        if m.nextp is not None:
            break
        if aload(sched.stopping) or m.epoch != sched.epoch:
            return False
        if woken == 0 and surplus and retirem(m):
            return False
        lock(sched.lock)
        dead = m.nextp is None and checkdead()
        unlock(sched.lock)
    pp: P = m.nextp
    m.nextp = None
    acquirep(m, pp)
    return True


def deadlock():
    """Nothing can run any more.  Reported at once: block_on's goroutines unwind next."""
    try:
        endprogram(STOP_DEADLOCK, hooks["report"](allgoroutines()))
    except BaseException as exc:  # a signal handler's
        endprogram(STOP_EXIT, exc)


def otherthreads():
    """Does a thread run that is not ours, and may wake somebody yet?"""
    try:
        return hooks["otherthreads"]()
    except BaseException as exc:  # a signal handler's
        endprogram(STOP_EXIT, exc)
        return False


def retirem(m):
    """An M that nobody has needed for seconds: take it out of the idle ones, to end."""
    lock(sched.lock)
    before: M = None
    mp: M = sched.midle
    while mp is not None and mp is not m:
        before = mp
        mp = mp.schedlink
    if mp is not None:
        if before is None:
            sched.midle = m.schedlink
        else:
            before.schedlink = m.schedlink
        m.schedlink = None
        sched.nmidle -= 1
        m.dying = True
    unlock(sched.lock)
    return m.dying


def unlockedm(m, gp):
    """Its goroutine has a P again, and may move on unless the program locked it."""
    if m.lockedext == 0:
        gp.lockedm = None
        m.lockedg = ref(None)


def breathe(m):
    """Run a little bytecode: this thread's signal handlers, and its dead objects."""
    try:
        checkinterrupt()  # a handler may have raised while the note was waited on
        hooks["breathe"]()
    except BaseException as exc:
        endprogram(STOP_EXIT, exc)


def wakemerge():
    """Wake sleeping Ms whose dead objects wait for them (design decision 8)."""
    if GOPARK_GIL:
        return
    lock(sched.lock)
    mp: M = sched.midle
    while mp is not None:
        if merge_pending(mp.tstate):
            notewakeup(mp.park)
        mp = mp.schedlink
    if sched.nmidlelocked:  # they are in no list
        for mp in sched.allm:
            if mp.lockedg != ref(None) and mp.tstate != cython.NULL and merge_pending(mp.tstate):
                notewakeup(mp.park)
    if sched.poller is not None and merge_pending(sched.poller.tstate):
        netpollBreak()
    unlock(sched.lock)


def setpoller(m):
    lock(sched.lock)
    sched.poller = m
    unlock(sched.lock)


def checkdead():
    """Can nothing ever run again?  Holds sched.lock (Go: ``checkdead``)."""
    if sched.nm > sched.nmidle + sched.nmidlelocked or aload(sched.runqsize):
        return False
    i: int32_t
    for i in range(sched.gomaxprocs):
        pp: P = cython.cast(P, sched.allp[i])
        if aload64(pp.timers.wakeTime) or not runqempty(pp):
            return False
    return not aload(sched.stopping)


def handoffp(pp):
    """A P was taken from an M in user code: who needs it? (Go: ``handoffp``)."""
    if not runqempty(pp) or aload(sched.runqsize):
        startm(pp, False)
        return
    if aload(sched.nmspinning) + aload(sched.npidle) == 0 and acas(sched.nmspinning, 0, 1):
        startm(pp, True)
        return
    lock(sched.lock)
    if aload(sched.runqsize) and not aload(sched.gcwaiting):
        unlock(sched.lock)
        startm(pp, False)
        return
    when: int64_t = aload64(pp.timers.wakeTime)
    pidleput(pp)
    unlock(sched.lock)
    if when:
        wakeNetPoller(when)


def retake(pp):
    """Take the P of an M that runs user code, whatever that does.  Did it succeed?"""
    word: int32_t = aload(pp.status)
    if word & 7 != _Psyscall or not acas(pp.status, word, _Pidle):
        return False
    pp.m = None
    pp.syscalltick += 1
    pp.nhandoff += 1
    handoffp(pp)
    return True


def startlockedm(m, gp):
    """`gp` can run only on its own M, which sleeps: hand it our P (Go: ``startlockedm``)."""
    mp: M = gp.lockedm
    pp: P = releasep(m)
    lock(sched.lock)
    sched.nmidlelocked -= 1
    unlock(sched.lock)
    mp.nextp = pp
    notewakeup(mp.park)


# -- idle Ms and Ps -----------------------------------------------------------


def mput(m):
    m.schedlink = sched.midle
    sched.midle = m
    sched.nmidle += 1


def mget():
    mp: M = sched.midle
    if mp is not None:
        sched.midle = mp.schedlink
        mp.schedlink = None
        sched.nmidle -= 1
    return mp


def acquirep(m, pp):
    m.p = pp
    pp.m = m
    astore(pp.status, m.word | _Prunning)
    wakesysmon()


def releasep(m):
    pp: P = m.p
    pp.m = None
    m.p = None
    astore(pp.status, _Pidle)
    return pp


def pidleput(pp):
    pp.link = sched.pidle
    sched.pidle = pp
    aadd(sched.npidle, 1)


def pidleget():
    pp: P = sched.pidle
    if pp is not None:
        sched.pidle = pp.link
        pp.link = None
        aadd(sched.npidle, -1)
    return pp


def wakesysmon():
    """The program is no longer idle (sysmon's side of this is in seam.h)."""
    if cython.compiled:
        fence()
        if monitor.waiting:
            monitor.now = coarse(nanotime())  # its clock has stood still
            gopark_sysmonwake(cython.address(monitor))


def toomanythreads():
    return RuntimeError(
        f"the program needs more than {sched.maxthreads} threads: that many goroutines block in "
        "plain code at once. Limit them (a channel makes a semaphore), or raise "
        "run(max_threads=)"
    )


# -- run queues ---------------------------------------------------------------


def globrunqput(gp):
    gp.schedlink = ref(None)
    last: G = gptr(sched.runqlast)
    if last is not None:
        last.schedlink = ref(gp)
    else:
        sched.runqfirst = ref(gp)
    sched.runqlast = ref(gp)
    aadd(sched.runqsize, 1)


def globrunqget(pp, max):
    """A fair share of the global queue: one to run, the others into P's ring.

    Holds sched.lock.  At most `max`, if > 0.  For more than one the ring must be empty.
    """
    n: int32_t = aload(sched.runqsize)
    if n == 0:
        return None
    share: int32_t = n // sched.gomaxprocs + 1
    half: int32_t = (pp.runqmask + 1) // 2
    n = min(n, share, half if half else 1)
    if max > 0:
        n = min(n, max)
    gp: G = globpop()
    while n > 1:
        runqput(pp, globpop(), False)
        n -= 1
    return gp


def globpop():
    gp: G = gptr(sched.runqfirst)
    sched.runqfirst = gp.schedlink
    if sched.runqfirst == ref(None):
        sched.runqlast = ref(None)
    gp.schedlink = ref(None)
    aadd(sched.runqsize, -1)
    return gp


def runqempty(pp):
    """No work in P's queue?  Callable by anyone (Go: ``runqempty``).

    runqput moves the old runnext into the ring before the new one is seen, and
    runqget takes the opposite way; so look until head and tail stand still.
    """
    while True:
        h: int32_t = aload(pp.runqhead)
        t: int32_t = aload(pp.runqtail)
        nxt: guintptr = gload(pp.runnext)
        if t == aload(pp.runqtail):
            return h == t and nxt == ref(None)


def runqput(pp, gp, next):
    """Queue `gp` on P, which the caller owns; with `next` before all others."""
    g: guintptr = ref(gp)
    if next:
        g = gxchg(pp.runnext, g)
        if g == ref(None):
            return
        # The one that it pushed out goes to the ring's end.
    while True:
        h: uint32_t = aload_acq(pp.runqhead)
        t: uint32_t = aload_acq(pp.runqtail)
        if t - h <= pp.runqmask:
            pp.runq[t & pp.runqmask] = g
            astore(pp.runqtail, t + 1)  # now thieves may have it
            return
        if runqputslow(pp, gptr(g), h, t):
            return
        # A thief made room: try again.


def runqputslow(pp, gp, h, t):
    """The ring is full: move half of it, and then `gp`, to the global queue.

    Only the owner writes slots, so the half that the swap claims stays readable.
    """
    n: uint32_t = (t - h) // 2
    if not acas(pp.runqhead, h, h + n):
        return False
    i: uint32_t
    lock(sched.lock)
    for i in range(n):
        globrunqput(gptr(pp.runq[(h + i) & pp.runqmask]))
    globrunqput(gp)
    unlock(sched.lock)
    return True


def runqget(m, pp):
    """The next goroutine of P, which m owns.  From runnext it inherits the time slice."""
    g: guintptr = gload(pp.runnext)
    # Only the owner sets runnext, so if the swap fails a thief has it.
    if g != ref(None) and gcas(pp.runnext, g, ref(None)):
        m.inherit = True
        return gptr(g)
    m.inherit = False
    while True:
        h: uint32_t = aload_acq(pp.runqhead)
        t: uint32_t = aload_acq(pp.runqtail)
        if t == h:
            return None
        g = pp.runq[h & pp.runqmask]
        if acas(pp.runqhead, h, h + 1):
            return gptr(g)


def runqgrab(pp, thief, stealrunnext):
    """Move half of pp's queue to thief's ring, not yet visible there; how many."""
    while True:
        h: uint32_t = aload_acq(pp.runqhead)
        t: uint32_t = aload_acq(pp.runqtail)
        n: uint32_t = t - h
        n = n - n // 2
        tail: uint32_t = aload_acq(thief.runqtail)
        if n == 0:
            if not stealrunnext:
                return 0
            # What has just been readied usually runs on its own P next: leave it a
            # moment, or a ping-pong's partner is stolen on every exchange.
            g: guintptr = gload(pp.runnext)
            if g == ref(None):
                return 0
            if aload(pp.status) & 7 != _Pidle:
                usleep_detached(3)
            if not gcas(pp.runnext, g, ref(None)):
                continue
            thief.runq[tail & thief.runqmask] = g
            return 1
        if n > (pp.runqmask + 1) // 2:
            continue  # h and t were read at different times
        i: uint32_t
        for i in range(n):
            thief.runq[(tail + i) & thief.runqmask] = pp.runq[(h + i) & pp.runqmask]
        if acas(pp.runqhead, h, h + n):
            return n


def runqsteal(pp, victim, stealrunnext):
    """Steal half of victim's queue; one of them to run, the others into pp's ring."""
    n: uint32_t = runqgrab(victim, pp, stealrunnext)
    if n == 0:
        return None
    pp.nsteal += n
    n -= 1
    t: uint32_t = aload_acq(pp.runqtail)
    gp: G = gptr(pp.runq[(t + n) & pp.runqmask])
    if n:
        astore(pp.runqtail, t + n)
    return gp


# -- the number of Ps ---------------------------------------------------------


def stopTheWorld(m):
    """Take every P.  Nobody is inside the runtime then, but the caller.

    False: the program is over, and the world is stopping for good.
    """
    while not acas(sched.worldsema, 0, 1):
        if aload(sched.stopping):
            return False
        # Whoever stops the world needs our P too.
        leave(m)
        usleep_detached(50)
        if m is not None:
            m = enter()
    astore(sched.gcwaiting, 1)
    pending: cython.bint = True
    while pending:
        pending = False
        lock(sched.lock)
        pp: P = pidleget()
        while pp is not None:
            astore(pp.status, _Pgcstop)
            pp = pidleget()
        unlock(sched.lock)
        i: int32_t
        for i in range(sched.gomaxprocs):
            pp = cython.cast(P, sched.allp[i])
            word: int32_t = aload(pp.status)
            if (m is not None and pp is m.p) or word & 7 == _Pgcstop:
                continue
            if word & 7 != _Psyscall or not acas(pp.status, word, _Pgcstop):
                # On its way to an M, or its M comes to gcstopm or back to user code.
                pending = True
        if pending:
            if aload(sched.stopping):
                astore(sched.gcwaiting, 0)
                astore(sched.worldsema, 0)
                return False
            usleep_detached(20)
    return True


def gcstopm(m):
    """The world is being stopped: give the P, and sleep until there is one again."""
    if m.spinning:
        m.spinning = False
        aadd(sched.nmspinning, -1)
    if m.p is not None:
        pp: P = m.p
        pp.m = None
        m.p = None
        astore(pp.status, _Pgcstop)
    stopm(m)


def startTheWorld(m):
    """Every P with work gets an M, the others are idle."""
    astore(sched.gcwaiting, 0)
    i: int32_t
    for i in range(sched.gomaxprocs - 1, -1, -1):
        pp: P = cython.cast(P, sched.allp[i])
        if m is not None and pp is m.p:
            continue
        astore(pp.status, _Pidle)
        pp.m = None
        if not runqempty(pp):
            startm(pp, False)
        else:
            lock(sched.lock)
            pidleput(pp)
            unlock(sched.lock)
    astore(sched.worldsema, 0)
    wakep()
    when: int64_t = checkTimersNoP()
    if when:
        wakeNetPoller(when)


def procresize(m, n):
    """Set the number of Ps; the world is stopped (Go: ``procresize``)."""
    old: int32_t = sched.gomaxprocs
    i: int32_t
    for i in range(len(sched.allp), n):
        sched.allp.append(newp(i))
    sched.gomaxprocs = n
    if m.p is None or m.p.id >= n:
        if m.p is not None:
            releasep(m)
        acquirep(m, sched.allp[0])
    to: P = m.p
    for i in range(n, old):
        pp: P = cython.cast(P, sched.allp[i])
        lock(sched.lock)
        while True:
            gp: G = runqget(m, pp)
            if gp is None:
                break
            globrunqput(gp)
        unlock(sched.lock)
        movetimers(pp.timers, to.timers)
        pp.sudogcache = None
        pp.nsudog = 0
        astore(pp.status, _Pdead)
    return 0


def newp(i):
    pp: P = P.__new__(P)
    pp.id = i
    pp.runqmask = _runqmask
    pp.timers = Timers.__new__(Timers)
    return pp


def allocm():
    m: M = M.__new__(M)
    lock(sched.lock)
    sched.midgen += 1
    m.id = sched.midgen
    unlock(sched.lock)
    m.word = m.id << PSTATE_BITS
    m.epoch = sched.epoch
    noteclear(m.park)
    if cython.compiled:
        # C arithmetic: that of Python's ints looks at signals.
        odd: cython.ulonglong = 0x9E3779B97F4A7C15
        m.rand = sched.seed + cython.cast(cython.ulonglong, m.id) * odd
        if m.rand == 0:
            m.rand = 1
    else:
        seam.seedrand(m.rand, sched.seed + m.id)
    return m


# -- sudogs -------------------------------------------------------------------


def acquireSudog(m):
    """A sudog for one case of a select, from P's free list (Go: ``acquireSudog``)."""
    pp: P = m.p
    s: SelectSudog = cython.cast(SelectSudog, pp.sudogcache)
    if s is None:
        return SelectSudog.__new__(SelectSudog)
    pp.sudogcache = s.waitlink
    s.waitlink = None
    pp.nsudog -= 1
    return s


def releaseSudog(m, s):
    """Back to the free list; its elem and c are cleared by the caller, outside of locks."""
    pp: P = m.p
    if pp.nsudog < 128:
        s.waitlink = pp.sudogcache
        pp.sudogcache = s
        pp.nsudog += 1


# -- a whole program ----------------------------------------------------------


def rt_run(stack: list, procs, maxgoroutines, maxthreads, seed):
    """Run a program whose main goroutine is the one item of the list `stack`, to its end.

    That is a coroutine, or ``(fn, args, kwargs)``, and is taken out.  Returns ``(reason, value,
    failed, report)`` for the public face to make a result or an exception of.
    """
    if curm() is not None:
        raise RuntimeError(
            "gopark.run was called inside a gopark program: await the coroutine, or start it "
            "with go()"
        )
    if not acas(sched.running, 0, 1):
        raise RuntimeError(
            "a gopark program is already running in this process, on another thread: there is "
            "one runtime per process, as in Go"
        )
    sched.child = False
    m: M = schedinit(procs, maxgoroutines, seed)
    sched.maxthreads = maxthreads
    try:
        return runmain(m, stack)
    except ProgramOver:
        if m.forked is None:
            raise
        noteclose(m.park)
        return STOP_EXIT, m.forked, None, False, None, []
    finally:
        if m.forked is None:
            tlsset(ref(None))
            sched.maing = None
            sched.exitvalue = None
            sched.m0 = None
            astore(sched.running, 0)


@cython.cfunc
def schedinit(procs: int32_t, maxgoroutines: int64_t, seed: cython.ulonglong) -> M:
    """Go: ``schedinit``.  This thread becomes m0, and owns P 0."""
    err: cython.int = pollinit(sched.pollq)
    if err:
        astore(sched.running, 0)
        raise OSError(err, f"gopark cannot make its poller: {os.strerror(err)}")
    sched.epoch += 1
    astore(sched.stopping, STOP_NONE)
    astore(sched.gcwaiting, 0)
    astore(sched.worldsema, 0)
    sched.allp = []
    sched.allm = []
    sched.midgen = 0
    sched.poller = None
    sched.midle = None
    sched.nmidle = 0
    sched.nmidlelocked = 0
    sched.nm = 1
    sched.pidle = None
    astore(sched.npidle, 0)
    astore(sched.nmspinning, 0)
    sched.runqfirst = ref(None)
    sched.runqlast = ref(None)
    astore(sched.runqsize, 0)
    astore64(sched.lastpoll, nanotime())
    astore64(sched.pollUntil, 0)
    noteclear(sched.exitnote)
    sched.polldescs = []
    sched.pollslots = []
    astore(sched.netpollWaiters, 0)
    astore(sched.pollingNet, 0)
    astore64(sched.maxgoroutines, maxgoroutines)
    astore64(sched.ngoroutines, 0)
    astore64(sched.goidgen, 0)
    astore64(sched.nforeign, 0)
    sched.closing = False
    sched.mainexited = False
    sched.seed = seed
    sched.gomaxprocs = 0
    m: M = allocm()
    m.tstate = this_tstate()
    m.ident = _thread.get_ident()
    m.depth = 1
    notesignals(m.park)
    sched.m0 = m
    sched.allm.append(m)
    procresize(m, procs)
    i: int32_t
    for i in range(procs - 1, 0, -1):
        pidleput(cython.cast(P, sched.allp[i]))
    tlsset(ref(m))
    return m


@cython.cfunc
def runmain(m: M, stack: list) -> object:
    g: G = newproc1(m, stack.pop(), None, None)
    g.gopc = None
    sched.maing = g
    restore = hooks["mstart"]()
    runqput(m.p, g, True)  # and no wakep: main begins on the caller's thread
    hooks["startsysmon"]()
    m0loop(m)
    hooks["stopsysmon"]()  # before the Ps are collected
    stuck = stopothers(m)
    result = g.elem if g.done() else None
    failed: cython.bint = g.failed
    reason = aload(sched.stopping)
    value = sched.exitvalue
    report = value if reason == STOP_DEADLOCK else None
    g = None
    closeall(m, stuck)
    agens = hooks["asyncgens"]()
    if agens is not None and not stuck:
        shutdown(m, agens)
    restore()
    for i in range(len(sched.allp)):
        pp: P = cython.cast(P, sched.allp[i])
        droptimers(pp.timers)
        pp.sudogcache = None
    m.p = None
    noteclose(m.park)
    pollclose(sched.pollq)
    return reason, value, result, failed, report, stuck


@cython.cfunc
def m0loop(m: M) -> object:
    """m0's rounds of the scheduler.  What comes after them is the parent's, not a child's."""
    scheduleloop(m)
    if m.forked is not None:
        raise ProgramOver


@cython.cfunc
def shutdown(m: M, stack) -> object:
    """Run one more coroutine as a program of its own: it closes the async generators."""
    sched.closing = False
    astore(sched.stopping, STOP_NONE)
    sched.mainexited = False
    astore64(sched.maxgoroutines, 0)
    sched.maing = newproc1(m, stack, "close async generators", None)
    runqput(m.p, sched.maing, True)
    m0loop(m)
    closeall(m, stopothers(m))


_GRACE = cython.declare(cython.longlong, 1_000_000_000)


@cython.cfunc
def stopothers(m: M) -> object:
    """Wait for the other Ms to leave; take their Ps.  Who is stuck in plain code?

    An M that runs user code is waited for a second: it leaves at its next
    operation.  What takes longer is left behind, and named.
    """
    until: int64_t = nanotime() + _GRACE
    while sched.nm > 1:
        left: int64_t = until - nanotime()
        if left <= 0 and not inruntime(m):
            break
        if notetsleep(sched.exitnote, max(left, 10 * _ms)) > 0:
            noteclear(sched.exitnote)
    stuck = []
    mp: M
    lock(sched.lock)
    if sched.nm > 1:
        sched.epoch += 1  # those who are left belong to no program from here on
        m.epoch = sched.epoch
    others = sched.allm
    sched.allm = [m]
    sched.nm = 1
    unlock(sched.lock)
    for mp in others:
        gp: G = gptr(mp.curg)
        if mp is not m and gp is not None:
            stuck.append(gp)
    sched.midle = None
    sched.nmidle = 0
    sched.nmidlelocked = 0
    sched.pidle = None
    astore(sched.npidle, 0)
    astore(sched.nmspinning, 0)
    i: int32_t
    for i in range(sched.gomaxprocs):
        pp: P = cython.cast(P, sched.allp[i])
        pp.m = None
        astore(pp.status, _Pidle)
        if i:
            pidleput(pp)
    m.nextp = None
    m.spinning = False
    acquirep(m, sched.allp[0])
    return stuck


@cython.cfunc
def inruntime(m: M) -> cython.bint:
    """Is another M inside the runtime?  It will leave by itself, however slow it is."""
    found: cython.bint = False
    mp: M
    lock(sched.lock)
    for mp in sched.allm:
        found = found or (mp is not m and mp.depth > 0)
    unlock(sched.lock)
    return found


@cython.cfunc
def closeall(m: M, stuck) -> object:
    """Close what still waits or has not run, so that its ``finally`` blocks run."""
    sched.closing = True
    while True:
        alive = [g for g in allgoroutines() if g not in stuck]
        if not alive:
            break
        gp: G
        for gp in alive:
            unwait(gp)
        for gp in alive:
            if gp.status_ != _Gdead:
                closeg(m, gp)
            allgdel(gp)
    sched.runqfirst = ref(None)
    sched.runqlast = ref(None)
    astore(sched.runqsize, 0)
    i: int32_t
    for i in range(len(sched.allp)):
        pp: P = cython.cast(P, sched.allp[i])
        gstore(pp.runnext, ref(None))
        astore(pp.runqhead, 0)
        astore(pp.runqtail, 0)


@cython.cfunc
def unwait(gp: G) -> cython.void:
    """Take a goroutine out of whatever queue it waits in."""
    if gp.status_ == _Gwaiting and sched.unwait[gp.waitreason] is not cython.NULL:
        sched.unwait[gp.waitreason](gp)


@cython.cfunc
def closeg(m: M, gp: G) -> object:
    m.curg = ref(gp)
    astore(gp.parkstate, PS_NONE)
    astore(gp.cancelled, 0)
    gp.status_ = _Grunning
    m.depth = 0
    entersyscall(m)
    hooks["close"](gp, gp.coro, gp.context)
    exitsyscall(m)
    m.depth = 1
    m.curg = ref(None)
    die(gp)


@cython.cfunc
def allgoroutines() -> list:
    """Every live goroutine, oldest first.  The world is stopped, or soon out of date."""
    found = []
    i: int32_t
    for i in range(len(sched.allp)):
        pp: P = cython.cast(P, sched.allp[i])
        lock(pp.allglock)
        n: int32_t = 0
        gp: G = gptr(pp.allgs)
        while gp is not None:
            n += 1
            gp = gptr(gp.allnext)
        unlock(pp.allglock)
        room = [None] * n  # allocated outside of the lock
        lock(pp.allglock)
        gp = gptr(pp.allgs)
        while gp is not None and n:
            n -= 1
            room[n] = gp
            gp = gptr(gp.allnext)
        unlock(pp.allglock)
        found.extend([g for g in room if g is not None])
    found.sort(key=_goid)
    return found


def _goid(g):
    return g.id


# -- what the public face calls -----------------------------------------------


def goslow(args: tuple, kwargs: dict):
    """`go` of anything but a coroutine alone."""
    if not args:
        raise TypeError("go() needs a coroutine or a function")
    name = kwargs.pop("name", None)
    if name is not None and not isinstance(name, str):
        raise TypeError(f"a goroutine's name must be a str, not {type(name).__name__}")
    stack = hooks["asstack"](args[0], args[1:], kwargs, "go")
    try:
        return go_(stack, name)
    except RuntimeError:
        if iscoro(stack) and stack is not args[0]:
            stack.close()  # made here, so nobody else can await it
        raise


@cython.cfunc
def gofast(coro: object) -> object:
    if not fresh(coro):
        raise hooks["reused"](coro)
    m: M = enter()
    try:
        return newproc(m, coro, None, None)
    finally:
        leave(m)


if cython.compiled:
    # A builtin of its own: Cython would make a tuple and a dict for every call.
    go = gobuiltin(gofast, goslow)
else:

    def go(*args, **kwargs):
        return goslow(args, kwargs)


def go_(stack, name):
    """Start a goroutine of a coroutine, or of (fn, args, kwargs)."""
    m: M = enter()
    try:
        return newproc(m, stack, name, None)
    finally:
        leave(m)


def joinwait(g: G):
    """``await g``: must the caller wait?"""
    m: M = enter()
    gp: G = getg(m)
    wait: cython.bint = False
    refused: cython.bint = False
    if g is gp:
        leave(m)
        raise RuntimeError(f"goroutine {g.goid} awaits itself: it would wait for ever")
    lock(g.lock)
    if g.status_ != _Gdead:
        if gopark(m, gp, waitReasonJoin):
            gp.c = g
            gp.next = g.waiters
            g.waiters = ref(gp)
            wait = True
        else:
            refused = True
    unlock(g.lock)
    leave(m)
    if refused:
        raise refuse(gp)
    return wait


def joinresult(g: G):
    """The result of a goroutine that has ended, or its exception."""
    if g.failed:
        raise g.elem.take()
    return g.elem


@cython.cfunc
@cython.exceptval(check=False)
def unwaitjoin(gp: G) -> cython.bint:
    g: G = gp.c
    found: cython.bint = False
    lock(g.lock)
    w: G = gptr(g.waiters)
    before: G = None
    while w is not None and w is not gp:
        before = w
        w = gptr(w.next)
    if w is not None:
        found = True
        if before is None:
            g.waiters = gp.next
        else:
            before.next = gp.next
        gp.next = ref(None)
    unlock(g.lock)
    return found


sched.unwait[waitReasonJoin] = unwaitjoin


def current_():
    """The running goroutine, or None outside of one."""
    m: M = curm()
    return gptr(m.curg) if m is not None else None


def numgoroutine_():
    """How many goroutines are alive."""
    total: int64_t = aload64(sched.nforeign)
    i: int32_t
    if not aload(sched.running):
        return 0
    for i in range(len(sched.allp)):
        pp: P = cython.cast(P, sched.allp[i])
        total += pp.nborn - pp.ndied
    return total


def gomaxprocs_(n: int32_t):
    """Set the number of Ps if n > 0; the number before (Go: ``GOMAXPROCS``)."""
    m: M = enter()
    if m is None and n > 0:
        raise noprogram("gomaxprocs(n) can be called only in a goroutine")
    old: int32_t = sched.gomaxprocs
    try:
        if n > 0 and n != old:
            if not stopTheWorld(m):
                raise ProgramOver("the gopark program has ended")
            procresize(m, n)
            startTheWorld(m)
            if cython.compiled:
                gopark_sysmonrefresh(cython.address(monitor))
    finally:
        leave(m)
    return old


def numrunning_():
    """Is a program running?"""
    return aload(sched.running) != 0


def threads_():
    """How many threads of the runtime have begun and not ended, beside the caller of run."""
    return aload(sched.nthreads)


def countthread_(n: int32_t):
    """One of the runtime's threads begins (1) or ends (-1)."""
    aadd(sched.nthreads, n)


def parkm_():
    """Plain code awaits: wait for what the goroutine has begun to wait for, on this thread.

    The goroutine keeps its M, whose stack its frames are on, and the P goes on.
    False: it has begun no wait.
    """
    m: M = enter()
    if m is None:
        raise noprogram("block_on() waits, and its goroutine is gone")
    gp: G = gptr(m.curg)
    s: int32_t = aload(gp.parkstate)
    if s == PS_NONE or s == PS_READY or s == PS_CANCELLED:
        leave(m)
        return s != PS_NONE
    gp.lockedm = m
    m.lockedg = ref(gp)
    if s == PS_GOSCHED:
        astore(gp.parkstate, PS_NONE)
        gp.status_ = _Grunnable
        lock(sched.lock)
        globrunqput(gp)
        unlock(sched.lock)
    else:
        gp.status_ = _Gwaiting
        if not acas(gp.parkstate, PS_PARKING, PS_PARKED):
            gp.status_ = _Grunning
            unlockedm(m, gp)
            leave(m)
            return True
    pp: P = m.p
    if not stoplockedm(m):
        leavewait(gp)
        m.p = pp  # what enter tries, in vain, to take back
        m.depth -= 1
        raise ProgramOver("the gopark program has ended")
    unlockedm(m, gp)
    gp.status_ = _Grunning
    m.p.schedtick += 1
    leave(m)
    return True


def blocking_():
    """Plain code is about to block: give up the P now (Go: ``entersyscallblock``)."""
    m: M = enter()
    if m is None or m.depth > 1 or m.curg == ref(None):
        leave(m)
        return
    pp: P = releasep(m)
    m.p = pp  # what enter tries, in vain, to take back
    m.depth -= 1
    handoffp(pp)


def pause_():
    """Go on only with a P: the end of a blocking call, or a preempted goroutine."""
    leave(enter())


def lockosthread_():
    """Wire the running goroutine to its thread (Go: ``LockOSThread``)."""
    m: M = enter()
    gp: G = thisg(m)
    m.lockedext += 1
    gp.lockedm = m
    m.lockedg = ref(gp)
    leave(m)


def unlockosthread_():
    m: M = enter()
    gp: G = thisg(m)
    if m.lockedext > 0:
        m.lockedext -= 1
        unlockedm(m, gp)
    leave(m)


def interrupt_(again: cython.bint):
    """Ctrl-C, on the main thread: main gets KeyboardInterrupt.  Shall it be raised here?"""
    m: M = curm()
    gp: G = sched.maing
    if m is not sched.m0 or gp is None or aload(sched.stopping):
        return True
    plain: cython.bint = m.depth == 0 and m.curg != ref(None)
    if again or (gp.status_ == _Grunning and m.curg != ref(gp)):
        # Main's own frames may get to their finally blocks; `run` waits a second for it.
        interruptmain(gp)
        endprogram(STOP_EXIT, KeyboardInterrupt())
        return plain
    if plain and m.curg == ref(gp):
        return True
    bits: int32_t = aload(gp.cancelled)
    while not acas(gp.cancelled, bits, bits | CANCEL_INTERRUPT):
        bits = aload(gp.cancelled)
    if callback(gp):
        ready(None, gp, False)  # as from a foreign thread: a handler must not wait for a P
    return False


def interruptmain(gp):
    """Raise KeyboardInterrupt in main's plain code, if it is in such on another thread."""
    mp: M
    ident: cython.ulong = 0
    lock(sched.lock)
    for mp in sched.allm:
        if mp.curg == ref(gp) and mp.depth == 0 and mp is not sched.m0:
            ident = mp.ident
    unlock(sched.lock)
    if ident:
        setasyncexc(ident, KeyboardInterrupt)
    return 0


def isoverdue_():
    """Is the program over, and this its m0, in plain code?"""
    m: M = curm()
    over: cython.bint = aload(sched.stopping) and m is not None and m is sched.m0
    return over and m.depth == 0 and m.curg != ref(None)


def breakoff_():
    """Raise ProgramOver in m0's plain code; on another thread.  The goroutine, or None."""
    m: M = sched.m0
    gp: G = gptr(m.curg)
    if gp is None or m.depth != 0:
        return None
    setasyncexc(m.ident, ProgramOver)
    return gp


def endpanic_():
    """A goroutine failed and nobody can await it any more: end the program."""
    if aload(sched.running):
        endprogram(STOP_PANIC, None)


def stack_(gp: G):
    """The frames of a goroutine that does not run (`G.stack`)."""
    coro = takecoro(gp)
    if GOPARK_GIL or gp is current_() or not aload(sched.running) or aload(sched.stopping):
        return hooks["frames"](coro)
    if curm() is not None and curm().p is None:
        return hooks["frames"](coro)  # for a deadlock's report: nobody runs
    # Without the GIL another thread could resume it while its frames are read.
    m: M = enter()
    if not stopTheWorld(m):
        leave(m)
        return hooks["frames"](None)
    try:
        if gp.status_ == _Grunning:
            coro = None
        return hooks["frames"](coro)
    finally:
        startTheWorld(m)
        leave(m)


hooks["stack"] = stack_


def goroutines_():
    """Every live goroutine, oldest first."""
    return allgoroutines() if aload(sched.running) else []


# -- reports and tests --------------------------------------------------------


def waited_(gp: G):
    """For how long it has waited (`G.waited`).

    Go knows this to the minute, from the collector's last round.  Here `gopark`
    stamps every wait with a clock that sysmon keeps and the M that ends an idle
    time sets right, so that it costs a load and a store.  It is late by a round of
    sysmon: 10 ms at most, unless the machine lets no thread of ours run.
    """
    if gp.status_ != _Gwaiting:
        return 0.0
    return (coarse(nanotime()) - gp.waitsince & 0xFFFFFFFF) / 100


hooks["waited"] = waited_


def running_():
    """The goroutines that have a thread: (goroutine, the thread's identifier)."""
    alive = goroutines_()
    mp: M
    gs = []
    idents = []
    lock(sched.lock)
    for mp in sched.allm or ():
        gs.append(address(mp.curg))
        idents.append(mp.ident)
    unlock(sched.lock)
    # What curg pointed to may have ended since: only `alive` holds references.
    where = dict(zip(gs, idents))
    return [(g, where[address(ref(g))]) for g in alive if address(ref(g)) in where]


def abort_(exc: object):
    """End the program, from any thread; run raises `exc`."""
    if aload(sched.running):
        endprogram(STOP_EXIT, exc)


def ended_():
    """Why the program is over, as ``(STOP_*, value)``; (0, None) if it is not."""
    reason = aload(sched.stopping)
    while reason in (STOP_DEADLOCK, STOP_EXIT) and sched.exitvalue is None and aload(sched.running):
        usleep_detached(10)  # endprogram is about to store it
    return reason, sched.exitvalue


# -- after a fork (see fork.py) -----------------------------------------------


def noprogram(otherwise):
    """The error for what needs a program, where none runs."""
    if sched.child:
        return RuntimeError(
            "this process was forked from a running gopark program: the child has no runtime; "
            "start one with gopark.run"
        )
    return RuntimeError(otherwise)


def orphan(end):
    """In the child: this thread is no M of a program any more.  Was it one?

    Its goroutine runs on, as plain code.  When that comes back to the scheduler,
    or what was under way in the runtime does, it finds itself without a P, and of
    an earlier epoch; the thread then leaves the scheduler, and ends with `end`.
    """
    m: M = curm()
    if m is None:
        return False
    m.forked = end
    m.depth += 1 << 20  # no `leave` that is under way gives the P to user code
    if m.p is not None:
        astore(m.p.status, _Pidle)
    tlsset(ref(None))
    return True
