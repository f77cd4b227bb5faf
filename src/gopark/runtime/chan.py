"""Channels (Go: ``runtime/chan.go``).

Invariants, under the channel's lock:

* At most one of recvq and sendq is not empty, but for a goroutine whose select
  both sends to and receives from this channel.
* For a buffered channel: values in the buffer mean an empty recvq, and room in the
  buffer means an empty sendq.

A value goes straight to a waiting receiver and never through the buffer, a
receiver that finds a full buffer moves the first waiting sender's value in behind
the one it takes; so values keep their order, and waiters are served first come
first.  A waiter that has been taken out of its queue will be made ready by the
one who took it out, and by nobody else; for a select, which stands in several
queues, ``G.selectDone`` decides who that is.

The functions here are what the ``async def`` methods of `gopark.Chan` call.  They
do what they can at once; if they give `WAIT`, the goroutine is in the queue and
must now await `PARK`.  The value is then found in its G.
"""

import warnings

import cython

from .errors import ChanClosed, WouldBlock

if cython.compiled:
    from cython.cimports.gopark.runtime.proc import (
        enter,
        getg,
        gopark,
        goready,
        leaf,
        leave,
        mustwait,
        noprogram,
        preempted,
        refuse,
        thism,
    )
    from cython.cimports.gopark.runtime.runtime2 import (
        G,
        M,
        SelectSudog,
        Sudog,
        gptr,
        ref,
        sched,
        sgptr,
        waitReasonChanReceive,
        waitReasonChanSend,
    )
    from cython.cimports.gopark.runtime.seam import aadd64, acas, aint64, aload, lock, unlock
    from cython.cimports.libc.stdint import int64_t
else:
    from . import seam
    from .proc import (
        enter,
        getg,
        gopark,
        goready,
        leaf,
        leave,
        mustwait,
        noprogram,
        preempted,
        refuse,
        thism,
    )
    from .runtime2 import G, M, SelectSudog, Sudog, sched
    from .seam import aadd64, acas, aload, gptr, lock, ref, sgptr, unlock

    int64_t = int
    globals().update(seam.constants("runtime2.pxd"))

EMPTY = object()
SHUT = object()


@cython.cclass
class waitq:
    pass


@cython.cclass
class hchan:
    """The channel's insides; users make `gopark.Chan`."""

    def __cinit__(self, *args, **kwargs):
        self.buf = []
        self.recvq = waitq.__new__(waitq)
        self.sendq = waitq.__new__(waitq)
        self.id = newid()

    def __init__(self, capacity=0):
        if not isinstance(capacity, int) or isinstance(capacity, bool):
            raise TypeError(
                f"a channel's capacity must be an int (0 for unbuffered), not "
                f"{type(capacity).__name__}"
            )
        if capacity < 0:
            raise ValueError(f"a channel's capacity cannot be negative: {capacity}")
        if self.dataqsiz:
            raise RuntimeError("a channel's capacity cannot be changed")
        self.buf = [None] * capacity
        self.dataqsiz = capacity

    @property
    def capacity(self):
        """How many values it holds without a receiver; 0 for an unbuffered channel."""
        return self.dataqsiz

    @property
    def closed(self):
        """Has it been closed?  Values may still be in it."""
        return self.closed_

    def __len__(self):
        return self.qcount

    def __bool__(self):
        return True  # an empty channel is still a channel

    def __repr__(self):
        state = " closed" if self.closed_ else ""
        return f"<{type(self).__name__} {self.id}: {self.qcount}/{self.dataqsiz}{state}>"

    def __copy__(self):
        raise TypeError("a channel cannot be copied: pass the channel itself")

    def __deepcopy__(self, memo):
        raise TypeError("a channel cannot be copied: pass the channel itself")

    def __reduce__(self):
        raise TypeError("a channel cannot be pickled: it lives in one process")

    def close(self):
        """No more values will be sent.  Raises ChanClosed if it is closed already."""
        closechan(self)

    def send(self, value):
        """Send `value`; waits for a receiver or for room.  Raises ChanClosed if closed."""
        op: SendOp = SendOp.__new__(SendOp)
        op.c = self
        op.value = value
        return op

    def send_nowait(self, value):
        """Send, or raise WouldBlock if that had to wait; from any thread."""
        m: M = enter()
        lock(self.lock)
        done: cython.bint = sendnow(m, self, value)
        if not done:
            unlock(self.lock)
        leave(m)
        if not done:
            raise WouldBlock("send would wait: no receiver is ready and the buffer is full")

    def recv_nowait(self):
        """Receive, or raise WouldBlock if that had to wait; from any thread."""
        m: M = enter()
        lock(self.lock)
        value = recvnow(m, self)
        if value is EMPTY:
            unlock(self.lock)
        leave(m)
        if value is EMPTY:
            raise WouldBlock("receive would wait: the channel is empty and no sender is ready")
        if value is SHUT:
            raise ChanClosed("receive from a closed channel")
        return value


