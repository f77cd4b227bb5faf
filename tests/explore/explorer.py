"""An explorer of interleavings for the uncompiled core, in the spirit of tokio's loom.

Every lock, unlock, atomic operation, note operation, look at the clock and short
sleep of the core goes through ``seam.py``.  Here each of them is a *point*: the
thread that comes to one says what it is about to do, and the explorer chooses
which thread does its next operation.  Threads are real ones, of which exactly one
runs at a time, so whatever the core calls works as ever.  Time is virtual: it
stands still until somebody must wait for it, and then jumps.

Use::

    def scenario(w):                        # w: World
        p = w.proc.newp(0)
        w.spawn(put, w, p)                  # threads of the program's own
        w.spawn(steal, w, p)
        return lambda: check(w, p)          # called when all have ended

    explore(scenario)                       # every schedule with at most 2 preemptions
    explore(scenario, preemptions=None, schedules=500)   # 500 random ones, seeded

Threads that the core starts (``newm``) join by themselves.  :func:`program` makes
a scenario of a whole ``gopark.run``.

**Replay.**  A failure is a :class:`Found`, whose text ends with the schedule that
led to it, such as ``"31:2 57:0"``: at step 31 thread 2 went on, at step 57 thread
0, and elsewhere the default (the running thread goes on; if it cannot, the one
that has been waiting longest).  ``explore(scenario, replay="31:2 57:0")`` runs
just that one, and ``trace=True`` prints its steps.

**What is explored.**  Depth first, all schedules with at most `preemptions`
switches away from a thread that could have gone on; switches at which the thread
had to wait are free.  Only *relevant* schedules are run: a thread is put before
another's operation only if it is later seen to do a conflicting one (dynamic
partial-order reduction, Flanagan and Godefroid 2005, with the conservative
points for bounded search of Coons, Musuvathi and McKinley 2013).  That leaves
nothing out as long as plain fields are touched only under the ownership rules of
``runtime2.pxd``; random schedules switch anywhere.  A timed wait may time out
early, at the price of a preemption: the other threads were slow, then.  (Not one of
more than :data:`PATIENCE`.)

**Failures**: an exception in a thread, a check that fails, a deadlock (threads
are left, and none can ever go on), a livelock (too many steps).
"""

from __future__ import annotations

import _thread
import contextlib
import gc
import os
import random
import sys
import time
import traceback
import types
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from explore.check import check_always, check_sched
from explore.uncompiled import Plant, load

#: Multiplies every budget; for a long run on one's own machine.
EFFORT = float(os.environ.get("GOPARK_EXPLORE_EFFORT", "1"))

MAX_STEPS = 5_000

#: After so many steps in a row another thread must go on: this one may be waiting for it.
FAIR = 400

#: A wait for longer than this (in ns) does not time out while another thread can go on.
PATIENCE = 100_000_000


class Found(AssertionError):
    """A schedule on which something goes wrong."""

    def __init__(self, what: str, schedule: str, positions: str, number: int) -> None:
        super().__init__(
            f"{what}\n\nthe threads:\n{positions}\n"
            f"found in schedule {number}; to see it again: replay={schedule!r}"
        )
        self.what = what
        self.schedule = schedule


class Abandon(BaseException):
    """Unwinds a thread of a schedule that has failed."""


# -- what replaces the machine ------------------------------------------------


class VirtualMutex:
    __slots__ = ("holder", "name")

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.holder: Any = None

    def lock(self) -> None:
        if self.holder is not None:
            raise AssertionError(f"{self.name} is locked, and is taken outside of the schedule")
        self.holder = _running.current if _running is not None else True

    def unlock(self) -> None:
        if self.holder is None:
            raise AssertionError(f"{self.name} is unlocked, but nobody holds it")
        self.holder = None


class VirtualNote:
    __slots__ = ("key", "name")

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.key = False

    def clear(self) -> None:
        self.key = False

    def wakeup(self) -> None:
        self.key = True

    def tsleep(self, ns: int) -> int:
        return int(self.key)


