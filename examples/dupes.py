"""Find duplicate files: gopark run examples/dupes.py FOLDER...

A pipeline of goroutines, with channels between them:

    walk -> distinct -> twins -> heads -> twins -> tails -> collect
             inodes     sizes             heads

`walk` lists several folders at a time.  `twins` lets only those files through that may have a
duplicate, as soon as the second one of a kind arrives: the first time those of the same size, the
second time those whose heads are the same too.  `heads` and `tails` read and hash in many
goroutines at once, and no byte is read twice.  The channels are short, so a stage that is faster
than the next one waits for it.

Each stage is started and let go.  One that fails is nobody's to await, so it ends the whole
program with its traceback, as a panic does in Go: no stage is left waiting for a dead one.

What counts as a file: symbolic links are not followed, and devices, sockets and pipes are skipped.
Hard links to one inode are one file, and so is what can be reached through two of the folders.
A file or folder that cannot be read, that vanishes, or that changes between the first look at it
and the last, is left out and listed on stderr at the end; the exit code is still 0.  It is 2 when
the command line is wrong.

--json prints one object; sizes are in bytes, groups come in order of "wasted", the largest first:

    {"groups": [{"size": 5, "wasted": 10, "paths": ["a", "b", "c"]}],
     "total": {"files": 12, "groups": 1, "wasted": 10},
     "problems": [{"path": "d", "reason": "Permission denied"}]}

"total" counts all groups, also those that --top leaves out; its "files" are those looked at.  The
bytes of a name that are not UTF-8 appear as lone surrogates, as `os.fsdecode` makes them.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import sys
import threading
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, TextIO

import click

import gopark
from gopark import Chan, go, gosched, select
from gopark.time import Ticker

HEAD = 16 * 1024  # how much of a file is compared before all of it is
CHUNK = 1024 * 1024  # how much is read at a time
TOP = 20  # how many groups the table shows
QUEUE = 256  # how far a stage may get ahead of the next one


@dataclass(slots=True)
class File:
    """A regular file, as `walk` saw it."""

    path: str
    version: tuple[int, ...]
    size: int
    head: bytes = b""
    tail: bytes = b""

    @property
    def inode(self) -> tuple[int, ...]:
        return self.version[:2]


@dataclass(frozen=True, slots=True)
class Folder:
    path: str
    inode: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """Why something was left out."""

    path: str
    reason: str

    @classmethod
    def of(cls, path: str, error: OSError) -> Problem:
        return cls(path, error.strerror or str(error))


@dataclass(frozen=True, slots=True)
class Group:
    """Files with the same content."""

    size: int
    paths: list[str]

    @property
    def wasted(self) -> int:
        return self.size * (len(self.paths) - 1)


@dataclass(slots=True)
class Progress:
    """How far the program is.  Goroutines on several threads count here, so there is a lock."""

    files: int = 0
    bytes_wanted: int = 0
    bytes_read: int = 0
    walking: bool = True
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def found(self) -> None:
        with self._lock:
            self.files += 1

    def want(self, size: int) -> None:
        with self._lock:
            self.bytes_wanted += size

    def read(self, size: int) -> None:
        with self._lock:
            self.bytes_read += size


@dataclass(slots=True)
class Scan:
    """What the stages of one search share.  (Any thread may append to a list.)"""

    min_size: int
    workers: int
    progress: Progress
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Result:
    groups: list[Group]
    problems: list[Problem]
    files: int

    @property
    def wasted(self) -> int:
        return sum(group.wasted for group in self.groups)


HashPart = Callable[[File, bytearray, Progress], Awaitable[None]]


# -- the pipeline -------------------------------------------------------------


async def find_duplicates(
    folders: Sequence[str],
    *,
    min_size: int = 1,
    workers: int = 4,
    progress: Progress | None = None,
) -> Result:
    """The groups of files of the same content under `folders`, the most wasteful first."""
    scan = Scan(min_size, workers, progress or Progress())
    found, files, same_size, with_head, same_head, hashed = (Chan[File](QUEUE) for _ in range(6))
    go(walk(folders, found, scan))
    go(distinct(found, files, scan))
    go(twins(files, same_size, lambda file: file.size, lambda file: min(file.size, HEAD), scan))
    go(hash_all(same_size, with_head, hash_head, scan))
    go(twins(with_head, same_head, content, lambda file: max(file.size - HEAD, 0), scan))
    go(hash_all(same_head, hashed, hash_tail, scan))
    groups = await collect(hashed)
    problems = sorted(scan.problems, key=lambda problem: problem.path)
    return Result(groups, problems, scan.progress.files)


async def walk(folders: Iterable[str], found: Chan[File], scan: Scan) -> None:
    """Find all files, listing as many folders at a time as there are workers.

    One goroutine knows which folders have been seen; those that list them report to it.
    """
    seen: set[tuple[int, ...]] = set()
    listed: Chan[list[Folder]] = Chan()
    for root in folders:
        todo, busy = root_folder(root, scan), 0
        while todo or busy:
            while todo and busy < scan.workers:
                folder = todo.pop()
                if folder.inode not in seen:
                    seen.add(folder.inode)
                    go(list_folder(folder, found, listed, scan))
                    busy += 1
            if busy:
                todo += await listed.recv()
                busy -= 1
    found.close()


def root_folder(path: str, scan: Scan) -> list[Folder]:
    try:
        return [Folder(path, version(os.stat(path))[:2])]
    except OSError as error:
        scan.problems.append(Problem.of(path, error))
        return []


async def list_folder(
    folder: Folder, found: Chan[File], listed: Chan[list[Folder]], scan: Scan
) -> None:
    """Send on the files in `folder`, then report the folders in it."""
    folders = []
    try:
        with os.scandir(folder.path) as entries:
            for entry in entries:
                match examine(entry, scan):
                    case Folder() as inner:
                        folders.append(inner)
                    case File() as file if file.size >= scan.min_size:
                        await found.send(file)
    except OSError as error:
        scan.problems.append(Problem.of(folder.path, error))
    await listed.send(folders)


def examine(entry: os.DirEntry[str], scan: Scan) -> File | Folder | None:
    """What the entry of a folder is; None for what is neither file nor folder."""
    try:
        seen = entry.stat(follow_symlinks=False)
    except OSError as error:
        scan.problems.append(Problem.of(entry.path, error))
        return None
    if stat.S_ISDIR(seen.st_mode):
        return Folder(entry.path, version(seen)[:2])
    if stat.S_ISREG(seen.st_mode):
        return File(entry.path, version(seen), seen.st_size)
    return None


def version(seen: os.stat_result) -> tuple[int, ...]:
    """What stays the same as long as a name stands for the same file with the same content."""
    return seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns


async def distinct(found: Chan[File], files: Chan[File], scan: Scan) -> None:
    """Pass on each file once, whatever the number of its names.  Its first name stands for it."""
    known: dict[tuple[int, ...], File] = {}
    async for file in found:
        first = known.setdefault(file.inode, file)
        if first is file:
            scan.progress.found()
            await files.send(file)
        else:
            first.path = min(first.path, file.path)
    scan.progress.walking = False
    files.close()


async def twins(
    files: Chan[File],
    candidates: Chan[File],
    key: Callable[[File], Hashable],
    still_to_read: Callable[[File], int],
    scan: Scan,
) -> None:
    """Pass on the files that are not alone with their key: nothing else can have a duplicate."""
    alone: dict[Hashable, File | None] = {}
    async for file in files:
        first = alone.setdefault(key(file), file)
        if first is file:
            continue
        alone[key(file)] = None  # from now on there is nobody to wait for
        for candidate in (first, file) if first else (file,):
            scan.progress.want(still_to_read(candidate))
            await candidates.send(candidate)
    candidates.close()


def content(file: File) -> Hashable:
    """What is known of the content of a file: equal for equal files."""
    return file.size, file.head, file.tail


async def hash_all(
    files: Chan[File],
    hashed: Chan[File],
    hash_part: HashPart,
    scan: Scan,
) -> None:
    """Hash a part of each file, as many files at a time as there are workers."""

    async def worker() -> None:
        buffer = bytearray(CHUNK)
        async for file in files:
            try:
                await hash_part(file, buffer, scan.progress)
            except OSError as error:
                scan.problems.append(Problem.of(file.path, error))
            else:
                await hashed.send(file)

    for g in [go(worker()) for _ in range(scan.workers)]:
        await g
    hashed.close()


async def hash_head(file: File, buffer: bytearray, progress: Progress) -> None:
    file.head = await digest(file, 0, min(file.size, HEAD), buffer, progress)


async def hash_tail(file: File, buffer: bytearray, progress: Progress) -> None:
    if file.size > HEAD:
        file.tail = await digest(file, HEAD, file.size, buffer, progress)


async def digest(file: File, start: int, stop: int, buffer: bytearray, progress: Progress) -> bytes:
    """The hash of the bytes from `start` to `stop` of a file that is still as `walk` saw it."""
    hasher = hashlib.blake2b(digest_size=32)
    view = memoryview(buffer)
    with unchanged(file) as stream:
        stream.seek(start)
        while start < stop:
            count = stream.readinto(view[: stop - start])
            if not count:
                raise OSError("is shorter than its size says")
            hasher.update(view[:count])
            start += count
            progress.read(count)
            await gosched()  # a large file must not keep the others from running
    return hasher.digest()


@contextmanager
def unchanged(file: File) -> Iterator[io.RawIOBase]:
    """Open the file; OSError if it changes between `walk`'s look at it and the end of the block."""
    with open(file.path, "rb", buffering=0, opener=open_regular) as stream:
        check_version(file, stream.fileno())
        yield stream
        check_version(file, stream.fileno())