@cython.freelist(32)
@cython.cclass
class SendOp:
    """``c.send(value)``: happens when it is awaited.

    No coroutine: a send gives no value, and awaiting a compiled object that gives
    none is the cheapest await there is.
    """

    def __await__(self):
        c: hchan = self.c
        if c is None:
            raise RuntimeError("cannot await the same send twice: call send() again")
        self.c = None
        value = self.value
        self.value = None
        chansend(c, value)
        return leaf

    def __dealloc__(self):
        if self.c is not None:
            neverawaited()

    def __repr__(self):
        return f"<send on {self.c!r}>" if self.c is not None else "<send, awaited>"


@cython.cfunc
def neverawaited() -> object:
    warnings.warn("a channel's send() was never awaited", RuntimeWarning, stacklevel=2)


if cython.compiled:
    _ids = cython.declare(aint64, 0)
else:
    seam.declare("chan.pxd", waitq, hchan, SendOp)
    _ids = seam.Cell()


@cython.cfunc
def newid() -> int64_t:
    return aadd64(_ids, 1)


# -- the wait queues ----------------------------------------------------------


def enqueue(q, sg):
    sg.next = ref(None)
    sg.prev = q.last
    last: Sudog = sgptr(q.last)
    if last is None:
        q.first = ref(sg)
    else:
        last.next = ref(sg)
    q.last = ref(sg)
    sg.queued = True


def unqueue(q, sg):
    """Take `sg` out, wherever it stands.  False if somebody else has."""
    if not sg.queued:
        return False
    before: Sudog = sgptr(sg.prev)
    after: Sudog = sgptr(sg.next)
    if before is None:
        q.first = sg.next
    else:
        before.next = sg.next
    if after is None:
        q.last = sg.prev
    else:
        after.prev = sg.prev
    sg.next = ref(None)
    sg.prev = ref(None)
    sg.queued = False
    return True


def dequeue(q):
    """The first waiter, now the caller's to make ready; None if there is none."""
    while True:
        sg: Sudog = sgptr(q.first)
        if sg is None:
            return None
        unqueue(q, sg)
        if sg.isselect:
            # Another case of its select may have fired: then this one is void.
            gp: G = gptr(cython.cast(SelectSudog, sg).g)
            if not acas(gp.selectDone, 0, 1):
                continue
        return sg


def waker(sg, success):
    """The goroutine behind a dequeued sudog, told what happened to it."""
    sg.success = success
    if sg.isselect:
        gp: G = gptr(cython.cast(SelectSudog, sg).g)
        gp.elem = sg
        return gp
    return cython.cast(G, sg)


# -- what can be done at once -------------------------------------------------


def sendnow(m, c, value):
    """Send without waiting.  Holds c.lock, and gives it back unless it returns False.

    Raises ChanClosed, having left the runtime.
    """
    if c.closed_:
        unlock(c.lock)
        leave(m)
        raise ChanClosed("send on a closed channel")
    sg: Sudog = dequeue(c.recvq)
    if sg is not None:
        sg.elem = value
        unlock(c.lock)
        goready(m, waker(sg, True), True)
        return True
    if c.qcount < c.dataqsiz:
        bufput(c, value)
        unlock(c.lock)
        return True
    return False


def bufput(c, value):
    c.buf[c.sendx] = value
    c.sendx += 1
    if c.sendx == c.dataqsiz:
        c.sendx = 0
    c.qcount += 1


def recvnow(m, c):
    """Receive without waiting.  Holds c.lock, and gives it back unless it returns EMPTY."""
    sg: Sudog
    if c.qcount:
        value = c.buf[c.recvx]
        sg = dequeue(c.sendq)
        if sg is not None:
            # The buffer is full, so its first slot is also its next: the sender's
            # value goes there, behind all others.
            c.buf[c.recvx] = sg.elem
        else:
            c.buf[c.recvx] = None
            c.qcount -= 1
        c.recvx += 1
        if c.recvx == c.dataqsiz:
            c.recvx = 0
        if sg is not None:
            c.sendx = c.recvx
    else:
        sg = dequeue(c.sendq)
        if sg is None:
            if c.closed_:
                unlock(c.lock)
                return SHUT
            return EMPTY
        value = sg.elem
    unlock(c.lock)
    if sg is not None:
        sg.elem = None
        goready(m, waker(sg, True), True)
    return value


def yielding(m, value):
    """A finished operation honours the P's preempt flag, also if it had not to wait."""
    if aload(m.p.preempt):
        value = preempted(m, value)
    leave(m)
    return value


