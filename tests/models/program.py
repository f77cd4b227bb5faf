"""A gopark program that a test on another thread drives step by step."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

from gopark import Chan, G, go, gosched, run

PATIENCE = 5  # seconds, only so that a lost wake-up is a failure and not a hang
ROUNDS = 100  # with one P, whoever was woken has run by then


class Program:
    """Runs in a thread of its own; `do` starts a goroutine in it."""

    def __init__(self, procs: int) -> None:
        self._orders: Chan[Callable[[], Awaitable[Any]]] = Chan(1)
        self._replies: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._procs = procs
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            run(self._main, procs=self._procs)
        except BaseException as exc:
            self._replies.put(exc)

    async def _main(self) -> None:
        async for order in self._orders:
            g = go(order())
            await self.settle(lambda: g.done() or g.status == "waiting")  # noqa: B023
            self._replies.put(g)

    async def settle(self, condition: Callable[[], bool]) -> None:
        """Let the others run until `condition` holds, or for long enough to call it lost."""
        end = time.monotonic() + PATIENCE
        rounds = 0
        while not condition() and (rounds < ROUNDS or self.may_take_until(end)):
            rounds += 1
            await gosched()

    def may_take_until(self, end: float) -> bool:
        return self._procs > 1 and time.monotonic() < end

    def do(self, order: Callable[[], Awaitable[Any]]) -> G[Any]:
        """Start it; returns when it has ended or waits."""
        self._orders.send_nowait(order)
        reply = self._replies.get(timeout=10 * PATIENCE)
        if isinstance(reply, BaseException):
            raise reply
        assert isinstance(reply, G)
        return reply

    def stop(self) -> None:
        self._orders.close()
        self._thread.join(10 * PATIENCE)
        assert not self._thread.is_alive()
        if not self._replies.empty():
            raise self._replies.get()
