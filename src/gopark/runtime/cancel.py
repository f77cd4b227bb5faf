"""Cancellation: scopes, and the goroutines in them.

Go has no counterpart: its context package is a convention, and a goroutine that
does not look at its context is not reached.  Scopes are trio's: a cancelled scope
makes every wait inside it raise `Cancelled`, for as long as it is cancelled
("level-triggered"), so an exception handler that swallows one cannot lose it.

Two words decide.  ``Scope.effective`` is kept up to date down the tree whenever a
scope is cancelled, shielded, entered or left, under ``sched.scopelock``.  For the
goroutine whose innermost scope it is the state is copied to ``G.cancelled``,
which every operation that may wait reads.

**Why no cancellation is lost.**  The canceller sets ``G.cancelled`` first, and
then looks at ``G.parkstate`` (`callback`); the goroutine sets ``parkstate`` first,
and then looks at ``cancelled`` (`gopark`).  Both are sequentially consistent, so
one of them sees the other.  A goroutine in plain code is found by neither, and
comes to `getg` with its next operation.

**Why no value is lost.**  The canceller touches nothing but ``parkstate``.  The
goroutine itself, woken, takes itself out of its queue under that queue's lock, and
raises only if it was still there; if not, a partner had come first, the operation
has happened, and the cancellation waits for the next one.

Goroutines that are to be woken are collected under the lock, linked by
``schedlink``, which is theirs to use since `callback` has won them; they are
queued after it.
"""

import math

import cython

from .errors import Cancelled
from .runtime2 import hooks

if cython.compiled:
    from cython.cimports.gopark.runtime.proc import (
        callback,
        enter,
        leave,
        newproc1,
        noprogram,
        ready,
        runqput,
        thisg,
        thism,
        wakeNetPoller,
        wakep,
    )
    from cython.cimports.gopark.runtime.runtime2 import (
        CANCEL_SCOPE,
        G,
        M,
        Scope,
        Timer,
        _Gdead,
        gptr,
        ref,
        sched,
        scptr,
    )
    from cython.cimports.gopark.runtime.seam import (
        aadd,
        acas,
        aload,
        guintptr,
        lock,
        nanotime,
        unlock,
    )
    from cython.cimports.gopark.runtime.time import durationns
    from cython.cimports.gopark.runtime.timers import addtimer, deltimer
    from cython.cimports.libc.stdint import int32_t, int64_t
else:
    from . import seam
    from .proc import (
        callback,
        enter,
        leave,
        newproc1,
        noprogram,
        ready,
        runqput,
        thisg,
        thism,
        wakeNetPoller,
        wakep,
    )
    from .runtime2 import G, M, Scope, Timer, sched
    from .seam import aadd, acas, aload, gptr, lock, nanotime, ref, scptr, unlock
    from .time import durationns
    from .timers import addtimer, deltimer

    int32_t = int64_t = guintptr = int
    globals().update(seam.constants("runtime2.pxd"))

_DEADLINE = "the deadline has passed"
_INF = cython.declare(cython.double, math.inf)


# -- the tree; the caller holds sched.scopelock -------------------------------


def attach(s, parent):
    """Hang `s` under `parent`, or make it the root of a tree."""
    s.parent = parent
    s.elder = ref(None)
    s.sibling = ref(None)
    if parent is not None:
        first: Scope = scptr(parent.children)
        s.sibling = parent.children
        if first is not None:
            first.elder = ref(s)
        parent.children = ref(s)


def detach(s):
    """Take `s` out from under its parent."""
    before: Scope = scptr(s.elder)
    after: Scope = scptr(s.sibling)
    if before is not None:
        before.sibling = s.sibling
    elif s.parent is not None:
        s.parent.children = s.sibling
    if after is not None:
        after.elder = s.elder
    s.elder = ref(None)
    s.sibling = ref(None)


def iseffective(s):
    if s.called:
        return True
    return s.parent is not None and s.parent.effective and not s.shielded


def setcancelled(gp, effective):
    """Copy the state of its innermost scope to the goroutine."""
    while True:
        bits: int32_t = aload(gp.cancelled)
        wanted: int32_t = bits & ~CANCEL_SCOPE
        if effective:
            wanted |= CANCEL_SCOPE
        if acas(gp.cancelled, bits, wanted):
            return


def update(top, woken):
    """Bring the state of `top` and all below it up to date.

    Returns the goroutines that must be queued now: `woken`, and those found here.
    """
    s: Scope = top
    while True:
        effective: cython.bint = iseffective(s)
        if effective != s.effective:
            s.effective = effective
            gp: G = gptr(s.host)
            if gp is not None and gp.scope is s:
                setcancelled(gp, effective)
                if effective and callback(gp):
                    gp.schedlink = woken
                    woken = ref(gp)
            if s.children != ref(None):
                s = scptr(s.children)
                continue
        while s is not top and s.sibling == ref(None):
            s = s.parent
        if s is top:
            return woken
        s = scptr(s.sibling)


