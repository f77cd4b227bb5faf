"""The core's protocols on every relevant schedule, and proof that the explorer sees bugs.

For each protocol there is a scenario, a test that no schedule breaks it, and the
classic bugs of its kind, planted one at a time: the explorer must find each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from explore.check import globalqueue, localqueue
from explore.explorer import Found, World, explore, program

#: Bugs that need several things to come together are found faster by chance.
RANDOM: Any = {"preemptions": None, "schedules": 40000}


def find(scenario: Any, module: str, *changes: tuple[str, str], **options: Any) -> Found:
    """The failure that the planted bug leads to; its schedule leads there again."""
    plant = {f"runtime.{module}": changes}
    options.setdefault("seconds", 60)  # a slow machine must find it, too
    with pytest.raises(Found) as found:
        explore(scenario, plant=plant, **options)
    options = {"fine": options.get("fine", False)}
    with pytest.raises(Found, match="found in schedule 1;") as again:
        explore(scenario, plant=plant, replay=found.value.schedule, **options)
    assert again.value.what.splitlines()[0] == found.value.what.splitlines()[0]
    return found.value


# -- a P's queue: put, get, overflow and steal --------------------------------


def runq(w: World) -> Callable[[], None]:
    """The owner puts four goroutines into a ring of two, and takes two; a thief steals twice."""
    proc, sched = w.proc, w.sched
    proc._runqmask = 1
    try:
        p1, p2 = proc.newp(0), proc.newp(1)
    finally:
        proc._runqmask = 255
    sched.gomaxprocs = 2
    m1, m2 = proc.allocm(), proc.allocm()
    w.seam.astore(p1.status, 1)  # _Prunning: a thief leaves its runnext a moment
    made = []
    for i in range(4):
        g = w.gopark.G.__new__(w.gopark.G)
        g.goid = i
        made.append(g)
    taken: list[Any] = []

    def owner() -> None:
        for g in made:
            proc.runqput(p1, g, g.goid % 2 == 0)
        for _ in range(2):  # the first is its runnext
            taken.append(proc.runqget(m1, p1))

    def thief() -> None:
        for last in (False, True):
            taken.append(proc.runqsteal(p2, p1, last))
            taken.append(proc.runqget(m2, p2))

    w.spawn(owner)
    w.spawn(thief)

    def check() -> None:
        seen = [g for g in taken if g is not None]
        seen += localqueue(p1) + localqueue(p2) + globalqueue(sched)
        assert sorted(g.goid for g in seen) == [0, 1, 2, 3], "not every goroutine exactly once"
        assert sched.runqsize.v == len(globalqueue(sched))

    return check


def test_a_queue_loses_and_doubles_nothing() -> None:
    assert explore(runq, preemptions=3, fine=True, seconds=2.5).schedules > 500
    explore(runq, preemptions=None, schedules=300)


GET = """        g = pp.runq[h & pp.runqmask]
        if acas(pp.runqhead, h, h + 1):
            return gptr(g)
