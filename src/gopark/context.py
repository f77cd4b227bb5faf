"""Contexts: cancellation, deadlines and values that go from call to call (Go: ``context``).

A context is given to whatever works for one purpose, and tells it when to give up::

    with context.with_timeout(context.background(), 5) as ctx:
        page = await fetch(url, ctx)

Every ``with_...`` derives a new context from its parent.  What ends a context ends
all that are derived from it, and never the parent.  Durations are seconds, and
deadlines are times of ``time.monotonic()``.

Who holds whom
--------------

What can be cancelled is a `_Done`: the channel that ``done()`` gives is also the
node of the tree.  A context holds its node, a node holds its parent node, and what
waits on the channel holds that; all these are strong.  Down the tree go weak
references only: a parent's children, the timer of a deadline, the goroutine that
watches a parent of the user's own.  So a context that is dropped without being
cancelled dies at once, with its entry in the parent and its timer, and one that
somebody can still see lives.

A function that waits for a context (`after_func`) is seen by nobody, and must be
called all the same.  It holds its node, and is itself in ``_calls`` of all nodes from
its own up to the root.  Timers and watchers hold the ``_calls`` of their node.  So it
lives as long as anything that may end its context, and no longer.

Why there is no lock
--------------------

A finalizer may run between any two bytecodes of a thread, and a goroutine may be
preempted there: with a lock, both could stand in each other's way.  Instead:

* The first entry of ``_fates`` says how a context has ended.  Who cancels adds
  one if there is none and closes the channel.  This is the moment: `_Done._ended`
  looks at ``_fates`` first and then whether the channel is closed, so that nobody
  learns of the fate before all see the channel closed.
* ``_children``, ``_stops`` and ``_calls`` are changed only by single operations of
  a dict or a list, each atomic.  Who adds to them adds first and then looks whether
  it is too late, as the channel is closed or the function taken; who cancels closes
  or takes first and then looks into them.  So one of the two sees the other, or both
  do.
* All that cancelling does may be done twice, and who finds a context cancelled
  does it again: he may be ahead of the first, who was preempted in the middle.  So
  after any ``cancel()`` the context and all below it have ended.  Children leave
  their parent only when all below them have ended.  What must happen once is popped
  from a list: ``_stops``, and the function of `after_func`.

Rejected: a lock for each node, parent before child, as in Go.  See above; and
children are cancelled under their parent's lock there, which no one who was
preempted should hold.
"""

from __future__ import annotations

import contextvars
import math
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from time import monotonic
from types import TracebackType
from typing import Any, NamedTuple, NoReturn, Protocol, runtime_checkable

from ._chan import Chan
from ._select import select
from .runtime.errors import ChanClosed
from .runtime.proc import go
from .time import after_func as _after_seconds

__all__ = [
    "AfterFuncer",
    "CancelCauseFunc",
    "Cancelable",
    "CancelableCause",
    "Canceled",
    "Context",
    "DeadlineExceeded",
    "after_func",
    "background",
    "cause",
    "todo",
    "with_cancel",
    "with_cancel_cause",
    "with_deadline",
    "with_deadline_cause",
    "with_timeout",
    "with_timeout_cause",
    "with_value",
    "without_cancel",
]


class Canceled(Exception):
    """The context was cancelled."""

    def __init__(self, message: str = "context canceled") -> None:
        super().__init__(message)


class DeadlineExceeded(TimeoutError):
    """The context's deadline has passed."""

    def __init__(self, message: str = "context deadline exceeded") -> None:
        super().__init__(message)


