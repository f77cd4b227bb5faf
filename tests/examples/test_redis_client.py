"""`redis_client` with a real redis-server, on a Unix socket in a folder of the test's own."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

import gopark
from gopark import TaskGroup, go, gosched

pytestmark = [
    pytest.mark.skipif(
        shutil.which("redis-server") is None,
        reason="redis-server is not installed: Debian has it in the package of that name",
    ),
    pytest.mark.skipif(
        bool(sysconfig.get_config_var("Py_GIL_DISABLED")) and sys.flags.gil != 0,
        reason="hiredis switches the GIL on, unless PYTHON_GIL=0 is set",
    ),
]


class Server:
    """A redis-server with nothing on disk, that can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.address = str(folder / "redis")
        self.command = ["redis-server", "--port", "0", "--unixsocket", self.address, "--save", ""]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)
        for line in self.process.stdout:
            if "eady to accept connections" in line:
                return
        raise RuntimeError("redis-server does not start")

    def kill(self) -> None:
        with self.process:
            self.process.kill()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    server.kill()


@pytest.fixture(params=[1, 2])
def program(
    request: pytest.FixtureRequest, redis_client: ModuleType, server: Server
) -> Callable[[Callable], None]:
    """Runs an async function that takes a client."""

    def program(main: Callable) -> None:
        async def with_client() -> None:
            async with redis_client.Redis(server.address) as redis:
                await main(redis)

        gopark.run(with_client, procs=request.param)

    return program


def test_what_it_prints(run: Callable, server: Server) -> None:
    done = run("redis_client", server.address)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "counted to 1000",
        "heard 0 1 2 3 4",
        "OK, but ERR value is not an integer or out of range",
    ]


def test_everybody_gets_their_own_reply(program: Callable) -> None:
    async def main(redis: Callable) -> None:
        async def use(n: int) -> None:
            for i in range(20):
                await redis("SET", n, i * "x")
                assert await redis("GET", n) == i * b"x"
                assert await redis.pipeline([("STRLEN", n), ("EXISTS", n, -1)]) == [i, 1]

        async with TaskGroup() as group:
            for n in range(100):
                await group.go(use(n))
        assert b"total_connections_received:1\r" in await redis("INFO", "stats")

    program(main)


def test_refusals(program: Callable, redis_client: ModuleType) -> None:
    async def main(redis: Callable) -> None:
        with pytest.raises(redis_client.hiredis.ReplyError, match="unknown command"):
            await redis("NONSENSE")
        assert await redis("GET", "nothing") is None
        assert await redis("ECHO", b"\0\r\n" * 100_000) == b"\0\r\n" * 100_000

    program(main)


async def until_blocked(address: str, redis_client: ModuleType, clients: int) -> None:
    async with redis_client.Redis(address) as other:
        while b"blocked_clients:%d\r" % clients not in await other("INFO", "clients"):
            await gosched()


def test_the_reply_to_one_who_is_gone(
    program: Callable, server: Server, redis_client: ModuleType
) -> None:
    async def main(redis: Callable) -> None:
        gone = go(redis("BLPOP", "list", 0))
        await until_blocked(server.address, redis_client, 1)
        gone.cancel()
        next_one = go(redis("ECHO", "hello"))
        async with redis_client.Redis(server.address) as other:
            await other("RPUSH", "list", "value")
        assert await next_one == b"hello"

    program(main)


def test_a_restart(program: Callable, server: Server, redis_client: ModuleType) -> None:
    async def main(redis: Callable) -> None:
        waiting = [go(redis("BLPOP", "list", 0)) for _ in range(3)]
        await until_blocked(server.address, redis_client, 1)
        server.kill()
        for g in waiting:
            with pytest.raises(ConnectionError, match="lost"):
                await g
        starting = go(server.start)
        assert await redis("PING") == b"PONG"
        await starting

    program(main)


def test_a_subscription_survives_a_restart(program: Callable, server: Server) -> None:
    async def main(redis: Callable) -> None:
        async with redis.subscribe("one", "two") as news:
            assert await redis("PUBLISH", "two", "before") == 1
            assert await anext(news) == ("two", b"before")
            heard = go(anext(news))
            server.kill()
            server.start()
            while not await ask_again(redis, "PUBLISH", "one", "after"):
                await gosched()  # it has not subscribed again yet
            assert await heard == ("one", b"after")

    program(main)


async def ask_again(redis: Callable, *command: str) -> object:
    """As a caller does to whom it is all the same if the command is carried out twice."""
    while True:
        try:
            return await redis(*command)
        except ConnectionError:
            await gosched()


def test_nobody_there(
    redis_client: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_client, "PATIENCE", 0.02)

    async def main() -> None:
        async with redis_client.Redis(str(tmp_path / "nobody")) as redis:
            with pytest.raises(FileNotFoundError):
                await redis("PING")

    gopark.run(main)