"""


def test_finds_a_get_that_does_not_compete_with_thieves() -> None:
    bug = GET, GET.replace("if acas(pp.runqhead, h, h + 1):", "if not astore(pp.runqhead, h + 1):")
    find(runq, "proc", bug)


def test_finds_a_slot_that_is_written_after_it_can_be_seen() -> None:
    slot = "            pp.runq[t & pp.runqmask] = g\n"
    tail = "            astore(pp.runqtail, t + 1)  # now thieves may have it\n"
    find(runq, "proc", (slot + tail, tail + slot), fine=True)


def test_finds_an_overflow_that_does_not_claim_its_half() -> None:
    claim = "    if not acas(pp.runqhead, h, h + n):\n        return False\n"
    find(runq, "proc", (claim, "    astore(pp.runqhead, h + n)\n"))


# -- work comes while an M goes to sleep --------------------------------------


async def wakeup(w: World) -> None:
    """main makes a goroutine, and then blocks its thread until that has run elsewhere."""
    note = w.seam.Note("main's own note")

    async def other() -> None:
        w.seam.notewakeup(note)

    async def first() -> None:
        pass

    w.go(first)  # brings up the second M, which runs out of work
    w.work()
    w.go(other)
    w.seam.notetsleep(note, -1)


def test_no_wakeup_is_lost() -> None:
    explore(program(wakeup), preemptions=2, seconds=3)
    explore(program(wakeup), preemptions=None, schedules=300)


def test_finds_a_sleeper_that_does_not_look_again() -> None:
    again = "        if aload(sched.runqsize) or checkRunqsNoP():\n"
    found = find(program(wakeup), "proc", (again, "        if False:\n"), **RANDOM)
    assert "deadlock" in found.what


async def pingpong(w: World) -> None:
    """Parking against readying, both ways, on two Ms."""
    c = w.gopark.Chan()

    async def send() -> None:
        await c.send(1)
        await c.send(2)

    w.go(send)
    assert await c.recv() == 1
    assert await c.recv() == 2


def test_park_and_ready_meet() -> None:
    explore(program(pingpong), preemptions=2, seconds=3)
    explore(program(pingpong), preemptions=None, schedules=300)


def test_finds_a_park_that_looks_before_it_leaps() -> None:
    cas = "    if acas(gp.parkstate, PS_PARKING, PS_PARKED):\n        return False\n"
    bug = (
        "    if aload(gp.parkstate) == PS_PARKING:\n"
        "        astore(gp.parkstate, PS_PARKED)\n"
        "        return False\n"
    )
    find(program(pingpong), "proc", (cas, bug), **RANDOM)


def test_finds_a_ready_that_looks_before_it_leaps() -> None:
    xchg = "    if axchg(gp.parkstate, PS_READY) != PS_PARKED:\n        return"
    bug = (
        "    if aload(gp.parkstate) != PS_PARKED:\n"
        "        astore(gp.parkstate, PS_READY)\n"
        "        return"
    )
    find(program(pingpong), "proc", (xchg, bug), **RANDOM)


# -- channels and select ------------------------------------------------------


def idle(*channels: Any) -> None:
    for c in channels:
        assert c.recvq.first is None, "somebody still stands in the receivers' queue"
        assert c.sendq.first is None, "somebody still stands in the senders' queue"


async def sendcloseselect(w: World) -> Callable[[], None]:
    """Two senders and a close meet a select that receives from both channels."""
    gopark = w.gopark
    a, b = gopark.Chan(), gopark.Chan()
    sent: list[Any] = []
    got: list[Any] = []

    async def send(c: Any, value: int) -> None:
        try:
            await c.send(value)
            sent.append(value)
        except gopark.ChanClosed:
            sent.append(None)

    async def receive() -> None:
        cases = [a, b]
        while cases != [None, None]:
            i, value = await gopark.select(*cases)
            if value is gopark.CLOSED:
                cases[i] = None
            else:
                got.append(value)

    tasks = [w.go(send, a, 1), w.go(send, b, 2), w.go(receive)]
    await gopark.gosched()
    a.close()
    await tasks[1]
    await tasks[0]
    b.close()
    await tasks[2]

    def check() -> None:
        assert sorted(got) == sorted(v for v in sent if v is not None), (sent, got)
        idle(a, b)
        w.check_sched()

    return check


def test_send_close_and_select() -> None:
    explore(program(sendcloseselect), preemptions=1, seconds=2.5)
    explore(program(sendcloseselect), preemptions=None, schedules=300)


async def twosenders(w: World) -> Callable[[], None]:
    """One select, two senders: one of them wins, and the other stays."""
    gopark = w.gopark
    a, b = gopark.Chan(), gopark.Chan()

    async def send(c: Any) -> None:
        await c.send(c.id)

    w.go(send, a)
    w.go(send, b)
    i, value = await gopark.select(a, b)
    rest = (b, a)[i]
    assert await rest.recv() == rest.id
    assert value == (a, b)[i].id
    return lambda: idle(a, b)


def test_a_select_fires_once() -> None:
    explore(program(twosenders), preemptions=2, seconds=2.5)


def test_finds_a_select_that_two_partners_win() -> None:
    cas = (
        "            if not acas(gp.selectDone, 0, 1):\n                continue\n        return sg"
    )
    bug = (
        "            if aload(gp.selectDone):\n"
        "                continue\n"
        "            astore(gp.selectDone, 1)\n"
        "        return sg"
    )
    find(
        program(twosenders, procs=3), "chan",
        ("    from .seam import aadd64,", "    from .seam import astore, aadd64,"), (cas, bug),
        **RANDOM,
    )  # fmt: skip


async def twoselects(w: World) -> Callable[[], None]:
    """Each of two selects offers to send on one channel and to receive from the other."""
    gopark = w.gopark
    a, b = gopark.Chan(), gopark.Chan()
    done = []

    async def other() -> None:
        done.append(await gopark.select(b, (a, "other")))

    g = w.go(other)
    done.append(await gopark.select(a, (b, "main")))
    await g

    def check() -> None:
        assert sorted(done, key=str) in ([(0, "main"), (1, None)], [(0, "other"), (1, None)]), done
        idle(a, b)
        w.check_sched()

    return check


def test_select_against_select() -> None:
    explore(program(twoselects), preemptions=2, seconds=2.5)
    explore(program(twoselects), preemptions=None, schedules=300)


def test_finds_locks_taken_out_of_order() -> None:
    bug = "    return head if sorted_ else sortsudogs(head)\n", "    return head\n"
    found = find(program(twoselects), "select", bug)
    assert "deadlock" in found.what


async def selecttimeout(w: World) -> Callable[[], None]:
    """A select times out while a sender comes: one of the two, never both or none."""
    gopark = w.gopark
    c = gopark.Chan()
    got = []

    async def send() -> None:
        await gopark.sleep(0.01)
        await c.send("value")

    g = w.go(send)
    try:
        got.append((await gopark.select(c, timeout=0.01))[1])
    except TimeoutError:
        got.append(await c.recv())
    await g

    def check() -> None:
        assert got == ["value"]
        idle(c)
        w.check_sched()

    return check


def test_select_timeout_against_a_sender() -> None:
    explore(program(selecttimeout), preemptions=1, seconds=2.5)
    explore(program(selecttimeout), preemptions=None, schedules=300)


# -- taking a P while its goroutine comes back --------------------------------


async def retaken(w: World) -> Callable[[], None]:
    """A thread takes every P that runs user code, again and again, as sysmon will."""

    over = w.seam.Note("sysmon's end")

    def sysmon() -> None:
        for _ in range(2):
            for p in list(w.sched.allp):
                w.proc.retake(p)
        w.seam.notewakeup(over)

    done = []

    async def work(name: str) -> None:
        w.work()
        await w.gopark.gosched()
        done.append(name)

    w.spawn(sysmon, name="foreign sysmon")
    tasks = [w.go(work, "a"), w.go(work, "b")]
    for g in tasks:
        await g
    w.seam.notetsleep(over, -1)

    def check() -> None:
        assert sorted(done) == ["a", "b"]
        w.check_sched()

    return check


def test_a_taken_p_is_owned_by_one() -> None:
    explore(program(retaken), preemptions=2, seconds=3)
    explore(program(retaken), preemptions=None, schedules=300)


def test_finds_a_return_that_does_not_look_whether_its_p_was_taken() -> None:
    swap = "    if acas(m.p.status, m.word | _Psyscall, m.word | _Prunning):\n        return 0\n"
    bug = (
        "    if aload(m.p.status) == m.word | _Psyscall:\n"
        "        astore(m.p.status, m.word | _Prunning)\n"
        "        return 0\n"
    )
    found = find(program(retaken), "proc", (swap, bug), **RANDOM)
    assert "two Ms at once" in found.what


async def handedoff(w: World) -> Callable[[], None]:
    """main blocks the only P's thread until another goroutine has run: sysmon makes that so."""
    note = w.seam.Note("main's own note")
    over = w.seam.Note("sysmon's end")

    async def other() -> None:
        w.seam.notewakeup(note)

    def sysmon() -> None:
        w.proc.retake(w.sched.allp[0])
        w.seam.notewakeup(over)

    g = w.go(other)
    w.spawn(sysmon, name="foreign sysmon")
    w.seam.notetsleep(over, -1)
    w.seam.notetsleep(note, -1)
    await g
    return w.check_sched


