"""The main cases of Go's runtime/chan_test.go, each for what it checks."""

from collections import Counter

import pytest

from gopark import CLOSED, Chan, ChanClosed, G, WouldBlock, go, gosched, run, select

CAPACITIES = [0, 1, 2, 3, 10, 50, 199]


async def see_waiting(*goroutines: G[object]) -> None:
    while any(g.status != "waiting" for g in goroutines):
        await gosched()


# -- TestChan -----------------------------------------------------------------


@pytest.mark.parametrize("capacity", CAPACITIES)
def test_chan_receives_from_an_empty_channel_wait(procs: int, capacity: int) -> None:
    async def main() -> None:
        c: Chan[int] = Chan(capacity)
        receivers = [go(c.recv()), go(c.recv_ok())]
        await see_waiting(*receivers)
        with pytest.raises(WouldBlock):
            c.recv_nowait()
        await c.send(0)
        await c.send(0)
        for g in receivers:
            assert await g in (0, (0, True))

    run(main, procs=procs)


@pytest.mark.parametrize("capacity", CAPACITIES)
def test_chan_sends_to_a_full_channel_wait(procs: int, capacity: int) -> None:
    async def main() -> None:
        c: Chan[int] = Chan(capacity)
        for i in range(capacity):
            await c.send(i)
        sender = go(c.send(capacity))
        await see_waiting(sender)
        with pytest.raises(WouldBlock):
            c.send_nowait(0)
        assert await c.recv() == 0
        await sender

    run(main, procs=procs)


@pytest.mark.parametrize("capacity", CAPACITIES)
def test_chan_a_closed_channel_is_drained_then_gives_nothing(procs: int, capacity: int) -> None:
    async def main() -> None:
        c: Chan[int] = Chan(capacity)
        for i in range(capacity):
            await c.send(i)
        c.close()
        for i in range(capacity):
            assert await c.recv() == i
        assert await c.recv_ok() == (None, False)
        assert await select(c) == (0, CLOSED)

    run(main, procs=procs)


@pytest.mark.parametrize("capacity", CAPACITIES)
def test_chan_close_unblocks_receivers(procs: int, capacity: int) -> None:
    async def main() -> None:
        c: Chan[int] = Chan(capacity)
        g = go(c.recv_ok())
        await see_waiting(g)
        c.close()
        assert await g == (None, False)

    run(main, procs=procs)


@pytest.mark.parametrize("capacity", CAPACITIES)
def test_chan_a_hundred_values_come_in_order(procs: int, capacity: int) -> None:
    async def main() -> list[int]:
        c: Chan[int] = Chan(capacity)

        async def send() -> None:
            for i in range(100):
                await c.send(i)

        go(send())
        return [await c.recv() for _ in range(100)]

    assert run(main, procs=procs) == list(range(100))


@pytest.mark.parametrize("capacity", CAPACITIES)
def test_chan_many_senders_and_receivers_lose_and_double_nothing(procs: int, capacity: int) -> None:
    parties, each = 4, 250

    async def main() -> Counter[int]:
        c: Chan[int] = Chan(capacity)

        async def send() -> None:
            for i in range(each):
                await c.send(i)

        async def receive() -> Counter[int]:
            return Counter([await c.recv() for _ in range(each)])

        senders = [go(send()) for _ in range(parties)]
        receivers = [go(receive()) for _ in range(parties)]
        for g in senders:
            await g
        return sum([await g for g in receivers], Counter())

    assert run(main, procs=procs) == Counter(dict.fromkeys(range(each), parties))


@pytest.mark.parametrize("capacity", CAPACITIES)
def test_chan_len_and_capacity(capacity: int) -> None:
    async def main() -> None:
        c: Chan[int] = Chan(2 * capacity)
        for i in range(capacity):
            await c.send(i)
        assert (len(c), c.capacity) == (capacity, 2 * capacity)

    run(main)


# -- races of operations that do not wait -------------------------------------