class Context(ABC):
    """What ends, when, and with which values (Go: ``context.Context``).

    Derive from it for contexts of your own; all else that this module has takes them
    too.  The four abstract methods may be called from any goroutine and any thread.
    """

    __slots__ = ()

    @abstractmethod
    def deadline(self) -> float | None:
        """The time of ``time.monotonic()`` at which it ends; None if none is set."""

    @abstractmethod
    def done(self) -> Chan[None] | None:
        """A channel that is closed when the context ends; always the same one.

        None if it never ends.  `select` takes either, and a None never fires.
        """

    @abstractmethod
    def err(self) -> Exception | None:
        """Why it has ended: `Canceled` or `DeadlineExceeded`; None if it has not.

        A new exception at each call, as whoever asks may raise it.  Its
        ``__cause__`` is the cause, if one was given.
        """

    @abstractmethod
    def value(self, key: object) -> Any:
        """What `with_value` set for `key`, here or in the next context above; or None."""

    def cause(self) -> BaseException | None:
        """Why it has ended, as the one who ended it said; otherwise the same as `err`."""
        err = self.err()
        node = self.value(_NODE) if err is not None else None
        fate = node._ended() if isinstance(node, _Done) else None
        return err if fate is None or fate.cause is None else fate.cause

    async def wait(self) -> Exception:
        """Wait until it ends; returns its `err`."""
        await select(self.done())
        return _error_of(self)

    def raise_if_done(self) -> None:
        """Raise its `err` if it has ended."""
        err = self.err()
        if err is not None:
            raise err


@runtime_checkable
class AfterFuncer(Protocol):
    """A context of your own with this method spares gopark a goroutine for each child."""

    def after_func(self, fn: Callable[[], object], /) -> Callable[[], object]:
        """Call `fn` when the context ends; returns what undoes that."""


def cause(ctx: Context) -> BaseException | None:
    """`ctx.cause()`, under its name in Go."""
    return ctx.cause()


def _checked(ctx: Context) -> Context:
    if not isinstance(ctx, Context):
        raise TypeError(f"a Context is needed (background() is the first), not {ctx!r}")
    return ctx


def _error_of(ctx: Context) -> Exception:
    err = ctx.err()
    if err is None:
        raise RuntimeError(f"{ctx!r} is done, but its err() gives None")
    return err


# -- the tree -----------------------------------------------------------------


class _Fate(NamedTuple):
    """How a context has ended."""

    error: Callable[[], Exception | None]
    cause: BaseException | None


def _fate(kind: type[Exception], cause: BaseException | None) -> _Fate:
    if cause is not None and not isinstance(cause, BaseException):
        raise TypeError(f"a cause must be an exception, not {cause!r}")
    return _Fate(partial(_error, kind, cause), cause)


def _error(kind: type[Exception], cause: BaseException | None) -> Exception:
    error = kind()
    error.__cause__ = cause
    return error


_CANCELED = _fate(Canceled, None)
_NODE = object()  # the key under which a context gives its node


