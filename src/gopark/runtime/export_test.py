"""The core's private parts, opened to tests alone (Go: ``runtime/export_test.go``).

Nothing but tests imports this module.  It has two halves: functions that look
into the program that runs, or meddle with it, and `World`, which is a scheduler
without a program, whose functions a test calls one by one.
"""

import cython
from cython.cimports.cpython.mem import PyMem_RawFree, PyMem_RawMalloc
from cython.cimports.gopark.runtime import proc
from cython.cimports.gopark.runtime.runtime2 import (
    PS_PARKED,
    STOP_MAIN,
    STOP_NONE,
    G,
    M,
    P,
    Timer,
    _Grunnable,
    _Gwaiting,
    _Psyscall,
    gptr,
    ref,
    sched,
)
from cython.cimports.gopark.runtime.seam import (
    acas,
    aload,
    astore,
    astore64,
    gload,
    gstore,
    guintptr,
    lock,
    nanotime,
    this_tstate,
    unlock,
)
from cython.cimports.gopark.runtime.timers import addtimer, droptimers
from cython.cimports.libc.stdint import int32_t, uint32_t, uint64_t

_STATES = ("idle", "running", "syscall", "gcstop", "dead")


# -- the program that runs ----------------------------------------------------


def counts() -> dict:
    """The scheduler's counters, each read by itself."""
    return {
        "gomaxprocs": sched.gomaxprocs,
        "npidle": aload(sched.npidle),
        "nmspinning": aload(sched.nmspinning),
        "nmidle": sched.nmidle,
        "nm": sched.nm,
        "started": sched.midgen,  # Ms ever made in this process
        "runqsize": aload(sched.runqsize),
    }


def where() -> tuple:
    """Of the calling goroutine: its M's number, and the number and schedtick of its P."""
    m: M = proc.enter()
    try:
        return m.id, m.p.id, m.p.schedtick
    finally:
        proc.leave(m)


def procs() -> list:
    """What every P does: a dict for each."""
    return [_p(sched.allp[i]) for i in range(sched.gomaxprocs)]


@cython.cfunc
def _p(pp: P) -> dict:
    word: int32_t = aload(pp.status)
    return {
        "state": _STATES[word & 7],
        "queued": aload(pp.runqtail) - aload(pp.runqhead),
        "runnext": gload(pp.runnext) != cython.NULL,
        "schedtick": pp.schedtick,
        "stolen": pp.nsteal,
        "taken": pp.syscalltick,
        "timers": pp.timers.len,
    }


def retake(i: cython.int) -> cython.bint:
    """Take P `i` from its M, if that runs user code; from any thread."""
    if not aload(sched.running) or aload(sched.stopping) or i >= sched.gomaxprocs:
        return False
    return proc.retake(sched.allp[i])


def preempt(i: cython.int):
    """The time slice of what runs on P `i` is over."""
    pp: P = sched.allp[i]
    astore(pp.preempt, 1)


def shrink_rings(slots: cython.int):
    """Rings of so few slots (a power of two), in the program that runs; all must be empty."""
    m: M = proc.enter()
    proc.stopTheWorld(m)
    i: cython.int
    full: cython.bint = False
    for i in range(sched.gomaxprocs):
        pp: P = sched.allp[i]
        full = full or aload(pp.runqhead) != aload(pp.runqtail)
    for i in range(sched.gomaxprocs):
        if not full:
            pp = sched.allp[i]
            pp.runqmask = slots - 1
    proc.startTheWorld(m)
    proc.leave(m)
    if full:
        raise AssertionError("shrink_rings: a ring is not empty")


_MOST = cython.declare(cython.int, 1 << 20)


