"""An HTTP server for the files of a folder: gopark run examples/fileserver.py [FOLDER [HOST:PORT]]

    gopark run examples/fileserver.py ~/Downloads 127.0.0.1:8080
    curl -C - -O http://127.0.0.1:8080/large.iso        # goes on where it was broken off
    wrk -c 100 http://127.0.0.1:8080/small.txt

h11 knows the protocol and does no I/O; gopark.net does the I/O, and the system copies the files
(`sendfile`).  Each connection has a goroutine; that it opens files, which may block, holds up
nobody else.  Connections are kept, requests may be pipelined, ranges and entity tags are
understood, a folder is shown as its `index.html` or as a list.  What is outside of the folder
cannot be had.  A client has so many seconds for each request, and for each megabyte of an answer.
Ctrl-C ends the server.
"""

from __future__ import annotations

import html
import io
import mimetypes
import os
import re
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote_from_bytes, unquote_to_bytes

import h11

import gopark
from gopark import go, net

PATIENCE = 30.0  # seconds
PIECE = 1 << 20  # bytes that are sent within them

RANGE = re.compile(rb"bytes=(\d{0,18})-(\d{0,18})")
Header = tuple[str, str]


@dataclass
class Answer:
    status: int
    headers: list[Header]
    file: BinaryIO = field(default_factory=io.BytesIO)
    part: range = range(0)  # the bytes of it that are sent


# -- a connection -------------------------------------------------------------


async def serve(conn: net.Conn, root: Path) -> None:
    """Answer one request after the other."""
    http = h11.Connection(h11.SERVER)
    async with conn:
        with suppress(OSError, EOFError):  # the client is gone, or too slow
            while request := await receive(http, conn):
                await send(http, conn, answer(request, root), request.method == b"HEAD")
                if not (http.our_state is http.their_state is h11.DONE):
                    break
                http.start_next_cycle()
            await leave(conn)


async def receive(http: h11.Connection, conn: net.Conn) -> h11.Request | None:
    """The next request; None if there is none, or none that is HTTP."""
    conn.set_deadline(time.monotonic() + PATIENCE)
    try:
        while (event := http.next_event()) is h11.NEED_DATA:
            http.receive_data(await conn.read())
        if isinstance(event, h11.Request):
            http.next_event()  # its end; if it is a body, the connection ends with the answer
            return event
    except h11.RemoteProtocolError as error:
        await send(http, conn, message(error.error_status_hint))
    return None


async def send(http: h11.Connection, conn: net.Conn, answer: Answer, bare: bool = False) -> None:
    """Send an answer, or only its head."""
    with answer.file as file:
        reason = HTTPStatus(answer.status).phrase
        response = h11.Response(
            status_code=answer.status, headers=answer.headers, reason=reason.encode()
        )
        await conn.write(http.send(response) or b"")
        if answer.part and not bare:
            # h11 counts the bytes, which it never gets to see: all that it needs is their number.
            http.send_with_data_passthrough(h11.Data(data=answer.part))
            await copy(conn, file, answer.part)
        http.send(h11.EndOfMessage())


async def copy(conn: net.Conn, file: BinaryIO, part: range) -> None:
    while part:
        conn.set_deadline(time.monotonic() + PATIENCE)
        sent = await conn.sendfile(file, part.start, min(PIECE, len(part)))
        if not sent:
            raise EOFError("the file has become shorter")
        part = part[sent:]


async def leave(conn: net.Conn) -> None:
    """Read what the client still sends: to close before that may destroy the answer to it."""
    conn.close_write()
    while await conn.read():
        pass


# -- what is asked for --------------------------------------------------------


