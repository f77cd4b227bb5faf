"""Look at a running program: every goroutine, and those that wait for ever."""

from __future__ import annotations

import faulthandler
import gc
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import TextIO

from .runtime import awaits, mgc, proc
from .runtime.errors import GoroutineReport, created_by_line

__all__ = ["GoroutineReport", "dump", "goroutines", "leaks"]


def goroutines() -> tuple[GoroutineReport, ...]:
    """A report on every live goroutine, oldest first.  May be called on any thread."""
    return tuple(GoroutineReport(g) for g in proc.goroutines_())


def leaks() -> tuple[GoroutineReport, ...]:
    """A report on every goroutine that waits for what can never come, oldest first.

    A goroutine that waits in a channel operation, a select, a lock or ``await g`` has
    leaked if nobody can end its wait: what it waits on, and the scopes that it is in,
    can be reached only by itself, and by others that have leaked.  That somebody holds
    its handle, and could cancel it, is no help.
    The collector's own knowledge of who refers to what decides; a collection of
    garbage comes first, and all threads stand still for the walk.  May be called on
    any thread while a program runs.

    None is named that could go on.  Some that could not are missing: those whose
    channel is held by a module, a reference cycle with a finalizer, or code in C; by a
    local variable that nobody reads any more; those that wait in plain code
    (`block_on`), or are wired to their thread.  A goroutine that sleeps, or whose wait
    has a timeout, has not leaked.
    """
    gc.collect()
    return tuple(GoroutineReport(g) for g in mgc.leaks_(awaits._asyncgens))


def dump(file: TextIO | None = None) -> None:
    """Print the stack of every goroutine, and of every thread, to `file` (stderr).

    May be called on any thread.  Of a goroutine that runs just now its thread's stack
    is shown.
    """
    file = sys.stderr if file is None else file
    for _, _, text in _stacks():
        print(text, file=file)


def _stacks() -> Iterator[tuple[GoroutineReport | None, int | None, str]]:
    """The stacks of all goroutines, and then of the threads that run none.

    As (the goroutine's report, the identifier of the thread that runs it, text); of the
    two only what there is.
    """
    running = {g.id: ident for g, ident in proc.running_()}
    threads = _threads()
    for report in goroutines():
        ident = running.get(report.id) if report.status == "running" else None
        stack = threads.pop(ident, None) if ident else None
        if stack is None:
            yield report, None, f"{report}\n"
        else:
            text = f"{report.head}{stack}  {created_by_line(report.created_by)}\n"
            yield report, ident, text
    for ident, stack in threads.items():
        if "<no Python frame>" not in stack:  # as of the runtime's own that sleep
            yield None, ident, f"thread {ident:#x}, which runs no goroutine:\n{stack}"


def _threads() -> dict[int, str]:
    """The Python stack of each thread, innermost call first, by the thread's identifier.

    By faulthandler, which stops the others so long where there is no GIL.
    """
    for _ in range(100):
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as file:
            faulthandler.dump_traceback(file, all_threads=True)
            file.seek(0)
            text = file.read()
        if "<freed thread state>" not in text:
            break
        time.sleep(0.001)  # it gives up at a thread that has not quite begun
    found = {}
    for part in re.split(r"^(?=(?:Current thread|Thread) 0x)", text, flags=re.MULTILINE):
        head, _, stack = part.partition("\n")
        if match := re.search(r"hread 0x([0-9a-f]+)", head):
            found[int(match[1], 16)] = stack.rstrip("\n") + "\n"
    return found
