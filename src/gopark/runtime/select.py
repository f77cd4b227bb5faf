"""Select (Go: ``runtime/select.go``).

All channels of a select are locked at once, in ascending order of their ids, so
that what it sees of them is one moment; a channel that occurs in several cases is
locked once.  Then:

1. Among the cases that can go ahead one is drawn, each with the same chance
   (one pass, the k-th ready case replaces the choice with probability 1/k).
2. If there is none, the goroutine stands in line at every channel with a sudog
   for each case, and parks.  ``G.selectDone`` goes from 0 to 1 once: whoever
   moves it (a partner, a close, the timeout) wakes the goroutine.
3. Woken, it takes all its sudogs out of the queues under all the locks again, and
   so leaves no trace in the channels that did not fire.

The sudogs are linked by ``waitlink`` in lock order, and come from P's free list.
"""

import cython

from .errors import ChanClosed

if cython.compiled:
    from cython.cimports.gopark.runtime.chan import (
        EMPTY,
        SHUT,
        enqueue,
        hchan,
        recvnow,
        sendnow,
        unqueue,
        waitq,
        yielding,
    )
    from cython.cimports.gopark.runtime.proc import (
        acquireSudog,
        enter,
        getg,
        gopark,
        goready,
        leave,
        mustwait,
        noprogram,
        refuse,
        releaseSudog,
        thism,
        wakeNetPoller,
    )
    from cython.cimports.gopark.runtime.runtime2 import (
        G,
        M,
        SelectSudog,
        Sudog,
        Timer,
        gptr,
        ref,
        sched,
        sgptr,
        waitReasonSelect,
        waitReasonSelectNoCases,
    )
    from cython.cimports.gopark.runtime.seam import (
        GOPARK_GIL,
        acas,
        aload,
        astore,
        cheaprand,
        lock,
        nanotime,
        unlock,
    )
    from cython.cimports.gopark.runtime.time import durationns, gtimer
    from cython.cimports.gopark.runtime.timers import addtimer, deltimer
    from cython.cimports.libc.stdint import int32_t, int64_t
else:
    from . import seam
    from .chan import EMPTY, SHUT, enqueue, hchan, recvnow, sendnow, unqueue, yielding
    from .proc import (
        acquireSudog,
        enter,
        getg,
        gopark,
        goready,
        leave,
        mustwait,
        noprogram,
        refuse,
        releaseSudog,
        thism,
        wakeNetPoller,
    )
    from .runtime2 import G, M, SelectSudog, Sudog, Timer, sched
    from .seam import (
        GOPARK_GIL,
        acas,
        aload,
        astore,
        cheaprand,
        gptr,
        lock,
        nanotime,
        ref,
        sgptr,
        unlock,
    )
    from .time import durationns, gtimer
    from .timers import addtimer, deltimer

    int32_t = int64_t = int
    globals().update(seam.constants("runtime2.pxd"))


class _Closed:
    """What a receive case gives when its channel is closed and drained."""

    __slots__ = ()

    def __repr__(self):
        return "gopark.CLOSED"

    def __bool__(self):
        return False

    def __reduce__(self):
        return "CLOSED"


CLOSED = _Closed()


def selectgo(cases: tuple, default, timeout):
    """`gopark.select`: ``(index, value)``, or WAIT and then `selected` (Go: ``selectgo``)."""
    ns: int64_t = -1 if timeout is None else durationns(timeout)
    m: M = enter()
    gp: G = getg(m)
    if GOPARK_GIL:
        result = selectnow(m, cases)
        if result is not EMPTY:
            return yielding(m, result)
    head: SelectSudog = parse(m, gp, cases)
    while True:
        sellock(head)
        s: SelectSudog = choose(m, head)
        if s is None:
            break
        selunlock(head, cython.cast(hchan, s.c))
        result = perform(m, s)
        if result is not EMPTY:
            if s.issend and result is ChanClosed:
                freesudogs(m, head)
                leave(m)
                raise ChanClosed("send on a closed channel")
            result = (s.idx, result)
            freesudogs(m, head)
            return yielding(m, result)
        # Its partner was won by another channel in between: look again.
    if default or ns == 0:
        selunlock(head, None)
        freesudogs(m, head)
        if not default:
            leave(m)
            raise TimeoutError("select: no case was ready, and timeout=0")
        return yielding(m, (-1, None))
    if not gopark(m, gp, waitReasonSelect if head is not None else waitReasonSelectNoCases):
        selunlock(head, None)
        freesudogs(m, head)
        leave(m)
        raise refuse(gp)
    gp.elem = None
    gp.waitlink = head
    astore(gp.selectDone, 0)
    enqueueall(head)
    selunlock(head, None)
    if ns > 0:
        # From here on it may have been woken; the timer then fires for nothing,
        # or is stopped, as it finds selectDone set.
        t: Timer = gtimer(gp)
        t.f = selectTimeout
        t.isselect = True
        when: int64_t = nanotime() + ns
        addtimer(m.p.timers, t, when, 0)
        wakeNetPoller(when)
    leave(m)
    return mustwait