def answer(request: h11.Request, root: Path) -> Answer:
    if request.method not in (b"GET", b"HEAD"):
        return message(405, ("Allow", "GET, HEAD"))
    name = unquote_to_bytes(request.target.partition(b"?")[0])
    try:
        path = find(root, os.fsdecode(name).lstrip("/"))
        if not path.is_dir():
            return send_file(path, dict(request.headers))
        if not name.endswith(b"/"):  # or the links of the page would lead elsewhere
            return message(301, ("Location", url(f"/{path.relative_to(root)}/")))
        if (path / "index.html").exists():
            return send_file(find(root, path / "index.html"), dict(request.headers))
        return listing(path)
    except (OSError, ValueError):  # it is not there, may not be read, or its name cannot be one
        return message(404)


def find(root: Path, name: str | Path) -> Path:
    """The file's real place, which has to be below `root`, itself a real place."""
    path = Path(os.path.realpath(root / name, strict=True))
    if not path.is_relative_to(root):
        raise FileNotFoundError(name)
    return path


def send_file(path: Path, asked: dict[bytes, bytes]) -> Answer:
    if not path.is_file():
        raise FileNotFoundError(path)  # a pipe, say, which would block
    file = open(path, "rb")  # noqa: SIM115 - who sends it closes it
    state = os.fstat(file.fileno())
    tag = f'"{state.st_mtime_ns:x}-{state.st_size:x}"'
    headers = [("ETag", tag)]
    if tag.encode() in asked.get(b"if-none-match", b""):
        return Answer(304, headers, file)
    status, part = 200, range(state.st_size)
    if asked.get(b"if-range", tag.encode()) == tag.encode():
        wanted = RANGE.fullmatch(asked.get(b"range", b""))
        if wanted and any(wanted.groups()):
            status, part = 206, cut(part, *wanted.groups())
            if not part:
                file.close()
                return message(416, ("Content-Range", f"bytes */{state.st_size}"))
            place = f"bytes {part.start}-{part.stop - 1}/{state.st_size}"
            headers.append(("Content-Range", place))
    kind, packed = mimetypes.guess_type(path)
    if packed or not kind:
        kind = "application/octet-stream"
    headers += [("Accept-Ranges", "bytes"), *content(kind, len(part))]
    return Answer(status, headers, file, part)


def cut(whole: range, first: bytes, last: bytes) -> range:
    """From `first` to `last`, from `first` on, or the `last` so many bytes."""
    if not first:
        return whole[max(0, len(whole) - int(last)) :]
    return whole[int(first) : int(last) + 1 if last else None]


def listing(path: Path) -> Answer:
    with os.scandir(path) as entries:
        names = sorted(entry.name + "/" * entry.is_dir() for entry in entries)
    links = "".join(f'<li><a href="./{url(name)}">{html.escape(shown(name))}</a>' for name in names)
    return page(200, "text/html; charset=utf-8", f"<!doctype html><ul>{links}</ul>\n")


def message(status: int, *headers: Header) -> Answer:
    return page(status, "text/plain", f"{status} {HTTPStatus(status).phrase}\n", *headers)


def page(status: int, kind: str, text: str, *headers: Header) -> Answer:
    body = text.encode()
    whole = range(len(body))
    return Answer(status, [*headers, *content(kind, len(body))], io.BytesIO(body), whole)


def content(kind: str, length: int) -> list[Header]:
    return [("Content-Type", kind), ("Content-Length", str(length))]


def url(name: str) -> str:
    return quote_from_bytes(os.fsencode(name))


def shown(name: str) -> str:
    return os.fsencode(name).decode(errors="replace")


def arguments() -> tuple[Path, str]:
    folder, address = [*sys.argv[1:], *[".", "127.0.0.1:8080"][len(sys.argv) - 1 :]]
    return Path(folder).resolve(strict=True), address


async def main() -> None:
    root, address = arguments()
    async with net.listen("tcp", address) as listener:
        print(f"{root} is at http://{listener.addr}", flush=True)
        try:
            async for conn in listener:
                go(serve(conn, root))
        except KeyboardInterrupt:
            print("bye")


if __name__ == "__main__":
    gopark.run(main)
