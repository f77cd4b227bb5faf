"""Go's test/chan/zerosize.go: channels of values that hold nothing work like all others."""

import pytest

from gopark import Chan, run


@pytest.mark.parametrize("nothing", [None, (), ""])
@pytest.mark.parametrize("capacity", [1, 4])
def test_values_that_hold_nothing_are_counted(nothing: object, capacity: int) -> None:
    async def main() -> None:
        c: Chan[object] = Chan(capacity)
        for n in range(capacity):
            assert len(c) == n
            await c.send(nothing)
        for _ in range(capacity):
            assert await c.recv_ok() == (nothing, True)
        c.close()
        assert await c.recv_ok() == (None, False)

    run(main)


def test_an_empty_channel_can_be_made_and_closed() -> None:
    c: Chan[None] = Chan()
    c.close()
    assert (len(c), c.capacity, c.closed) == (0, 0, True)
