"""How the model tests use Hypothesis: the same examples in every run, unless told otherwise.

``GOPARK_EXPLORE=1000`` in the environment looks at as many new ones.
"""

import os

from hypothesis import HealthCheck, settings


def repeatable(max_examples: int, steps: int = 50) -> settings:
    explore = int(os.environ.get("GOPARK_EXPLORE") or 0)
    return settings(
        max_examples=explore or max_examples,
        stateful_step_count=steps,
        derandomize=not explore,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
