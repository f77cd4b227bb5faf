"""gopark: the goroutine for Python.

The scheduler of Go's runtime (G, M, P, work stealing, channels, select, timers)
for ``async def`` code, with and without the GIL::

    import gopark
    from gopark import Chan, go

    async def double(numbers: Chan[int], doubled: Chan[int]) -> None:
        async for n in numbers:
            await doubled.send(2 * n)
        doubled.close()

    async def main() -> None:
        numbers, doubled = Chan[int](), Chan[int]()
        go(double(numbers, doubled))
        await numbers.send(21)
        print(await doubled.recv())
        numbers.close()

    gopark.run(main)
"""

from . import context as context
from . import debug as debug
from . import sync as sync
from . import time as time
from ._block import block_on, blocking, lock_os_thread, unlock_os_thread
from ._cancel import CancelScope, deadline, timeout
from ._chan import Chan
from ._group import TaskGroup
from ._run import current, goexit, gomaxprocs, num_goroutine, run
from ._select import select
from ._version import __version__
from .runtime.errors import (
    Cancelled,
    ChanClosed,
    Deadlock,
    GoCancelled,
    GoPanic,
    TooManyGoroutines,
    WouldBlock,
)
from .runtime.proc import go, gosched
from .runtime.runtime2 import G
from .runtime.select import CLOSED
from .time import sleep

__all__ = [
    "CLOSED",
    "CancelScope",
    "Cancelled",
    "Chan",
    "ChanClosed",
    "Deadlock",
    "G",
    "GoCancelled",
    "GoPanic",
    "TaskGroup",
    "TooManyGoroutines",
    "WouldBlock",
    "__version__",
    "block_on",
    "blocking",
    "current",
    "deadline",
    "go",
    "goexit",
    "gomaxprocs",
    "gosched",
    "lock_os_thread",
    "num_goroutine",
    "run",
    "select",
    "sleep",
    "timeout",
    "unlock_os_thread",
]
