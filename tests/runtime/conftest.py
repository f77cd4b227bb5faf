"""What the tests of the scheduler share."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from gopark.runtime.export_test import World

Worlds = Callable[[int], World]


@pytest.fixture
def world() -> Iterator[Worlds]:
    """Makes a scheduler of so many Ps, in which no program runs."""
    with ExitStack() as stack:
        yield lambda procs: stack.enter_context(World(procs))