# -- cancelling ---------------------------------------------------------------


def readyall(m, woken):
    """Queue what `update` found; holds no lock."""
    gp: G = gptr(woken)
    while gp is not None:
        after: G = gptr(gp.schedlink)
        ready(m, gp, False)
        gp = after


def cancelscope(s, reason):
    """Cancel a scope.  False if it was cancelled before."""
    m: M = enter()
    lock(sched.scopelock)
    first: cython.bint = not s.called
    woken: guintptr = ref(None)
    if first:
        s.called = True
        s.reason = reason
        woken = update(s, woken)
    unlock(sched.scopelock)
    readyall(m, woken)
    leave(m)
    return first


@cython.cfunc
@cython.exceptval(check=False)
def deadlinePassed(t: Timer, seq: int32_t) -> cython.void:
    """A scope's deadline, unless the scope has been left meanwhile (see runtimers)."""
    s: Scope = cython.cast(Scope, t)
    if aload(s.seq) == seq:
        cancelscope(s, _DEADLINE)


def cancelg(g: G, reason):
    """`G.cancel`: cancel the scope around all of a goroutine, which is made on first use."""
    if not isinstance(reason, str):
        raise TypeError(f"cancel() takes a message, not {type(reason).__name__}")
    root: Scope = Scope.__new__(Scope)  # allocated outside of the lock
    m: M = enter()
    lock(sched.scopelock)
    alive: cython.bint = g.status_ != _Gdead
    woken: guintptr = ref(None)
    if alive:
        s: Scope = outermost(g)
        if s is None or s.used:
            root.host = ref(g)
            if s is None:
                g.scope = root
            else:
                attach(s, root)
            s = root
        if not s.called:
            s.called = True
            s.reason = reason
            woken = update(s, woken)
    unlock(sched.scopelock)
    readyall(m, woken)
    leave(m)
    return alive


def startdeadline(s, ns):
    m: M = enter()
    when: int64_t = nanotime() + ns
    s.f = deadlinePassed
    try:
        addtimer(m.p.timers, s, when, 0)
    finally:
        leave(m)
    wakeNetPoller(when)
    return 0


def stopdeadline(s):
    if not deltimer(s):
        aadd(s.seq, 2)  # a firing that is on its way is void


def outermost(g):
    """The first scope of a goroutine's own chain, or None."""
    s: Scope = g.scope
    while s is not None and s.parent is not None and s.parent.host == ref(g):
        s = s.parent
    return s


def whycancelled(gp: G):
    """The exception for a wait of `gp`: `Cancelled`, with the reason that was given."""
    lock(sched.scopelock)
    s: Scope = gp.scope
    while s is not None and not s.called and s.parent is not None:
        s = s.parent
    reason = s.reason if s is not None else None
    unlock(sched.scopelock)
    return Cancelled(reason or "cancelled")


# -- a goroutine in scopes ----------------------------------------------------


def entersscope(s):
    """The running goroutine enters `s`."""
    m: M = enter()
    gp: G = thisg(m)
    lock(sched.scopelock)
    s.used = True
    s.host = ref(gp)
    attach(s, gp.scope)
    s.effective = iseffective(s)
    gp.scope = s
    setcancelled(gp, s.effective)
    unlock(sched.scopelock)
    leave(m)
    return 0


def leavesscope(s):
    """The running goroutine leaves `s`: is a Cancelled that ends it this scope's own?"""
    m: M = enter()
    gp: G = thisg(m)
    lock(sched.scopelock)
    if gp.scope is not s:
        unlock(sched.scopelock)
        leave(m)
        raise RuntimeError(
            "a cancel scope was left by another goroutine, or before a scope that was entered "
            "later: scopes nest, as with-blocks do"
        )
    parent: Scope = s.parent
    outer: cython.bint = parent is not None and parent.effective
    own: cython.bint = s.called and not (outer and not s.shielded)
    detach(s)
    s.host = ref(None)
    s.parent = None
    gp.scope = parent if parent is not None and parent.host == ref(gp) else None
    setcancelled(gp, outer)
    unlock(sched.scopelock)
    leave(m)
    return own


def endscopes(gp: G):
    """A goroutine has ended, with the scopes that it never left."""
    group = None
    while True:
        lock(sched.scopelock)
        s: Scope = gp.scope
        if s is None or s.host != ref(gp):
            gp.scope = None
            unlock(sched.scopelock)
            break
        parent: Scope = s.parent
        detach(s)
        s.host = ref(None)
        s.parent = None
        gp.scope = parent
        unlock(sched.scopelock)
        group = s.group
    if group is not None:
        group._ended(gp, gp.elem if gp.failed else None)


