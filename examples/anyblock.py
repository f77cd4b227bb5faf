"""Any library may block: gopark run examples/anyblock.py [COUNT]

Shows that nothing freezes.  COUNT goroutines fetch a page each with urllib.request, from a server
that takes its time.  One writes what they found into a database with sqlite3, and COUNT others ask
the database about it.  These libraries know nothing of goroutines: each call blocks its thread.
Meanwhile a heart goes on beating.

Page n of the server lists the divisors of n, so number d must be on COUNT // d pages.
"""

import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import ProxyHandler, build_opener

import gopark
from gopark import Chan, go, lock_os_thread, select
from gopark.time import after

Page = tuple[int, str]

# -- the server, which is none of gopark's business ---------------------------


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.think()
        n = int(self.path.strip("/"))
        text = " ".join(str(d) for d in range(1, n + 1) if n % d == 0)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(text.encode())

    def think(self) -> None:
        time.sleep(0.1)

    def log_message(self, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 1000  # so many may knock at once


@contextmanager
def serving() -> Iterator[str]:
    """A server in a thread of its own, while the block runs; gives its address."""
    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


# -- goroutines that block ----------------------------------------------------

browser = build_opener(ProxyHandler({}))  # whatever proxy the machine has is not for this


async def fetch(address: str, n: int, pages: Chan[Page]) -> None:
    with browser.open(f"{address}/{n}") as page:
        text = page.read().decode()
    await pages.send((n, text))


async def write(database: Path, pages: Chan[Page]) -> int:
    """Write all pages into a table; returns the number of rows."""
    lock_os_thread()  # sqlite3 wants to see a connection only on the thread that made it
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("create table divisors (number, divisor)")
        async for n, text in pages:
            rows = [(n, int(divisor)) for divisor in text.split()]
            connection.executemany("insert into divisors values (?, ?)", rows)
        connection.commit()
        return connection.total_changes


def ask(database: Path, divisor: int) -> int:
    """How many numbers have this divisor?  A plain function is a goroutine too."""
    with closing(sqlite3.connect(database, timeout=60)) as connection:
        query = "select count(*) from divisors where divisor = ?"
        return int(connection.execute(query, (divisor,)).fetchone()[0])


async def census(address: str, count: int, database: Path) -> tuple[int, list[int]]:
    """The number of rows written, and on how many pages each of the numbers is."""
    pages: Chan[Page] = Chan()
    writer = go(write(database, pages))
    for fetcher in [go(fetch(address, n, pages)) for n in range(1, count + 1)]:
        await fetcher
    pages.close()
    rows = await writer
    answers = [go(ask, database, divisor) for divisor in range(1, count + 1)]
    return rows, [await answer for answer in answers]


# -- one that does not --------------------------------------------------------


async def beat(beats: list[float], over: Chan[None]) -> None:
    """Note the time, every 10 ms."""
    while True:
        beats.append(time.monotonic())
        case, _ = await select(over, after(0.01))
        if case == 0:
            return


async def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    beats: list[float] = []
    over: Chan[None] = Chan()
    heart = go(beat(beats, over))
    with serving() as address, TemporaryDirectory() as folder:
        rows, found = await census(address, count, Path(folder, "divisors.db"))
    over.close()
    await heart

    right = found == [count // divisor for divisor in range(1, count + 1)]
    gap = max(later - earlier for earlier, later in pairwise([*beats, time.monotonic()]))
    print(f"{count:,} pages fetched, {rows:,} rows written, {count:,} questions answered", end=" ")
    print("right" if right else "wrong", f"in {beats[-1] - beats[0]:.2f} s")
    print(f"the heart beat {len(beats):,} times, at most {gap * 1000:.0f} ms apart")


if __name__ == "__main__":
    gopark.run(main)
