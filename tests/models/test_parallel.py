"""Many goroutines at once, drawn by Hypothesis: what holds whatever the order was.

Each value is received exactly once, the values of one producer keep their order
for each consumer of one channel, and a channel never holds more than its capacity.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from models.profile import repeatable

import gopark
from gopark import Chan, WouldBlock, go, gosched, run, select

ALL_PROCS = pytest.mark.parametrize("procs", [1, 2, 8])
Value = tuple[int, int]  # producer, number

capacities = st.lists(st.integers(0, 3), min_size=1, max_size=4)
ways_to_send = st.sampled_from(["send", "select", "select all", "nowait", "default", "timeout"])
ways_to_receive = st.sampled_from(
    ["recv_ok", "iterate", "select", "select all", "nowait", "default", "timeout"]
)


async def send(way: str, channels: list[Chan[Value]], k: int, value: Value) -> None:
    c = channels[k % len(channels)]
    if way == "send":
        await c.send(value)
        return
    if way == "select":
        await select((c, value))
        return
    if way == "select all":
        await select(*((c, value) for c in channels))
        return
    while True:
        try:
            if way == "nowait":
                c.send_nowait(value)
                return
            if way == "default":
                if (await select((c, value), default=True))[0] == 0:
                    return
            else:
                await select((c, value), timeout=1e-5)
                return
        except (WouldBlock, TimeoutError):
            pass
        await gosched()


async def receive_all(way: str, channels: list[Chan[Value]], k: int) -> list[tuple[int, Value]]:
    """What comes, with its channel's number, until all channels that it looks at are closed."""
    seen: list[tuple[int, Value]] = []
    k %= len(channels)
    c = channels[k]
    if way == "iterate":
        return [(k, v) async for v in c]
    if way == "recv_ok":
        while (pair := await c.recv_ok())[1]:
            assert pair[0] is not None
            seen.append((k, pair[0]))
        return seen
    if way == "nowait":
        while True:
            try:
                seen.append((k, c.recv_nowait()))
            except WouldBlock:
                await gosched()
            except gopark.ChanClosed:
                return seen
    cases: list[Any] = list(channels) if way == "select all" else [None] * k + [c]
    while any(case is not None for case in cases):
        try:
            i, v = await select(
                *cases, default=way == "default", timeout=1e-5 if way == "timeout" else None
            )
        except TimeoutError:
            continue
        if i < 0:
            await gosched()
        elif v is gopark.CLOSED:
            cases[i] = None
        else:
            seen.append((i, v))
    return seen


@ALL_PROCS
@repeatable(40)
@given(
    capacities=capacities,
    producers=st.lists(ways_to_send, min_size=1, max_size=6),
    consumers=st.lists(ways_to_receive, max_size=6),
    each=st.integers(0, 40),
)
def test_values_are_conserved_and_keep_their_order(
    procs: int, capacities: list[int], producers: list[str], consumers: list[str], each: int
) -> None:
    async def main() -> None:
        channels: list[Chan[Value]] = [Chan(n) for n in capacities]
        watching = True

        async def produce(who: int, way: str) -> None:
            for n in range(each):
                await send(way, channels, who, (who, n))

        async def watch() -> None:
            while watching:
                for c in channels:
                    assert 0 <= len(c) <= c.capacity
                await gosched()

        # One consumer for each channel at least, or a producer might wait for ever.
        receivers = [go(receive_all("recv_ok", channels, k)) for k in range(len(channels))]
        receivers += [go(receive_all(way, channels, k)) for k, way in enumerate(consumers)]
        watcher = go(watch())
        senders = [go(produce(who, way)) for who, way in enumerate(producers)]
        for g in senders:
            await g
        for c in channels:
            c.close()
        results = [await g for g in receivers]
        watching = False
        await watcher

        received = sorted(v for seen in results for _, v in seen)
        assert received == [(who, n) for who in range(len(producers)) for n in range(each)]
        for seen in results:
            per_line: dict[tuple[int, int], list[int]] = defaultdict(list)
            for k, (who, n) in seen:
                per_line[k, who].append(n)
            assert all(numbers == sorted(numbers) for numbers in per_line.values())
        assert [len(c) for c in channels] == [0] * len(channels)

    run(main, procs=procs)


@ALL_PROCS
@repeatable(30)
@given(capacity=st.integers(0, 4), parties=st.integers(1, 5), each=st.integers(1, 40))
def test_sends_never_run_ahead_of_receives_by_more_than_the_capacity(
    procs: int, capacity: int, parties: int, each: int
) -> None:
    async def main() -> None:
        c: Chan[int] = Chan(capacity)
        sent, begun = [0] * parties, [0] * parties

        async def produce(me: int) -> None:
            for _ in range(each):
                await c.send(me)
                sent[me] += 1

        async def consume(me: int) -> None:
            for _ in range(each):
                begun[me] += 1
                await c.recv()

        async def watch() -> None:
            while sum(sent) < parties * each:
                done = sum(sent)  # before the receives are counted, which only grow
                assert done <= sum(begun) + capacity
                await gosched()

        parts = [go(produce(me)) for me in range(parties)]
        parts += [go(consume(me)) for me in range(parties)]
        parts.append(go(watch()))
        for g in parts:
            await g

    run(main, procs=procs)


@ALL_PROCS
@repeatable(30)
@given(
    capacity=st.integers(0, 3),
    senders=st.integers(0, 6),
    receivers=st.integers(0, 6),
    pause=st.integers(0, 3),
)
def test_a_close_meanwhile_loses_no_value_that_was_sent(
    procs: int, capacity: int, senders: int, receivers: int, pause: int
) -> None:
    async def main() -> None:
        c: Chan[Value] = Chan(capacity)
        stuck: Chan[Value] = Chan()

        async def produce(who: int) -> int:
            """How many of its sends went through."""
            n = 0
            try:
                while True:
                    if n % 2:
                        await select(stuck, (c, (who, n)))
                    else:
                        await c.send((who, n))
                    n += 1
                    await gosched()
            except gopark.ChanClosed:
                return n

        producers = [go(produce(who)) for who in range(senders)]
        consumers = [go(receive_all("iterate", [c], 0)) for _ in range(receivers)]
        for _ in range(pause):
            await gosched()
        c.close()
        sent = [(who, n) for who, g in enumerate(producers) for n in range(await g)]
        received = [v for g in consumers for _, v in await g]
        received += [v async for v in c]
        assert sorted(received) == sent

    run(main, procs=procs)
