"""What is measured, and what gopark aims at: the rows, their units and sizes, the targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

GIL, FREE = "gil", "free"  # the two tables: an interpreter with a GIL, a free-threaded one
BOTH = (GIL, FREE)
PEERS = {
    GIL: ("go", "gopark", "asyncio", "uvloop", "trio", "gevent"),
    FREE: ("go", "gopark", "tonio", "asyncio"),
}


@dataclass(frozen=True)
class Row:
    """One line of a table: a function of the peers' programs and the arguments that it gets."""

    key: str
    title: str
    unit: str
    function: str
    numbers: tuple[int | str, ...] = ()
    explanation: str = ""
    quick: tuple[int | str, ...] | None = None
    procs: int = 1
    tables: tuple[str, ...] = BOTH
    peers: tuple[str, ...] | None = None  # those that have the row; None: all of them
    own_numbers: Mapping[str, tuple[int | str, ...]] = field(default_factory=dict)  # for some peers
    more_is_better: bool = False

    def applies_to(self, peer: str) -> bool:
        return self.peers is None or peer in self.peers

    def numbers_for(self, peer: str, quick: bool) -> tuple[int | str, ...]:
        if quick and self.quick is not None:
            return self.quick
        return self.own_numbers.get(peer, self.numbers)


HUNDRED_THOUSAND = (100_000,)
MILLION = (1_000_000,)
STRUCTURED = ("go", "gopark", "asyncio", "uvloop", "trio", "gevent")  # TonIO: other notions
THREADED = ("go", "gopark", "tonio")

ROWS = (
    Row(
        "switch",
        "yield and switch, 2 goroutines",
        "ns",
        "switch",
        (2,),
        "each gives way in a loop: the time from one to the next",
    ),
    Row(
        "switch1000",
        "yield and switch, 1,000 goroutines",
        "ns",
        "switch",
        (1000,),
        "the same with a run queue longer than a P's own 256 places",
    ),
    Row(
        "spawn",
        "spawn and finish, 1,000 at a time",
        "ns",
        "spawn",
        (1000,),
        "start 1,000 that return at once, wait for each, again and again: what finished is reused",
    ),
    Row(
        "burst",
        "spawn and finish, 100,000 at once",
        "ns",
        "burst",
        HUNDRED_THOUSAND,
        "the same, once, with 100,000: there is nothing yet to reuse",
    ),
    Row(
        "pingpong",
        "unbuffered channel, round trip",
        "ns",
        "pingpong",
        (),
        "a value to another goroutine over one channel and back over a second",
    ),
    Row(
        "buffered",
        "buffered channel, one value",
        "ns",
        "buffered",
        (100,),
        "one producer, one consumer, capacity 100",
    ),
    Row(
        "select_ready",
        "select over 4 channels, ready",
        "ns",
        "select_ready",
        (),
        "all four have been filled beforehand",
    ),
    Row(
        "select_block",
        "select over 4 channels, waiting, and an answer",
        "ns",
        "select_block",
        (),
        "the one in select always has to wait; it answers on a fifth channel: one round trip",
    ),
    Row(
        "fanin",
        "1,000 producers over 4 channels, one value",
        "ns",
        "fanin",
        (1000, 4),
        "each unbuffered channel has one consumer and 250 producers that compete for it",
    ),
    Row(
        "fanin2",
        "the same on 2 Ps",
        "ns",
        "fanin",
        (1000, 4),
        "the price, or the gain, of a second P where everything is contended",
        procs=2,
        tables=(FREE,),
        peers=THREADED,
    ),
    Row(
        "mutex",
        "Mutex that is free: lock and unlock",
        "ns",
        "mutex",
        (),
        "one goroutine in a loop, with the statement that the language has for it",
    ),
    Row(
        "contended",
        "Mutex that 10 want: one turn",
        "ns",
        "contended",
        (10,),
        "each locks it, gives way while it has it, and unlocks it, in a loop",
    ),
    Row(
        "contended2",
        "Mutex that 10 want, on 2 Ps: one turn",
        "ns",
        "contended",
        (10,),
        "the price of a second P where only one goroutine at a time can go on",
        procs=2,
        tables=(FREE,),
        peers=THREADED,
    ),
    Row(
        "group",
        "task group of 10,000",
        "ns",
        "group",
        (10_000,),
        "open it, start that many in it that end at once, and leave it: the time of one",
        peers=STRUCTURED,
    ),
    Row(
        "timeout",
        "timeout around a ready operation",
        "ns",
        "timeout",
        (),
        "a limit of 1 s around giving way once: set it and take it back",
        peers=STRUCTURED,
    ),
    Row(
        "sieve",
        "prime sieve, first 500 primes",
        "ms",
        "sieve",
        (500,),
        "a chain of 500 filters, the classic program",
        quick=(100,),
    ),
    Row(
        "parked",
        "memory of a parked goroutine, of 100,000",
        "bytes",
        "parked",
        HUNDRED_THOUSAND,
        "growth of resident memory for each that waits in a receive",
        quick=(10_000,),
    ),
    Row(
        "parked_million",
        "memory of a parked goroutine, of 1,000,000",
        "bytes",
        "parked",
        MILLION,
        "the same, gopark and Go alone",
        quick=(30_000,),
        peers=("go", "gopark"),
    ),
    Row(
        "sleepers",
        "1,000,000 sleepers, CPU time of each",
        "us",
        "sleepers",
        MILLION,
        "one timer that fires, one switch to its goroutine and one new timer, on all threads; "
        "100,000 for the Python peers, 20,000 for trio, whose cost grows with the number",
        quick=(10_000,),
        own_numbers={"trio": (20_000,)}
        | dict.fromkeys(("asyncio", "uvloop", "gevent", "tonio"), HUNDRED_THOUSAND),
    ),
    Row(
        "cpu",
        "CPU-bound goroutines, speed-up on 2 Ps",
        "x",
        "cpu",
        (64, 100_000),
        "64 that only compute: the time on 1 P by the time on 2",
        quick=(64, 30_000),
        procs=2,
        tables=(FREE,),
        peers=THREADED,
        more_is_better=True,
    ),
    Row(
        "hello",
        "start-up, a hello program",
        "ms",
        "hello",
        (),
        "the whole life of a process whose second goroutine says hello over a channel",
    ),
)