def test_nonblock_recv_race(procs: int) -> None:
    """A channel that holds a value, or is closed, is always ready."""

    async def main() -> None:
        for _ in range(500):
            c: Chan[int] = Chan(1)
            await c.send(1)

            async def receive(c: Chan[int] = c) -> int:
                return (await select(c, default=True))[0]

            g = go(receive())
            c.close()
            await c.recv_ok()
            assert await g == 0

    run(main, procs=procs)


@pytest.mark.parametrize("second_is_closed", [False, True])
def test_nonblock_select_race(procs: int, second_is_closed: bool) -> None:
    """One of two channels is ready at every moment: so the default is never taken."""

    async def main() -> None:
        for _ in range(500):
            c1: Chan[int] = Chan(1)
            c2: Chan[int] = Chan(0 if second_is_closed else 1)
            await c1.send(1)

            async def receive(c1: Chan[int] = c1, c2: Chan[int] = c2) -> int:
                return (await select(c1, c2, default=True))[0]

            g = go(receive())
            if second_is_closed:
                c2.close()
            else:
                await c2.send(1)
            await select(c1, default=True)
            assert await g in (0, 1)

    run(main, procs=procs)


# -- select -------------------------------------------------------------------


@pytest.mark.parametrize("capacity", [0, 10])
def test_self_select(procs: int, capacity: int) -> None:
    """A send and a receive on one channel in one select: no crash, and no talk to oneself."""

    async def main() -> None:
        c: Chan[int] = Chan(capacity)

        async def work(me: int) -> None:
            for i in range(500):
                if me == 0 or i % 2 == 0:
                    k, v = await select((c, me), c)
                    received = k == 1
                else:
                    k, v = await select(c, (c, me))
                    received = k == 0
                if received and capacity == 0:
                    assert v != me

        for g in [go(work(0)), go(work(1))]:
            await g

    run(main, procs=procs)


def test_select_stress(procs: int) -> None:
    """Plain senders and receivers on four channels, and one select each that uses them all."""
    n = 300

    async def main() -> None:
        channels: list[Chan[int]] = [Chan(capacity) for capacity in (0, 0, 2, 3)]

        async def send(c: Chan[int]) -> None:
            for _ in range(n):
                await c.send(0)

        async def receive(c: Chan[int]) -> None:
            for _ in range(n):
                await c.recv()

        async def select_all(sends: bool) -> None:
            left = [n] * len(channels)
            while any(left):
                cases = [
                    (((c, 0) if sends else c) if k else None)
                    for c, k in zip(channels, left, strict=True)
                ]
                i, _ = await select(*cases)
                left[i] -= 1

        workers = [go(work(c)) for work in (send, receive) for c in channels]
        workers += [go(select_all(True)), go(select_all(False))]
        for g in workers:
            await g
        assert [len(c) for c in channels] == [0] * 4

    run(main, procs=procs)


def test_select_fairness(procs: int) -> None:
    trials = 4000

    async def main() -> Counter[int]:
        full: list[Chan[int]] = [Chan(trials) for _ in range(2)]
        for c in full:
            for _ in range(trials):
                c.send_nowait(1)
        never: list[Chan[int]] = [Chan(), Chan()]
        return Counter([(await select(*never, *full))[0] for _ in range(trials)])

    counts = run(main, procs=procs)
    assert set(counts) == {2, 3}
    # Six standard deviations of a fair coin.
    assert abs(counts[2] - trials / 2) < 6 * (trials / 4) ** 0.5


def test_pseudo_random_send(procs: int) -> None:
    """A select between two sends on one channel uses both."""
    n = 400

    async def main(capacity: int) -> Counter[int]:
        c: Chan[int] = Chan(capacity)

        async def receive() -> Counter[int]:
            counts: Counter[int] = Counter()
            for _ in range(n):
                await gosched()
                counts[await c.recv()] += 1
            return counts

        g = go(receive())
        for _ in range(n):
            await select((c, 0), (c, 1))
        return await g

    for capacity in (0, n):
        counts = run(main, capacity, procs=procs)
        assert counts[0] > n / 10
        assert counts[1] > n / 10


