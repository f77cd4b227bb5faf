"""Go's test/chan/sieve1.go: the concurrent prime sieve."""

from gopark import Chan, go, run

PRIMES = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83]


async def generate(numbers: Chan[int]) -> None:
    n = 2
    while True:
        await numbers.send(n)
        n += 1


async def sift(numbers: Chan[int], sifted: Chan[int], prime: int) -> None:
    async for n in numbers:
        if n % prime:
            await sifted.send(n)


async def sieve(primes: Chan[int]) -> None:
    numbers: Chan[int] = Chan()
    go(generate(numbers))
    while True:
        prime = await numbers.recv()
        await primes.send(prime)
        sifted: Chan[int] = Chan()
        go(sift(numbers, sifted, prime))
        numbers = sifted


def test_the_first_primes(procs: int) -> None:
    async def main() -> list[int]:
        primes: Chan[int] = Chan()
        go(sieve(primes))
        return [await primes.recv() for _ in PRIMES]

    assert run(main, procs=procs) == PRIMES
