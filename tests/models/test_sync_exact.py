"""gopark.sync against its reference, step by step.

Each step is one call in a goroutine of its own; then everybody runs until all have
ended or wait, and both worlds must agree on who has ended, how, and who waits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from models.profile import repeatable
from models.program import Program
from models.sync_reference import CANCELLED, DONE, MISUSE, Operation, World

from gopark import Cancelled, G
from gopark.sync import Cond, Mutex, RWMutex, Semaphore

SIZE = 4
amounts = st.integers(0, SIZE)


class Exact(RuleBasedStateMachine):
    procs = 1

    def __init__(self) -> None:
        super().__init__()
        self.world = World(SIZE)
        self.mutex = Mutex()
        self.cond = Cond(self.mutex)
        self.rw = RWMutex()
        self.semaphore = Semaphore(SIZE)
        self.goroutines: dict[Operation, G[Any]] = {}
        self.outcomes: dict[Operation, str] = {}
        self.compared: set[Operation] = set()
        self.program = Program(self.procs)

    # -- what may wait --------------------------------------------------------

    @rule()
    def lock(self) -> None:
        self.wait(self.world.lock, self.mutex.lock)

    @rule()
    def cond_wait(self) -> None:
        self.wait(self.world.wait, self.cond.wait)

    @rule()
    def rw_lock(self) -> None:
        self.wait(self.world.write, self.rw.lock)

    @rule()
    def rw_rlock(self) -> None:
        self.wait(self.world.read, self.rw.rlock)

    @rule(amount=amounts)
    def acquire(self, amount: int) -> None:
        self.wait(self.world.acquire, lambda: self.semaphore.acquire(amount), amount)

    def wait(
        self,
        model: Callable[[Operation], None],
        real: Callable[[], Awaitable[None]],
        amount: int = 1,
    ) -> None:
        operation = Operation(amount)
        model(operation)

        async def note() -> None:
            try:
                await real()
                self.outcomes[operation] = DONE
            except Cancelled:
                self.outcomes[operation] = CANCELLED
            except RuntimeError:
                self.outcomes[operation] = MISUSE

        self.goroutines[operation] = self.program.do(note)

    # -- what does not --------------------------------------------------------

    def call(self, real: Callable[[], Any]) -> Any:
        """What `real` gives, called in a goroutine; False where it raises RuntimeError."""
        given: list[Any] = []

        async def note() -> None:
            try:
                given.append(real())
            except RuntimeError:
                given.append(False)

        self.program.do(note)
        return given[0]

    @rule()
    def unlock(self) -> None:
        assert (self.call(self.mutex.unlock) is None) == self.world.unlock()

    @rule()
    def try_lock(self) -> None:
        free = not self.world.locked
        assert self.call(self.mutex.try_lock) == free
        self.world.locked = True

    # No precondition, and no draw, may depend on this one's outcome.
    @rule()
    def unlock_and_be_quick(self) -> None:
        """Unlock, and lock again before the one who was woken can.

        Whether that succeeds depends on how long he has waited; but he loses nothing by it.
        """
        if not self.world.locked:
            return

        def real() -> bool:
            self.mutex.unlock()
            return self.mutex.try_lock()

        if not self.call(real):
            assert self.world.lockers
            self.world.unlock()

    @rule()
    def signal(self) -> None:
        self.call(self.cond.signal)
        self.world.wake(self.world.sleepers[:1])

    @rule()
    def broadcast(self) -> None:
        self.call(self.cond.broadcast)
        self.world.wake(self.world.sleepers[:])

    @rule()
    def rw_unlock(self) -> None:
        assert (self.call(self.rw.unlock) is None) == self.world.rwunlock()

    @rule()
    def rw_runlock(self) -> None:
        assert (self.call(self.rw.runlock) is None) == self.world.runlock()

    @rule()
    def rw_try_lock(self) -> None:
        free = not self.world.writing and not self.world.readers
        assert self.call(self.rw.try_lock) == free
        self.world.writing = self.world.writing or free

    @rule()
    def rw_try_rlock(self) -> None:
        free = not self.world.writing and not self.world.waiting_writers
        assert self.call(self.rw.try_rlock) == free
        self.world.readers += free

    @rule(amount=amounts)
    def try_acquire(self, amount: int) -> None:
        free = not self.world.acquirers and amount <= self.world.free
        assert self.call(lambda: self.semaphore.try_acquire(amount)) == free
        self.world.free -= amount * free

    @rule(amount=amounts)
    def release(self, amount: int) -> None:
        done = self.world.release(amount)
        assert (self.call(lambda: self.semaphore.release(amount)) is None) == done

    @rule(which=st.integers(0, 9))
    def cancel(self, which: int) -> None:
        waiting = self.world.waiting()
        if which < len(waiting):
            self.call(self.goroutines[waiting[which]].cancel)
            self.world.cancel(waiting[which])

    # -- both worlds ----------------------------------------------------------

    @invariant()
    def both_agree(self) -> None:
        expected = self.world.ended.keys()

        def settled() -> bool:
            return len(self.outcomes) >= len(expected) and all(
                g.status == "waiting"
                for operation, g in self.goroutines.items()
                if operation not in self.outcomes
            )

        self.program.do(lambda: self.program.settle(settled))
        assert settled()
        for operation in self.outcomes.keys() - expected:
            self.take_the_place(operation, expected - self.outcomes.keys())
        assert {o: self.outcomes[o] for o in self.outcomes.keys() - self.compared} == {
            o: self.world.ended[o] for o in expected - self.compared
        }
        self.compared |= expected
        self.compare_states()

    def take_the_place(self, quicker: Operation, others: set[Operation]) -> None:
        """Of those that were woken together, another one was the first."""
        other = next(o for o in others if o.woken is not None and o.woken is quicker.woken)
        lockers = self.world.lockers
        lockers[lockers.index(quicker)] = other
        del self.world.ended[other]
        self.world.end(quicker)

    def compare_states(self) -> None:
        assert self.mutex.locked() == self.world.locked
        state = "locked" if self.world.writing else f"{self.world.readers} readers"
        assert repr(self.rw) == f"<RWMutex, {state}>"
        assert self.semaphore.available == self.world.free

    def teardown(self) -> None:
        self.program.stop()
        # All who waited have been closed, and left nothing behind: but who waited for the
        # Cond has taken the Mutex again, for an `async with` that is not there.
        assert self.mutex.locked() == (self.world.locked or bool(self.world.sleepers))
        assert self.semaphore.available == self.world.free


def machine(procs: int) -> type[RuleBasedStateMachine]:
    return type(f"Exact{procs}", (Exact,), {"procs": procs})


@pytest.mark.parametrize("procs", [1, 2, 8])
def test_every_step_is_that_of_the_reference(procs: int) -> None:
    case = machine(procs).TestCase
    case.settings = repeatable(60 if procs == 1 else 20, steps=40)
    case("runTest").runTest()