def test_select_duplicate_channel(procs: int) -> None:
    """A select that stands twice in one queue leaves the goroutine behind it to be woken."""

    async def main() -> None:
        c: Chan[int] = Chan()
        d: Chan[int] = Chan()
        e: Chan[int] = Chan()

        async def a() -> None:
            assert await select(c, c, d) == (2, 7)
            await e.send(9)

        async def b() -> int:
            return await c.recv()

        ga = go(a())
        await see_waiting(ga)
        gb = go(b())
        await see_waiting(gb)
        await d.send(7)
        assert await e.recv() == 9
        await c.send(8)
        assert await gb == 8

    run(main, procs=procs)


# -- values and consumers -----------------------------------------------------


def test_chan_send_interface() -> None:
    """A value of any type goes through send and select, also when the default is taken."""

    class Struct:
        def __init__(self, i: int) -> None:
            self.i = i

    async def main() -> None:
        c: Chan[object] = Chan(1)
        await c.send(Struct(1))
        assert await select((c, Struct(2)), default=True) == (-1, None)
        other: Chan[object] = Chan(1)
        assert (await select((c, Struct(3)), (other, Struct(4))))[0] == 1
        first, second = await c.recv(), await other.recv()
        assert isinstance(first, Struct)
        assert isinstance(second, Struct)
        assert (first.i, second.i) == (1, 4)

    run(main)


def test_multi_consumer(procs: int) -> None:
    """Many consumers of one queue answer on another: every job is done once."""
    workers, jobs = 23, 5000
    factors = [2, 3, 5, 7, 11, 13]

    async def main() -> tuple[int, int]:
        queue: Chan[int] = Chan(3 * workers)
        results: Chan[int] = Chan(3 * workers)

        async def work() -> None:
            async for v in queue:
                if v % 3 == 0:
                    await gosched()
                await results.send(v)

        async def feed() -> int:
            expected = 0
            for i in range(jobs):
                v = factors[i % len(factors)]
                expected += v
                await queue.send(v)
            queue.close()
            for g in consumers:
                await g
            results.close()
            return expected

        consumers = [go(work()) for _ in range(workers)]
        feeder = go(feed())
        received = [v async for v in results]
        assert len(received) == jobs
        return sum(received), await feeder

    total, expected = run(main, procs=procs)
    assert total == expected


@pytest.mark.parametrize("use_select", [False, True])
def test_chan_send_barrier(procs: int, use_select: bool) -> None:
    """What was written before a send is seen after the receive."""

    async def request(answers: Chan[list[int]], i: int) -> None:
        answer = [i]
        answer.append(i + 1)
        if use_select:
            await select((answers, answer), Chan[int]())
        else:
            await answers.send(answer)

    async def client() -> None:
        for i in range(50):
            answers: Chan[list[int]] = Chan(1)
            go(request(answers, i))
            assert await answers.recv() == [i, i + 1]

    async def main() -> None:
        for g in [go(client()) for _ in range(20)]:
            await g

    run(main, procs=procs)


def test_close_races_with_senders_and_receivers(procs: int) -> None:
    """Each party of a channel that is closed meanwhile is told so, or had its exchange."""

    async def main() -> None:
        for _ in range(50):
            c: Chan[int] = Chan()

            async def send(c: Chan[int] = c) -> bool:
                try:
                    await c.send(1)
                except ChanClosed:
                    return False
                return True

            senders = [go(send()) for _ in range(5)]
            receivers = [go(c.recv_ok()) for _ in range(5)]
            await gosched()
            c.close()
            sent = sum([await g for g in senders])
            received = sum([(await g)[1] for g in receivers])
            assert sent == received

    run(main, procs=procs)
