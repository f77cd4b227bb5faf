"""The timer heaps (Go: ``timers`` in ``runtime/time.go``).

Each P has a heap of timers, so that starting one costs no shared lock; a P
without work of its own runs the timers of others (``checkTimers`` in proc.py).
What users call stands in time.py, above the scheduler; this module knows only
heaps, and is below it.

A heap entry is ``(when, timer, seq)`` in three parallel arrays: the four
children that a sift compares lie in one cache line.  Stopping a timer does not
search the heap.  It moves the timer's ``seq`` on, the entry is stale from then
on, and is dropped when it comes up, or when more than a quarter are stale.

A firing timer is taken out under the heap's lock and called under none, as it
may take the lock of a channel or start a goroutine.  Between the two it may be
stopped: ``f`` is given the ``seq`` of the firing, and compares where that matters.
A select's timeout wins its select while the lock is still held: the goroutine
stops its timer, under the same lock, before it goes on to anything else, so it is
that very select, and the goroutine is alive.

Rejected: the timer's index kept in the timer, for removal at once.  Each step of
a sift would then write into a timer that is nowhere near in memory, which for a
million sleepers costs more than all the rest.
"""

import cython

if cython.compiled:
    from cython.cimports.cpython.mem import PyMem_RawFree, PyMem_RawMalloc, PyMem_RawRealloc
    from cython.cimports.gopark.runtime.runtime2 import (
        Timer,
        Timers,
        disown,
        gptr,
        own,
        ref,
        tptr,
    )
    from cython.cimports.gopark.runtime.seam import (
        aadd,
        acas,
        aload,
        astore64,
        guintptr,
        lock,
        unlock,
    )
    from cython.cimports.libc.stdint import int32_t, int64_t
else:
    from .seam import aadd, acas, aload, astore64, disown, gptr, lock, own, ref, tptr, unlock

    int32_t = int64_t = guintptr = int


def addtimer(ts, t, when, period):
    """Start `t`, which must not be started, in heap `ts`."""
    lock(ts.lock)
    if ts.len == ts.cap:
        reserve(ts)
    own(t)
    t.ts = ts
    t.when = when
    t.period = period
    i: int32_t = ts.len
    ts.len = i + 1
    place(ts, i, when, ref(t), aadd(t.seq, 1))
    siftup(ts, i)
    setwake(ts)
    unlock(ts.lock)
    return 0


def deltimer(t):
    """Stop `t`.  Was it started?  (One that has fired is not.)"""
    ts: Timers = t.ts
    if ts is None:
        return False
    lock(ts.lock)
    seq: int32_t = aload(t.seq)
    started: cython.bint = seq & 1
    first: cython.bint = False
    crowded: cython.bint = False
    if started:
        aadd(t.seq, 1)
        first = tptr(ts.heap[0]) is t and ts.seqs[0] == seq
        if first:
            popfirst(ts)
            setwake(ts)
        else:
            ts.stale += 1
        # All stale: then the program may be dead, and should not wait to see it.
        if ts.stale:
            crowded = ts.stale == ts.len or (ts.stale > 64 and ts.stale > ts.len >> 2)
    unlock(ts.lock)
    if first:
        disown(ref(t))
    if crowded:
        clean(ts)
    return started


