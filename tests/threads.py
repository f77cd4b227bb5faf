"""The threads of this process, for the tests of whoever makes some."""

import threading
import time
from pathlib import Path

TASKS = Path("/proc/self/task")


def os_threads() -> int:
    """How many there are; where there is /proc, also those that Python does not know of."""
    return len(list(TASKS.iterdir())) if TASKS.exists() else threading.active_count()


def wait_for_threads(most: int) -> None:
    """Until there are no more than so many: the last thing that a thread does is not its end."""
    while os_threads() > most:
        time.sleep(0.001)
