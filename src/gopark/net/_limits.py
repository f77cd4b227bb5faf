"""How long something may take: a timeout, a context, or both."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from .. import context
from .._cancel import CancelScope


@contextmanager
def limited(what: str, timeout: float | None, ctx: context.Context | None) -> Iterator[None]:
    """``with limited(...):`` calls off what the block waits for.

    Raises TimeoutError when `timeout` seconds are over, and ``ctx.err()`` when `ctx` has ended.
    """
    if ctx is not None:
        ctx.raise_if_done()
    at = math.inf if timeout is None else time.monotonic() + timeout
    with CancelScope(deadline=at) as scope:
        forget = context.after_func(ctx, scope.cancel, "its context has ended") if ctx else None
        try:
            yield
        finally:
            if forget is not None:
                forget()
    if scope.cancelled_caught:
        if ctx is not None:
            ctx.raise_if_done()
        raise TimeoutError(f"{what}: not done within {timeout} seconds")
