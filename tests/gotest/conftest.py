"""Go runs these programs on several threads: so here each runs with 1, 2 and 8 Ps."""

import pytest


@pytest.fixture(params=[1, 2, 8])
def procs(request: pytest.FixtureRequest) -> int:
    return int(request.param)
