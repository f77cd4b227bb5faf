"""A million goroutines at once: gopark run examples/million.py [COUNT]

Shows what a parked goroutine costs.  Each one reports for duty and waits at a gate.  When all of
them stand there the gate opens, by closing a channel, and each hands in its number.
"""

import resource
import sys
import time

import gopark
from gopark import Chan, go


async def soldier(number: int, gate: Chan[None], reports: Chan[int]) -> None:
    await reports.send(1)
    await gate.recv_ok()
    await reports.send(number)


async def add_up(count: int, reports: Chan[int]) -> int:
    total = 0
    for _ in range(count):
        total += await reports.recv()
    return total


def peak_memory() -> int:
    """The largest resident size so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


async def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    gate: Chan[None] = Chan()
    reports: Chan[int] = Chan(1000)
    memory, start = peak_memory(), time.perf_counter()
    for number in range(count):
        go(soldier(number, gate, reports))
    present = await add_up(count, reports)
    parked = time.perf_counter() - start
    each = (peak_memory() - memory) / count
    print(f"{present:,} goroutines parked after {parked:.2f} s, {each:.0f} bytes each")
    gate.close()
    total = await add_up(count, reports)
    print(f"their numbers sum up to {total:,}, after {time.perf_counter() - start:.2f} s")


if __name__ == "__main__":
    gopark.run(main)
