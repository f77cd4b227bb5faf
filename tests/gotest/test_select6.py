"""Go's test/chan/select6.go: a failed case must not corrupt its channel's queue.

The select is the last of several waiters on a channel, and another case fires.
Waiters that come later must still be woken.
"""

from gopark import Chan, go, gosched, run, select


def test_waiters_behind_a_failed_case_are_woken(procs: int) -> None:
    async def main() -> None:
        c1: Chan[bool] = Chan()
        c2: Chan[bool] = Chan()
        c3: Chan[bool] = Chan()
        c4: Chan[bool] = Chan()

        first = go(c1.recv())
        while first.status != "waiting":
            await gosched()

        async def last_in_line() -> None:
            assert await select(c1, c2) == (1, True)
            await c3.send(True)

        go(last_in_line())
        await c2.send(True)
        await c3.recv()

        async def later() -> None:
            await c1.recv()
            await c4.send(True)

        go(later())
        await c1.send(True)
        await c1.send(True)
        await c4.recv()
        assert await first is True

    run(main, procs=procs)
