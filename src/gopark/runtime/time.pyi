from collections.abc import Callable
from typing import Any

from .chan import hchan

class rtTimer:
    def _start_chan(self, c: hchan, seconds: float, period: bool) -> None: ...
    def _start_func(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        seconds: float,
    ) -> None: ...
    def _stop(self) -> bool: ...
    def _reset(self, seconds: float) -> bool: ...

def timesleep(seconds: float) -> object: ...
