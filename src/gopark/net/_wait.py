"""Waiting for descriptors that others own, such as the sockets of a database library."""

from __future__ import annotations

import os
from typing import Protocol

from ..runtime.poll import FD, PARK, WAIT


class HasFileno(Protocol):
    def fileno(self) -> int: ...


# The poller knows a descriptor once, for its life, and this one's life is its owner's affair.  So
# it gets a number of its own for the wait, which stands for the same open file.


async def wait_readable(file: int | HasFileno) -> None:
    """Wait until `file`, a descriptor or what has one, can be read from, or has failed.

    Level-triggered: it returns at once while there is something to read.  The descriptor is
    left as it is, and need not be non-blocking.  Its owner must not close it meanwhile.
    """
    fd = _duplicate(file)
    try:
        while fd.waitread() is WAIT:
            await PARK
    finally:
        fd.close()


async def wait_writable(file: int | HasFileno) -> None:
    """The same, until it can be written to."""
    fd = _duplicate(file)
    try:
        while fd.waitwrite() is WAIT:
            await PARK
    finally:
        fd.close()


def _duplicate(file: int | HasFileno) -> FD:
    return FD(os.dup(file if isinstance(file, int) else file.fileno()), False)
