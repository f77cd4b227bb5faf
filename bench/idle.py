"""What an idle connection costs: 20,000 on loopback, from one process to another.

python3 bench/idle.py [CONNECTIONS]

The server has a goroutine for each that waits to read; so has the client. Each process says how
much its resident memory grew for each connection, the kernel's own buffers not counted. Every
hundredth connection is used once. It runs on the gopark of the interpreter that runs it. Where the
limit of descriptors is too low there are more pairs of processes, open at the same time.
"""

from __future__ import annotations

import gc
import resource
import subprocess
import sys
import time
from contextlib import ExitStack
from subprocess import PIPE

from gopark import gosched, net, run
from gopark.sync import Semaphore, WaitGroup

PER_ADDRESS = 10_000  # connections from one of the client's addresses, which has 28,000 ports
AT_ONCE = 100  # dials under way
SPARE = 200  # descriptors that are no connections


def resident() -> int:
    """Bytes."""
    gc.collect()
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


def told(who: str, n: int, before: int, seconds: float) -> str:
    each = (resident() - before) / n
    return f"{who}: {n:,} connections, {each:,.0f} bytes each, in {seconds:.1f} s"


async def echo(conn: net.Conn) -> None:
    async with conn:
        while data := await conn.read():
            await conn.write(data)


async def serve(n: int) -> None:
    async with net.listen("tcp", "127.0.0.1:0") as listener:
        print(listener.addr.port, flush=True)
        wg = WaitGroup()
        before, start = resident(), time.monotonic()
        for _ in range(n):
            wg.go(echo(await listener.accept()))
        await gosched()
        print(told("server", n, before, time.monotonic() - start), flush=True)
        await wg.wait()


async def use(conn: net.Conn, text: bytes) -> None:
    await conn.write(text)
    assert await conn.read_exactly(len(text)) == text


async def wait_for_the_end(conn: net.Conn) -> None:
    assert await conn.read() == b""
    conn.close()


async def connect(n: int, port: int, server: subprocess.Popen[str]) -> None:
    conns: list[net.Conn] = []
    places, dialling, waiting = Semaphore(AT_ONCE), WaitGroup(), WaitGroup()
    before, start = resident(), time.monotonic()

    async def dial(i: int) -> None:
        local = (f"127.0.0.{2 + i // PER_ADDRESS}", 0)
        try:
            conns.append(await net.dial("tcp", ("127.0.0.1", port), local_addr=local))
        finally:
            places.release()

    for i in range(n):
        await places.acquire()
        dialling.go(dial(i))
    await dialling.wait()
    for conn in conns[::100]:
        await use(conn, b"before")
    for conn in conns:
        waiting.go(wait_for_the_end(conn))
    await gosched()
    assert server.stdout is not None
    print(server.stdout.readline(), end="")
    print(told("client", n, before, time.monotonic() - start), flush=True)
    sys.stdin.readline()  # blocks, until the other processes are done too
    for conn in conns:
        conn.close_write()  # the server closes its end, which ends those who wait
    await waiting.wait()


def client(n: int) -> None:
    command = [sys.executable, __file__, "server", str(n)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        run(connect, n, int(server.stdout.readline()), server)
    sys.exit(server.returncode)


def all_at_once(n: int) -> None:
    """As many pairs of processes as the limit of descriptors asks for, all open at once."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1] - SPARE
    pairs = 1 if most < 0 else -(-n // most)
    command = [sys.executable, __file__, "client", str(n // pairs)]
    with ExitStack() as stack:
        clients = [
            stack.enter_context(subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True))
            for _ in range(pairs)
        ]
        for each in clients:
            assert each.stdout is not None
            print(each.stdout.readline() + each.stdout.readline(), end="")
        for each in clients:
            each.communicate("\n")  # they may go
    sys.exit(max(each.returncode for each in clients))


def main() -> None:
    *role, n = sys.argv[1:] or ["20000"]
    if not role:
        return all_at_once(int(n))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return run(serve, int(n)) if role == ["server"] else client(int(n))


if __name__ == "__main__":
    main()
