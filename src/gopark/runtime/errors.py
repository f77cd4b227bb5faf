"""The exceptions that the runtime raises, and what becomes of one that nobody awaits.

Plain Python on purpose: nothing here is on a path that must be fast.
"""

from __future__ import annotations

import os
import threading
import traceback
import weakref
from collections.abc import Callable
from typing import Any


class ChanClosed(Exception):
    """A send on a closed channel, a receive from a closed and drained one, or a second close."""


class WouldBlock(Exception):
    """A ``send_nowait`` or ``recv_nowait`` would have had to wait."""


class ClosedError(OSError):
    """The connection, listener or file was closed, here, before or during the operation."""


class TooManyGoroutines(RuntimeError):
    """``go`` was called with ``max_goroutines`` goroutines alive."""


class Deadlock(RuntimeError):
    """All goroutines are asleep, and nothing can ever wake one.

    Attributes:
        goroutines: the report, one :class:`GoroutineReport` for each live goroutine.
    """

    def __init__(self, message: str, goroutines: tuple[GoroutineReport, ...] = ()) -> None:
        super().__init__(message)
        self.goroutines = goroutines


class GoPanic(RuntimeError):
    """A goroutine failed, and nobody awaits it or can any more.

    Its ``__cause__`` is the goroutine's own exception.

    Attributes:
        exception: that exception.
        goroutine_id: the goroutine's number.
        goroutine_name: its name.
        created_by: ``(file, line, function)`` of the ``go`` that made it, or None.
        others: further panics of the same run, if there were any.
    """

    def __init__(self, failure: Failure) -> None:
        exc = failure.exception
        super().__init__(
            f"goroutine {failure.id} [{failure.name}] failed with "
            f"{type(exc).__name__}: {exc}\n{created_by_line(failure.created_by)}"
        )
        self.exception = exc
        self.goroutine_id = failure.id
        self.goroutine_name = failure.name
        self.created_by = failure.created_by
        self.others: tuple[GoPanic, ...] = ()
        self.__cause__ = exc

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (self.args, self.__dict__)


def _unpickled(args: tuple[Any, ...], attributes: dict[str, Any]) -> GoPanic:
    panic = GoPanic.__new__(GoPanic, *args)
    panic.args = args
    panic.__dict__.update(attributes)
    panic.__cause__ = panic.exception
    return panic


class Cancelled(BaseException):
    """A wait was called off: the goroutine, or a scope that it is in, is cancelled.

    Not an Exception: ``except Exception`` lets it pass.  Clean up and let it go on to
    the scope that it belongs to; every further wait inside that scope raises it again.
    """


class GoCancelled(RuntimeError):
    """The goroutine that was awaited had been cancelled, and ended by that.

    Attributes:
        goroutine_id: the goroutine's number.
        goroutine_name: its name.
    """

    def __init__(self, message: str, goroutine_id: int = 0, goroutine_name: str = "") -> None:
        super().__init__(message)
        self.goroutine_id = goroutine_id
        self.goroutine_name = goroutine_name


class Goexit(BaseException):
    """Unwinds the goroutine that called ``goexit``; its ``finally`` blocks run."""


class ProgramOver(BaseException):
    """Unwinds a goroutine that was in plain code when the program ended."""


class GoroutineReport:
    """What a report says of one goroutine.

    Attributes:
        id, name, status, wait_reason, created_by: as on its handle, :class:`gopark.G`.
        waited: for how many seconds it has waited, 0.0 if it does not wait.
        stack: its call stack, a ``traceback.StackSummary``, outermost call first.
    """

    __slots__ = ("created_by", "id", "name", "stack", "status", "wait_reason", "waited")

    def __init__(self, g: Any) -> None:
        self.id: int = g.id
        self.name: str = g.name
        self.status: str = g.status
        self.wait_reason: str = g.wait_reason
        self.waited: float = g.waited
        self.stack: traceback.StackSummary = g.stack()
        self.created_by: tuple[str, int, str] | None = g.created_by

    def __str__(self) -> str:
        return self.head + "".join(self.stack.format()) + "  " + created_by_line(self.created_by)

    @property
    def head(self) -> str:
        """The report's first line."""
        state = (self.wait_reason or self.status) + _how_long(self.waited)
        return f"goroutine {self.id} [{state}] {self.name}:\n"


def _how_long(seconds: float) -> str:
    """``", 3 minutes"``; nothing for less than a second."""
    if seconds < 1:
        return ""
    n, unit = (int(seconds), "second") if seconds < 60 else (int(seconds // 60), "minute")
    return f", {n} {unit}{'s' if n > 1 else ''}"


def created_by_line(place: tuple[str, int, str] | None) -> str:
    if place is None:
        return "started by gopark.run"
    file, line, function = place
    return f'created by {function}, File "{file}", line {line}'


# -- exceptions that nobody has taken yet ------------------------------------

_failures: dict[int, weakref.ref[Failure]] = {}
_guard = threading.RLock()  # re-entrant: a collection inside may run Failure.__del__
_on_panic: list[Callable[[Failure], None]] = []


class Failure:
    """The exception that ended a goroutine, until somebody awaits it.

    Only the goroutine's handle holds it.  When the handle goes and nobody has
    taken the exception, nobody can any more: that is a panic.
    """

    __slots__ = ("__weakref__", "created_by", "exception", "id", "name", "taken", "traceback")

    def __init__(self, g: Any, exception: BaseException) -> None:
        self.exception = exception
        self.traceback = exception.__traceback__
        self.id: int = g.id
        self.name: str = g.name
        self.created_by: tuple[str, int, str] | None = g.created_by
        self.taken = False
        if self.created_by is not None:  # main's exception is run's own
            exception.add_note(
                f"in goroutine {self.id} [{self.name}], {created_by_line(self.created_by)}"
            )
        with _guard:
            _failures[id(self)] = weakref.ref(self)

    def take(self) -> BaseException:
        """The exception, for one who awaits the goroutine."""
        if not self.taken:
            self.taken = True
            with _guard:
                _failures.pop(id(self), None)
        return self.exception.with_traceback(self.traceback)

    def __del__(self) -> None:
        if not self.taken:
            with _guard:
                _failures.pop(id(self), None)
            if _on_panic:
                _on_panic[0](self)


class Cancellation:
    """In place of a Failure: the goroutine was cancelled, which nobody need be told."""

    def __init__(self, g: Any, exception: BaseException) -> None:
        self.id: int = g.id
        self.name: str = g.name
        self.exception = exception

    def take(self) -> GoCancelled:
        error = GoCancelled(
            f"goroutine {self.id} [{self.name}] was cancelled: {self.exception}", self.id, self.name
        )
        error.__cause__ = self.exception
        return error


def untaken() -> list[Failure]:
    """Failures that nobody has awaited, of goroutines whose handles still exist."""
    with _guard:
        refs = list(_failures.values())
    found = [failure for r in refs if (failure := r()) is not None and not failure.taken]
    return sorted(found, key=lambda f: f.id)


def _after_fork() -> None:
    """In a child: what failed in the parent is the parent's business."""
    global _guard
    _guard = threading.RLock()  # its holder may be gone
    for failure in untaken():
        failure.take()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
