"""What gopark.sync means, as plain data: who has what, and who waits in which order."""

from __future__ import annotations

DONE, CANCELLED, MISUSE = "done", "cancelled", "misuse"


class Operation:
    """One call that may have to wait."""

    def __init__(self, amount: int = 1) -> None:
        self.amount = amount
        self.outcome = DONE  # what it will be when it ends
        # On its way back into the Mutex from a Cond: with whom it was woken.  Among
        # these the order is open, and none of them can be cancelled.
        self.woken: object = None


class World:
    """A Mutex, a Cond with that Mutex, an RWMutex and a Semaphore."""

    def __init__(self, size: int) -> None:
        self.ended: dict[Operation, str] = {}
        self.locked = False
        self.lockers: list[Operation] = []
        self.sleepers: list[Operation] = []  # in Cond.wait, not woken
        self.readers = 0
        self.writing = False
        self.waiting_readers: list[Operation] = []
        self.waiting_writers: list[Operation] = []
        self.free = self.size = size
        self.acquirers: list[Operation] = []

    def end(self, operation: Operation, outcome: str = "") -> None:
        self.ended[operation] = outcome or operation.outcome

    def waiting(self) -> list[Operation]:
        return [
            *(*self.lockers, *self.sleepers, *self.waiting_readers),
            *(*self.waiting_writers, *self.acquirers),
        ]

    def cancel(self, operation: Operation) -> None:
        if operation.woken is not None:
            return
        operation.outcome = CANCELLED
        if operation in self.sleepers:
            self.wake([operation])
            return
        for queue in (self.lockers, self.waiting_readers, self.waiting_writers, self.acquirers):
            if operation in queue:
                queue.remove(operation)
        self.end(operation)
        if not self.writing and not self.waiting_writers:
            self.admit_readers()
        self.admit()

    # -- Mutex

    def lock(self, operation: Operation) -> None:
        if self.locked:
            self.lockers.append(operation)
        else:
            self.locked = True
            self.end(operation)

    def unlock(self) -> bool:
        was = self.locked
        self.locked = False
        if self.lockers:
            self.locked = True
            self.end(self.lockers.pop(0))
        return was

    # -- Cond

    def wait(self, operation: Operation) -> None:
        if self.locked:
            self.sleepers.append(operation)
            self.unlock()
        else:
            self.end(operation, MISUSE)

    def wake(self, operations: list[Operation]) -> None:
        together = object()
        for operation in operations:
            self.sleepers.remove(operation)
            operation.woken = together
            self.lock(operation)

    # -- RWMutex

    def read(self, operation: Operation) -> None:
        self.waiting_readers.append(operation)
        if not self.writing and not self.waiting_writers:
            self.admit_readers()

    def write(self, operation: Operation) -> None:
        self.waiting_writers.append(operation)
        self.admit_writer()

    def admit_readers(self) -> None:
        for operation in self.waiting_readers:
            self.readers += 1
            self.end(operation)
        self.waiting_readers.clear()

    def admit_writer(self) -> None:
        if self.waiting_writers and not self.writing and not self.readers:
            self.writing = True
            self.end(self.waiting_writers.pop(0))

    def runlock(self) -> bool:
        if not self.readers:
            return False
        self.readers -= 1
        self.admit_writer()
        return True

    def rwunlock(self) -> bool:
        if not self.writing:
            return False
        self.writing = False
        self.admit_readers()
        self.admit_writer()
        return True

    # -- Semaphore

    def acquire(self, operation: Operation) -> None:
        self.acquirers.append(operation)
        self.admit()

    def release(self, amount: int) -> bool:
        if self.free + amount > self.size:
            return False
        self.free += amount
        self.admit()
        return True

    def admit(self) -> None:
        while self.acquirers and self.acquirers[0].amount <= self.free:
            operation = self.acquirers.pop(0)
            self.free -= operation.amount
            self.end(operation)
