"""What goes wrong with a connection, besides the system's own errors."""

from __future__ import annotations

import errno

from ..runtime.errors import ClosedError

__all__ = ["AddrError", "ClosedError", "IncompleteReadError", "LimitError", "failed"]


class AddrError(ValueError):
    """An address that cannot be understood (Go: ``net.AddrError``)."""


class IncompleteReadError(EOFError):
    """The stream ended before all that was asked for had come (Go: ``io.ErrUnexpectedEOF``).

    Attributes:
        partial: what had come; it is read.
    """

    def __init__(self, message: str, partial: bytes = b"") -> None:
        super().__init__(message)
        self.partial = partial

    def __reduce__(self) -> tuple[type[IncompleteReadError], tuple[str, bytes]]:
        return type(self), (str(self), self.partial)


class LimitError(ValueError):
    """The separator is not among so many bytes (Go: ``bufio.ErrTooLong``); none of them is read."""


def failed(what: str, exc: OSError) -> OSError:
    """The same error, with `what` was tried: ``dial tcp [::1]:80: Connection refused``."""
    if exc.errno is None or type(exc) is not type(OSError(exc.errno, "")):
        return exc  # a timeout, a failed lookup: they have a sentence of their own
    return OSError(exc.errno, f"{what}: {exc.strerror}")


# The machine, or the process, has no descriptor or no memory for one more connection.
EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

# A connection failed before it was accepted, which is no failure of the listener: see accept(2).
PASSING = frozenset(
    getattr(errno, name)
    for name in (
        "ECONNABORTED",
        "EPROTO",
        "ENETDOWN",
        "ENOPROTOOPT",
        "EHOSTDOWN",
        "ENONET",
        "EHOSTUNREACH",
        "ENETUNREACH",
    )
    if hasattr(errno, name)
)
