"""Nothing freezes it: a ticker of one millisecond beside calls and loops that keep their thread.

python3 bench/freeze.py             everything, five times: about half an hour, as others do freeze
python3 bench/freeze.py --quick     does it all work? The numbers mean little.

The same small program runs on gopark, on Go and on the other runtimes of Python. It starts a ticker
and beside it four tasks that keep their thread busy for two seconds each, and it books how late
every tick was. Environments and options are those of run.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import table
from environments import HERE
from machine import usable_cores
from rows import FREE, GIL, PEERS, Row, Target
from run import (
    Program,
    environment_variables,
    measure_all,
    no_result,
    output_of,
    parse,
    value_of,
)
from table import Results

LIMIT = 60  # seconds; the slowest of those that end at all needs about ten
FROZEN = no_result(LIMIT)
PYTHON = tuple({peer for peers in PEERS.values() for peer in peers} - {"go"})


def beside(load: str, title: str, explanation: str, tasks: int = 4, go: bool = True) -> Row:
    """How late a ticker is beside so many tasks that carry this load."""
    arguments, quick = (load, tasks, 2000), (load, tasks, 200)
    peers = None if go else PYTHON
    return Row(load, title, "ms", "ticker", arguments, explanation, quick, peers=peers)


ROWS = (
    beside("idle", "alone", "the ticker has nothing beside it", tasks=0),
    beside("sleep", "4 x `time.sleep(0.5)`", "a call that blocks, again and again"),
    beside("hog", "4 hogs in pure Python", "a `while` loop that calls nothing of its runtime"),
    beside("hash", "4 x SHA-256 of 64 MB", "a call into C that computes and releases the GIL"),
    beside(
        "query",
        "4 x an SQLite query",
        "the same; Python's `sqlite3` releases the GIL while a query computes",
        go=False,
    ),
    beside(
        "match",
        "4 x a slow `re.match`",
        "a call into C that keeps the GIL: `(a+)+$` on a text that it does not match",
        go=False,
    ),
    Row(
        "sleeps",
        "100 x `time.sleep(0.1)`",
        "s",
        "sleeps",
        (100, 100),
        "a hundred tasks, each of which calls it once: the time until all have ended",
        quick=(10, 100),
    ),
)

TARGETS = (
    Target(
        "100 x `time.sleep(0.1)` in `async def`",
        "at most 0.3 s in all",
        GIL,
        "sleeps",
        at_most=0.3,
        sign=" s",
    ),
    Target(
        "1 ms ticker beside 4 pure-Python hogs",
        "p99 lateness at most 25 ms on 2 cores",
        GIL,
        "hog",
        at_most=25,
        sign=" ms",
    ),
)


def main() -> None:
    options = parse(__doc__, ROWS, least=3)  # each run has thousands of ticks
    results = measure_all(options, ROWS, run_once)
    print(render(results))
    if options.write:
        write(results)


def run_once(program: Program, row: Row, quick: bool) -> list[float]:
    """The values of one run in a fresh process: three of a ticker, one of `sleeps`."""
    arguments = map(str, row.numbers_for(program.peer, quick))
    command = [*program.command, row.function, *arguments]
    value = value_of(
        output_of(command, environment_variables(procs(program), quick), LIMIT), program
    )
    return value if isinstance(value, list) else [value]


def procs(program: Program) -> int:
    """As each of them has it by default: a P for each core, and with the GIL only one."""
    return 1 if program.table == GIL else usable_cores()


def render(results: Results) -> str:
    parts = [table.explanations(ROWS), table.describe(results)]
    notes: list[str] = []
    for name in (GIL, FREE):
        title = f"### {table.TITLES[name]}: {results.environments[name].name}"
        parts += [title, one_table(results, name, notes)]
    if notes:
        parts.append(table.numbered(notes))
    parts += ["### Targets", table.compare((each, measured(results, each)) for each in TARGETS)]
    return "\n\n".join(parts)


def one_table(results: Results, name: str, notes: list[str]) -> str:
    peers = results.peers(name)
    lines = [["the ticker beside", "unit", *peers]]
    for row in ROWS:
        if row.key in results.samples.keys() | results.failures.keys():
            cells = [cell(results, name, peer, row, notes) for peer in peers]
            lines.append([row.title, row.unit, *cells])
    return table.markdown(lines, numbers=True)


def cell(results: Results, name: str, peer: str, row: Row, notes: list[str]) -> str:
    values = medians(results, name, peer, row.key)
    if values:
        text = " / ".join(map(table.number, values))
        return f"**{text}**" if peer == "gopark" else text
    if results.failures.get(row.key, {}).get(table.program_key(name, peer)) == FROZEN:
        return "frozen"
    return table.note_or_nothing(results.why_missing(name, peer, row), notes)


def medians(results: Results, name: str, peer: str, row: str) -> list[float]:
    """Of each value the median of all runs; nothing where there was none."""
    samples = results.samples.get(row, {}).get(table.program_key(name, peer), [])
    return [median(values) for values in zip(*samples, strict=True)]


def measured(results: Results, target: Target) -> float | None:
    """What a target is about: the total of `sleeps`, of a ticker the p99."""
    values: Sequence[float] = medians(results, target.table, "gopark", target.row)
    return values[len(values) // 2] if values else None


def write(results: Results) -> None:
    """Replace what stands between the markers."""
    readme = HERE / "README.md"
    text = table.between_markers(readme.read_text(), "freeze", render(results), "freeze.py")
    readme.write_text(text)


if __name__ == "__main__":
    main()
