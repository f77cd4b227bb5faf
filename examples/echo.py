"""TCP echo: gopark run examples/echo.py [HOST:PORT]

A goroutine for each connection, which reads and writes as if it were alone.  Try it with two
terminals of `nc 127.0.0.1 8007`; Ctrl-C ends the server.
"""

import sys

import gopark
from gopark import go, net


async def echo(conn: net.Conn) -> None:
    async with conn:
        try:
            while data := await conn.read():
                await conn.write(data)
        except OSError as error:  # a peer that goes away is no reason to stop serving others
            print(f"{conn.remote_addr}: {error}", file=sys.stderr)


async def main() -> None:
    address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8007"
    async with net.listen("tcp", address) as listener:
        print(f"echo on {listener.addr}", flush=True)
        try:
            async for conn in listener:
                go(echo(conn))
        except KeyboardInterrupt:
            print("bye")


if __name__ == "__main__":
    gopark.run(main)
