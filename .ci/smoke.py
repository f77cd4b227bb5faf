"""The smallest program that uses the whole of the core: goroutines, a channel, select, a timer."""

from gopark import Chan, go, select, sleep


async def produce(numbers: Chan[int]) -> None:
    for number in range(100):
        await numbers.send(number)
    await sleep(0.01)
    numbers.close()


async def main() -> None:
    numbers: Chan[int] = Chan(10)
    go(produce(numbers))
    total = 0
    async for number in numbers:
        total += number
    assert total == 4950, total
    index, _ = await select(Chan(), default=True)
    assert index == -1, index
    print("smoke test passed")
