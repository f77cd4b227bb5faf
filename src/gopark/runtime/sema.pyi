from collections.abc import Generator
from typing import Any

from .runtime2 import G

class sema: ...

class SemOp:
    """What `lock`, `acquire` and `wait` give: to be awaited, once."""

    def __await__(self) -> Generator[None, None, None]: ...

def retry(s: sema, g: G[Any]) -> bool: ...
def abandon(s: sema, g: G[Any]) -> None: ...