def selected():
    """The outcome of a select that waited."""
    m: M = enter()
    if m is None:  # a signal handler has forked
        raise noprogram("a select was resumed outside of its goroutine")
    gp: G = gptr(m.curg)
    elem = gp.elem
    gp.elem = None
    head: SelectSudog = cython.cast(SelectSudog, gp.waitlink)
    if isinstance(elem, tuple):  # it had not waited, but its time slice was over
        leave(m)
        return elem
    gp.waitlink = None
    if gp.timer is not None:
        deltimer(gp.timer)
    sellock(head)
    unqueueall(head)
    selunlock(head, None)
    result = None
    closed: cython.bint = False
    if elem is not None:
        s: SelectSudog = cython.cast(SelectSudog, elem)
        closed = s.issend and not s.success
        result = outcome(s)
    freesudogs(m, head)
    leave(m)
    if elem is None:
        raise TimeoutError("select: no case became ready in time")
    if closed:
        raise ChanClosed("send on a closed channel")
    return result


def outcome(s):
    if not s.success:
        return s.idx, CLOSED
    return s.idx, None if s.issend else s.elem


@cython.cfunc
@cython.exceptval(check=False)
def selectTimeout(t: Timer, seq: int32_t) -> cython.void:
    """The timeout has won (see runtimers)."""
    gp: G = gptr(t.g)
    gp.elem = None
    goready(thism(), gp, True)


def parse(m, gp, cases):
    """A sudog for each case that is not None, in lock order."""
    head: SelectSudog = None
    tail: SelectSudog = None
    sorted_: cython.bint = True
    i: int32_t = -1
    for case in cases:
        i += 1
        if case is None:
            continue
        issend: cython.bint = False
        value = None
        c = case
        if type(case) is tuple and len(case) == 2:
            c, value = case
            issend = True
        if not isinstance(c, hchan):
            freesudogs(m, head)
            leave(m)
            raise TypeError(
                f"select: case {i} is {case!r}; a case is a channel (to receive), a tuple "
                "(channel, value) (to send), or None (never)"
            )
        s: SelectSudog = acquireSudog(m)
        s.g = ref(gp)
        s.c = c
        s.elem = value
        s.idx = i
        s.order = cheaprand(m.rand)
        s.issend = issend
        s.isselect = True
        s.success = False
        if tail is None:
            head = s
        else:
            tail.waitlink = s
            if not before(tail, s):
                sorted_ = False
        tail = s
    return head if sorted_ else sortsudogs(head)


def sortsudogs(head):
    """Sort by `before`: a merge sort on the links."""
    if head is None or head.waitlink is None:
        return head
    slow: SelectSudog = head
    fast: SelectSudog = cython.cast(SelectSudog, head.waitlink)
    while fast is not None and fast.waitlink is not None:
        slow = cython.cast(SelectSudog, slow.waitlink)
        fast = cython.cast(SelectSudog, fast.waitlink.waitlink)
    half: SelectSudog = cython.cast(SelectSudog, slow.waitlink)
    slow.waitlink = None
    return merge(sortsudogs(head), sortsudogs(half))


def before(a, b):
    """Lock order; cases of one channel stand in line there in random order."""
    x: int64_t = cython.cast(hchan, a.c).id
    y: int64_t = cython.cast(hchan, b.c).id
    return a.order <= b.order if x == y else x < y


def merge(a, b):
    head: SelectSudog = None
    tail: SelectSudog = None
    while a is not None or b is not None:
        if b is None or (a is not None and before(a, b)):
            s: SelectSudog = a
            a = cython.cast(SelectSudog, a.waitlink)
        else:
            s = b
            b = cython.cast(SelectSudog, b.waitlink)
        if tail is None:
            head = s
        else:
            tail.waitlink = s
        tail = s
    if tail is not None:
        tail.waitlink = None
    return head


def sellock(head):
    s: SelectSudog = head
    last: hchan = None
    while s is not None:
        c: hchan = cython.cast(hchan, s.c)
        if c is not last:
            lock(c.lock)
        last = c
        s = cython.cast(SelectSudog, s.waitlink)


