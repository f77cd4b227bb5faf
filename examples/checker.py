"""Look for broken links on a site: gopark run examples/checker.py URL

A goroutine for each link, so many of which ask at the same time (--limit).  What is found on pages
of the same host is followed; a link to elsewhere is asked for, and no further.  Every answer has to
be there, whole, after so many seconds (--timeout).  Broken links are listed with the page that
has them, and the exit code is 1 if there is one.

    gopark run examples/checker.py --limit 50 --timeout 5 http://localhost:8000/

HTTP is spoken through h11, which has no I/O of its own, over gopark.net.  `urllib` in goroutines
would do too (see anyblock.py), but each would cost a thread while it waits, its timeout is for each
read, so that a slow enough server never exceeds it, and nothing could call it off.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from urllib.parse import SplitResult, quote, urldefrag, urljoin, urlsplit

import h11
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

import gopark
from gopark import TaskGroup, net
from gopark.sync import Semaphore

LARGEST = 10_000_000  # bytes of a page


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, order=True)
class Broken:
    url: str
    page: str
    reason: str


# -- one page -----------------------------------------------------------------


async def get(url: str) -> Answer:
    """Ask once, on a connection of its own.

    Raises OSError, h11.ProtocolError, or ValueError for a URL or an answer that is too odd.
    """
    parts = urlsplit(url)
    async with await connect(parts) as conn:
        http = h11.Connection(h11.CLIENT)
        await conn.write(request(http, parts))
        return await answer(http, conn)


async def connect(parts: SplitResult) -> net.Conn:
    host = parts.hostname or ""
    if parts.scheme == "https":
        return await net.dial_tls("tcp", (host, parts.port or 443))
    return await net.dial("tcp", (host, parts.port or 80))


def request(http: h11.Connection, parts: SplitResult) -> bytes:
    target = (parts.path or "/") + ("?" + parts.query if parts.query else "")
    headers = [("Host", parts.netloc), ("User-Agent", "checker"), ("Connection", "close")]
    head = http.send(h11.Request(method="GET", target=target, headers=headers))
    return (head or b"") + (http.send(h11.EndOfMessage()) or b"")


async def answer(http: h11.Connection, conn: net.Conn) -> Answer:
    status, headers, body = 0, {}, bytearray()
    while True:
        match http.next_event():
            case h11.NEED_DATA:
                http.receive_data(await conn.read())
            case h11.Response() as response:
                status = response.status_code
                headers = {name.decode(): value.decode() for name, value in response.headers}
            case h11.Data() as part:
                body += part.data
                if len(body) > LARGEST:
                    raise ValueError(f"more than {LARGEST:,} bytes")
            case h11.EndOfMessage():
                return Answer(status, headers, bytes(body))


class Links(HTMLParser):
    """The addresses on a page."""

    ATTRIBUTES = frozenset({("a", "href"), ("link", "href"), ("img", "src"), ("script", "src")})

    def __init__(self, page: str, html: str) -> None:
        super().__init__()
        self.page = self.base = page
        self.found: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value and tag == "base" and name == "href":
                self.base = urljoin(self.page, value)
            elif value and (tag, name) in self.ATTRIBUTES:
                self.found.add(absolute(self.base, value))


def absolute(base: str, link: str) -> str:
    """Spaces and letters that no URL may have are written as browsers write them."""
    return quote(urldefrag(urljoin(base, link.strip())).url, safe="%/:?=&+$,;@~!*'()[]")


# -- all of them --------------------------------------------------------------


class Checker:
    """Asks for everything that can be reached from one address."""

    def __init__(self, start: str, limit: int, timeout: float, progress: Progress) -> None:
        self.start = start
        self.timeout = timeout
        self.progress = progress
        self.bar = progress.add_task("checking", total=None)
        self.places = Semaphore(limit)
        self.group = TaskGroup()
        self.seen: dict[str, str] = {}  # each URL, with the page that had it first
        self.broken: list[Broken] = []

    async def run(self) -> list[Broken]:
        async with self.group:
            await self.add(self.start, "")
        return sorted(self.broken)

    async def add(self, url: str, page: str) -> None:
        """Start a goroutine for a link, unless there has been one.

        `setdefault` looks and notes in one step: of two that find the same link, one asks.
        """
        if url.startswith(("http://", "https://")) and self.seen.setdefault(url, page) is page:
            self.progress.update(self.bar, total=len(self.seen))
            await self.group.go(self.check(url, page))

    async def check(self, url: str, page: str) -> None:
        """The place is given back before the links are gone through: there may be many."""
        try:
            async with self.places:
                with gopark.timeout(self.timeout):
                    answer = await get(url)
            if answer.status >= 400:
                raise ValueError(f"status {answer.status}")
            for link in self.links(url, answer):
                await self.add(link, url)
        except (OSError, ValueError, h11.ProtocolError) as error:
            self.broken.append(Broken(url, page, str(error) or type(error).__name__))
        self.progress.advance(self.bar)

    def links(self, url: str, answer: Answer) -> set[str]:
        found = set()
        if "location" in answer.headers:
            found.add(absolute(url, answer.headers["location"]))
        is_html = answer.headers.get("content-type", "").startswith("text/html")
        if is_html and urlsplit(url).netloc == urlsplit(self.start).netloc:
            found |= Links(url, answer.body.decode(errors="replace")).found
        return found


async def main() -> int:
    parser = argparse.ArgumentParser(description="Look for broken links on a site.")
    parser.add_argument("url", metavar="URL")
    parser.add_argument("--limit", type=int, default=20, help="questions at a time (default: 20)")
    parser.add_argument("--timeout", type=float, default=10, help="seconds for each (default: 10)")
    options = parser.parse_args()
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        checker = Checker(options.url, options.limit, options.timeout, progress)
        broken = await checker.run()
    for link in broken:
        print(f"{link.url}: {link.reason}" + (f", linked from {link.page}" if link.page else ""))
    print(f"{len(checker.seen)} links, {len(broken)} broken")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(gopark.run(main))
