"""sysmon: the thread that watches (Go: ``sysmon`` and ``retake`` in ``runtime/proc.go``).

It has no P, and needs the interpreter only when there is something to do.  Its
rounds are C (``gopark_sysmonwatch`` in seam.h) and read the Ps' words through
pointers: every 20 us at first, at longer and longer intervals up to 10 ms when
nothing happens, and not at all while every P is idle, until `acquirep` wakes it.
It looks only at Ps behind which somebody waits.  Then:

* A goroutine that has had its P for 10 ms gets the P's ``preempt`` flag, which
  every runtime operation honours.  If it is still there half a millisecond later
  it is in plain code: its P is taken (`retake`).
* A goroutine that has called nothing of the runtime for half a millisecond may be
  blocked in C.  Without the GIL its thread's state tells.  With the GIL: if sysmon
  gets the GIL at once, nobody was running, so that thread is off the interpreter,
  and the P is taken; if not, somebody runs, and the 10 ms count.

* Descriptors are ready, and for 10 ms nobody had time to look: it does (netpoll.py).

* The program has been over for a second, and the thread that called `run` is not
  back: it is in plain code, and is called back (signals.py).

Whoever lost his P goes on in plain code until his next runtime operation, or, from
3.12 on, until the next line of Python that he runs (preempt.py): there he waits
for a P like everybody else.

Who touches what: the watch records are sysmon's alone.  What it takes, it takes as
anybody may, with one compare-and-swap, which the records' word must still match.
"""

import _thread

import cython

from . import preempt
from .proc import countthread_
from .runtime2 import hooks

if cython.compiled:
    from cython.cimports.gopark.runtime.netpoll import netpoll
    from cython.cimports.gopark.runtime.proc import injectglist, monitor, retake
    from cython.cimports.gopark.runtime.runtime2 import (
        PSTATE_BITS,
        M,
        P,
        ref,
        sched,
    )
    from cython.cimports.gopark.runtime.seam import (
        GOPARK_GIL,
        SYSMON_LOOK,
        SYSMON_OVERDUE,
        SYSMON_POLL,
        SYSMON_REARM,
        SYSMON_STOP,
        WATCH_HELD,
        WATCH_NOTHING,
        acas,
        aload,
        askbytecode,
        astore,
        coarse,
        gopark_sysmonstop,
        gopark_sysmonwatch,
        guintptr,
        inbytecode,
        lock,
        nanotime,
        noteclear,
        notetsleep,
        notewakeup,
        off_interpreter,
        pollfd,
        pwatch,
        unlock,
    )
    from cython.cimports.libc.stdint import int32_t


_ms = cython.declare(cython.longlong, 1_000_000)
patience = cython.declare(cython.longlong, 0)


def start():
    """Start the thread, for one program."""
    monitor.stop = 0
    monitor.refresh = 0
    monitor.waiting = 0
    monitor.idle = 0
    monitor.overdue = 0
    monitor.armed = 0
    monitor.now = coarse(nanotime())
    noteclear(monitor.wake)
    noteclear(sched.sysmonnote)
    watchps()
    _thread.start_new_thread(sysmon, ())


def stop():
    """End it, and wait until it has; it takes no Ps any more."""
    gopark_sysmonstop(cython.address(monitor))
    while notetsleep(sched.sysmonnote, -1) <= 0:
        pass
    preempt.close()


def sysmon():
    quick: int32_t = 0
    countthread_(1)
    while True:
        what: cython.int = gopark_sysmonwatch(cython.address(monitor), cython.address(quick))
        if what == SYSMON_STOP:
            break
        if what == SYSMON_LOOK:
            look(quick)
        elif what == SYSMON_REARM:
            rearm()
        elif what == SYSMON_POLL:
            poll()
        elif what == SYSMON_OVERDUE:
            if sched.m0 is not None:
                hooks["hurry"](sched.m0.ident)
        else:
            watchps()
    countthread_(-1)
    notewakeup(sched.sysmonnote)