class _Clock:
    name = "clock"


CLOCK = _Clock()

_running: Execution | None = None


def _point(operation: str, cell: Any) -> None:
    if _running is not None:
        _running.point(operation, cell, None)


_WRITES = ("astore", "axchg", "aadd", "acas", "astore_rel", "astore64", "axchg64", "aadd64",
           "acas64", "gstore", "gxchg", "gcas", "notewakeup")  # fmt: skip


def _prepare_fine(seam: types.ModuleType) -> None:
    """As _prepare, with a second point after each operation that publishes something."""

    def publishing(operation: Callable[..., Any]) -> Callable[..., Any]:
        def and_after(cell: Any, *args: Any) -> Any:
            result = operation(cell, *args)
            _point("after", cell)
            return result

        return and_after

    _prepare(seam)
    for name in _WRITES:
        setattr(seam, name, publishing(getattr(seam, name)))


def _prepare(seam: types.ModuleType) -> None:
    """Put the explorer's points and its clock into a copy of seam.py."""

    def nanotime() -> int:
        if _running is None:
            return 0
        _running.point("clock", CLOCK, None)
        return _running.now

    def notetsleep(note: VirtualNote, ns: int) -> int:
        if _running is not None:
            deadline = None if ns < 0 else _running.now + ns
            _running.point("sleep", note, deadline)
        return note.tsleep(ns)

    def usleep_detached(us: int) -> None:
        if _running is not None:
            _running.point("usleep", CLOCK, _running.now + us * 1000)

    def noteclear(note: VirtualNote) -> None:
        _point("clear", note)
        note.clear()

    seam.point = _point  # type: ignore[attr-defined]
    seam.Mutex = VirtualMutex  # type: ignore[attr-defined]
    seam.Note = VirtualNote  # type: ignore[attr-defined]
    seam.nanotime = nanotime  # type: ignore[attr-defined]
    seam.notetsleep = notetsleep  # type: ignore[attr-defined]
    seam.noteclear = noteclear  # type: ignore[attr-defined]
    seam.usleep_detached = usleep_detached  # type: ignore[attr-defined]


