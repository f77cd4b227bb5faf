"""A worker pool that is not a pool: gopark run examples/semaphore.py [JOBS]

Shows a channel as a semaphore.  Every job is a goroutine of its own, used once and thrown away:
that is cheaper than to keep workers and feed them.  A channel that has room for three values lets
three jobs work at a time; the others wait to send theirs.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import gopark
from gopark import Chan, go, sleep


@asynccontextmanager
async def slot(slots: Chan[None]) -> AsyncIterator[None]:
    """Be one of as many as `slots` has room for."""
    await slots.send(None)
    try:
        yield
    finally:
        await slots.recv()


async def work(job: int, slots: Chan[None], done: Chan[str]) -> None:
    async with slot(slots):
        await sleep(0.05)  # a download, a query ...
        await done.send(f"job {job} is done: {len(slots)} are at work")


async def main() -> None:
    jobs = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    slots: Chan[None] = Chan(3)
    done: Chan[str] = Chan()
    for job in range(jobs):
        go(work(job, slots, done))
    for _ in range(jobs):
        print(await done.recv(), "of", gopark.num_goroutine() - 1)


if __name__ == "__main__":
    gopark.run(main)
