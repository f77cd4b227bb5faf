"""What the programs of ``freeze.py`` share: the loads that keep a thread, and the ticker's book.

Every call here is made directly, as by a library that knows nothing of the runtime around it. The
modules that they take are imported on first use, so that the start-up row does not pay for them.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from peers.measure import clock

PERIOD = 0.001  # seconds from tick to tick
SHORTEST = 1e-6
QUERY = """
    WITH RECURSIVE numbers(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < 500000)
    SELECT sum(i) FROM numbers
"""


def sleep() -> None:
    time.sleep(0.5)


def hog() -> None:
    i = 0
    while i < 1000:
        i += 1


def hash_() -> None:
    """Releases the GIL, as for every buffer beyond 2 KB."""
    from hashlib import sha256

    sha256(bytes(1 << 26)).digest()


def query() -> None:
    """Releases the GIL while SQLite computes."""
    import sqlite3

    connection = sqlite3.connect(":memory:")
    connection.execute(QUERY).fetchone()
    connection.close()


def match() -> None:
    """Keeps the GIL: a regular expression that tries all 2 ** 23 ways to divide the text."""
    import re

    re.match("(a+)+$", "a" * 23 + "b")


LOADS: dict[str, Callable[[], None]] = {
    "sleep": sleep,
    "hog": hog,
    "hash": hash_,
    "query": query,
    "match": match,
}


def occupy(load: str, milliseconds: int) -> None:
    """Keep the thread for that long, call after call, and never give way."""
    call = LOADS[load]
    end = clock() + milliseconds / 1000
    while clock() < end:
        call()


class Lateness:
    """A schedule of ticks, one each millisecond, and how late the program came to each.

    A ticker that was held up books every tick that it missed: who has not been on time for two
    seconds has been late two thousand times, not once.
    """

    def __init__(self) -> None:
        self.due = clock() + PERIOD
        self.late: list[float] = []
        self.over = False

    def pause(self) -> float:
        """Seconds until the next tick is due, and never none: a Python runtime takes a sleep of no
        length for giving way, behind everybody else, which is not what a ticker wants.
        """
        return max(SHORTEST, self.due - clock())

    def tick(self) -> None:
        now = clock()
        while self.due <= now:
            self.late.append(now - self.due)
            self.due += PERIOD

    def summary(self) -> list[float]:
        """Half and 99 in 100 of the ticks were at most that late, and the worst; milliseconds."""
        late = sorted(self.late)
        last = len(late) - 1
        return [1e3 * late[last // 2], 1e3 * late[last * 99 // 100], 1e3 * late[last]]