def watchps():
    """Tell the watch where the Ps' words are."""
    n: int32_t = sched.gomaxprocs
    i: int32_t
    monitor.runqsize = cython.address(sched.runqsize)
    monitor.npidle = cython.address(sched.npidle)
    monitor.stopping = cython.address(sched.stopping)
    monitor.pollfd = pollfd(sched.pollq)
    monitor.pollwaiters = cython.address(sched.netpollWaiters)
    monitor.lastpoll = cython.address(sched.lastpoll)
    for i in range(n):
        pp: P = cython.cast(P, sched.allp[i])
        w: cython.pointer(pwatch) = cython.address(monitor.p[i])
        w.status = cython.address(pp.status)
        w.runqhead = cython.address(pp.runqhead)
        w.runqtail = cython.address(pp.runqtail)
        w.preempt = cython.address(pp.preempt)
        w.schedtick = cython.address(pp.schedtick)
        w.runnext = cython.address(pp.runnext)
        w.wakeTime = cython.address(pp.timers.wakeTime)
        w.word = 0
        w.due = WATCH_NOTHING
    monitor.n = n


def poll():
    """Every P is busy, and descriptors are ready: queue who waited for them."""
    if acas(sched.pollingNet, 0, 1):
        toRun: guintptr = netpoll(0)
        astore(sched.pollingNet, 0)
        if toRun != ref(None):
            injectglist(None, toRun)
            monitor.idle = 0


def look(quick):
    """Something is due: preempt, or take the P."""
    i: int32_t
    for i in range(monitor.n):
        w: cython.pointer(pwatch) = cython.address(monitor.p[i])
        if w.due == WATCH_NOTHING:
            continue
        pp: P = cython.cast(P, sched.allp[i])
        if aload(pp.status) != w.word or pp.schedtick != w.tick:
            continue  # it has moved on meanwhile
        mid: int32_t = w.word >> PSTATE_BITS
        if w.due != WATCH_HELD and not (quick if GOPARK_GIL else offinterpreter(mid)):
            continue
        if retake(pp):
            monitor.idle = 0
            mp: M = ownerof(mid)
            if mp is not None:
                arm(mp)


def arm(mp):
    """Have an M that has lost its P pause.

    Without the GIL the interpreter stops all threads for that, so we first see that
    none is in a long call of C, which that would wait for.
    """
    global patience
    if GOPARK_GIL:
        mp.armed = preempt.arm(mp.ident)
        patience = 10 * _ms
    else:
        mp.armed = preempt.want(mp.ident)
        patience = _ms // 5
        askall()
    if mp.armed:
        later()


def later():
    """Look after those who are to pause: soon, and ever less often."""
    global patience
    monitor.armed = True
    monitor.rearm = nanotime() + patience
    patience = min(2 * patience, 1_000 * _ms)


def rearm():
    """Arm those who have not paused yet; where they were armed may be behind them."""
    global patience
    if not GOPARK_GIL and not allanswered():
        patience = min(patience, 20 * _ms)
        askall()
        later()
    elif preempt.rearm():
        patience = max(patience, 10 * _ms)
        askall()
        later()
    else:
        monitor.armed = False


def askall():
    """Ask all threads of ours whether they run bytecode."""
    mp: M
    lock(sched.lock)  # no M can end while it is held
    for mp in sched.allm:
        if mp.tstate != cython.NULL and not off_interpreter(mp.tstate):
            askbytecode(mp.tstate)
    unlock(sched.lock)


def allanswered():
    mp: M
    answered: cython.bint = True
    lock(sched.lock)
    for mp in sched.allm:
        if mp.tstate != cython.NULL and not inbytecode(mp.tstate):
            answered = False
    unlock(sched.lock)
    return answered


def ownerof(mid):
    mp: M
    found: M = None
    lock(sched.lock)
    for mp in sched.allm:
        if mp.id == mid:
            found = mp
    unlock(sched.lock)
    return found


def offinterpreter(mid):
    """Is M `mid` blocked in C?  It cannot end while sched.lock is held."""
    mp: M
    off: cython.bint = False
    lock(sched.lock)
    for mp in sched.allm:
        if mp.id == mid and mp.tstate != cython.NULL:
            off = off_interpreter(mp.tstate)
    unlock(sched.lock)
    return off


hooks["startsysmon"] = start
hooks["stopsysmon"] = stop
hooks["disarm"] = preempt.disarm
