from typing import Any

from .runtime2 import G

def leaks_(*ours: object) -> list[G[Any]]: ...
