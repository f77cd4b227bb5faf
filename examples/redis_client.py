"""A client for Redis: gopark run examples/redis_client.py [HOST:PORT, or the path of a Unix socket]

`hiredis` parses, `gopark.net` connects.  Any number of goroutines use one connection at the same
time: each writes its command and waits for its reply, a reader hands the replies out in the order
of the commands.  So what many ask at once travels as a pipeline, and nobody has to arrange for it.

A connection that is lost is made anew by the next command.  Who was waiting for a reply gets a
ConnectionError: whether Redis has carried out the command nobody can know, so it is for the caller
to ask again.  A subscription subscribes anew by itself; what is published in between is missed.

hiredis has not declared that it can do without the GIL, so a free-threaded Python switches it on
again, unless started with PYTHON_GIL=0.  Here a parser is used by one goroutine alone.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Self

import hiredis

import gopark
from gopark import Chan, ChanClosed, go, net, sleep
from gopark.sync import Mutex

PATIENCE = 5.0  # seconds in which a server that does not answer may come back

Word = str | bytes | int | float
Command = tuple[Word, ...]
Reply = Any  # bytes, int, None, a list of those, or a hiredis.ReplyError
NOTHING = object()  # yet, of a whole reply


async def connect(address: str) -> net.Conn:
    """Try again and again, ever more slowly, until there is no patience left."""
    network = "unix" if "/" in address else "tcp"
    end, pause = time.monotonic() + PATIENCE, 0.01
    while True:
        try:
            return await net.dial(network, address)
        except OSError:
            if time.monotonic() + pause > end:
                raise
            await sleep(pause)
            pause *= 2


class Pipeline:
    """One connection, and those who wait for its replies."""

    def __init__(self, conn: net.Conn) -> None:
        self.conn = conn
        self.waiting: deque[Chan[Reply]] = deque()
        self.order = Mutex()  # as the commands go out, so their replies come back
        self.broken = False
        go(self.read())

    async def ask(self, commands: Sequence[Command]) -> list[Reply]:
        replies: Chan[Reply] = Chan(len(commands))  # so the reader never waits for anybody
        try:
            await self.write(commands, replies)
            return [await replies.recv() for _ in commands]
        except (OSError, ChanClosed) as error:
            raise ConnectionError("the connection to Redis is lost") from error

    async def write(self, commands: Sequence[Command], replies: Chan[Reply]) -> None:
        async with self.order:
            if self.broken:
                raise ConnectionError
            self.waiting.extend([replies] * len(commands))
            try:
                await self.conn.write([hiredis.pack_command(command) for command in commands])
            except BaseException:
                self.conn.close()  # half a command may be out
                raise

    async def read(self) -> None:
        parser = hiredis.Reader(notEnoughData=NOTHING)
        async with self.conn:
            with suppress(OSError, hiredis.ProtocolError):
                while data := await self.conn.read():
                    parser.feed(data)
                    while (reply := parser.gets()) is not NOTHING:
                        self.waiting.popleft().send_nowait(reply)
        async with self.order:  # who is writing has failed by now, and the next one sees `broken`
            self.broken = True
        for replies in set(self.waiting):
            replies.close()


class Redis:
    """`await redis("GET", "key")`, from any goroutine.

    Raises hiredis.ReplyError for what Redis refuses, ConnectionError if it cannot be reached, or
    the connection is lost before the reply has come.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.connecting = Mutex()
        self.current: Pipeline | None = None

    async def __call__(self, *command: Word) -> Reply:
        [reply] = await self.pipeline([command])
        if isinstance(reply, hiredis.ReplyError):
            raise reply
        return reply

    async def pipeline(self, commands: Sequence[Command]) -> list[Reply]:
        """Several commands in one go; a reply may be a hiredis.ReplyError."""
        async with self.connecting:
            if self.current is None or self.current.broken:
                self.current = Pipeline(await connect(self.address))
            pipeline = self.current
        return await pipeline.ask(commands)

    def subscribe(self, *channels: str) -> Subscription:
        return Subscription(self.address, channels)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.current:
            self.current.conn.close()


class Subscription:
    """`async with redis.subscribe("news") as news: async for channel, message in news: ...`"""

    def __init__(self, address: str, channels: Sequence[str]) -> None:
        self.address = address
        self.channels = channels
        self.conn: net.Conn | None = None

    async def __aenter__(self) -> Self:
        await self.subscribe()
        for _ in self.channels:
            await self.reply()  # from here on nothing is missed
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.conn:
            self.conn.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[str, bytes]:
        while True:
            if self.conn is None:
                await self.subscribe()
            try:
                kind, channel, message = await self.reply()
            except ConnectionError:
                self.conn = None
            else:
                if kind == b"message":
                    return channel.decode(), message

    async def subscribe(self) -> None:
        self.conn = await connect(self.address)
        self.parser = hiredis.Reader(notEnoughData=NOTHING)
        await self.conn.write(hiredis.pack_command(("SUBSCRIBE", *self.channels)))

    async def reply(self) -> Reply:
        assert self.conn
        while (reply := self.parser.gets()) is NOTHING:
            data = await self.conn.read()
            if not data:
                self.conn.close()
                raise ConnectionError("the connection to Redis is lost")
            self.parser.feed(data)
        return reply


# -- what it can do -----------------------------------------------------------


async def count(redis: Redis, times: int) -> bytes:
    """So many goroutines count at once; their commands share a few packets."""
    await redis("DEL", "gopark:counter")
    for g in [go(redis("INCR", "gopark:counter")) for _ in range(times)]:
        await g
    return await redis("GET", "gopark:counter")


async def chatter(redis: Redis, times: int) -> list[bytes]:
    """One goroutine publishes, this one listens."""

    async def publish() -> None:
        for n in range(times):
            await redis("PUBLISH", "gopark:news", n)

    async with redis.subscribe("gopark:news") as news:
        go(publish())
        return [(await anext(news))[1] for _ in range(times)]


async def main() -> None:
    address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:6379"
    async with Redis(address) as redis:
        print("counted to", (await count(redis, 1000)).decode())
        print("heard", b" ".join(await chatter(redis, 5)).decode())
        done, refused = await redis.pipeline([("SET", "gopark:key", "x"), ("INCR", "gopark:key")])
        print(f"{done.decode()}, but {refused}")
        await redis("DEL", "gopark:counter", "gopark:key")


if __name__ == "__main__":
    gopark.run(main)
