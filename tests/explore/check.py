"""Invariants of the scheduler, as functions (see ``runtime2.pxd`` and ``proc.py``)."""

from __future__ import annotations

from typing import Any

_Grunnable, _Grunning, _Gsyscall, _Gwaiting, _Gdead = 1, 2, 3, 4, 6
_Pidle, _Prunning, _Psyscall, _Pgcstop, _Pdead = 0, 1, 2, 3, 4
_PSTATE = 7


def check_always(sched: Any) -> None:
    """What holds between any two operations: a P is owned by one M at most.

    An M in user code (depth 0) only believes that it owns its P.
    """
    owners: dict[int, Any] = {}
    for m in sched.allm or ():
        if m.depth > 0 and m.p is not None:
            other = owners.setdefault(m.p.id, m)
            assert other is m, f"P {m.p.id} is owned by two Ms at once: M {other.id} and M {m.id}"


def globalqueue(sched: Any) -> list[Any]:
    return _chain(sched.runqfirst)


def localqueue(p: Any) -> list[Any]:
    """P's goroutines, in the order in which they would run."""
    found = [] if p.runnext.v is None else [p.runnext.v]
    return found + [p.runq[i & p.runqmask] for i in range(p.runqhead.v, p.runqtail.v)]


def _chain(g: Any) -> list[Any]:
    found = []
    while g is not None:
        found.append(g)
        assert len(found) < 10_000, "the global queue runs in a circle"
        g = g.schedlink
    return found


def _list(first: Any, link: str) -> list[Any]:
    found: list[Any] = []
    while first is not None:
        assert first not in found, f"the list of idle {type(first).__name__}s runs in a circle"
        found.append(first)
        first = getattr(first, link)
    return found


def check_sched(sched: Any) -> None:
    """What holds when no M is in the middle of an operation."""
    check_always(sched)
    queued = globalqueue(sched)
    assert len(queued) == sched.runqsize.v, "runqsize is not the global queue's length"
    for p in sched.allp:
        queued += localqueue(p)
    ids = [g.goid for g in queued]
    assert len(set(ids)) == len(ids), f"a goroutine is queued twice: {sorted(ids)}"
    for g in queued:
        assert g.status_ == _Grunnable, f"goroutine {g.goid} is queued, but {g.status}"
    running = [m.curg.goid for m in sched.allm if m.curg is not None]
    assert len(set(running)) == len(running), f"a goroutine runs twice: {sorted(running)}"
    for p in sched.allp[: sched.gomaxprocs]:
        for g in _list(p.allgs, "allnext"):
            if g.status_ == _Grunnable:
                assert g.goid in ids, f"goroutine {g.goid} is runnable, and in no queue"

    idle = _list(sched.pidle, "link")
    assert len(idle) == sched.npidle.v, "npidle is not the number of idle Ps"
    for p in idle:
        assert p.status.v == _Pidle, f"P {p.id} is in the idle list, and its status {p.status.v}"
        assert p.m is None, f"P {p.id} is idle, and M {p.m.id} has it"
    for m in _list(sched.midle, "schedlink"):
        assert m.p is None, f"M {m.id} is idle, and has P {m.p.id}"
    assert len(_list(sched.midle, "schedlink")) == sched.nmidle, "nmidle is wrong"
    spinning = sum(1 for m in sched.allm if m.spinning)
    assert sched.nmspinning.v == spinning, (
        f"nmspinning is {sched.nmspinning.v}, and {spinning} Ms spin"
    )