@dataclass(frozen=True)
class Cells:
    """The medians of one row of one table."""

    row: Row
    medians: Mapping[str, float]

    def to_go(self) -> float | None:
        return self._ratio("gopark", "go")

    def best_peer(self) -> str | None:
        peers = [peer for peer in self.medians if peer not in ("go", "gopark")]
        best = max if self.row.more_is_better else min
        return best(peers, key=self.medians.__getitem__) if peers else None

    def to_best_peer(self) -> float | None:
        """How many times better than the best Python peer gopark is."""
        peer = self.best_peer()
        if peer is None:
            return None
        return (
            self._ratio("gopark", peer) if self.row.more_is_better else self._ratio(peer, "gopark")
        )

    def value(self) -> float | None:
        return self.medians.get("gopark")

    def _ratio(self, one: str, other: str) -> float | None:
        if one in self.medians and other in self.medians:
            return self.medians[one] / self.medians[other]
        return None


@dataclass(frozen=True)
class Target:
    """A bound on what one row of one table says of gopark."""

    work: str
    text: str
    table: str = GIL
    row: str = ""
    measure: Callable[[Cells], float | None] = Cells.value
    at_most: float = float("inf")
    at_least: float = float("-inf")
    sign: str = ""

    def reached(self, measured: float) -> bool:
        return self.at_least <= measured <= self.at_most


def to_go(work: str, row: str, at_most: float, table: str = GIL) -> Target:
    return Target(
        work, f"at most {at_most:g} x Go", table, row, Cells.to_go, at_most=at_most, sign=" x Go"
    )


def to_peer(work: str, row: str, at_least: float, table: str = GIL) -> Target:
    text = f"at least {at_least:g} x faster than the best Python peer"
    return Target(work, text, table, row, Cells.to_best_peer, at_least=at_least, sign=" x faster")


def ahead_of_tonio() -> list[Target]:
    def measure(cells: Cells) -> float | None:
        ours, theirs = cells.value(), cells.medians.get("tonio")
        if ours is None or theirs is None:
            return None
        return ours / theirs if cells.row.more_is_better else theirs / ours

    return [
        Target(row.title, "ahead of TonIO", FREE, row.key, measure, at_least=1, sign=" x TonIO")
        for row in ROWS
        if FREE in row.tables and row.applies_to("tonio")
    ]


SWITCH, BURST = "`gosched` switch", "spawn and finish, 100,000 at once"
PINGPONG, SELECT = "unbuffered channel round trip", "select over 4 channels"
READY, WAITING = f"{SELECT}, ready", f"{SELECT}, waiting"

TARGETS = (
    to_go(SWITCH, "switch", 1.3),
    to_peer(SWITCH, "switch", 5),
    to_go(BURST, "burst", 1.0),
    to_go(PINGPONG, "pingpong", 2),
    to_peer(PINGPONG, "pingpong", 4),
    to_go(READY, "select_ready", 3),
    to_go(WAITING, "select_block", 3),
    Target(
        "memory of a parked goroutine",
        "at most 700 bytes",
        row="parked",
        at_most=700,
        sign=" bytes",
    ),
    Target(
        "1,000,000 parked goroutines",
        "less than 1 GB, 1,000 bytes each",
        row="parked_million",
        at_most=1000,
        sign=" bytes each",
    ),
    Target(
        "1,000,000 sleeping goroutines",
        "at most 1 us of CPU each to set and fire",
        row="sleepers",
        at_most=1,
        sign=" us",
    ),
    to_go(SWITCH, "switch", 2.6, FREE),
    to_go(BURST, "burst", 2.0, FREE),
    to_go(PINGPONG, "pingpong", 4, FREE),
    to_go(READY, "select_ready", 6, FREE),
    to_go(WAITING, "select_block", 6, FREE),
    Target(
        "CPU-bound goroutines on 2 Ps",
        "at least 1.8 x one P",
        FREE,
        "cpu",
        at_least=1.8,
        sign=" x",
    ),
    *ahead_of_tonio(),
)