def runtimers(ts, now):
    """Fire what is due; returns when the next one is, 0 for never."""
    while True:
        lock(ts.lock)
        if ts.len == 0:
            setwake(ts)
            unlock(ts.lock)
            return 0
        t: Timer = tptr(ts.heap[0])
        when: int64_t = ts.whens[0]
        seq: int32_t = ts.seqs[0]
        if aload(t.seq) != seq:
            popfirst(ts)
            ts.stale -= 1
            setwake(ts)
            unlock(ts.lock)
            disown(ref(t))
            t = None  # here, and not by the next assignment, under the lock
            continue
        if when > now:
            unlock(ts.lock)
            return when
        again: cython.bint = t.period > 0
        if again:
            when += t.period * (1 + (now - when) // t.period)
            t.when = when
            ts.whens[0] = when
            siftdown(ts, 0)
        else:
            popfirst(ts)
            seq = aadd(t.seq, 1)
        setwake(ts)
        won: cython.bint = not t.isselect or acas(gptr(t.g).selectDone, 0, 1)
        unlock(ts.lock)
        if won:
            t.f(t, seq)
        if not again:
            disown(ref(t))
        t = None


def movetimers(src, dst):
    """Move all timers of `src` into `dst`; the world is stopped (Go: ``moveTimers``)."""
    i: int32_t
    for i in range(src.len):
        if dst.len == dst.cap:
            reserve(dst)
        t: Timer = tptr(src.heap[i])
        if aload(t.seq) == src.seqs[i]:
            t.ts = dst
        else:
            dst.stale += 1
        dst.len += 1
        place(dst, dst.len - 1, src.whens[i], src.heap[i], src.seqs[i])
        siftup(dst, dst.len - 1)
    src.len = 0
    src.stale = 0
    setwake(src)
    setwake(dst)
    return 0


def droptimers(ts):
    """Forget all timers of a program that is over, and the heap's memory."""
    while ts.len:
        t: Timer = tptr(ts.heap[ts.len - 1])
        ts.len -= 1
        if aload(t.seq) == ts.seqs[ts.len]:
            aadd(t.seq, 1)
        disown(ref(t))
    ts.stale = 0
    setwake(ts)
    if cython.compiled:
        PyMem_RawFree(ts.whens)
        PyMem_RawFree(ts.seqs)
        PyMem_RawFree(ts.heap)
        ts.whens = cython.NULL
        ts.seqs = cython.NULL
        ts.heap = cython.NULL
    else:
        ts.whens, ts.seqs, ts.heap = [], [], []
    ts.cap = 0


def reserve(ts):
    """Make room for one more.  On failure the lock is given back."""
    cap: int32_t = ts.cap * 2 if ts.cap else 64
    if cython.compiled:
        # One after the other: what has grown stays grown if the next one fails.
        whens = PyMem_RawRealloc(ts.whens, cap * 8)
        if whens != cython.NULL:
            ts.whens = cython.cast(cython.pointer(int64_t), whens)
            seqs = PyMem_RawRealloc(ts.seqs, cap * 4)
            if seqs != cython.NULL:
                ts.seqs = cython.cast(cython.pointer(int32_t), seqs)
                heap = PyMem_RawRealloc(ts.heap, cap * 8)
                if heap != cython.NULL:
                    ts.heap = cython.cast(cython.pointer(guintptr), heap)
                    ts.cap = cap
                    return 0
        unlock(ts.lock)
        raise MemoryError("no memory for another timer")
    for array in (ts.whens, ts.seqs, ts.heap):
        array.extend([0] * (cap - ts.cap))
    ts.cap = cap
    return 0


def place(ts, i, when, t, seq):
    ts.whens[i] = when
    ts.heap[i] = t
    ts.seqs[i] = seq


def siftup(ts, i):
    when: int64_t = ts.whens[i]
    t: guintptr = ts.heap[i]
    seq: int32_t = ts.seqs[i]
    while i > 0:
        parent: int32_t = (i - 1) >> 2
        if ts.whens[parent] <= when:
            break
        place(ts, i, ts.whens[parent], ts.heap[parent], ts.seqs[parent])
        i = parent
    place(ts, i, when, t, seq)


def siftdown(ts, i):
    n: int32_t = ts.len
    when: int64_t = ts.whens[i]
    t: guintptr = ts.heap[i]
    seq: int32_t = ts.seqs[i]
    while True:
        child: int32_t = 4 * i + 1
        if child >= n:
            break
        k: int32_t
        least: int32_t = child
        for k in range(child + 1, min(child + 4, n)):
            if ts.whens[k] < ts.whens[least]:
                least = k
        if ts.whens[least] >= when:
            break
        place(ts, i, ts.whens[least], ts.heap[least], ts.seqs[least])
        i = least
    place(ts, i, when, t, seq)


def popfirst(ts):
    last: int32_t = ts.len - 1
    ts.len = last
    if last > 0:
        place(ts, 0, ts.whens[last], ts.heap[last], ts.seqs[last])
        siftdown(ts, 0)


def setwake(ts):
    astore64(ts.wakeTime, ts.whens[0] if ts.len else 0)


def clean(ts):
    """Drop every stale entry (Go: ``timers.cleanHead`` and the zombie count).

    The references go after the lock is given back: they may be the last ones.
    """
    lock(ts.lock)
    i: int32_t
    kept: int32_t = 0
    dropped: int32_t = 0
    if cython.compiled:
        dead = cython.cast(
            cython.pointer(guintptr), PyMem_RawMalloc(ts.len * cython.sizeof(guintptr) + 1)
        )
        if dead == cython.NULL:
            unlock(ts.lock)
            return 0  # later, then
    else:
        dead = [None] * ts.len
    for i in range(ts.len):
        t: Timer = tptr(ts.heap[i])
        if aload(t.seq) == ts.seqs[i]:
            place(ts, kept, ts.whens[i], ts.heap[i], ts.seqs[i])
            kept += 1
        else:
            dead[dropped] = ts.heap[i]
            dropped += 1
    ts.len = kept
    ts.stale = 0
    for i in range((kept - 2) >> 2, -1, -1):
        siftdown(ts, i)
    setwake(ts)
    unlock(ts.lock)
    for i in range(dropped):
        disown(dead[i])
    if cython.compiled:
        PyMem_RawFree(dead)
    return dropped
