"""For tests: a block of code must not leave goroutines behind."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from types import TracebackType
from typing import Any

from ._block import block_on
from ._run import current
from .debug import GoroutineReport, leaks
from .runtime.proc import goroutines_, gosched
from .runtime.runtime2 import G
from .time import sleep

__all__ = ["GoroutinesLeft", "no_leaks"]


class GoroutinesLeft(AssertionError):
    """Goroutines outlive what started them.

    Attributes:
        leaked: a report on each that nobody can wake any more.
        alive: a report on each of the others.
    """

    def __init__(self, what: str, leaked: list[GoroutineReport], alive: list[GoroutineReport]):
        n = len(leaked) + len(alive)
        goroutines = "1 goroutine outlives" if n == 1 else f"{n} goroutines outlive"
        parts = [f"{goroutines} {what}"]
        if leaked:
            parts += ["Leaked, as nobody can wake any more:", *map(str, leaked)]
        if alive:
            parts += ["Alive:", *map(str, alive)]
        super().__init__("\n\n".join(parts))
        self.leaked = tuple(leaked)
        self.alive = tuple(alive)


class no_leaks:
    """``with no_leaks():`` fails if goroutines that were started inside outlive the block.

    Use it in a goroutine, as ``with`` or as ``async with``.  At the end of the block
    those that can run get the chance to end; a goroutine that waits is not waited for:
    cancel it, close its channel, or await it in the block.  What other goroutines
    start meanwhile counts too.  If the block raises, nothing is checked.

    Args:
        ignore: names of goroutines that may stay, or patterns such as ``"pool-*"``.

    Raises:
        GoroutinesLeft: an AssertionError, with a report on each that is left, and on
            whether it has leaked for good (see `gopark.debug.leaks`).
        RuntimeError: it is used outside of a goroutine.
    """

    def __init__(self, *, ignore: str | Iterable[str] = ()) -> None:
        self._ignore = (ignore,) if isinstance(ignore, str) else tuple(ignore)
        self._before: set[int] = set()
        self._what = "the block that started them"

    def __enter__(self) -> None:
        current()
        self._before = {g.id for g in goroutines_()}

    async def __aenter__(self) -> None:
        self.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if kind is None:
            block_on(self._check())

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if kind is None:
            await self._check()

    async def _check(self) -> None:
        if not await self._settled():
            lost = {report.id: report for report in leaks()}
            left = self._left()
            leaked = [lost[g.id] for g in left if g.id in lost]
            alive = [GoroutineReport(g) for g in left if g.id not in lost]
            if left:
                raise GoroutinesLeft(self._what, leaked, alive)

    async def _settled(self) -> bool:
        """Let others run, for a number of rounds: have they all ended?

        Without the GIL they run beside us, and a round is over at once; so as long as
        any goroutine still does, more rounds follow, and wait a little.
        """
        for _ in range(100):
            if not self._left():
                return True
            await gosched()
        for _ in range(100):
            if not self._left():
                return True
            if not _busy():
                break
            await sleep(0.01)
        return not self._left()

    def _left(self) -> list[G[Any]]:
        return [g for g in goroutines_() if g.id not in self._before and not self._ignored(g)]

    def _ignored(self, g: G[Any]) -> bool:
        return any(fnmatchcase(g.name, pattern) for pattern in self._ignore)


def _busy() -> bool:
    """Can any goroutine but this one run?"""
    me = current()
    return any(g is not me and g.status != "waiting" for g in goroutines_())
