"""The run queues: the ring of a P, its runnext, the global queue, and stealing."""

import random
from collections.abc import Callable

import pytest

from gopark.runtime.export_test import World

Worlds = Callable[[int], World]

RING = 256


def put(w: World, n: int, p: int = 0) -> list[int]:
    """Queue `n` new goroutines on a P."""
    new = [w.g() for _ in range(n)]
    for g in new:
        w.runqput(p, g, False)
    return new


def globput(w: World, n: int) -> list[int]:
    new = [w.g() for _ in range(n)]
    for g in new:
        w.globrunqput(g)
    return new


def drain(w: World, p: int = 0) -> list[int]:
    found = []
    while (g := w.runqget(p)[0]) is not None:
        found.append(g)
    return found


def test_first_in_first_out(world: Worlds) -> None:
    w = world(1)
    new = put(w, RING)
    assert w.globq() == []
    assert drain(w) == new


def test_runnext_goes_first_and_inherits(world: Worlds) -> None:
    w = world(1)
    first, second = put(w, 2)
    urgent = w.g()
    w.runqput(0, urgent, True)
    assert [w.runqget(0) for _ in range(4)] == [
        (urgent, True),
        (first, False),
        (second, False),
        (None, False),
    ]


def test_runnext_is_pushed_to_the_rings_end(world: Worlds) -> None:
    w = world(1)
    (first,) = put(w, 1)
    a, b = w.g(), w.g()
    w.runqput(0, a, True)
    w.runqput(0, b, True)
    assert (w.runnext(0), w.ring(0)) == (b, [first, a])


def test_overflow_moves_the_older_half_and_the_new_one(world: Worlds) -> None:
    w = world(1)
    new = put(w, RING + 1)
    assert w.globq() == [*new[:128], new[-1]]
    assert w.ring(0) == new[128:-1]


def test_overflow_by_runnext_moves_the_one_pushed_out(world: Worlds) -> None:
    w = world(1)
    new = put(w, RING)
    a, b = w.g(), w.g()
    w.runqput(0, a, True)
    assert w.globq() == []
    w.runqput(0, b, True)
    assert w.runnext(0) == b
    assert w.globq() == [*new[:128], a]


def test_overflow_again_and_again_keeps_the_order(world: Worlds) -> None:
    w = world(1)
    new = put(w, 4 * RING)
    assert sorted(w.globq() + w.ring(0)) == new
    assert w.ring(0) == sorted(w.ring(0))
    # What overflows leaves in blocks of the older half and the newest one.
    blocks = [w.globq()[i : i + 129] for i in range(0, len(w.globq()), 129)]
    for block in blocks:
        assert block == sorted(block)


def test_counters_may_wrap_around(world: Worlds) -> None:
    w = world(2)
    w.wrap_ring(0)
    new = put(w, RING + 1)
    assert (w.globq(), w.ring(0)) == ([*new[:128], new[-1]], new[128:-1])
    w.wrap_ring(1)
    assert w.runqsteal(1, 0, False) == new[128 + 63]
    assert drain(w, 1) == new[128 : 128 + 63]
    assert drain(w, 0) == new[128 + 64 : -1]


@pytest.mark.parametrize(
    ("queued", "procs", "taken"),
    [
        (1, 1, 1),
        (10, 1, 10),  # all of them, but never more than there are
        (10, 2, 6),  # 10 // 2 + 1
        (100, 8, 13),
        (7, 8, 1),
        (1000, 2, 128),  # half a ring at most
        (1000, 1, 128),
    ],
)
def test_share_of_the_global_queue(world: Worlds, queued: int, procs: int, taken: int) -> None:
    w = world(procs)
    new = globput(w, queued)
    assert w.globrunqget(0, 0) == new[0]
    assert w.ring(0) == new[1:taken]
    assert w.globq() == new[taken:]


def test_share_of_the_global_queue_is_limited_by_max(world: Worlds) -> None:
    w = world(1)
    new = globput(w, 10)
    assert w.globrunqget(0, 1) == new[0]
    assert w.ring(0) == []
    assert w.globrunqget(0, 3) == new[1]
    assert w.ring(0) == new[2:4]


def test_empty_global_queue(world: Worlds) -> None:
    assert world(1).globrunqget(0, 0) is None


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 100, 255, 256])
def test_half_is_stolen(world: Worlds, n: int) -> None:
    w = world(2)
    new = put(w, n, p=1)
    half = n - n // 2
    assert w.runqsteal(0, 1, False) == new[half - 1]  # the newest of them runs at once
    assert w.ring(0) == new[: half - 1]
    assert w.ring(1) == new[half:]
    assert w.stolen(0) == half


def test_runnext_is_stolen_only_in_the_last_round(world: Worlds) -> None:
    w = world(2)
    g = w.g()
    w.runqput(1, g, True)
    w.busy(1)
    assert w.runqsteal(0, 1, False) is None
    assert w.runqsteal(0, 1, True) == g
    assert (w.runnext(1), w.ring(0)) == (None, [])


def test_runnext_stays_while_the_ring_has_some(world: Worlds) -> None:
    w = world(2)
    (queued,) = put(w, 1, p=1)
    g = w.g()
    w.runqput(1, g, True)
    w.busy(1)
    assert w.runqsteal(0, 1, True) == queued
    assert w.runnext(1) == g


def test_nothing_to_steal(world: Worlds) -> None:
    w = world(2)
    assert w.runqsteal(0, 1, True) is None


@pytest.mark.parametrize("slots", [1, 2, 4, 256])
@pytest.mark.parametrize("seed", range(5))
def test_every_goroutine_is_in_one_place(world: Worlds, slots: int, seed: int) -> None:
    """Conservation: whatever moves where, each goroutine is found once."""
    rng = random.Random(seed)
    w = world(3)
    for p in range(3):
        w.shrink_ring(p, slots)
    out: list[int] = []
    made = 0
    for _ in range(3000):
        p = rng.randrange(3)
        match rng.randrange(6):
            case 0 | 1:
                made += 1
                w.runqput(p, w.g(), rng.random() < 0.5)
            case 2:
                made += 1
                w.globrunqput(w.g())
            case 3:
                out.append(w.runqget(p)[0])
            case 4 if not w.ring(p) and slots > 1:
                out.append(w.runqsteal(p, (p + 1) % 3, rng.random() < 0.5))
            case 5 if not w.ring(p):
                out.append(w.globrunqget(p, 0))
    found = [g for g in out if g is not None] + w.globq()
    for p in range(3):
        found += w.ring(p)
        found += [] if w.runnext(p) is None else [w.runnext(p)]
    assert sorted(found) == list(range(1, made + 1))