class _Done(Chan[None]):
    """The channel that is closed when its context ends; receive from it only."""

    __slots__ = ("_calls", "_children", "_fates", "_parent", "_stops")

    def __init__(self) -> None:
        super().__init__()
        self._fates: list[_Fate] = []  # the first one counts
        self._parent: _Done | None = None
        self._children: dict[weakref.ref[_Done], None] = {}
        self._calls: dict[_Call, None] = {}
        self._stops: list[Callable[[], object]] = []  # each stops one who would cancel this

    def __del__(self) -> None:
        self._let_go()

    def close(self) -> NoReturn:
        raise TypeError("only its context closes this channel: call the context's cancel()")

    def send(self, value: None) -> NoReturn:
        raise TypeError("nothing can be sent on a context's channel")

    send_nowait = send

    def _ended(self) -> _Fate | None:
        return self._fates[0] if self._fates and self.closed else None  # in this order

    def _cancel(self, fate: _Fate) -> None:
        """End this and all below, but for what has ended already (Go: ``cancelCtx.cancel``)."""
        tree = [(self, fate)]
        for node, fate in tree:  # which grows meanwhile: deep trees need no recursion
            first = node._end(fate)
            tree += [(child, first) for r in list(node._children) if (child := r()) is not None]
        _finish(node for node, _ in tree)

    def _end(self, fate: _Fate) -> _Fate:
        """Close the channel; returns the fate that came first."""
        if not self._fates:
            self._fates.append(fate)
        with suppress(ChanClosed):
            Chan.close(self)
        return self._fates[0]

    def _after(self) -> None:
        """What remains to be done once all have ended."""
        self._let_go()

    def _let_go(self) -> None:
        while True:
            try:
                stop = self._stops.pop()
            except IndexError:
                return
            stop()

    def _until(self, stop: Callable[[], object]) -> None:
        """Call `stop` when this ends or dies."""
        self._stops.append(stop)
        if self.closed:
            self._let_go()

    def _adopt(self, child: _Done) -> None:
        child._parent = self
        r = weakref.ref(child)
        self._children[r] = None
        child._until(partial(self._disown, r))
        fate = self._ended()
        if fate is not None:
            child._cancel(fate)

    def _disown(self, r: weakref.ref[_Done]) -> None:
        self._children.pop(r, None)

    def _follow(self, parent: Context) -> None:
        """End when `parent` does (Go: ``propagateCancel``)."""
        done = parent.done()
        if done is None:
            return
        if isinstance(done, _Done):
            done._adopt(self)
        elif done.closed:
            self._cancel(_fate_of(parent))
        else:
            self._follow_foreign(parent, done)

    def _follow_foreign(self, parent: Context, done: Chan[None]) -> None:
        r = weakref.ref(self)
        if isinstance(parent, AfterFuncer):
            self._until(parent.after_func(partial(_foreign_ended, parent, r, self._calls)))
        else:
            stopped: Chan[None] = Chan()
            go(_watch(parent, done, r, self._calls, stopped))
            self._until(stopped.close)


def _finish(ended: Iterable[_Done]) -> None:
    """Do what comes after the end; one that fails does not keep back the others."""
    errors = []
    for node in ended:
        try:
            node._after()
        except Exception as exc:
            errors.append(exc)
    if errors:
        raise errors[0] if len(errors) == 1 else ExceptionGroup("context: cancel", errors)


async def _watch(
    parent: Context,
    done: Chan[None],
    r: weakref.ref[_Done],
    calls: dict[_Call, None],
    stopped: Chan[None],
) -> None:
    i, _ = await select(done, stopped)
    if i == 0:
        _foreign_ended(parent, r, calls)


def _foreign_ended(parent: Context, r: weakref.ref[_Done], calls: dict[_Call, None]) -> None:
    _cancel_if_alive(r, calls, _fate_of(parent))


def _fate_of(parent: Context) -> _Fate:
    """How a context that is not of this module has ended: it makes the errors itself."""
    _error_of(parent)
    return _Fate(parent.err, parent.cause())


def _cancel_if_alive(r: weakref.ref[_Done], calls: dict[_Call, None], fate: _Fate) -> None:
    """What timers and watchers call; `calls` need only be held."""
    node = r()
    if node is not None:
        node._cancel(fate)


class _Call(_Done):
    """A function that waits for a context (Go: ``afterFuncCtx``)."""

    __slots__ = ("_start",)

    def __init__(self, start: Callable[[], object]) -> None:
        super().__init__()
        self._start = [start]  # who pops it starts the function, or has stopped it

    def _wait_for(self, ctx: Context) -> None:
        self._follow(ctx)
        for node in self._path():
            node._calls[self] = None
        if not self._start:  # taken meanwhile
            self._forget()

    def _path(self) -> Iterator[_Done]:
        """This node and all above."""
        node: _Done | None = self
        while node is not None:
            yield node
            node = node._parent

    def _forget(self) -> None:
        for node in self._path():
            node._calls.pop(self, None)

    def _after(self) -> None:
        start = self._taken()
        if start is not None:
            start()

    def _stop(self) -> bool:
        return self._taken() is not None

    def _taken(self) -> Callable[[], object] | None:
        self._let_go()
        try:
            start = self._start.pop()
        except IndexError:
            return None
        self._forget()
        return start


# -- the contexts -------------------------------------------------------------


