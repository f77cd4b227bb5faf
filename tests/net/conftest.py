"""Everything that waits runs with 1, 2 and 8 Ps."""

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import gopark

Run = Callable[[Callable[[], Coroutine[Any, Any, Any]]], Any]


@pytest.fixture(params=[1, 2, 8], ids=lambda n: f"procs{n}")
def run(request: pytest.FixtureRequest) -> Run:
    """`gopark.run`, with so many Ps."""
    return lambda main: gopark.run(main, procs=request.param)
