"""A chat room over TCP: gopark run examples/chat.py [HOST:PORT]

Join with `nc 127.0.0.1 8008`: the first line that you send is your name, every other one goes to
all who are there.  `/who` lists them, `/quit` or the end of the input leaves.  Ctrl-C closes the
room.

    reader (one for each guest) --events--> host --lines--> writer (one for each guest)

The host alone knows who is there, so there is nothing to lock.  It never waits for a guest: each
has a channel for the lines on their way, and who lets it run full is shown the door.  So one who
never reads holds up nobody.  A guest leaves when the channel is closed: the writer sends what is
left in it and hangs up, and that ends the reader.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import dataclass, field

import gopark
from gopark import Chan, WouldBlock, go, net

BEHIND = 100  # lines that a guest may be behind
LINE = 1000  # bytes of a line, at most
NAME = 20  # characters of a name, at most
GRACE = 2.0  # seconds for reading the last lines when the room closes


@dataclass(eq=False)
class Guest:
    conn: net.Conn
    name: str = ""
    accepted: Chan[bool] = field(default_factory=lambda: Chan(1))
    lines: Chan[str] = field(default_factory=lambda: Chan(BEHIND))


@dataclass
class Joins:
    guest: Guest


@dataclass
class Says:
    guest: Guest
    text: str


@dataclass
class Leaves:
    guest: Guest


@dataclass
class Closes:
    pass


Event = Joins | Says | Leaves | Closes


class Host:
    """Takes one event after the other, until the room is closed and everybody has left."""

    def __init__(self) -> None:
        self.events: Chan[Event] = Chan()
        self.guests: dict[str, Guest] = {}

    async def run(self) -> None:
        is_open = True
        while is_open or self.guests:
            match await self.events.recv():
                case Joins(guest) if is_open:
                    guest.accepted.send_nowait(self.join(guest))
                case Says(guest, "/who"):
                    self.tell(guest, self.who())
                case Says(guest, text):
                    self.tell_all(f"{guest.name}: {text}", but=guest)
                case Leaves(guest):
                    self.leave(guest, "leaves")
                case Closes():
                    is_open = False
                    self.tell_all("the room closes, good night")
                    for guest in self.guests.values():
                        guest.lines.close()

    def who(self) -> str:
        return "here are " + ", ".join(sorted(self.guests))

    def join(self, guest: Guest) -> bool:
        if guest.name in self.guests:
            return False
        self.tell_all(f"{guest.name} joins")
        self.guests[guest.name] = guest
        self.tell(guest, self.who())
        return True

    def leave(self, guest: Guest, how: str) -> None:
        if self.guests.get(guest.name) is guest:
            del self.guests[guest.name]
            if not guest.lines.closed:
                guest.lines.close()
            self.tell_all(f"{guest.name} {how}")

    def tell_all(self, text: str, but: Guest | None = None) -> None:
        for guest in list(self.guests.values()):
            if guest is not but:
                self.tell(guest, text)

    def tell(self, guest: Guest, text: str) -> None:
        if guest.lines.closed:
            return  # is on the way out
        try:
            guest.lines.send_nowait(text)
        except WouldBlock:
            guest.conn.close()  # what is on its way would never arrive
            self.leave(guest, "is too slow, and is gone")


async def attend(conn: net.Conn, host: Host) -> None:
    """Everything about one guest: the reader, which starts the writer."""
    guest = Guest(conn)
    with suppress(OSError, EOFError, net.LimitError):  # one that goes away, or talks without end
        await introduce(guest, host)
        go(write(guest))
        while (text := await read_line(conn)) != "/quit":
            await host.events.send(Says(guest, text))
    await host.events.send(Leaves(guest))
    if not guest.lines.closed:  # has never joined
        conn.close()


async def introduce(guest: Guest, host: Host) -> None:
    """Ask for a name until it is one that nobody else has."""
    await guest.conn.write(b"your name?\n")
    while True:
        guest.name = (await read_line(guest.conn))[:NAME]
        if guest.name:
            await host.events.send(Joins(guest))
            if await guest.accepted.recv():
                return
        await guest.conn.write(b"another name, please?\n")


async def read_line(conn: net.Conn) -> str:
    line = await conn.read_until(b"\n", LINE)
    return "".join(filter(str.isprintable, line.decode(errors="replace"))).strip()


async def write(guest: Guest) -> None:
    async with guest.conn as conn:
        with suppress(OSError):
            async for line in guest.lines:
                await conn.write(f"{line}\n".encode())


async def welcome(listener: net.Listener, host: Host) -> None:
    async for conn in listener:
        go(attend(conn, host))


async def main() -> None:
    address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8008"
    host = Host()
    hosting = go(host.run())
    async with net.listen("tcp", address) as listener:
        print(f"the room is open at {listener.addr}", flush=True)
        with suppress(KeyboardInterrupt):
            await welcome(listener, host)
    await host.events.send(Closes())
    with suppress(TimeoutError), gopark.timeout(GRACE):
        await hosting
    print("the room is closed")


if __name__ == "__main__":
    gopark.run(main)