def check_version(file: File, fd: int) -> None:
    if version(os.fstat(fd)) != file.version:
        raise OSError("changed meanwhile")


def open_regular(path: str, flags: int) -> int:
    """Open what was a regular file, and do not wait if it has become a pipe meanwhile."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


async def collect(hashed: Chan[File]) -> list[Group]:
    """The groups, the most wasteful first."""
    files: defaultdict[Hashable, list[File]] = defaultdict(list)
    async for file in hashed:
        files[content(file)].append(file)
    groups = [
        Group(same[0].size, sorted(file.path for file in same))
        for same in files.values()
        if len(same) > 1
    ]
    return sorted(groups, key=lambda group: (-group.wasted, group.paths))


# -- what the user sees -------------------------------------------------------


async def show(progress: Progress, over: Chan[None]) -> None:
    """Draw a progress bar on stderr until `over` is closed."""
    try:
        import rich.console
        import rich.progress
    except ImportError:
        return  # the bar is all that needs rich
    columns = (
        rich.progress.TextColumn("{task.fields[files]:,} files"),
        rich.progress.BarColumn(),
        rich.progress.DownloadColumn(binary_units=True),
        rich.progress.TransferSpeedColumn(),
    )
    terminal = rich.console.Console(stderr=True)
    with rich.progress.Progress(
        *columns, console=terminal, transient=True, auto_refresh=False
    ) as bar:
        task = bar.add_task("", total=None, files=0)
        ticker = Ticker(0.1)
        while (await select(over, ticker.c))[0] == 1:
            total = None if progress.walking else progress.bytes_wanted
            bar.update(task, total=total, completed=progress.bytes_read, files=progress.files)
            bar.refresh()
        ticker.stop()


def table(result: Result, top: int | None) -> str:
    top = TOP if top is None else top
    shown, hidden = result.groups[:top], len(result.groups[top:])
    lines = [f"{'WASTED':>10}  {'SIZE':>10}  FILES"] if shown else []
    for group in shown:
        first, *others = map(printable, group.paths)
        lines.append(f"{human(group.wasted):>10}  {human(group.size):>10}  {first}")
        lines += [f"{'':22}  {path}" for path in others]
        lines.append("")
    if hidden:
        lines.append(f"... and {number(hidden, 'more group')}\n")
    lines.append(
        f"{number(result.files, 'file')}: {number(len(result.groups), 'group')} of duplicates, "
        f"{human(result.wasted)} wasted"
    )
    return "\n".join(lines)


def as_json(result: Result, top: int | None) -> str:
    groups: list[dict[str, Any]] = [
        {"size": group.size, "wasted": group.wasted, "paths": group.paths}
        for group in result.groups[:top]
    ]
    total = {"files": result.files, "groups": len(result.groups), "wasted": result.wasted}
    problems = [asdict(problem) for problem in result.problems]
    return json.dumps({"groups": groups, "total": total, "problems": problems}, indent=2)


def warning(problems: Sequence[Problem]) -> str:
    lines = [f"  {printable(problem.path)}: {problem.reason}" for problem in problems]
    return "\n".join([f"Warning: {number(len(problems), 'path')} left out:", *lines])


def write(text: str, stream: TextIO) -> None:
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")  # not every terminal knows every character
    try:
        print(text, file=stream, flush=True)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def printable(path: str) -> str:
    """The path with escapes for what a terminal would not print, or would obey."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in path)