class _Threads:
    """In the place of the module ``_thread`` in proc.py: new threads join the schedule."""

    get_ident = staticmethod(_thread.get_ident)

    @staticmethod
    def start_new_thread(fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
        assert _running is not None
        _running.spawn(fn, *args, name=f"M{args[0].id}")


# -- threads ------------------------------------------------------------------


class _Worker:
    """A real thread, used again by one schedule after the other."""

    def __init__(self) -> None:
        self.baton = _thread.allocate_lock()
        self.baton.acquire()
        self.job: Callable[[], None] | None = None
        self.ended = _thread.allocate_lock()
        self.ended.acquire()
        self.ident = _thread.start_new_thread(self._loop, ())

    def _loop(self) -> None:
        while True:
            self.baton.acquire()
            if self.job is None:
                self.ended.release()
                return
            self.job()
            sys.set_asyncgen_hooks(None, None)

    def end(self) -> None:
        self.job = None
        self.baton.release()
        self.ended.acquire()


class Thread:
    """One virtual thread of a schedule."""

    __slots__ = (
        "born", "cell", "deadline", "done", "fn", "id", "name", "op", "parent", "since", "worker",
    )  # fmt: skip

    def __init__(self, number: int, name: str, fn: Callable[[], None], worker: _Worker) -> None:
        self.id = number
        self.name = name
        self.fn = fn
        self.worker = worker
        self.op = "start"  # what it will do when it goes on
        self.cell: Any = None
        self.deadline: int | None = None
        self.since = 0  # the step at which it last had the processor
        self.done = False
        self.parent = -1
        self.born = -1

    def ready(self, now: int) -> bool:
        op = self.op
        if op == "lock":
            return self.cell.holder is None
        if op == "sleep":
            return self.cell.key or (self.deadline is not None and self.deadline <= now)
        if op == "usleep":
            return self.deadline <= now  # type: ignore[operator]
        return True

    def position(self) -> str:
        if self.done:
            return f"  {self.id} {self.name}: has ended\n"
        what = f"{self.op} {getattr(self.cell, 'name', '')}".strip()
        text = f"  {self.id} {self.name}: about to {what}\n"
        frame = sys._current_frames().get(self.worker.ident)
        if self.op != "start" and frame is not None:
            own = (__file__, sys.modules["explore.uncompiled"].__file__)
            for entry in traceback.extract_stack(frame):
                if entry.filename not in own and not entry.filename.endswith("seam.py"):
                    text += (
                        f"      {os.path.basename(entry.filename)}:{entry.lineno} {entry.name}\n"
                    )
        return text


@dataclass(slots=True)
class Step:
    """One operation of a schedule, with the choice that led to it."""

    tid: int
    op: str
    cell: Any
    jumped: bool  # the clock had to jump for it
    prev: int  # who ran before, -1 if that one had ended or had to wait
    default: int
    ready: tuple[int, ...]
    lazy: tuple[int, ...]  # in a timed wait that is not over
    before: int  # preemptions so far
    backtrack: set[int] = field(default_factory=set)
    done: set[int] = field(default_factory=set)

    def cost(self, tid: int) -> int:
        if tid in self.lazy:
            return int(bool(self.ready))
        return int(self.prev >= 0 and tid != self.prev)


class Execution:
    """One schedule."""

    def __init__(self, pick: Callable[[Execution, Step], int], pool: list[_Worker]) -> None:
        self.pick = pick
        self.pool = pool
        self.threads: list[Thread] = []
        self.trace: list[Step] = []
        self.current: Thread | None = None
        self.now = 1_000_000_000
        self.preemptions = 0
        self.failure: str | None = None
        self.positions = ""
        self.started = False
        self.tired: int | None = None  # who had to stop for having run too long
        self.turn = 0  # the step at which the current thread's turn began
        self.always: Callable[[], None] | None = None
        self.max_steps = MAX_STEPS
        self._over = _thread.allocate_lock()
        self._over.acquire()

    def spawn(self, fn: Callable[..., Any], *args: Any, name: str = "") -> Thread:
        worker = self.pool.pop() if self.pool else _Worker()
        thread = Thread(len(self.threads), name or fn.__name__, lambda: fn(*args), worker)
        worker.job = lambda: self._main(thread)
        if self.started and self.current is not None:
            thread.parent = self.current.id
            thread.born = len(self.trace) - 1
        thread.since = -1
        self.threads.append(thread)
        return thread

    # The baton: the thread that holds it runs, all others wait for it.

    def _main(self, me: Thread) -> None:
        try:
            if self.failure is None:
                me.fn()
        except Abandon:
            pass
        except BaseException as exc:
            if self.failure is None:
                text = "".join(traceback.format_exception(exc)[-6:])
                self._fail(f"thread {me.id} {me.name} raised:\n{text}")
        me.done = True
        me.op = "end"
        try:
            self._give(me)
        except Abandon:
            self._over.release()

    def _give(self, me: Thread) -> None:
        if self.failure is not None or all(t.done for t in self.threads):
            self._over.release()
            return
        following = self._choose(me)
        following.worker.baton.release()

    def point(self, op: str, cell: Any, deadline: int | None) -> None:
        me = self.current
        if me is None or me.worker.ident != _thread.get_ident():
            return  # the test itself, before or after the schedule
        if self.failure is not None:
            raise Abandon
        me.op = op
        me.cell = cell
        me.deadline = deadline
        following = self._choose(me)
        if following is not me:
            following.worker.baton.release()
            me.worker.baton.acquire()
            if self.failure is not None:
                raise Abandon

    def _choose(self, me: Thread | None) -> Thread:
        if self.always is not None:
            try:
                self.always()
            except AssertionError as exc:
                self._fail(str(exc))
                raise Abandon from None
        ready, lazy = [], []
        now = self.now
        for t in self.threads:
            if not t.done:
                if t.ready(now):
                    ready.append(t)
                elif t.deadline is not None and t.op in ("sleep", "usleep"):
                    lazy.append(t)
        if ready or len(lazy) > 1:
            soon = [t for t in lazy if t.deadline - now <= PATIENCE]  # type: ignore[operator]
            lazy = soon or (lazy if not ready else [])
        if len(ready) > 1 and me in ready and not self._fair():
            ready.remove(me)
        if me is not None and me in ready:
            default = me
            prev = me.id
        elif ready:
            default = min(ready, key=lambda t: t.since)
            prev = -1
        elif lazy:
            default = min(lazy, key=lambda t: t.deadline or 0)
            prev = -1
        else:
            self._fail("deadlock: none of these threads can ever go on")
            raise Abandon
        if len(self.trace) >= self.max_steps:
            self._fail(f"livelock: not over after {self.max_steps} steps")
            raise Abandon
        step = Step(
            default.id, "", None, False, prev, default.id,
            tuple([t.id for t in ready]), tuple([t.id for t in lazy]), self.preemptions,
        )  # fmt: skip
        if len(ready) + len(lazy) > 1:
            step.tid = self.pick(self, step)
        chosen = self.threads[step.tid]
        step.op, step.cell = chosen.op, chosen.cell
        step.done.add(step.tid)
        self.preemptions += step.cost(step.tid)
        if chosen.deadline is not None and chosen.deadline > now and step.tid in step.lazy:
            self.now = chosen.deadline
            step.jumped = True
        if chosen is not me:
            self.turn = len(self.trace)
        chosen.since = len(self.trace)
        chosen.deadline = None
        self.trace.append(step)
        self.current = chosen
        return chosen

    def _fair(self) -> bool:
        """May the thread that runs go on?  Not if it may be turning round and round."""
        if len(self.trace) - self.turn < FAIR:
            return True
        self.turn = len(self.trace)
        self.tired = self.current.id if self.current is not None else None
        return False

    def _fail(self, what: str) -> None:
        self.failure = what
        self.positions = "".join(t.position() for t in self.threads)

    def run(self) -> None:
        """Run all threads to their end; raises nothing, see `failure`."""
        global _running
        _running = self
        self.started = True
        try:
            if self.threads:
                self._choose(None).worker.baton.release()
                self._over.acquire()
            for t in self.threads:  # after a failure: unwind them, one at a time
                if not t.done:
                    self.current = t
                    t.worker.baton.release()
                    self._over.acquire()
        finally:
            self.current = None
            _running = None
            self.pool.extend(t.worker for t in self.threads)

    def schedule(self) -> str:
        return " ".join(f"{i}:{s.tid}" for i, s in enumerate(self.trace) if s.tid != s.default)

    def steps(self) -> str:
        return "\n".join(
            f"{i:5} {'*' if s.tid != s.default else ' '} {self.threads[s.tid].name:10} {s.op:7} "
            f"{getattr(s.cell, 'name', '')}"
            for i, s in enumerate(self.trace)
        )


# -- which schedules ----------------------------------------------------------


class Replay:
    """One schedule, given by its deviations from the default."""

    def __init__(self, schedule: str) -> None:
        self.at = {int(i): int(t) for i, t in (item.split(":") for item in schedule.split())}

    def pick(self, run: Execution, step: Step) -> int:
        return self.at.get(len(run.trace), step.default)

    def another(self, run: Execution) -> bool:
        return False


class Dfs:
    """Depth first over the relevant schedules with few preemptions."""

    def __init__(self, preemptions: int) -> None:
        self.bound = preemptions
        self.nodes: list[Step] = []  # the part that the next schedule has in common
        self.forced: list[int] = []

    def pick(self, run: Execution, step: Step) -> int:
        i = len(run.trace)
        return self.forced[i] if i < len(self.forced) else step.default

    def another(self, run: Execution) -> bool:
        trace = run.trace
        for i, old in enumerate(self.nodes):
            trace[i].backtrack, trace[i].done = old.backtrack, old.done
        self._conflicts(trace, run.threads)
        for i in range(len(trace) - 1, -1, -1):
            node = trace[i]
            for tid in sorted(node.backtrack - node.done):
                if node.before + node.cost(tid) <= self.bound:
                    node.done.add(tid)
                    self.nodes = trace[: i + 1]
                    self.forced = [s.tid for s in trace[:i]] + [tid]
                    return True
        return False

    def _conflicts(self, trace: list[Step], threads: list[Thread]) -> None:
        """For each operation: before which earlier one of another thread could it have been?

        Clocks are vectors: clock[t][u] is the last step of u that t's next one
        comes after, by any chain of conflicts.
        """
        n = len(threads)
        clock = [[-1] * n for _ in range(n)]
        after: list[list[int]] = []
        writes: dict[int, tuple[int, list[int]]] = {}
        reads: dict[int, dict[int, int]] = {}
        begun = [False] * n
        for i, step in enumerate(trace):
            t = step.tid
            mine = clock[t]
            if not begun[t]:
                begun[t] = True
                if threads[t].parent >= 0 and threads[t].born >= 0:
                    mine[:] = after[threads[t].born]
            for cell, write in touched(step):
                key = id(cell)
                last = writes.get(key)
                if step.op != "unlock":
                    if last is not None and last[0] > mine[trace[last[0]].tid]:
                        self._retry(trace, last[0], t)
                    if write:
                        for u, j in reads.get(key, {}).items():
                            if u != t and j > mine[u]:
                                self._retry(trace, j, t)
                if last is not None:
                    _join(mine, last[1])
                if write:
                    for j in reads.pop(key, {}).values():
                        _join(mine, after[j])
            mine[t] = i
            snapshot = mine[:]
            after.append(snapshot)
            for cell, write in touched(step):
                key = id(cell)
                if not write:
                    reads.setdefault(key, {})[t] = i
                elif step.op == "unlock":
                    # A lock can only come after the unlock, but may come before the lock.
                    writes[key] = (writes[key][0] if key in writes else i, snapshot)
                else:
                    writes[key] = (i, snapshot)

    def _retry(self, trace: list[Step], j: int, tid: int) -> None:
        self._offer(trace[j], tid)
        # With a bound on preemptions: also where that thread could have gone for less.
        while j > 0 and trace[j - 1].tid == trace[j].tid:
            j -= 1
        self._offer(trace[j], tid)

    def _offer(self, node: Step, tid: int) -> None:
        if tid in node.ready or tid in node.lazy:
            node.backtrack.add(tid)
        else:
            node.backtrack.update(node.ready, node.lazy)


def touched(step: Step) -> Iterator[tuple[Any, bool]]:
    """What the step reads (False) or writes (True), as far as others can see."""
    if step.cell is not None and step.op != "usleep":
        yield step.cell, step.op not in ("load", "clock")
    if step.jumped:
        yield CLOCK, True


def _join(mine: list[int], other: list[int]) -> None:
    for k, v in enumerate(other):
        if v > mine[k]:
            mine[k] = v


class Walk:
    """Random schedules.

    Half of them walk: at each point with a small chance somebody else goes on.
    The others give each thread a priority, and lower that of the running one at a
    few random points (Burckhardt et al., 2010: probabilistic concurrency testing).
    """

    def __init__(self, seed: int, schedules: int) -> None:
        self.seed = seed
        self.left = schedules
        self.length = 100
        self._begin()

    def _begin(self) -> None:
        self.rng = random.Random(self.seed)
        self.chance = self.rng.choice((0.02, 0.1, 0.3))
        self.walks = self.seed % 2 == 0
        self.priority: dict[int, float] = {}
        self.changes = {self.rng.randrange(self.length) for _ in range(self.rng.randrange(1, 5))}

    def pick(self, run: Execution, step: Step) -> int:
        rng = self.rng
        if step.lazy and rng.random() < 0.02:
            return rng.choice(step.lazy)
        if not step.ready:
            return step.default
        if self.walks:
            return rng.choice(step.ready) if rng.random() < self.chance else step.default
        for tid in step.ready:
            if tid not in self.priority:
                self.priority[tid] = 1 + rng.random()
        if run.tired is not None:  # below all others
            self.priority[run.tired] = min(self.priority.values()) - 1
            run.tired = None
        if len(run.trace) in self.changes or (step.prev < 0 and rng.random() < 0.05):
            top = max(step.ready, key=self.priority.__getitem__)
            self.priority[top] = rng.random()
        return max(step.ready, key=self.priority.__getitem__)

    def another(self, run: Execution) -> bool:
        self.length = max(self.length, len(run.trace))
        self.left -= 1
        self.seed += 1
        self._begin()
        return self.left > 0


# -- exploring ----------------------------------------------------------------


class World:
    """What a scenario works with: one uncompiled copy of gopark, and the schedule."""

    def __init__(self, gopark: types.ModuleType, run: Execution) -> None:
        self.gopark = gopark
        self.proc = gopark.runtime.proc
        self.sched = gopark.runtime.runtime2.sched
        self.seam = gopark.runtime.seam
        self.spawn = run.spawn
        self.execution = run

    def cell(self, value: Any = 0, name: str = "") -> Any:
        """A field of the scenario's own that its threads share."""
        return self.seam.Cell(value, name)

    def go(self, fn: Callable[..., Any], *args: Any) -> Any:
        """``gopark.go``; the coroutine is made only when the goroutine first runs."""
        return self.proc.go_((fn, args, {}), fn.__name__)

    def work(self) -> None:
        """Plain code of the user's, in the middle of which anything may happen."""
        self.seam.point("work", None)

    def check_sched(self) -> None:
        check_sched(self.sched)


Scenario = Callable[[World], Callable[[], Any] | None]


@dataclass
class Explored:
    """What :func:`explore` has done."""

    schedules: int
    steps: int
    exhausted: bool  # all that the bound allows


_loaded: dict[Any, types.ModuleType] = {}


def core(plant: Plant | None = None, fine: bool = False) -> types.ModuleType:
    """The uncompiled copy with that bug planted, loaded once."""
    key = repr(sorted((plant or {}).items())), fine
    if key not in _loaded:
        package = load(plant, _prepare_fine if fine else _prepare)
        package.runtime.proc._thread = _Threads
        package.runtime.runtime2.hooks["otherthreads"] = _otherthreads
        _loaded[key] = package
    return _loaded[key]


def _otherthreads() -> bool:
    """Does a thread live that is neither an M nor the one that called run?"""
    assert _running is not None
    return any(not t.done and t.name.startswith("foreign") for t in _running.threads)


def _reset(gopark: types.ModuleType) -> None:
    """Forget what earlier schedules left in the modules."""
    runtime2, errors, awaits = (
        gopark.runtime.runtime2, gopark.runtime.errors, gopark.runtime.awaits,
    )  # fmt: skip
    for failure in errors.untaken():
        failure.take()
    awaits._panics.clear()
    awaits._asyncgens.clear()
    awaits._orphans.clear()
    fresh = runtime2.Sched.__new__(runtime2.Sched)
    fresh.unwait = runtime2.sched.unwait
    runtime2.sched.__dict__.update(fresh.__dict__)
    gopark.runtime.chan._ids.v = 0
    gopark.runtime.seam.tlsset(None)


def explore(
    scenario: Scenario,
    *,
    preemptions: int | None = 2,
    schedules: int = 20_000,
    seed: int = 1,
    seconds: float = 20.0,
    plant: Plant | None = None,
    fine: bool = False,
    replay: str | None = None,
    trace: bool = False,
    max_steps: int = MAX_STEPS,
) -> Explored:
    """Run `scenario` on many schedules; raises Found for the first on which it fails.

    Args:
        preemptions: the bound of the search; None for random schedules.
        schedules: how many at most.
        seed: of the random ones.
        seconds: how long at most; a search that is cut short is not an error.
        plant: a bug to load the core with, see uncompiled.load.
        fine: switch after an atomic write as well as before the next operation, and so
            see what a thread publishes before it has written the plain fields for it.
        replay: run this schedule only.
        trace: print the steps of each schedule.
    """
    gopark = core(plant, fine)
    strategy: Any
    if replay is not None:
        strategy = Replay(replay)
    elif preemptions is None:
        strategy = Walk(seed, int(schedules * EFFORT))
    else:
        strategy = Dfs(preemptions)
    pool: list[_Worker] = []
    until = time.monotonic() + seconds * EFFORT
    done = Explored(0, 0, False)
    with _quiet():
        try:
            while True:
                run = _once(gopark, scenario, strategy, pool, max_steps)
                done.schedules += 1
                done.steps += len(run.trace)
                if trace:
                    print(run.steps())
                if run.failure is not None:
                    raise Found(run.failure, run.schedule(), run.positions, done.schedules)
                if not strategy.another(run):
                    done.exhausted = True
                    return done
                if done.schedules >= schedules * EFFORT or time.monotonic() > until:
                    return done
        finally:
            for worker in pool:
                worker.end()
            _reset(gopark)


def _once(
    gopark: types.ModuleType, scenario: Scenario, strategy: Any, pool: list[_Worker], max_steps: int
) -> Execution:
    _reset(gopark)
    run = Execution(strategy.pick, pool)
    run.max_steps = max_steps
    sched = gopark.runtime.runtime2.sched
    run.always = lambda: check_always(sched)
    check = scenario(World(gopark, run))
    run.run()
    if run.failure is None and check is not None:
        try:
            check()
        except Exception as exc:
            run.failure = "after the schedule: " + "".join(traceback.format_exception(exc)[-3:])
    return run


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No collector at a moment of its own choice, and no noise from unwound threads."""
    hook = sys.unraisablehook

    def unraisable(args: Any) -> None:
        # Of a program that fails twice the first failure is raised, and is enough here.
        second = str(args.err_msg).startswith("Exception ignored in goroutine")
        if not isinstance(args.exc_value, Abandon) and not second:
            hook(args)

    enabled = gc.isenabled()
    gc.disable()
    sys.unraisablehook = unraisable
    try:
        yield
    finally:
        gc.collect()
        sys.unraisablehook = hook
        if enabled:
            gc.enable()


def program(main: Callable[..., Any], procs: int = 2, **kwargs: Any) -> Scenario:
    """A scenario that runs the whole program ``main(w)``, and afterwards ``main``'s own check.

    `main` may return a function, which is called after the program's end.
    """

    def scenario(w: World) -> Callable[[], Any]:
        results: deque[Any] = deque()

        def m0() -> None:
            reason, value, result, failed, report, stuck = w.proc.rt_run(
                [(main, (w,), {})], procs, maxgoroutines=0, maxthreads=10_000, seed=12345
            )
            try:
                results.append(w.gopark._run._outcome(reason, value, result, failed, report, stuck))
            except w.gopark.Deadlock as exc:
                raise AssertionError(f"the program's goroutines are all asleep: {exc}") from None

        w.spawn(m0, name="M0")
        w.execution.max_steps = kwargs.get("max_steps", MAX_STEPS)

        def check() -> None:
            result = results.popleft()
            if callable(result):
                result()

        return check

    return scenario
