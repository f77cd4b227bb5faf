"""A thread that takes Ps, for the tests of whoever loses one."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from gopark.runtime.export_test import retake


@contextmanager
def robber() -> Iterator[None]:
    """A thread takes Ps from goroutines in user code all the time."""
    over = threading.Event()

    def rob() -> None:
        while not over.is_set():
            for p in range(8):
                retake(p)
            time.sleep(0.0002)

    thread = threading.Thread(target=rob)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