def number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def human(size: float) -> str:
    if size < 1024:
        return f"{size:.0f} B"
    for unit in ("KiB", "MiB", "GiB"):
        size /= 1024
        if size < 1024:
            return f"{size:.1f} {unit}"
    return f"{size / 1024:.1f} TiB"


# -- the command --------------------------------------------------------------

UNITS = {"K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


def size(text: str) -> int:
    """A number of bytes: 100, 10K, 1.5M, 2G."""
    unit = text[-1:].upper()
    digits = text[:-1] if unit in UNITS else text
    try:
        count = int(float(digits) * UNITS.get(unit, 1))
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{text!r} is no size: give one such as 100, 10K or 1.5M."
        ) from None
    if count < 0:
        raise click.BadParameter(f"{text!r} is negative.")
    return count


@dataclass(frozen=True, slots=True)
class Options:
    folders: tuple[str, ...]
    min_size: int
    top: int | None
    workers: int
    json: bool


@click.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False))
@click.option(
    "--min-size",
    type=size,
    default="1",
    help="Ignore smaller files (default: 1, so empty ones); K, M, G and T are understood.",
)
@click.option(
    "--top",
    type=click.IntRange(min=0),
    metavar="N",
    help="Show only the N most wasteful groups (default: 20, or all with --json).",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    default=lambda: 2 * cpus(),
    help="Read as many files at a time (default: two per CPU).",
)
@click.option("--json", is_flag=True, help="Print JSON instead of a table.")
def command_line(**options: Any) -> Options:
    """Find files with the same content under FOLDERS."""
    return Options(**options)


def cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def use_every_core(options: Options) -> None:
    """Have a P for each CPU, unless the user has set their number.

    Without the GIL that is so already.  With it gopark starts with one P; but to read and to hash
    the interpreter lets go of the GIL.
    """
    gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    if gil and gopark.gomaxprocs() == 1 and "GOMAXPROCS" not in os.environ:
        gopark.gomaxprocs(min(options.workers, cpus()))


async def main() -> int:
    """What `gopark run` calls; returns the exit code."""
    try:
        options: Options | int = command_line.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    if not isinstance(options, Options):
        return options  # --help has been printed
    use_every_core(options)
    progress, over = Progress(), Chan[None]()
    display = go(show(progress, over)) if sys.stderr.isatty() else None
    result = await find_duplicates(
        options.folders, min_size=options.min_size, workers=options.workers, progress=progress
    )
    over.close()
    if display:
        await display
    write(as_json(result, options.top) if options.json else table(result, options.top), sys.stdout)
    if result.problems:
        write(warning(result.problems), sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(gopark.run(main))