def check_sched() -> int:
    """Stop the world: is each runnable goroutine in just one queue, and nothing else in any?

    How many there are.  No thread of the test's own may be waking goroutines meanwhile.
    """
    m: M = proc.enter()
    found = cython.cast(cython.pointer(guintptr), PyMem_RawMalloc(_MOST * cython.sizeof(guintptr)))
    n: cython.int = 0
    i: cython.int
    proc.stopTheWorld(m)
    for i in range(len(sched.allp)):
        pp: P = sched.allp[i]
        h: uint32_t = aload(pp.runqhead)
        while h != cython.cast(uint32_t, aload(pp.runqtail)) and n < _MOST:
            found[n] = pp.runq[h & pp.runqmask]
            n += 1
            h += 1
        if gload(pp.runnext) != cython.NULL and n < _MOST:
            found[n] = gload(pp.runnext)
            n += 1
    glob: cython.int = 0
    lock(sched.lock)
    gp: G = gptr(sched.runqfirst)
    while gp is not None and n < _MOST:
        found[n] = ref(gp)
        n += 1
        glob += 1
        gp = gptr(gp.schedlink)
    size: cython.int = aload(sched.runqsize)
    unlock(sched.lock)
    queued = [gptr(found[i]) for i in range(n)]
    PyMem_RawFree(found)
    wrong = []
    if size != glob:
        wrong.append(f"runqsize is {size}, {glob} are in the global queue")
    if len({id(g) for g in queued}) != n:
        wrong.append("a goroutine is queued twice")
    for gp in queued:
        if gp.status_ != _Grunnable:
            wrong.append(f"{gp!r} is queued")
    known = {id(g) for g in queued}
    # A goroutine that came back from user code meanwhile has joined the global queue.
    for i in range(len(sched.allp)):
        pp = sched.allp[i]
        gp = gptr(pp.allgs)
        while gp is not None:
            if gp.status_ == _Grunnable and gp.lockedm is None and id(gp) not in known:
                wrong.append(f"{gp!r} is in no queue")
            gp = gptr(gp.allnext)
    proc.startTheWorld(m)
    proc.leave(m)
    if wrong:
        raise AssertionError("; ".join(wrong))
    return n


# -- a scheduler without a program --------------------------------------------


