"""How an M looks for work: the order of the queues, stealing, spinning, waking."""

from collections.abc import Callable

import pytest

from gopark.runtime.export_test import World, counts

Worlds = Callable[[int], World]


def test_every_61st_tick_the_global_queue_goes_first(world: Worlds) -> None:
    w = world(1)
    fromglobal = []
    for tick in range(200):
        w.set_schedtick(0, tick)
        local, other = w.g(), w.g()
        w.runqput(0, local, False)
        w.globrunqput(other)
        found, inherits = w.picknext()
        assert not inherits
        if found == other:
            fromglobal.append(tick)
            assert w.runqget(0)[0] == local
        else:
            assert found == local
            assert w.globrunqget(0, 1) == other
    assert fromglobal == [0, 61, 122, 183]


def test_the_61st_tick_beats_runnext_and_takes_one(world: Worlds) -> None:
    w = world(1)
    w.set_schedtick(0, 61)
    urgent, *queued = (w.g() for _ in range(4))
    w.runqput(0, urgent, True)
    for g in queued:
        w.globrunqput(g)
    assert w.picknext() == (queued[0], False)
    assert w.globq() == queued[1:]
    assert w.picknext() == (queued[1], False)  # the tick stands still: nothing was executed
    w.set_schedtick(0, 62)
    assert w.picknext() == (urgent, True)


def test_local_before_global_before_stolen(world: Worlds) -> None:
    w = world(2)
    w.busy(1)
    w.set_schedtick(0, 1)
    local, other, theirs = w.g(), w.g(), w.g()
    w.runqput(1, theirs, False)
    w.globrunqput(other)
    w.runqput(0, local, False)
    assert [w.findrunnable() for _ in range(3)] == [local, other, theirs]
    assert w.spins()  # it had to steal


def test_all_victims_are_found(world: Worlds) -> None:
    w = world(8)
    for victim in range(1, 8):
        w.busy(victim)
    for victim in range(1, 8):
        g = w.g()
        w.runqput(victim, g, False)
        assert w.findrunnable() == g


def test_victims_are_in_random_order(world: Worlds) -> None:
    w = world(4)
    first = set()
    for victim in (1, 2, 3):
        w.busy(victim)
    for _ in range(200):
        mine = {}
        for victim in (1, 2, 3):
            mine[g := w.g()] = victim
            w.runqput(victim, g, False)
        first.add(mine[w.findrunnable()])
        for victim in (1, 2, 3):
            while w.runqget(victim)[0] is not None:
                pass
    assert first == {1, 2, 3}


def test_idle_ps_are_no_victims_but_their_timers_are_run(world: Worlds) -> None:
    w = world(2)
    w.idle(1)
    g = w.g()
    w.add_timer(1, g)
    assert w.findrunnable() == g


@pytest.mark.parametrize("n", [1, 2, 50])
def test_timers_of_a_busy_p_are_stolen(world: Worlds, n: int) -> None:
    """They are run where the thief is, and their goroutines land in its queue."""
    w = world(2)
    w.busy(1)
    sleepers = [w.g() for _ in range(n)]
    for g in sleepers:
        w.add_timer(1, g)
    found = [w.steal_work()]
    while (g := w.runqget(0)[0]) is not None:
        found.append(g)
    assert sorted(found) == sleepers
    assert w.ring(1) == []
    assert w.runnext(1) is None


# -- spinning -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("procs", "idle", "others", "spins"),
    [
        (2, 0, 0, True),
        (2, 0, 1, False),  # one of two busy Ps spins: half
        (8, 0, 3, True),
        (8, 0, 4, False),
        (8, 4, 1, True),
        (8, 4, 2, False),
        (8, 6, 0, True),
        (8, 6, 1, False),
    ],
)
def test_no_more_spin_than_half_of_the_busy_ps(
    world: Worlds, procs: int, idle: int, others: int, spins: bool
) -> None:
    w = world(procs)
    for p in range(1, procs):
        if p < procs - idle:
            w.busy(p)
        else:
            w.idle(p)
    w.set_spinning(False, others)
    assert w.may_spin() is spins


def test_an_m_that_spins_goes_on(world: Worlds) -> None:
    w = world(2)
    w.busy(1)
    w.set_spinning(True, 3)
    assert w.may_spin()


def test_wakep_wakes_one_who_spins(world: Worlds) -> None:
    w = world(4)
    for p in (3, 2, 1):
        w.idle(p)
    m, other = w.idle_m(), w.idle_m()
    w.wakep()
    assert w.handed(other) == (1, True)  # the last to fall asleep is the warmest
    assert counts()["nmspinning"] == 1
    assert counts()["npidle"] == 2
    w.wakep()  # one spins already
    assert counts()["npidle"] == 2
    assert w.handed(m) == (None, False)


def test_wakep_without_an_idle_p(world: Worlds) -> None:
    w = world(2)
    w.busy(1)
    m = w.idle_m()
    w.wakep()
    assert w.handed(m) == (None, False)
    assert counts()["nmspinning"] == 0


def test_the_last_to_spin_wakes_another_when_it_finds_work(world: Worlds) -> None:
    w = world(2)
    w.idle(1)
    m = w.idle_m()
    w.set_spinning(True, 1)
    w.resetspinning()  # another still spins
    assert (w.spins(), w.handed(m)) == (False, (None, False))
    w.set_spinning(True, 0)
    w.resetspinning()
    assert (w.spins(), w.handed(m)) == (False, (1, True))


# -- taking a P away ----------------------------------------------------------


def test_retake_takes_only_from_user_code(world: Worlds) -> None:
    w = world(3)
    w.idle(2)
    assert not w.retake(0)  # the M of this thread is inside the runtime
    assert not w.retake(2)  # nobody's
    w.set_spinning(False, 1)
    w.busy(1)
    assert w.retake(1)
    assert not w.retake(1)


def test_a_taken_p_with_work_gets_an_m(world: Worlds) -> None:
    w = world(2)
    w.busy(1)
    w.runqput(1, w.g(), False)
    m = w.idle_m()
    assert w.retake(1)
    assert w.handed(m) == (1, False)


def test_a_taken_p_gets_an_m_for_the_global_queue(world: Worlds) -> None:
    w = world(2)
    w.busy(1)
    w.globrunqput(w.g())
    m = w.idle_m()
    assert w.retake(1)
    assert w.handed(m) == (1, False)


def test_a_taken_p_looks_for_work_if_nobody_does(world: Worlds) -> None:
    w = world(2)
    w.busy(1)
    m = w.idle_m()
    assert w.retake(1)
    assert w.handed(m) == (1, True)


def test_a_taken_p_is_idle_if_others_look_for_work(world: Worlds) -> None:
    w = world(2)
    w.busy(1)
    w.set_spinning(False, 1)
    m = w.idle_m()
    assert w.retake(1)
    assert w.handed(m) == (None, False)
    assert counts()["npidle"] == 1


# -- nothing can run ----------------------------------------------------------


def test_dead_when_all_sleep_and_nothing_is_queued(world: Worlds) -> None:
    w = world(2)
    w.idle(1)
    w.idle_m()
    assert w.checkdead()


def test_not_dead_with_something_queued(world: Worlds) -> None:
    w = world(2)
    w.globrunqput(w.g())
    assert not w.checkdead()
    w.globrunqget(0, 0)
    assert w.checkdead()
    w.runqput(1, w.g(), True)
    assert not w.checkdead()


def test_not_dead_with_a_timer(world: Worlds) -> None:
    w = world(2)
    w.add_timer(1, w.g())
    assert not w.checkdead()