class _Empty(Context):
    """Never ends, has no deadline and no values (Go: ``emptyCtx``)."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def deadline(self) -> None:
        return None

    def done(self) -> None:
        return None

    def err(self) -> None:
        return None

    def value(self, key: object) -> None:
        return None

    def __repr__(self) -> str:
        return self._name


class _Derived(Context):
    """What `_WithCancel`, `_WithValue` and `_WithoutCancel` share: a parent."""

    __slots__ = ("__weakref__", "_parent")

    def __init__(self, parent: Context) -> None:
        self._parent = _checked(parent)

    def value(self, key: object) -> Any:
        ctx: Context = self
        while isinstance(ctx, _Derived):  # no recursion, however long the chain
            if ctx._has(key):
                return ctx._own(key)
            ctx = ctx._parent
        return ctx.value(key)

    def _has(self, key: object) -> bool:
        """Does it answer for `key` itself?"""
        return key is _NODE

    def _own(self, key: object) -> Any:
        return None

    def __repr__(self) -> str:
        parts = []
        ctx: Context = self
        while isinstance(ctx, _Derived):
            parts.append(ctx._how())
            ctx = ctx._parent
        return ".".join([repr(ctx), *reversed(parts)])

    def _how(self) -> str:
        """How it was derived."""
        raise NotImplementedError


class _WithCancel(_Derived):
    __slots__ = ("_deadline", "_done")

    def __init__(self, parent: Context) -> None:
        super().__init__(parent)
        self._deadline = parent.deadline()
        self._done = _Done()
        self._done._follow(parent)

    def deadline(self) -> float | None:
        return self._deadline

    def done(self) -> Chan[None]:
        return self._done

    def err(self) -> Exception | None:
        fate = self._done._ended()
        return None if fate is None else fate.error()

    def _own(self, key: object) -> _Done:
        return self._done

    def _how(self) -> str:
        if self._deadline is None or self._deadline == self._parent.deadline():
            return "with_cancel()"
        return f"with_deadline({self._deadline:.6f} [{self._deadline - monotonic():.6f} s])"


class _WithValue(_Derived):
    __slots__ = ("_base", "_key", "_value")

    def __init__(self, parent: Context, key: object, value: object) -> None:
        super().__init__(parent)
        self._base: Context = parent._base if isinstance(parent, _WithValue) else parent
        self._key = key
        self._value = value

    def deadline(self) -> float | None:
        return self._base.deadline()

    def done(self) -> Chan[None] | None:
        return self._base.done()

    def err(self) -> Exception | None:
        return self._base.err()

    def _has(self, key: object) -> bool:
        return self._key == key

    def _own(self, key: object) -> Any:
        return self._value

    def _how(self) -> str:
        return f"with_value({self._key!r}, {self._value!r})"


class _WithoutCancel(_Derived):
    __slots__ = ()

    def deadline(self) -> None:
        return None

    def done(self) -> None:
        return None

    def err(self) -> None:
        return None

    def _how(self) -> str:
        return "without_cancel()"


# -- what users call ----------------------------------------------------------


class Cancelable(NamedTuple):
    """A context and the function that cancels it.

    Take it apart, ``ctx, cancel = ...``, or let ``with ... as ctx:`` cancel it at the
    end of the block.  `cancel` may be called often, from any goroutine and any thread;
    it waits for nobody.
    """

    ctx: Context
    cancel: Callable[[], None]

    def __enter__(self) -> Context:
        return self.ctx

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.cancel()


class CancelCauseFunc(Protocol):
    """Cancels a context, and says why; without a cause that is `Canceled`."""

    def __call__(self, cause: BaseException | None = None, /) -> None: ...


class CancelableCause(NamedTuple):
    """As `Cancelable`, with a `cancel` that takes a cause.

    An exception that leaves the ``with`` block is the cause.
    """

    ctx: Context
    cancel: CancelCauseFunc

    def __enter__(self) -> Context:
        return self.ctx

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.cancel(exc)


_BACKGROUND = _Empty("background()")
_TODO = _Empty("todo()")


def background() -> Context:
    """The root of all contexts: never ends, has no deadline and no values."""
    return _BACKGROUND


def todo() -> Context:
    """As `background`, where it is not clear yet which context to use."""
    return _TODO


def with_cancel(parent: Context) -> Cancelable:
    """A context that ends when it is cancelled, or its parent ends (Go: ``WithCancel``)."""
    ctx = _WithCancel(parent)
    return Cancelable(ctx, partial(ctx._done._cancel, _CANCELED))


def with_cancel_cause(parent: Context) -> CancelableCause:
    """As `with_cancel`, for a `cancel` that says why (Go: ``WithCancelCause``)."""
    ctx = _WithCancel(parent)
    node = ctx._done

    def cancel(cause: BaseException | None = None, /) -> None:
        node._cancel(_fate(Canceled, cause))

    return CancelableCause(ctx, cancel)


def with_deadline(parent: Context, when: float) -> Cancelable:
    """A context that ends with `DeadlineExceeded` at `when`, if it does not end sooner.

    `when` is a time of ``time.monotonic()``; ``float("inf")`` is none.  (Go:
    ``WithDeadline``.)

    Raises:
        RuntimeError: no goroutine runs here, and only one can start a timer.
        ValueError: `when` is NaN.
    """
    return with_deadline_cause(parent, when, None)


def with_deadline_cause(parent: Context, when: float, cause: BaseException | None) -> Cancelable:
    """As `with_deadline`; `cause` is the cause if the deadline passes."""
    fate = _fate(DeadlineExceeded, cause)
    if math.isnan(when):
        raise ValueError("a deadline cannot be NaN")
    ctx = _WithCancel(parent)
    sooner = ctx.deadline()
    if when < (math.inf if sooner is None else sooner):
        ctx._deadline = when
        _end_at(ctx._done, when, fate)
    return Cancelable(ctx, partial(ctx._done._cancel, _CANCELED))


def _end_at(node: _Done, when: float, fate: _Fate) -> None:
    seconds = when - monotonic()
    if seconds <= 0:
        node._cancel(fate)
    elif not node.closed:
        r = weakref.ref(node)
        node._until(_after_seconds(seconds, _cancel_if_alive, r, node._calls, fate).stop)


def with_timeout(parent: Context, seconds: float) -> Cancelable:
    """``with_deadline(parent, time.monotonic() + seconds)`` (Go: ``WithTimeout``)."""
    return with_deadline_cause(parent, monotonic() + seconds, None)


def with_timeout_cause(parent: Context, seconds: float, cause: BaseException | None) -> Cancelable:
    """As `with_timeout`; `cause` is the cause if the time passes."""
    return with_deadline_cause(parent, monotonic() + seconds, cause)


def with_value(parent: Context, key: object, value: object) -> Context:
    """A context in which `key` has `value` (Go: ``WithValue``).

    For what belongs to a request and passes through many hands, not for optional
    arguments.  Use keys that nobody else can have, such as an object or a class of your
    own.  Raises TypeError if `key` is None or not hashable.
    """
    if key is None:
        raise TypeError("a context's key cannot be None")
    hash(key)
    return _WithValue(parent, key, value)


def without_cancel(parent: Context) -> Context:
    """A context with the values of `parent` that never ends (Go: ``WithoutCancel``)."""
    return _WithoutCancel(parent)


def after_func(ctx: Context, fn: Callable[..., object], *args: object) -> Callable[[], bool]:
    """Call `fn` (async or plain) in a goroutine of its own when `ctx` ends.

    At once if it has ended.  (Go: ``AfterFunc``.)

    Returns:
        A function that undoes this: True if that kept `fn` from being called.
    """
    if not callable(fn):
        raise TypeError(f"after_func() needs a function, not {fn!r}")
    call = _Call(partial(contextvars.copy_context().run, go, fn, *args))
    call._wait_for(_checked(ctx))
    return call._stop