def test_a_blocked_goroutine_hands_its_p_off() -> None:
    explore(program(handedoff, procs=1), preemptions=2, seconds=3)
    explore(program(handedoff, procs=1), preemptions=None, schedules=300)


def test_finds_a_handoff_that_forgets_the_queue() -> None:
    queue = "    if not runqempty(pp) or aload(sched.runqsize):\n        startm(pp, False)\n"
    bug = "    if aload(sched.runqsize):\n        startm(pp, False)\n"
    spins = "    if aload(sched.nmspinning) + aload(sched.npidle) == 0 and acas"
    found = find(
        program(handedoff, procs=1), "proc", (queue, bug), (spins, "    if False and acas"),
    )  # fmt: skip
    assert "deadlock" in found.what


def test_finds_a_goroutine_that_leaves_its_frames_behind() -> None:
    """Its Python frames are on the thread that it blocked: it can go on nowhere else."""
    find(program(handedoff, procs=1), "proc", ("        gp.lockedm = m\n", ""))


# -- the world stops ----------------------------------------------------------


async def resized(w: World) -> Callable[[], None]:
    """The number of Ps changes while goroutines run and Ms come and go."""
    gopark = w.gopark

    async def work() -> None:
        await gopark.gosched()

    g = w.go(work)
    gopark.gomaxprocs(1)
    await g
    g = w.go(work)
    gopark.gomaxprocs(2)
    await g
    return w.check_sched


