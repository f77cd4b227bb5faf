"""The scheduler's own draws are repeatable too."""

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def seeded() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("GOPARK_SEED", "1")
        yield
