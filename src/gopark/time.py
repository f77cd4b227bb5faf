"""Sleeping and timers: ``sleep``, ``after``, ``after_func``, ``Timer``, ``Ticker`` (Go: ``time``).

Durations are seconds.  The times that a timer's channel gives are those of
``time.monotonic()``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ._chan import Chan
from ._select import select
from .runtime.proc import PARK, gosched
from .runtime.time import rtTimer, timesleep

if TYPE_CHECKING:
    from .context import Context

__all__ = ["Ticker", "Timer", "after", "after_func", "sleep"]


async def sleep(seconds: float, ctx: Context | None = None) -> None:
    """Let `seconds` pass.  For zero or less it only lets others run, as `gosched` does.

    ``float("inf")`` sleeps for ever.

    Raises:
        Canceled, DeadlineExceeded: `ctx` ended first, or had ended before.
        ValueError: `seconds` is NaN.
    """
    if ctx is not None:
        await _sleep_until(ctx, seconds)
    elif seconds <= 0:
        await gosched()
    else:
        timesleep(seconds)
        await PARK


async def _sleep_until(ctx: Context, seconds: float) -> None:
    ctx.raise_if_done()
    if seconds <= 0:
        await gosched()
        return
    try:
        await select(ctx.done(), timeout=seconds)
    except TimeoutError:
        return
    raise await ctx.wait()


class Timer(rtTimer):
    """Sends the time on its channel ``c`` once, after `seconds`."""

    __slots__ = ("_c",)
    _c: Chan[float] | None

    def __init__(self, seconds: float) -> None:
        self._c = Chan(1)
        self._start_chan(self._c, seconds, False)

    @property
    def c(self) -> Chan[float]:
        """The channel; a timer of `after_func` has none."""
        if self._c is None:
            raise AttributeError("a timer of after_func calls its function, and has no channel")
        return self._c

    def stop(self) -> bool:
        """Stop it.  True if that came before it fired, or before anybody received the firing."""
        return self._stop()

    def reset(self, seconds: float) -> bool:
        """Stop it as `stop` does, and start it anew."""
        return self._reset(seconds)


class Ticker(rtTimer):
    """Sends the time on its channel ``c`` every `seconds`; drops ticks for a slow receiver.

    Raises ValueError if `seconds` is not positive.
    """

    __slots__ = ("c",)
    c: Chan[float]

    def __init__(self, seconds: float) -> None:
        _positive(seconds)
        self.c = Chan(1)
        self._start_chan(self.c, seconds, True)

    def stop(self) -> None:
        """No more ticks; the channel is not closed."""
        self._stop()

    def reset(self, seconds: float) -> None:
        """Tick every `seconds` from now on."""
        _positive(seconds)
        self._reset(seconds)


def _positive(seconds: float) -> None:
    if not seconds > 0:
        raise ValueError(f"a ticker's interval must be positive, not {seconds!r}")


def after(seconds: float) -> Chan[float]:
    """A channel that receives the time once, after `seconds`."""
    return Timer(seconds).c


def after_func(seconds: float, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Timer:
    """Call `fn` (async or plain) in a goroutine of its own after `seconds`.

    The timer that it returns can be stopped and reset.
    """
    if not callable(fn):
        raise TypeError(f"after_func() needs a function, not {type(fn).__name__}")
    timer = Timer.__new__(Timer)
    timer._c = None
    timer._start_func(fn, args, kwargs, seconds)
    return timer
