"""gopark side by side with Go and with the other runtimes of Python, in one run on this machine.

python3 bench/run.py             everything, five times, two tables of medians and ratios
python3 bench/run.py --quick     does it all work? The numbers mean little.

It needs nothing but a Python of 3.11 or newer: it makes its own environments under bench/.env.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import table
from environments import (
    HERE,
    Environment,
    find_interpreter,
    last_line,
    prepare,
    prepare_go,
)
from machine import describe_machine
from rows import FREE, GIL, PEERS, ROWS, Row
from table import Results

SECONDS, QUICK_SECONDS = "0.2", "0.02"  # the time budget of a rate; measure.py fills it
TIMEOUT = 120


@dataclass(frozen=True)
class Program:
    """One peer on one interpreter. Go has no interpreter, runs once and stands in both tables."""

    table: str
    peer: str
    command: list[str]

    @property
    def key(self) -> str:
        return table.program_key(self.table, self.peer)

    def has(self, row: Row) -> bool:
        return row.applies_to(self.peer) and (self.peer == "go" or self.table in row.tables)


class Failed(Exception):
    """A program did not print a value; the message says what it did instead."""


def main() -> None:
    options = parse(__doc__, ROWS)
    results = measure_all(options, ROWS, run_once)
    print(table.render(results))
    if options.write:
        table.write(results, HERE / "README.md")


def parse(description: str, all_rows: Iterable[Row], least: int = 5) -> argparse.Namespace:
    """`least`: so many runs of each program make a result that may be published."""
    keys = [row.key for row in all_rows]
    peers = list(dict.fromkeys(PEERS[GIL] + PEERS[FREE]))
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--python", metavar="PATH", help="the interpreter with a GIL (default: a 3.13, or this)")
    add("--python-ft", metavar="PATH", help="the free-threaded one (default: a 3.14t)")
    add("--only", metavar="ROW", nargs="+", choices=keys, default=keys, help=", ".join(keys))
    add("--peers", metavar="PEER", nargs="+", choices=peers, default=peers, help=", ".join(peers))
    add("--repeat", metavar="N", type=int, default=5, help="runs of each program (default: 5)")
    add("--quick", action="store_true", help="one short run of each, to see that all work")
    add("--json", metavar="FILE", help="write every sample to FILE")
    add("--write", action="store_true", help="put the results of a full run into bench/README.md")
    options = parser.parse_args()
    if options.quick:
        options.repeat = 1
    full = options.only == keys and options.peers == peers and options.repeat >= least
    if options.write and not full:
        parser.error(f"--write takes a full run: all rows, all peers, {least} runs or more")
    return options


def measure_all(
    options: argparse.Namespace,
    all_rows: Iterable[Row],
    run: Callable[[Program, Row, bool], Any],
) -> Results:
    """Every wanted row of every wanted program."""
    machine = describe_machine()
    wanted = set(options.peers)
    environments = {
        "go": prepare_go() if "go" in wanted else Environment("Go"),
        GIL: prepare(GIL, find_interpreter(options.python, False), wanted),
        FREE: prepare(FREE, find_interpreter(options.python_ft, True), wanted),
    }
    results = Results(machine, environments, options.repeat, options.quick, wanted)
    programs = [
        Program(name, peer, command)
        for name, environment in environments.items()
        for peer, command in environment.commands.items()
    ]
    rows = [row for row in all_rows if row.key in options.only]
    for number, row in enumerate(rows, 1):
        print(f"{number}/{len(rows)} {row.title}", file=sys.stderr, flush=True)
        measure(row, [program for program in programs if program.has(row)], results, run)
    if options.json:
        Path(options.json).write_text(json.dumps(results.as_json(), indent=2) + "\n")
    return results


def measure(
    row: Row,
    programs: Iterable[Program],
    results: Results,
    run: Callable[[Program, Row, bool], Any],
) -> None:
    """Rounds in which each program has its turn, so that a noisy moment hits all alike."""
    left = list(programs)
    for _ in range(results.repeat):
        for program in list(left):
            try:
                results.add(row, program.key, run(program, row, results.quick))
            except Failed as failure:
                results.fail(row, program.key, str(failure))
                left.remove(program)


def run_once(program: Program, row: Row, quick: bool) -> float:
    """The value of one run in a fresh process."""
    numbers = map(str, row.numbers_for(program.peer, quick))
    command = [*program.command, row.function, *numbers]
    began = perf_counter()
    output = output_of(command, environment_variables(row.procs, quick), TIMEOUT)
    milliseconds = 1e3 * (perf_counter() - began)
    return milliseconds if row.function == "hello" else value_of(output, program)


def output_of(command: list[str], variables: dict[str, str], timeout: float) -> str:
    """What a command prints; after so many seconds it is killed."""
    try:
        return subprocess.run(
            command,
            cwd=HERE,
            env=variables,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=True,
        ).stdout
    except subprocess.TimeoutExpired as error:
        raise Failed(no_result(timeout)) from error
    except subprocess.CalledProcessError as error:
        raise Failed(f"exit {error.returncode}, {last_line(error.stderr)}") from error


def no_result(timeout: float) -> str:
    return f"no result after {timeout:g} s"


def value_of(output: str, program: Program) -> Any:
    """A number, or the numbers of a row that has several."""
    try:
        answer = json.loads(last_line(output))
        value = answer["value"]
    except (ValueError, KeyError, TypeError) as error:
        raise Failed(f"it printed {last_line(output)!r}") from error
    if program.table == FREE and answer["gil"]:
        raise Failed("the GIL was on")
    return value


def environment_variables(procs: int, quick: bool) -> dict[str, str]:
    """The user's own settings of Python, Go and gopark stay out of it."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "GO"))}
    seconds = QUICK_SECONDS if quick else SECONDS
    return kept | {"GOMAXPROCS": str(procs), "BENCH_SECONDS": seconds}


if __name__ == "__main__":
    main()