@cython.cclass
class World:
    """Ps, goroutines that never run, and the calling thread as an M that owns P 0.

    Goroutines are called by number, from 1.  Use as a context manager.
    """

    def __init__(self, procs: cython.int):
        if proc.thism() is not None or not acas(sched.running, 0, 1):
            raise RuntimeError("a program is running")
        sched.epoch += 1
        sched.gomaxprocs = 0
        sched.closing = False
        sched.allp = []
        sched.allm = []
        sched.nm = 1
        _clear()
        astore(sched.stopping, STOP_NONE)
        astore(sched.gcwaiting, 0)
        astore64(sched.lastpoll, nanotime())
        astore64(sched.pollUntil, 0)
        self.gs = []
        self.others = []
        self.m = proc.allocm()
        self.m.tstate = this_tstate()
        self.m.depth = 1
        sched.m0 = self.m
        sched.allm.append(self.m)
        proc.procresize(self.m, procs)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        i: cython.int
        for i in range(len(sched.allp)):
            pp: P = sched.allp[i]
            droptimers(pp.timers)
            gstore(pp.runnext, cython.NULL)
            astore(pp.runqhead, aload(pp.runqtail))
        _clear()
        sched.allm = []
        sched.m0 = None
        astore(sched.stopping, STOP_MAIN)
        astore(sched.running, 0)

    def g(self) -> int:
        """A new goroutine, in no queue."""
        gp: G = G.__new__(G)
        self.gs.append(gp)
        gp.goid = len(self.gs)
        gp.name_ = "test"
        gp.status_ = _Grunnable
        return gp.goid

    # queues

    def runqput(self, p: cython.int, g: cython.int, next: cython.bint):
        proc.runqput(sched.allp[p], self.gs[g - 1], next)

    def runqget(self, p: cython.int) -> tuple:
        """(goroutine or None, does it inherit the time slice?)"""
        gp: G = proc.runqget(self.m, sched.allp[p])
        return _goid(gp), self.m.inherit

    def runqsteal(self, thief: cython.int, victim: cython.int, stealrunnext: cython.bint):
        return _goid(proc.runqsteal(sched.allp[thief], sched.allp[victim], stealrunnext))

    def globrunqput(self, g: cython.int):
        lock(sched.lock)
        proc.globrunqput(self.gs[g - 1])
        unlock(sched.lock)

    def globrunqget(self, p: cython.int, max: cython.int):
        lock(sched.lock)
        gp: G = proc.globrunqget(sched.allp[p], max)
        unlock(sched.lock)
        return _goid(gp)

    def ring(self, p: cython.int) -> list:
        pp: P = sched.allp[p]
        h: uint32_t = aload(pp.runqhead)
        found = []
        while h != cython.cast(uint32_t, aload(pp.runqtail)):
            found.append(_goid(gptr(pp.runq[h & pp.runqmask])))
            h += 1
        return found

    def runnext(self, p: cython.int):
        pp: P = sched.allp[p]
        return _goid(gptr(gload(pp.runnext)))

    def globq(self) -> list:
        found = []
        gp: G = gptr(sched.runqfirst)
        while gp is not None:
            found.append(gp.goid)
            gp = gptr(gp.schedlink)
        assert len(found) == aload(sched.runqsize)
        return found

    def wrap_ring(self, p: cython.int):
        """The ring's counters are about to overflow."""
        pp: P = sched.allp[p]
        astore(pp.runqhead, -3)
        astore(pp.runqtail, -3)

    def shrink_ring(self, p: cython.int, slots: cython.int):
        pp: P = sched.allp[p]
        pp.runqmask = slots - 1

    def stolen(self, p: cython.int) -> int:
        pp: P = sched.allp[p]
        return pp.nsteal

    # the M's search for work

    def picknext(self) -> tuple:
        """What the M would run next, and whether it inherits; there must be something."""
        gp: G = proc.findrunnable(self.m)
        return _goid(gp), self.m.inherit

    def findrunnable(self) -> int:
        """Finds work wherever it is; there must be some."""
        return _goid(proc.findrunnable(self.m))

    def set_schedtick(self, p: cython.int, tick: cython.uint):
        pp: P = sched.allp[p]
        pp.schedtick = tick

    def steal_work(self):
        return _goid(proc.stealWork(self.m))

    def add_timer(self, p: cython.int, g: cython.int):
        """A timer in P's heap that is due, and readies `g`, which sleeps."""
        gp: G = self.gs[g - 1]
        gp.status_ = _Gwaiting
        astore(gp.parkstate, PS_PARKED)
        t: Timer = Timer.__new__(Timer)
        t.g = ref(gp)
        t.f = _ready
        pp: P = sched.allp[p]
        addtimer(pp.timers, t, nanotime() - 1, 0)

    # idle Ps and Ms

    def owned(self):
        """The P that the M owns."""
        return None if self.m.p is None else self.m.p.id

    def busy(self, p: cython.int):
        """P is in user code, of an M that has no other part in this."""
        mp: M = proc.allocm()
        self.others.append(mp)
        pp: P = sched.allp[p]
        astore(pp.status, mp.word | _Psyscall)

    def idle(self, p: cython.int):
        """P goes to the idle ones."""
        lock(sched.lock)
        proc.pidleput(sched.allp[p])
        unlock(sched.lock)

    def idle_m(self) -> int:
        """An M that is asleep; its number for `handed`."""
        mp: M = proc.allocm()
        self.others.append(mp)
        lock(sched.lock)
        sched.nm += 1
        sched.allm.append(mp)
        proc.mput(mp)
        unlock(sched.lock)
        return len(self.others) - 1

    def handed(self, m: cython.int) -> tuple:
        """(the P that was handed to a sleeping M, is it to spin?)"""
        mp: M = self.others[m]
        return (None if mp.nextp is None else mp.nextp.id), mp.spinning

    def set_spinning(self, m: cython.bint, others: cython.int):
        """Does the M spin, and how many others do?"""
        self.m.spinning = m
        astore(sched.nmspinning, others + m)

    def may_spin(self) -> bool:
        """Does the M look into the queues of others, where there is no work at all?

        It then finds that the program is dead; the last call in a test.
        """
        before: uint64_t = self.m.rand
        if proc.findrunnable(self.m) is not None:
            raise AssertionError("may_spin: there was work")
        return self.m.rand != before  # for the order in which it looked

    def spins(self) -> bool:
        return self.m.spinning

    def wakep(self):
        proc.wakep()

    def resetspinning(self):
        proc.resetspinning(self.m)

    def retake(self, p: cython.int) -> bool:
        return proc.retake(sched.allp[p])

    def checkdead(self) -> bool:
        """As if the M of this thread slept too."""
        lock(sched.lock)
        sched.nmidle += 1
        dead: cython.bint = proc.checkdead()
        sched.nmidle -= 1
        unlock(sched.lock)
        return dead


@cython.cfunc
def _clear() -> cython.void:
    sched.midle = None
    sched.nmidle = 0
    sched.pidle = None
    astore(sched.npidle, 0)
    astore(sched.nmspinning, 0)
    sched.runqfirst = cython.NULL
    sched.runqlast = cython.NULL
    astore(sched.runqsize, 0)


def _goid(gp):
    return None if gp is None else gp.goid


@cython.cfunc
@cython.exceptval(check=False)
def _ready(t: Timer, seq: int32_t) -> cython.void:
    proc.goready(sched.m0, gptr(t.g), True)