def goin(stack, name, within: Scope, group):
    """Start a goroutine in scope `within`; when it has ended, `group` is told."""
    root: Scope = Scope.__new__(Scope)
    root.group = group
    m: M = enter()
    if m is None:
        raise noprogram("a task group starts goroutines only in a goroutine")
    try:
        gp: G = newproc1(m, stack, name, None)
    except BaseException:
        leave(m)
        raise
    lock(sched.scopelock)
    root.host = ref(gp)
    attach(root, within)
    root.effective = iseffective(root)
    gp.scope = root
    setcancelled(gp, root.effective)
    unlock(sched.scopelock)
    runqput(m.p, gp, True)
    wakep()
    leave(m)
    return gp


# -- what users see -----------------------------------------------------------


@cython.cclass
class CancelScope(Scope):
    """``with CancelScope() as scope:`` a part of a program that can be cancelled.

    After ``scope.cancel()``, from anywhere, every wait inside raises `Cancelled`,
    which ends the block and goes no further.  With a `deadline` (in
    ``time.monotonic()``'s seconds) it cancels itself.  A block with `shield` true is
    not reached by the cancellation of what is around it.
    """

    def __init__(self, *, deadline=math.inf, shield=False):
        self._deadline = checked(deadline)
        self.shielded = bool(shield)

    def __enter__(self):
        if self.used:
            raise RuntimeError("a cancel scope can be entered only once: make a new one")
        entersscope(self)
        if self._deadline != _INF:
            arm(self)
        return self

    def __exit__(self, kind, exc, tb):
        if self._deadline != _INF:
            stopdeadline(self)
        own: cython.bint = leavesscope(self)
        if exc is None or not own:
            return False
        if isinstance(exc, Cancelled):
            self._caught = True
        elif isinstance(exc, BaseExceptionGroup):
            ours, rest = exc.split(Cancelled)
            self._caught = ours is not None
            if self._caught and rest is not None:
                reraise(rest)
        return self._caught

    def cancel(self, reason=""):
        """Cancel what is inside.  Callable from anywhere, also before the block begins."""
        if not isinstance(reason, str):
            raise TypeError(f"cancel() takes a message, not {type(reason).__name__}")
        cancelscope(self, reason)

    @property
    def cancel_called(self):
        """Has it been cancelled, by `cancel` or by its deadline?"""
        return self.called != 0

    @property
    def cancelled_caught(self):
        """Has the block been ended by its own cancellation?"""
        return self._caught

    @property
    def shield(self):
        """Is it shielded from the cancellation of what is around it?"""
        return self.shielded != 0

    @shield.setter
    def shield(self, value):
        m: M = enter()
        lock(sched.scopelock)
        self.shielded = bool(value)
        woken: guintptr = ref(None)
        if self.host != ref(None):
            woken = update(self, woken)
        unlock(sched.scopelock)
        readyall(m, woken)
        leave(m)

    @property
    def deadline(self):
        """When it cancels itself, in ``time.monotonic()``'s seconds; ``inf`` for never."""
        return self._deadline

    @deadline.setter
    def deadline(self, when):
        if self.host != ref(None):
            m: M = thism()
            if m is None or m.curg != self.host:
                raise RuntimeError("only the goroutine in a scope can change its deadline")
            stopdeadline(self)
        self._deadline = checked(when)
        if self.host != ref(None) and self._deadline != _INF:
            arm(self)

    def __repr__(self):
        state = "active" if self.host != ref(None) else "left" if self.used else "not entered"
        if self.called:
            state += ", cancelled"
        return f"<{type(self).__name__} {state}>"


@cython.cfunc
def arm(self: CancelScope) -> object:
    left: cython.double = self._deadline - nanotime() / 1e9
    if left <= 0:
        cancelscope(self, _DEADLINE)
    else:
        startdeadline(self, durationns(left))


@cython.cfunc
def checked(deadline) -> cython.double:
    when: cython.double = deadline
    if math.isnan(when):
        raise ValueError("a deadline cannot be NaN")
    return when


@cython.cfunc
def reraise(rest) -> object:
    """What remains of an exception group goes on as it was."""
    context = rest.__context__
    try:
        raise rest
    finally:
        rest.__context__ = context


if not cython.compiled:
    seam.declare("cancel.pxd", CancelScope)

hooks["cancel"] = cancelg
hooks["cancelled"] = whycancelled
hooks["endscopes"] = endscopes
