"""The concurrent prime sieve: gopark run examples/sieve.py [COUNT]

Shows a pipeline that grows while it runs.  Each prime found adds a goroutine that drops the
multiples of that prime, so the N-th prime has come through a chain of N goroutines and channels.
"""

import sys

import gopark
from gopark import Chan, go


async def generate(numbers: Chan[int]) -> None:
    """Send 2, 3, 4 ... for ever."""
    n = 2
    while True:
        await numbers.send(n)
        n += 1


async def drop_multiples(prime: int, source: Chan[int], rest: Chan[int]) -> None:
    async for n in source:
        if n % prime:
            await rest.send(n)


async def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    numbers: Chan[int] = Chan()
    go(generate(numbers))
    for _ in range(count):
        prime = await numbers.recv()
        print(prime)
        rest: Chan[int] = Chan()
        go(drop_multiples(prime, numbers, rest))
        numbers = rest
    # main returns, and the goroutines that still wait go with it


if __name__ == "__main__":
    gopark.run(main)