# -- send, receive, close -----------------------------------------------------


def chansend(c, value):
    """Send: True if the goroutine must wait (Go: ``chansend``)."""
    m: M = enter()
    gp: G = getg(m)
    lock(c.lock)
    if sendnow(m, c, value):
        return yielding(m, None) is mustwait
    if not gopark(m, gp, waitReasonChanSend):
        unlock(c.lock)
        leave(m)
        raise refuse(gp)
    gp.elem = value
    gp.c = c
    enqueue(c.sendq, gp)
    unlock(c.lock)
    leave(m)
    return True


def waitrecv(m, gp, c):
    """Nothing to receive: stand in line.  Holds c.lock."""
    if not gopark(m, gp, waitReasonChanReceive):
        unlock(c.lock)
        leave(m)
        raise refuse(gp)
    gp.c = c
    enqueue(c.recvq, gp)
    unlock(c.lock)
    leave(m)
    return mustwait


def chanrecv(c: hchan):
    """`Chan.recv`: the value, or WAIT and then `received` (Go: ``chanrecv1``)."""
    m: M = enter()
    gp: G = getg(m)
    lock(c.lock)
    value = recvnow(m, c)
    if value is EMPTY:
        return waitrecv(m, gp, c)
    if value is SHUT:
        leave(m)
        raise ChanClosed("receive from a closed channel")
    return yielding(m, value)


def chanrecv_ok(c: hchan):
    """`Chan.recv_ok`: (value, ok), or WAIT and then `received_ok` (Go: ``chanrecv2``)."""
    m: M = enter()
    gp: G = getg(m)
    lock(c.lock)
    value = recvnow(m, c)
    if value is EMPTY:
        return waitrecv(m, gp, c)
    if value is SHUT:
        leave(m)
        return None, False
    value = yielding(m, value)
    return value if value is mustwait else (value, True)


def channext(c: hchan):
    """``async for``: the value, or WAIT and then `receivednext`."""
    m: M = enter()
    gp: G = getg(m)
    lock(c.lock)
    value = recvnow(m, c)
    if value is EMPTY:
        return waitrecv(m, gp, c)
    if value is SHUT:
        leave(m)
        raise StopAsyncIteration
    return yielding(m, value)


@cython.cfunc
@cython.inline
def resumed() -> G:
    """The goroutine whose wait is over; a signal handler may have forked since."""
    m: M = thism()
    if m is None:
        raise noprogram("a receive was resumed outside of its goroutine")
    return gptr(m.curg)


def received():
    """What a receive that waited was given."""
    gp: G = resumed()
    value = gp.elem
    gp.elem = None
    if not gp.success:
        raise ChanClosed("receive from a closed channel")
    return value


def received_ok():
    gp: G = resumed()
    value = gp.elem
    gp.elem = None
    return value, gp.success != 0


def receivednext():
    gp: G = resumed()
    value = gp.elem
    gp.elem = None
    if not gp.success:
        raise StopAsyncIteration
    return value


@cython.cfunc
def closechan(c: hchan) -> object:
    """Wake all who wait: receivers find it closed, senders fail (Go: ``closechan``)."""
    m: M = enter()
    lock(c.lock)
    if c.closed_:
        unlock(c.lock)
        leave(m)
        raise ChanClosed("close of a closed channel")
    c.closed_ = True
    # Chain the waiters by .next; they are nobody else's any more.
    first: Sudog = None
    last: Sudog = None
    receivers: cython.bint = True
    while True:
        sg: Sudog = dequeue(c.recvq) if receivers else dequeue(c.sendq)
        if sg is None:
            if not receivers:
                break
            receivers = False
            continue
        sg.issend = not receivers
        if last is None:
            first = sg
        else:
            last.next = ref(sg)
        last = sg
    unlock(c.lock)
    while first is not None:
        sg = first
        first = sgptr(sg.next)
        sg.next = ref(None)
        gp: G = waker(sg, False)
        if not sg.isselect:
            gp.elem = None
            if sg.issend:
                gp.elem = ChanClosed("send on a closed channel")
                gp.raises = True
        goready(m, gp, True)
    leave(m)


@cython.cfunc
@cython.exceptval(check=False)
def unwaitchan(gp: G) -> cython.bint:
    """Take a goroutine that is being closed out of its channel's queue."""
    c: hchan = cython.cast(hchan, gp.c)
    lock(c.lock)
    q: waitq = c.sendq if gp.waitreason == waitReasonChanSend else c.recvq
    found: cython.bint = unqueue(q, gp)
    unlock(c.lock)
    return found


sched.unwait[waitReasonChanSend] = unwaitchan
sched.unwait[waitReasonChanReceive] = unwaitchan
