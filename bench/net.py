"""Servers on loopback: gopark's beside Go's and those of the other runtimes of Python.

python3 bench/net.py             everything, five times: about half an hour
python3 bench/net.py --quick     does it all work? The numbers mean little.

One client for all of them, written in Go (go/load.go), keeps so many connections busy: each sends
a request, waits for the whole answer, and sends the next. Environments and options are those of
run.py; the client is built even if Go's own server is not wanted.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from subprocess import PIPE, Popen
from tempfile import TemporaryDirectory, TemporaryFile
from threading import Timer
from typing import Any

import table
from environments import GO_PROGRAM, HERE, last_line, prepare_go
from machine import usable_cores
from rows import FREE, GIL, Cells, Row, Target
from run import Failed, Program, environment_variables, measure_all, output_of, parse
from table import Measurement, Results

MILLISECONDS, QUICK_MILLISECONDS = 2000, 100  # that are counted; the client warms up before
LIMIT = 60  # seconds for one run
PROTOCOLS = ("asyncio", "uvloop")  # the peers that have streams beside them


def served(
    key: str,
    title: str,
    server: str,
    connections: int,
    explanation: str,
    client: str | None = None,
    peers: tuple[str, ...] | None = None,
) -> Iterator[Row]:
    """One row a table: one P with the GIL, two without. A run has two values, see `both`."""
    for name, suffix, procs in ((GIL, "", 1), (FREE, "-ft", 2)):
        yield Row(
            key + suffix,
            title,
            "1/s",
            server,
            (client or server, connections),
            explanation,
            procs=procs,
            tables=(name,),
            peers=peers,
            more_is_better=True,
        )


ROWS = (
    *served("echo1", "TCP echo, 1 connection", "echo", 1, "64 bytes there and back"),
    *served("echo100", "TCP echo, 100 connections", "echo", 100, "the same on each of them"),
    *served("echo1000", "TCP echo, 1,000 connections", "echo", 1000, "the same"),
    *served(
        "streams100",
        "TCP echo, 100 connections, streams",
        "streams",
        100,
        "the same, where there are streams beside the protocols of the row above",
        client="echo",
        peers=PROTOCOLS,
    ),
    *served(
        "churn",
        "TCP, 10 at a time: connect, echo, close",
        "echo",
        10,
        "a new connection for each echo",
        client="churn",
    ),
    *served("tls100", "TLS echo, 100 connections", "tls", 100, "over TLS 1.3, hands shaken before"),
    *served(
        "http100",
        "HTTP hello, 100 connections",
        "http",
        100,
        "HTTP/1.1, kept alive: the server reads the head to its end, and answers with 13 bytes",
    ),
)
LATE = " p99"


def latency(row: Row) -> Row:
    """The second value of the same runs."""
    title = f"{row.title}: p99"
    return replace(row, key=row.key + LATE, title=title, unit="us", more_is_better=False)


LINES = tuple(line for row in ROWS for line in (row, latency(row)))
TARGET = "TCP echo, 100 connections, 2 Ps"
HALF_OF_GO = Target(TARGET, "at least half of Go", FREE, at_least=0.5, sign=" x Go")
ABOVE_TONIO = Target(TARGET, "above TonIO", FREE, at_least=1, sign=" x TonIO")
ABOVE_UVLOOP = Target(TARGET, "above uvloop, with the GIL", FREE, at_least=1, sign=" x uvloop")


def main() -> None:
    options = parse(__doc__, ROWS)
    if "go" not in options.peers:
        prepare_go()
    with TemporaryDirectory() as folder:
        os.environ["BENCH_CERTIFICATE"] = folder
        results = both(measure_all(options, ROWS, run_once))
    print(render(results))
    if options.write:
        write(results)


def run_once(program: Program, row: Row, quick: bool) -> list[float]:
    """Requests per second, and the microseconds that 99 of 100 took at most."""
    with serving(program, row) as port:
        kind, connections = row.numbers_for(program.peer, quick)
        milliseconds = QUICK_MILLISECONDS if quick else MILLISECONDS
        words = ("load", kind, f"127.0.0.1:{port}", connections, milliseconds)
        cores = max(1, usable_cores() - row.procs)  # that the server leaves, but one in any case
        return json.loads(client(cores, *map(str, words)))["value"]


def client(procs: int, *words: str) -> str:
    return output_of([str(GO_PROGRAM), *words], environment_variables(procs, False), LIMIT)


@contextmanager
def serving(program: Program, row: Row) -> Iterator[int]:
    """A server in a process of its own; gives its port."""
    if not GO_PROGRAM.exists():
        raise Failed("the client needs Go, which could not be installed")
    if row.function == "tls":
        client(1, "certify")
    variables = environment_variables(row.procs, False)
    with (
        TemporaryFile("w+") as errors,
        Popen(
            command(program, row),
            cwd=HERE,
            env=variables,
            stdout=PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        limit = Timer(LIMIT, process.kill)
        limit.start()
        try:
            assert process.stdout
            line = process.stdout.readline()
            if not line:
                errors.seek(0)
                raise Failed(f"no server, {last_line(errors.read())}")
            yield port_of(program, json.loads(line))
        finally:
            limit.cancel()
            process.kill()


def command(program: Program, row: Row) -> list[str]:
    if program.peer == "go":
        return [*program.command, "serve", row.function]
    *python, _ = program.command
    return [*python, f"peers.net.{program.peer}", row.function]


def port_of(program: Program, announced: dict[str, Any]) -> int:
    if program.table == FREE and announced["gil"]:
        raise Failed("the GIL was on")
    return announced["port"]


def both(results: Results) -> Results:
    """Two rows of each: the first value of every run, and the second."""
    split = replace(results, known=LINES, samples={}, failures=dict(results.failures))
    for row in ROWS:
        for program, values in results.samples.get(row.key, {}).items():
            for rate, late in values:
                split.add(row, program, rate)
                split.add(latency(row), program, late)
        if row.key in results.failures:
            split.failures[row.key + LATE] = results.failures[row.key]
    return split


def render(results: Results) -> str:
    parts = [*table.tables(results), *table.judgement(results, measured(results))]
    return "\n\n".join([table.explanations(row for row in ROWS if GIL in row.tables), *parts])


def measured(results: Results) -> Iterator[Measurement]:
    """uvloop is compared across the tables: it has one thread, and its best place is the first."""
    rows = {row.key: row for row in ROWS}
    free = results.cells(FREE, rows["echo100-ft"])
    gil = results.cells(GIL, rows["echo100"])
    yield HALF_OF_GO, free.to_go()
    yield ABOVE_TONIO, times(free, free, "tonio")
    yield ABOVE_UVLOOP, times(free, gil, "uvloop")


def times(ours: Cells, theirs: Cells, peer: str) -> float | None:
    """How many times as many requests as a peer gopark answers."""
    one, other = ours.value(), theirs.medians.get(peer)
    return one / other if one and other else None


def write(results: Results) -> None:
    """Replace what stands between the markers."""
    readme = HERE / "README.md"
    text = table.between_markers(readme.read_text(), "net", render(results), "net.py")
    readme.write_text(text)


if __name__ == "__main__":
    main()
