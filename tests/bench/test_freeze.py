"""The programs of bench/freeze.py work, and one that hangs does not hang the benchmark.

Nothing here is timed: how late a ticker is depends on the machine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import gopark

BENCH = Path(__file__).parent.parent.parent / "bench"
LOADS = ("sleep", "hog", "hash", "query", "match")


def python(*words: str) -> str:
    """What a Python prints that runs in bench/, with the gopark under test."""
    source = Path(gopark.__file__).parent.parent
    return subprocess.run(
        [sys.executable, *words],
        cwd=BENCH,
        env=os.environ | {"PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout


def value(*words: str) -> list[float] | float:
    return json.loads(python("-m", "peers.gopark", *words))["value"]


def test_ticker_alone() -> None:
    half, most, worst = value("ticker", "idle", "0", "50")
    assert 0 <= half <= most <= worst


@pytest.mark.parametrize("load", LOADS)
def test_ticker_beside(load: str) -> None:
    half, most, worst = value("ticker", load, "2", "50")
    assert 0 <= half <= most <= worst


def test_sleeps() -> None:
    assert value("sleeps", "3", "20") >= 0.02


def test_missed_ticks_count() -> None:
    """A ticker that was away for a tenth of a second has missed a hundred ticks, not one."""
    half, most, worst = json.loads(
        python(
            "-c",
            "import time; from peers.freeze import Lateness; book = Lateness();"
            "time.sleep(0.1); book.tick(); print(book.summary())",
        )
    )
    assert worst >= 99
    assert half >= 0.45 * worst
    assert most >= 0.95 * worst


def test_a_hang_is_called_frozen() -> None:
    printed = python(
        "-c",
        "import freeze, sys; from machine import describe_machine;"
        "from environments import Environment; from run import Program, measure;"
        "freeze.LIMIT = 0.2; freeze.FROZEN = freeze.no_result(0.2);"
        "hangs = Program('gil', 'gopark', [sys.executable, '-c', 'while True: pass']);"
        "names = {'go': Environment('Go'), 'gil': Environment('a'), 'free': Environment('b')};"
        "results = freeze.Results({}, names, 1, True, {'gopark'});"
        "measure(freeze.ROWS[0], [hangs], results, freeze.run_once);"
        "print(freeze.render(results))",
    )
    row = next(line for line in printed.splitlines() if line.startswith("| alone"))
    assert "frozen" in row
