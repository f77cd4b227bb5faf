"""`select`: wait for the first of several channel operations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._chan import Chan
from .runtime.proc import PARK, WAIT
from .runtime.select import selected, selectgo

if TYPE_CHECKING:
    from .context import Context


async def select(
    *cases: Chan[Any] | tuple[Chan[Any], Any] | None,
    default: bool = False,
    timeout: float | None = None,
    ctx: Context | None = None,
) -> tuple[int, Any]:
    """Wait until one of the cases can go ahead, do it, and tell which.

    A case is a channel (receive from it), a tuple ``(channel, value)`` (send the
    value) or None (never ready).  Among several that are ready one is drawn, each
    with the same chance.

    Returns:
        ``(index, value)``: the index of the case, and what it received; None for a
        send, `CLOSED` for a receive from a closed and drained channel.  With
        `default`, ``(-1, None)`` if no case was ready.

    Raises:
        TimeoutError: no case became ready within `timeout` seconds.
        Canceled, DeadlineExceeded: `ctx` ended first, or had ended before; no case was done.
        ChanClosed: the case that was drawn sends on a closed channel.
        TypeError: a case is none of the three.
    """
    if ctx is not None:
        return await _select_until(ctx, cases, default, timeout)
    result = selectgo(cases, default, timeout)
    if result is WAIT:
        await PARK
        return selected()  # type: ignore[no-any-return]
    return result  # type: ignore[no-any-return]


async def _select_until(
    ctx: Context, cases: tuple[Any, ...], default: bool, timeout: float | None
) -> tuple[int, Any]:
    ctx.raise_if_done()
    if default:
        return await select(*cases, default=True)
    i, value = await select(*cases, ctx.done(), timeout=timeout)
    if i == len(cases):
        raise await ctx.wait()
    return i, value
