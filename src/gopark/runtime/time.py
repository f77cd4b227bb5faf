"""Sleeping, and timers that users hold (Go: ``runtime/time.go``, ``time/sleep.go``).

The heaps are in timers.py, and who runs them is in proc.py (`checkTimers`).

A user's timer may be started, stopped and fired by different threads; its own
lock orders these.  A firing is sent only if no stop or reset came between the
heap and the channel, and both take an unreceived value out of the channel: after
them no value of an earlier start is received (as in Go since 1.23).
"""

import contextvars
import math

import cython

if cython.compiled:
    from cython.cimports.gopark.runtime.chan import bufput, dequeue, hchan, waker
    from cython.cimports.gopark.runtime.proc import (
        enter,
        getg,
        gopark,
        goready,
        leave,
        mustwait,
        newproc,
        noprogram,
        refuse,
        thism,
        wakeNetPoller,
    )
    from cython.cimports.gopark.runtime.runtime2 import (
        ArgTimer,
        G,
        M,
        Sudog,
        Timer,
        gptr,
        ref,
        sched,
        waitReasonSleep,
    )
    from cython.cimports.gopark.runtime.seam import aadd, aload, aload64, lock, nanotime, unlock
    from cython.cimports.gopark.runtime.timers import addtimer, deltimer
    from cython.cimports.libc.stdint import int32_t, int64_t
else:
    from . import seam
    from .chan import bufput, dequeue, hchan, waker
    from .proc import (
        enter,
        getg,
        gopark,
        goready,
        leave,
        mustwait,
        newproc,
        noprogram,
        refuse,
        thism,
        wakeNetPoller,
    )
    from .runtime2 import ArgTimer, G, M, Timer, sched
    from .seam import aadd, aload, aload64, gptr, lock, nanotime, ref, unlock
    from .timers import addtimer, deltimer

    int32_t = int64_t = int
    globals().update(seam.constants("runtime2.pxd"))

_FOREVER = cython.declare(cython.longlong, 1 << 61)  # 73 years


def durationns(seconds):
    """Seconds as nanoseconds, at least 0."""
    s: cython.double = seconds
    if math.isnan(s):
        raise ValueError("a duration cannot be NaN")
    if s <= 0:
        return 0
    if s > 1e9:
        return _FOREVER
    return int(s * 1e9) or 1


def gtimer(gp):
    """A goroutine's own timer, made when it first needs one."""
    t: Timer = gp.timer
    if t is None:
        t = Timer.__new__(Timer)
        t.g = ref(gp)
        gp.timer = t
    return t


def timesleep(seconds):
    """`gopark.sleep`: WAIT, to await PARK (Go: ``timeSleep``)."""
    ns: int64_t = durationns(seconds)
    m: M = enter()
    gp: G = getg(m)
    if not gopark(m, gp, waitReasonSleep):
        leave(m)
        raise refuse(gp)
    t: Timer = gtimer(gp)
    t.f = goroutineReady
    t.isselect = False
    when: int64_t = nanotime() + ns
    addtimer(m.p.timers, t, when, 0)
    if aload64(m.p.timers.wakeTime) == when:
        wakeNetPoller(when)
    leave(m)
    return mustwait


@cython.cfunc
@cython.exceptval(check=False)
def goroutineReady(t: Timer, seq: int32_t) -> cython.void:
    goready(thism(), gptr(t.g), True)


@cython.cfunc
@cython.exceptval(check=False)
def unwaitsleep(gp: G) -> cython.bint:
    return deltimer(gp.timer)


sched.unwait[waitReasonSleep] = unwaitsleep


# -- users' timers ------------------------------------------------------------


@cython.cfunc
@cython.exceptval(check=False)
def sendTime(sleeper: Timer, seq: int32_t) -> cython.void:
    """Send the time, unless the last one is still there; never waits (Go: ``sendTime``)."""
    t: ArgTimer = cython.cast(ArgTimer, sleeper)
    now = nanotime() / 1e9
    c: hchan = cython.cast(hchan, t.arg)
    sg: Sudog = None
    lock(t.lock)
    if aload(t.seq) == seq:
        lock(c.lock)
        sg = dequeue(c.recvq)
        if sg is not None:
            sg.elem = now
        elif c.qcount < c.dataqsiz and not c.closed_:
            bufput(c, now)
        unlock(c.lock)
    unlock(t.lock)
    if sg is not None:
        goready(thism(), waker(sg, True), True)


@cython.cfunc
@cython.exceptval(check=False)
def goFunc(sleeper: Timer, seq: int32_t) -> cython.void:
    """Call the function in a goroutine of its own (Go: ``goFunc``)."""
    t: ArgTimer = cython.cast(ArgTimer, sleeper)
    fn, args, kwargs, context = t.arg
    newproc(thism(), (fn, args, kwargs), None, context.copy())


@cython.cclass
class rtTimer:
    """The runtime's side of `gopark.time.Timer` and ``Ticker``."""

    def _start_chan(self, c, seconds, period):
        """Send on `c` after `seconds`, and with `period` again every so often."""
        self.chan = c
        self.t = ArgTimer.__new__(ArgTimer)
        self.t.f = sendTime
        self.t.arg = c
        starttimer(self, seconds, period)

    def _start_func(self, fn, args, kwargs, seconds):
        """Call `fn` in a goroutine after `seconds`."""
        self.t = ArgTimer.__new__(ArgTimer)
        self.t.f = goFunc
        self.t.arg = (fn, args, kwargs, contextvars.copy_context())
        starttimer(self, seconds, False)

    def _stop(self):
        """Was it stopped before it fired, or before anybody received the firing?"""
        m: M = enter()
        was: cython.bint = stoptimer(self)
        leave(m)
        return was

    def _reset(self, seconds):
        """Stop, and start anew."""
        durationns(seconds)  # raises before anything has changed
        was = self._stop()
        starttimer(self, seconds, self.period > 0)
        return was


if not cython.compiled:
    seam.declare("time.pxd", rtTimer)


@cython.cfunc
def starttimer(self: rtTimer, seconds, periodic: cython.bint) -> object:
    ns: int64_t = durationns(seconds)
    m: M = enter()
    if m is None:
        raise noprogram("timers can be started only in a goroutine, inside gopark.run(main)")
    when: int64_t = nanotime() + ns
    t: ArgTimer = self.t
    lock(t.lock)
    deltimer(t)  # two threads may reset at once; a timer is never started twice
    self.period = ns if periodic else 0
    try:
        addtimer(m.p.timers, t, when, self.period)
    finally:
        unlock(t.lock)
        leave(m)
    wakeNetPoller(when)


@cython.cfunc
@cython.exceptval(check=False)
def stoptimer(self: rtTimer) -> cython.bint:
    t: ArgTimer = self.t
    c: hchan = self.chan
    stale = None  # what was not received dies only once no lock is held
    lock(t.lock)
    was: cython.bint = deltimer(t)
    if not was:
        aadd(t.seq, 2)  # a firing that is on its way is void
    if c is not None:
        lock(c.lock)
        if c.qcount:
            stale = c.buf[c.recvx]
            c.buf[c.recvx] = None
            c.qcount = 0
            c.sendx = c.recvx = 0
            was = True
        unlock(c.lock)
    unlock(t.lock)
    del stale
    return was
