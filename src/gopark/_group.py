"""`TaskGroup`: goroutines that end together (Go: ``errgroup``; trio: nurseries)."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, overload

from . import context
from ._cancel import CancelScope
from ._chan import Chan
from .runtime import awaits
from .runtime.cancel import goin
from .runtime.errors import Cancelled, Failure, WouldBlock
from .runtime.proc import gosched
from .runtime.runtime2 import G

_P = ParamSpec("_P")
_T = TypeVar("_T")


class TaskGroup:
    """``async with TaskGroup() as tg:`` is left only when all its goroutines have ended.

    The first failure cancels the others and the block itself, and leaving the block
    raises all failures as an ``ExceptionGroup``.  Cancelling what is around the group
    cancels its goroutines.

    Args:
        limit: how many of its goroutines may be alive at the same time.
        first_error: raise the first failure itself, and no group, as errgroup does.
        ctx: a context; when it ends the group is cancelled, and the block raises
            ``ctx.err()`` if that ended it (Go: ``errgroup.WithContext``).

    Attributes:
        scope: the `CancelScope` of the block and of all the group's goroutines.
        ctx: with `ctx`, a context for the goroutines, derived from it: it is cancelled
            by the first failure, and when the block is left.
    """

    # _lock guards _alive, _closed, _errors and _cancelled.  It is held for a few
    # instructions, never across a wait or a call of something else.

    def __init__(
        self,
        limit: int | None = None,
        *,
        first_error: bool = False,
        ctx: context.Context | None = None,
    ) -> None:
        if limit is not None and (not isinstance(limit, int) or limit < 1):
            raise ValueError(f"a task group's limit must be an int of at least 1, not {limit!r}")
        self.scope = CancelScope()
        self._outer = ctx
        self.ctx: context.Context | None = None
        self._cancel_ctx: Callable[[], object] | None = None
        if ctx is not None:
            self.ctx, self._cancel_ctx = context.with_cancel(ctx)
        self._first_error = first_error
        self._places: Chan[None] | None = None if limit is None else Chan(limit)
        self._ready: Chan[None] = Chan()  # closed when nobody is left
        self._lock = threading.Lock()
        self._alive = 0  # its goroutines, and the block
        self._errors: list[BaseException] = []
        self._cancelled = False  # was one of its goroutines?

    async def __aenter__(self) -> TaskGroup:
        self.scope.__enter__()
        self._alive = 1
        if self._outer is not None:
            if self._outer.err() is not None:
                self.cancel()
            self._forget = context.after_func(self._outer, self.cancel, "its context has ended")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> bool:
        if exc is not None:
            self._fail(exc)
        self._leave()
        try:
            await self._all_ended()
            await self._outcome()
        except BaseException as error:
            if not self._close(error):
                raise
        else:
            return self._close(exc)
        return True

    def _close(self, error: BaseException | None) -> bool:
        """Leave the scope with `error`.  True: that was the group's own cancellation."""
        if self._cancel_ctx is not None:
            self._forget()
            self._cancel_ctx()
        own = self.scope.__exit__(type(error) if error else None, error, None)
        if own and self._outer is not None and (ended := self._outer.err()) is not None:
            raise ended
        return own

    async def _all_ended(self) -> None:
        while True:
            try:
                with CancelScope(shield=True):  # who is cancelled waits for the others all the same
                    await self._ready.recv_ok()
                return
            except KeyboardInterrupt as error:  # the others are to end even so
                self._fail(error)

    async def _outcome(self) -> None:
        """Raise what the block is to raise, but for its own exception alone."""
        errors, self._errors = self._errors, []
        try:
            for error in errors:
                if isinstance(error, (KeyboardInterrupt, SystemExit, GeneratorExit)):
                    raise error
            if errors and self._first_error:
                raise errors[0]
            if errors:
                raise BaseExceptionGroup("unhandled errors in a TaskGroup", errors)
            if self._cancelled:
                await gosched()  # by somebody around the group?  Then the block is not complete
        finally:
            del errors  # no reference cycle through this frame

    @overload
    async def go(self, awaitable: Awaitable[_T], /, *, name: str | None = None) -> G[_T]: ...
    @overload
    async def go(
        self, fn: Callable[..., Awaitable[_T]], /, *args: Any, name: str | None, **kwargs: Any
    ) -> G[_T]: ...
    @overload
    async def go(
        self, fn: Callable[_P, Awaitable[_T]], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> G[_T]: ...
    @overload
    async def go(
        self, fn: Callable[..., _T], /, *args: Any, name: str | None, **kwargs: Any
    ) -> G[_T]: ...
    @overload
    async def go(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> G[_T]: ...
    async def go(self, fn: Any, /, *args: Any, **kwargs: Any) -> G[Any]:
        """Start a goroutine in the group; with a limit it waits for a place.

        Takes what `gopark.go` takes, and returns the goroutine's handle.  Its goroutines
        may start others in the group.

        Raises RuntimeError if the group is not open: not entered, or left.
        """
        name = kwargs.pop("name", None)
        stack = self._stack(fn, args, kwargs)
        if self._places is not None:
            try:
                await self._places.send(None)
            except BaseException:
                _drop(stack)
                raise
        return self._start(stack, name)

    def try_go(
        self, fn: Any, /, *args: Any, name: str | None = None, **kwargs: Any
    ) -> G[Any] | None:
        """Start a goroutine at once, or return None if there is no place (Go: ``TryGo``)."""
        stack = self._stack(fn, args, kwargs)
        try:
            if self._places is not None:
                self._places.send_nowait(None)
        except WouldBlock:
            _drop(stack)
            return None
        return self._start(stack, name)

    def cancel(self, reason: str = "") -> None:
        """Cancel the block and all the group's goroutines."""
        self.scope.cancel(reason)

    def _stack(self, fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return awaits.asstack(fn, args, kwargs, "TaskGroup.go")

    def _start(self, stack: Any, name: str | None) -> G[Any]:
        with self._lock:
            opened = self._alive > 0
            self._alive += opened
        try:
            if not opened:
                raise RuntimeError("the task group is not open: it was not entered, or was left")
            return goin(stack, name, self.scope, self)
        except BaseException:
            _drop(stack)
            if self._places is not None:
                self._places.recv_nowait()
            if opened:
                self._leave()
            raise

    def _ended(self, g: G[Any], failure: Failure | None) -> None:
        """One of its goroutines has ended: called by the runtime, on g0, so it never waits."""
        if isinstance(failure, Failure):
            self._fail(failure.take())
        elif failure is not None:
            self._cancelled = True
        if self._places is not None:
            self._places.recv_nowait()
        self._leave()

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, Cancelled):
            self._cancelled = True
        else:
            with self._lock:
                self._errors.append(error)
        if self._cancel_ctx is not None:
            self._cancel_ctx()
        self.scope.cancel("a goroutine of its group failed, or the group's block did")

    def _leave(self) -> None:
        with self._lock:
            self._alive -= 1
            last = self._alive == 0
        if last:
            self._ready.close()


def _drop(stack: Any) -> None:
    """A coroutine that will not be started."""
    if hasattr(stack, "close"):
        stack.close()
