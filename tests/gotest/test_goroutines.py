"""Go's test/chan/goroutines.go: ten thousand goroutines in one long chain, torn down cleanly."""

from gopark import Chan, go, num_goroutine, run

N = 10_000


def test_a_value_runs_through_a_chain_of_ten_thousand(procs: int) -> None:
    async def pass_on(left: Chan[int], right: Chan[int]) -> None:
        await left.send(1 + await right.recv())

    async def main() -> tuple[int, int]:
        leftmost: Chan[int] = Chan()
        left = leftmost
        chain = []
        for _ in range(N):
            right: Chan[int] = Chan()
            chain.append(go(pass_on(left, right)))
            left = right
        await left.send(0)
        total = await leftmost.recv()
        for g in chain:
            await g
        return total, num_goroutine()

    assert run(main, procs=procs) == (N, 1)
