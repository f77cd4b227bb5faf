"""`CancelScope`, `timeout` and `deadline`: parts of a program that can be called off."""

from __future__ import annotations

import math
import time
from types import TracebackType
from typing import Literal

from .runtime.cancel import CancelScope

__all__ = ["CancelScope", "deadline", "timeout"]


class deadline(CancelScope):
    """``with deadline(when):`` as `timeout`, with a time of ``time.monotonic()``."""

    __slots__ = ()

    def __init__(self, when: float) -> None:
        super().__init__(deadline=when)

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> Literal[False]:
        if super().__exit__(kind, exc, tb):
            raise TimeoutError("the time was up") from exc
        return False

    async def __aenter__(self) -> CancelScope:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> Literal[False]:
        return self.__exit__(kind, exc, tb)


class timeout(deadline):
    """``with timeout(seconds):`` the block raises TimeoutError if it takes longer.

    What the block waits for is called off, as in a `CancelScope`, and so are its
    further waits.  None is no limit.  ``async with`` does the same.

    Raises:
        TimeoutError: on leaving the block, if its time was up and that ended it.
        ValueError: for NaN.
    """

    __slots__ = ()

    def __init__(self, seconds: float | None) -> None:
        super().__init__(math.inf if seconds is None else time.monotonic() + seconds)