async def resizedtwice(w: World) -> Callable[[], None]:
    gopark = w.gopark

    async def work() -> None:
        gopark.gomaxprocs(3)

    g = w.go(work)
    gopark.gomaxprocs(1)
    await g
    return w.check_sched


def test_the_world_stops_and_starts() -> None:
    explore(program(resized), preemptions=1, seconds=2.5)
    explore(program(resized), preemptions=None, schedules=300)
    explore(program(resizedtwice), preemptions=1, seconds=2.5)
    explore(program(resizedtwice), preemptions=None, schedules=300)


def test_finds_a_p_that_is_taken_on_its_way_to_an_m() -> None:
    """An idle P that is not in the idle list has been promised to an M already."""
    right = "if word & 7 != _Psyscall or not acas(pp.status, word, _Pgcstop)"
    wrong = "if word & 7 == _Prunning or not acas(pp.status, word, _Pgcstop)"
    found = find(program(resized), "proc", (right, wrong), **RANDOM)
    assert "two Ms at once" in found.what


# -- timers, joins and the program's end --------------------------------------


async def timerstop(w: World) -> Callable[[], None]:
    """A timer is stopped while it fires: then nothing is received from it any more."""
    gopark = w.gopark
    timer = gopark.time.Timer(0.01)
    await gopark.sleep(0.01)
    stopped = timer.stop()
    left = len(timer.c)
    timer.reset(0.01)
    await timer.c.recv()
    again = timer.reset(0.01)
    timer.stop()

    def check() -> None:
        assert left == 0, f"stop gave {stopped}, and left a value"
        assert not again, "it had fired, and been received"
        assert len(timer.c) == 0
        w.check_sched()

    return check


def test_timers_stop_while_they_fire() -> None:
    explore(program(timerstop), preemptions=2, seconds=2.5)
    explore(program(timerstop), preemptions=None, schedules=300)


def test_finds_a_firing_that_comes_after_the_stop() -> None:
    bug = "    if aload(t.seq) == seq:\n", "    if True:\n"
    find(program(timerstop), "time", bug, **RANDOM)


async def joined(w: World) -> Callable[[], None]:
    """Two wait for a goroutine that is just ending."""

    async def short() -> str:
        return "result"

    async def other() -> str:
        return str(await g)

    g = w.go(short)
    h = w.go(other)
    assert await g == "result"
    assert await h == "result"
    return w.check_sched


def test_join_against_the_end() -> None:
    explore(program(joined), preemptions=2, seconds=2.5)
    explore(program(joined), preemptions=None, schedules=300)


def test_finds_an_end_that_looks_for_waiters_too_early() -> None:
    dead = (
        "    gp.status_ = _Gdead\n    w: G = gptr(gp.waiters)\n"
        "    gp.waiters = ref(None)\n    unlock"
    )
    early = (
        "    w: G = gptr(gp.waiters)\n    gp.waiters = ref(None)\n"
        "    unlock(gp.lock)\n    lock(gp.lock)\n    gp.status_ = _Gdead\n    unlock"
    )
    find(program(joined), "proc", (dead, early))


async def ended(w: World) -> Callable[[], None]:
    """main returns while the second M starts, steals, and goes to sleep."""

    async def other() -> None:
        await w.gopark.Chan().recv()

    w.go(other)
    return w.check_sched


def test_the_program_ends() -> None:
    explore(program(ended), preemptions=2, seconds=2.5)
    explore(program(ended), preemptions=None, schedules=300)
