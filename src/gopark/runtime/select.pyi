from typing import Any, Final, final

@final
class _Closed:
    def __bool__(self) -> bool: ...

CLOSED: Final[_Closed]

# Its result, or proc.WAIT; then, after PARK, `selected` has it.
def selectgo(cases: tuple[Any, ...], default: bool, timeout: float | None) -> Any: ...
def selected() -> Any: ...
