"""gopark and the reference model, step by step: the same outcomes and the same waiters.

Every operation is a goroutine of its own.  After each step it must have ended, or
wait, exactly as in the model; so must all whom it woke.  Where several cases of a
select are ready gopark chooses, and the model follows if the choice was legal.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from models.profile import repeatable
from models.program import Program
from models.reference import CLOSED, RAISED, Channel, Operation, World

import gopark
from gopark import Chan, ChanClosed, G, WouldBlock, select

MOST = 4
channels = st.integers(0, MOST - 1)
cases = st.lists(st.tuples(channels, st.booleans()) | st.none(), max_size=5)
WOULD_BLOCK = "WouldBlock"


class Exact(RuleBasedStateMachine):
    procs = 1

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.real: list[Chan[int]] = []
        self.goroutines: dict[Operation, G[Any]] = {}
        self.outcomes: dict[Operation, Any] = {}
        self.compared: set[Operation] = set()
        self.sent = 0
        self.program = Program(self.procs)

    @initialize(capacities=st.lists(st.integers(0, 3), min_size=MOST, max_size=MOST))
    def make_channels(self, capacities: list[int]) -> None:
        self.world.channels = [Channel(n) for n in capacities]
        self.real = [Chan(n) for n in capacities]

    # -- the operations -------------------------------------------------------

    @rule(c=channels)
    def send(self, c: int) -> None:
        value = self.value()

        async def do() -> Any:
            await self.real[c].send(value)
            return 0, None

        self.step(self.operation([(c, True, value)]), do)

    @rule(c=channels, ok=st.booleans())
    def receive(self, c: int, ok: bool) -> None:
        async def recv() -> Any:
            try:
                return 0, await self.real[c].recv()
            except ChanClosed:
                return 0, CLOSED

        async def recv_ok() -> Any:
            v, received = await self.real[c].recv_ok()
            return 0, v if received else CLOSED

        self.step(self.operation([(c, False, None)]), recv_ok if ok else recv)

    @rule(c=channels)
    def iterate_once(self, c: int) -> None:
        async def do() -> Any:
            async for v in self.real[c]:
                return 0, v
            return 0, CLOSED

        self.step(self.operation([(c, False, None)]), do)

    @rule(c=channels)
    def send_nowait(self, c: int) -> None:
        value = self.value()

        async def do() -> Any:
            try:
                self.real[c].send_nowait(value)
            except WouldBlock:
                return -1, None
            return 0, None

        self.step(self.operation([(c, True, value)]), do, waits=False)

    @rule(c=channels)
    def recv_nowait(self, c: int) -> None:
        async def do() -> Any:
            try:
                return 0, self.real[c].recv_nowait()
            except ChanClosed:
                return 0, CLOSED
            except WouldBlock:
                return -1, None

        self.step(self.operation([(c, False, None)]), do, waits=False)

    @rule(chosen=cases, how=st.sampled_from(["wait", "default", "timeout"]))
    def select(self, chosen: list[tuple[int, bool] | None], how: str) -> None:
        given: list[Any] = []
        indices = []
        modelled = []
        # One value per channel: which of two sends on one channel a partner meets is chance.
        values: dict[int, int] = {}
        for i, case in enumerate(chosen):
            if case is None:
                given.append(None)
                continue
            c, sends = case
            value = values.setdefault(c, self.value())
            indices.append(i)
            modelled.append((c, sends, value))
            given.append((self.real[c], value) if sends else self.real[c])

        async def do() -> Any:
            try:
                if how == "timeout":
                    i, v = await select(*given, timeout=0)
                else:
                    i, v = await select(*given, default=how == "default")
            except TimeoutError:
                return -1, None
            return (indices.index(i) if i >= 0 else i), (CLOSED if v is gopark.CLOSED else v)

        self.step(self.operation(modelled), do, waits=how == "wait")

    @rule(c=channels)
    def close(self, c: int) -> None:
        async def do() -> Any:
            self.real[c].close()
            return 0, None

        channel = self.world.channels[c]
        operation = Operation([])
        if channel.closed:
            self.world.ended[operation] = (0, RAISED)
        else:
            self.world.close(channel)
            self.world.ended[operation] = (0, None)
        self.begin(operation, do)

    # -- both worlds ----------------------------------------------------------

    def value(self) -> int:
        self.sent += 1
        return self.sent

    def operation(self, modelled: list[tuple[int, bool, Any]]) -> Operation:
        return Operation([(self.world.channels[c], sends, v) for c, sends, v in modelled])

    def begin(self, operation: Operation, do: Callable[[], Awaitable[Any]]) -> None:
        """Do it in gopark; its goroutine ends, or waits."""

        async def note() -> None:
            try:
                self.outcomes[operation] = await do()
            except ChanClosed:
                self.outcomes[operation] = (None, RAISED)

        self.goroutines[operation] = self.program.do(note)

    def step(
        self, operation: Operation, do: Callable[[], Awaitable[Any]], waits: bool = True
    ) -> None:
        ready = self.world.ready(operation)
        self.begin(operation, do)
        if ready:
            if operation not in self.outcomes:  # on a busy machine it may have lost its P
                self.program.do(lambda: self.program.settle(lambda: operation in self.outcomes))
            index, outcome = self.outcomes[operation]
            if outcome == RAISED:  # which of the sends on closed channels does not show
                index = next(
                    i for i in ready if operation.cases[i][1] and operation.cases[i][0].closed
                )
            assert index in ready
            self.world.perform(operation, index)
        elif waits:
            self.world.wait(operation)
        else:
            self.world.ended[operation] = (-1, None)

    @invariant()
    def the_same_have_ended_in_the_same_way(self) -> None:
        new = self.world.ended.keys() - self.compared
        if new:
            self.program.do(lambda: self.program.settle(lambda: new <= self.outcomes.keys()))
        for operation in new:
            expected = self.world.ended[operation]
            index, outcome = self.outcomes[operation]
            assert outcome == expected[1]
            # Of several cases on one channel, each may be the one that a partner met.
            if outcome != RAISED and index != expected[0]:
                assert self.twins(operation, index, expected[0])
        self.compared |= new
        assert self.outcomes.keys() == self.world.ended.keys()

    @staticmethod
    def twins(operation: Operation, i: int, k: int) -> bool:
        (c, sends, _), (d, also_sends, _) = operation.cases[i], operation.cases[k]
        return c is d and sends == also_sends

    @invariant()
    def the_others_wait(self) -> None:
        for operation, g in self.goroutines.items():
            if operation not in self.world.ended:
                assert g.status == "waiting"

    @invariant()
    def the_channels_look_the_same(self) -> None:
        for channel, real in zip(self.world.channels, self.real, strict=True):
            assert len(real) == len(channel.buffer)
            assert real.closed == channel.closed

    def teardown(self) -> None:
        self.program.stop()


def machine(procs: int) -> type[RuleBasedStateMachine]:
    return type(f"Exact{procs}", (Exact,), {"procs": procs})


@pytest.mark.parametrize("procs", [1, 2, 8])
def test_every_step_is_that_of_the_model(procs: int) -> None:
    case = machine(procs).TestCase
    case.settings = repeatable(60 if procs == 1 else 20, steps=40)
    case("runTest").runTest()
