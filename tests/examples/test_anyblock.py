"""`anyblock`: its libraries block, and its heart beats meanwhile."""

import re
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest

import gopark
from gopark import Chan, go, sleep

PAGES = 50


@pytest.fixture(params=[1, 2])
def procs(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.mark.parametrize(("count", "rows"), [(1, "1"), (100, "482"), (200, "1,098")])
def test_what_it_prints(run: Callable, count: int, rows: str) -> None:
    done = run("anyblock", str(count))
    assert (done.returncode, done.stderr) == (0, "")
    did, heart = done.stdout.splitlines()
    assert re.fullmatch(
        rf"{count} pages fetched, {rows} rows written, {count} questions answered right in \S+ s",
        did,
    )
    assert re.fullmatch(r"the heart beat \d+ times, at most \d+ ms apart", heart)


def test_the_heart_beats_while_every_page_is_waited_for(
    anyblock: ModuleType, procs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page comes only when all others have been asked for, and after three more beats."""
    beats: list[float] = []
    everybody = threading.Barrier(PAGES)

    def think(self: object) -> None:
        everybody.wait()
        before = len(beats)
        while len(beats) < before + 3:
            time.sleep(0.001)

    monkeypatch.setattr(anyblock.Handler, "think", think)

    async def main() -> None:
        over = Chan[None]()
        heart = go(anyblock.beat(beats, over))
        with anyblock.serving() as address:
            _, found = await anyblock.census(address, PAGES, tmp_path / "database")
        assert found == [PAGES // divisor for divisor in range(1, PAGES + 1)]
        over.close()
        await heart

    gopark.run(main, procs=procs)


def test_the_heart_beats_while_the_database_is_locked(
    anyblock: ModuleType, procs: int, tmp_path: Path
) -> None:
    database = tmp_path / "database"

    async def main() -> None:
        over, pages, beats = Chan[None](), Chan[tuple[int, str]](), []
        writer = go(anyblock.write(database, pages))
        await pages.send((6, "1 2 3 6"))
        pages.close()
        assert await writer == 4
        with closing(sqlite3.connect(database, check_same_thread=False)) as connection:
            connection.execute("begin exclusive")
            answers = [go(anyblock.ask, database, divisor) for divisor in range(1, 5)]
            heart = go(anyblock.beat(beats, over))
            while len(beats) < 10:
                await sleep(0.001)
            assert not any(answer.done() for answer in answers)
            connection.rollback()
        assert [await answer for answer in answers] == [1, 1, 1, 0]
        over.close()
        await heart

    gopark.run(main, procs=procs)