def selunlock(head, but):
    """Unlock all, but for one."""
    s: SelectSudog = head
    last: hchan = None
    while s is not None:
        c: hchan = cython.cast(hchan, s.c)
        # Once unlocked it may be freed only by dropping s.c, which is ours.
        if c is not last and c is not but:
            unlock(c.lock)
        last = c
        s = cython.cast(SelectSudog, s.waitlink)


def choose(m, head):
    """One of the cases that can go ahead, each with the same chance; or None."""
    chosen: SelectSudog = None
    n: int32_t = 0
    s: SelectSudog = head
    while s is not None:
        if ready(s):
            n += 1
            if n == 1 or cheaprand(m.rand) % n == 0:
                chosen = s
        s = cython.cast(SelectSudog, s.waitlink)
    return chosen


def selectnow(m, cases):
    """A select that need not wait, where the GIL is the lock; EMPTY if it must.

    Channels need no order, and cases no sudogs.  Bad cases are left for `parse`.
    """
    chosen: hchan = None
    value = None
    issend: cython.bint = False
    index: int32_t = -1
    n: int32_t = 0
    i: int32_t = -1
    for case in cases:
        i += 1
        if case is None:
            continue
        sends: cython.bint = type(case) is tuple and len(cython.cast(tuple, case)) == 2
        c = cython.cast(tuple, case)[0] if sends else case
        if not isinstance(c, hchan):
            return EMPTY
        if canproceed(cython.cast(hchan, c), sends):
            n += 1
            if n == 1 or cheaprand(m.rand) % n == 0:
                chosen = cython.cast(hchan, c)
                issend = sends
                value = cython.cast(tuple, case)[1] if sends else None
                index = i
    if chosen is None:
        return EMPTY
    lock(chosen.lock)
    if issend:
        sendnow(m, chosen, value)
        return index, None
    value = recvnow(m, chosen)
    return index, CLOSED if value is SHUT else value


def ready(s):
    return canproceed(cython.cast(hchan, s.c), s.issend)


def canproceed(c, issend):
    """Can this case go ahead?  Drops waiters whose select has fired elsewhere."""
    if c.closed_:
        return True
    if c.qcount < c.dataqsiz if issend else c.qcount > 0:
        return True
    q: waitq = c.recvq if issend else c.sendq
    while True:
        w: Sudog = sgptr(q.first)
        if w is None:
            return False
        if not w.isselect:
            return True
        gp: G = gptr(cython.cast(SelectSudog, w).g)
        if aload(gp.selectDone) == 0:
            return True
        unqueue(q, w)


def perform(m, s):
    """Do the chosen case: the received value, None for a send, or EMPTY if it was too late.

    Holds the lock of its channel, which it gives back.
    """
    c: hchan = cython.cast(hchan, s.c)
    if s.issend:
        if c.closed_:
            unlock(c.lock)
            return ChanClosed
        if sendnow(m, c, s.elem):
            return None
        unlock(c.lock)
        return EMPTY
    value = recvnow(m, c)
    if value is SHUT:
        return CLOSED
    if value is EMPTY:
        unlock(c.lock)
    return value


def enqueueall(head):
    s: SelectSudog = head
    while s is not None:
        c: hchan = cython.cast(hchan, s.c)
        enqueue(c.sendq if s.issend else c.recvq, s)
        s = cython.cast(SelectSudog, s.waitlink)


def unqueueall(head):
    s: SelectSudog = head
    while s is not None:
        c: hchan = cython.cast(hchan, s.c)
        unqueue(c.sendq if s.issend else c.recvq, s)
        s = cython.cast(SelectSudog, s.waitlink)


def freesudogs(m, head):
    """Give the sudogs back; what they held may die here, where no lock is held."""
    s: SelectSudog = head
    while s is not None:
        after: SelectSudog = cython.cast(SelectSudog, s.waitlink)
        s.elem = None
        s.c = None
        s.g = ref(None)
        s.waitlink = None
        releaseSudog(m, s)
        s = after


@cython.cfunc
@cython.exceptval(check=False)
def unwaitselect(gp: G) -> cython.bint:
    """Take a goroutine that is being closed out of its select."""
    head: SelectSudog = cython.cast(SelectSudog, gp.waitlink)
    won: cython.bint = acas(gp.selectDone, 0, 1)
    if gp.timer is not None:
        deltimer(gp.timer)
    sellock(head)
    unqueueall(head)
    selunlock(head, None)
    gp.waitlink = None
    return won


sched.unwait[waitReasonSelect] = unwaitselect
sched.unwait[waitReasonSelectNoCases] = unwaitselect
