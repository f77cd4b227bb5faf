"""Every rule of channels, one test each."""

import asyncio
import copy
import gc
import pickle
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import chain
from typing import Any

import pytest

import gopark
from gopark import Chan, ChanClosed, Deadlock, G, WouldBlock, go, gosched, run, select

ALL_PROCS = pytest.mark.parametrize("procs", [1, 2, 8])


async def until_waiting(g: G[Any]) -> None:
    """Let others run until `g` waits."""
    while g.status != "waiting":
        assert not g.done()
        await gosched()


async def waiting(operation: Awaitable[Any]) -> G[Any]:
    """Start a goroutine that is going to wait, and see it wait."""
    g = go(operation)
    await until_waiting(g)
    return g


# -- unbuffered ---------------------------------------------------------------


def test_an_unbuffered_send_waits_for_a_receiver() -> None:
    async def main() -> int:
        c: Chan[int] = Chan()
        sender = await waiting(c.send(1))
        assert sender.wait_reason == "chan send"
        assert len(c) == 0
        value = await c.recv()
        await sender
        return value

    assert run(main) == 1


def test_an_unbuffered_receive_waits_for_a_sender() -> None:
    async def main() -> int:
        c: Chan[int] = Chan()
        receiver = await waiting(c.recv())
        assert receiver.wait_reason == "chan receive"
        await c.send(1)
        assert len(c) == 0
        return await receiver

    assert run(main) == 1


def test_a_send_to_a_waiting_receiver_does_not_wait() -> None:
    async def main() -> None:
        c: Chan[int] = Chan()
        receiver = await waiting(c.recv())
        c.send_nowait(1)
        assert await receiver == 1

    run(main)


def test_a_receive_from_a_waiting_sender_does_not_wait() -> None:
    async def main() -> None:
        c: Chan[int] = Chan()
        sender = await waiting(c.send(1))
        assert c.recv_nowait() == 1
        await sender

    run(main)


@pytest.mark.parametrize("capacity", [0, 1, 3])
def test_the_very_object_arrives(capacity: int) -> None:
    async def main() -> None:
        c: Chan[object] = Chan(capacity)
        sent = object()
        sender = go(c.send(sent))
        assert await c.recv() is sent
        await sender

    run(main)


@pytest.mark.parametrize("value", [None, False, 0, "", (), [], (1, 2), gopark.CLOSED, ValueError()])
@pytest.mark.parametrize("capacity", [0, 1])
def test_any_value_can_be_sent(value: object, capacity: int) -> None:
    async def main() -> None:
        c: Chan[object] = Chan(capacity)
        for _ in range(3):
            sender = go(c.send(value))
            received, ok = await c.recv_ok()
            await sender
            assert received is value
            assert ok is True

    run(main)


@pytest.mark.parametrize("start", [lambda c: go(c.send(1)), lambda c: go(c.send, 1)])
def test_an_operation_can_be_a_goroutine_of_its_own(start: Callable[[Chan[int]], G[None]]) -> None:
    async def main() -> int:
        c: Chan[int] = Chan()
        sender = start(c)
        receiver = go(c.recv)
        await sender
        return await receiver

    assert run(main) == 1


def test_an_operation_happens_when_it_is_awaited() -> None:
    async def main() -> None:
        c: Chan[int] = Chan(3)
        send = c.send(1)
        assert len(c) == 0
        await send
        assert len(c) == 1
        receive = c.recv()
        assert len(c) == 1
        await receive
        with pytest.raises(RuntimeError, match=r"cannot (reuse|await)"):
            await send
        with pytest.raises(RuntimeError, match=r"cannot (reuse|await)"):
            await receive
        assert len(c) == 0

    run(main)


def test_an_operation_that_is_never_awaited_is_reported() -> None:
    c: Chan[int] = Chan(3)
    with pytest.warns(RuntimeWarning, match="never awaited"):
        c.send(1)
    with pytest.warns(RuntimeWarning, match="never awaited"):
        c.recv()  # type: ignore[unused-coroutine]
    assert len(c) == 0


# -- buffered -----------------------------------------------------------------


def test_a_buffered_send_does_not_wait_while_there_is_room() -> None:
    async def main() -> None:
        c: Chan[int] = Chan(3)
        for i in range(3):
            await c.send(i)
            assert len(c) == i + 1
        assert (await waiting(c.send(3))).wait_reason == "chan send"

    run(main)


def test_a_full_buffer_takes_the_waiting_sender_in_behind_the_others() -> None:
    async def main() -> list[int]:
        c: Chan[int] = Chan(2)
        await c.send(0)
        await c.send(1)
        sender = await waiting(c.send(2))
        first = await c.recv()
        await sender
        assert len(c) == 2
        return [first, await c.recv(), await c.recv()]

    assert run(main) == [0, 1, 2]


@pytest.mark.parametrize("capacity", [1, 2, 3, 7])
@pytest.mark.parametrize("held", [1, 2, 7])
def test_the_ring_wraps_around_and_keeps_the_order(capacity: int, held: int) -> None:
    async def main() -> None:
        c: Chan[int] = Chan(capacity)
        received = []
        sent = 0
        for _ in range(5 * capacity):
            while len(c) < min(held, capacity):
                await c.send(sent)
                sent += 1
            received.append(await c.recv())
        assert received == list(range(len(received)))

    run(main)


def test_the_ring_wraps_around_with_senders_waiting() -> None:
    async def main() -> None:
        c: Chan[int] = Chan(3)
        for i in range(3):
            await c.send(i)
        for i in range(3, 8):
            await waiting(c.send(i))
        assert [await c.recv() for _ in range(8)] == list(range(8))
        assert len(c) == 0

    run(main)


def test_a_value_for_a_waiting_receiver_never_stands_in_the_buffer() -> None:
    async def main() -> None:
        c: Chan[int] = Chan(2)
        receiver = await waiting(c.recv())
        await c.send(1)
        assert len(c) == 0
        assert await receiver == 1

    run(main)


def test_a_received_value_is_not_kept_by_the_ring() -> None:
    class Value:
        pass

    async def main() -> None:
        c: Chan[Value] = Chan(2)
        await c.send(Value())
        received = await c.recv()
        died = weakref.ref(received)
        del received
        gc.collect()
        assert died() is None

    run(main)


def test_a_channel_that_nobody_uses_any_more_is_freed() -> None:
    async def partner(c: Chan[int]) -> None:
        await c.send(1)
        await c.recv()
        del c
        await Chan[int]().recv()

    async def main() -> None:
        c: Chan[int] = Chan()
        g = await waiting(partner(c))
        await c.recv()
        await c.send(2)
        died = weakref.ref(c)
        del c
        await until_waiting(g)
        gc.collect()
        assert died() is None

    run(main)


# -- first come, first served -------------------------------------------------


@pytest.mark.parametrize("capacity", [0, 1, 4])
def test_values_arrive_in_the_order_sent(capacity: int) -> None:
    async def main() -> list[int]:
        c: Chan[int] = Chan(capacity)

        async def producer() -> None:
            for i in range(100):
                await c.send(i)
            c.close()

        go(producer())
        return [i async for i in c]

    assert run(main) == list(range(100))


def test_waiting_receivers_are_served_first_come_first() -> None:
    async def main() -> None:
        c: Chan[int] = Chan()
        receivers = [await waiting(c.recv()) for _ in range(10)]
        for i in range(10):
            await c.send(i)
        assert [await g for g in receivers] == list(range(10))

    run(main)


def test_waiting_senders_are_served_first_come_first() -> None:
    async def main() -> None:
        c: Chan[int] = Chan()
        for i in range(10):
            await waiting(c.send(i))
        assert [await c.recv() for _ in range(10)] == list(range(10))

    run(main)


def test_a_select_stands_in_line_like_everybody() -> None:
    async def main() -> None:
        c: Chan[int] = Chan()
        first = await waiting(c.recv())
        second = await waiting(select(c))
        third = await waiting(c.recv())
        for i in range(3):
            await c.send(i)
        assert (await first, await second, await third) == (0, (0, 1), 2)

    run(main)


@ALL_PROCS
def test_one_producers_values_keep_their_order_for_one_consumer(procs: int) -> None:
    async def main() -> None:
        c: Chan[tuple[int, int]] = Chan(3)

        async def producer(who: int) -> None:
            for i in range(200):
                await c.send((who, i))

        producers = [go(producer(who)) for who in range(5)]
        received: list[list[int]] = [[] for _ in producers]
        for _ in range(200 * 5):
            who, i = await c.recv()
            received[who].append(i)
        assert received == [list(range(200))] * 5

    run(main, procs=procs)


# -- close --------------------------------------------------------------------


def test_closed_tells_whether_it_is_closed() -> None:
    async def main() -> None:
        c: Chan[int] = Chan(1)
        await c.send(1)
        assert c.closed is False
        c.close()
        assert c.closed is True
        await c.recv()
        assert c.closed is True

    run(main)


def test_closing_twice_raises() -> None:
    async def main() -> None:
        c: Chan[int] = Chan()
        c.close()
        with pytest.raises(ChanClosed, match="close of a closed channel"):
            c.close()

    run(main)


@pytest.mark.parametrize("capacity", [0, 1])
def test_a_send_on_a_closed_channel_raises(capacity: int) -> None:
    async def main() -> None:
        c: Chan[int] = Chan(capacity)
        c.close()
        with pytest.raises(ChanClosed, match="send on a closed channel"):
            await c.send(1)
        with pytest.raises(ChanClosed, match="send on a closed channel"):
            c.send_nowait(1)
        assert len(c) == 0

    run(main)


def test_close_fails_the_waiting_senders_and_drops_their_values() -> None:
    async def main() -> None:
        c: Chan[int] = Chan(1)
        await c.send(0)
        senders = [await waiting(c.send(i)) for i in (1, 2, 3)]
        c.close()
        for sender in senders:
            with pytest.raises(ChanClosed, match="send on a closed channel"):
                await sender
        assert await c.recv_ok() == (0, True)
        assert await c.recv_ok() == (None, False)

    run(main)


def test_close_fails_the_waiting_receivers() -> None:
    async def main() -> None:
        c: Chan[int] = Chan()
        receivers = [await waiting(c.recv()) for _ in range(3)]
        c.close()
        for receiver in receivers:
            with pytest.raises(ChanClosed, match="receive from a closed channel"):
                await receiver

    run(main)


def test_close_ends_a_waiting_recv_ok() -> None:
    async def main() -> object:
        c: Chan[int] = Chan()
        receiver = await waiting(c.recv_ok())
        c.close()
        return await receiver

    assert run(main) == (None, False)


def test_close_ends_a_waiting_iteration() -> None:
    async def main() -> object:
        c: Chan[int] = Chan()

        async def collect() -> list[int]:
            return [i async for i in c]

        g = await waiting(collect())
        c.close()
        return await g

    assert run(main) == []


def test_close_ends_waiting_selects() -> None:
    async def main() -> None:
        c: Chan[int] = Chan()
        other: Chan[int] = Chan()
        receiver = await waiting(select(other, c))
        c.close()
        assert await receiver == (1, gopark.CLOSED)
        sender = await waiting(select((other, 1)))
        other.close()
        with pytest.raises(ChanClosed, match="send on a closed channel"):
            await sender

    run(main)


def test_a_closed_channel_is_drained_first() -> None:
    async def main() -> None:
        c: Chan[int] = Chan(3)
        for i in range(3):
            await c.send(i)
        c.close()
        assert await c.recv() == 0
        assert await c.recv_ok() == (1, True)
        assert c.recv_nowait() == 2
        assert await c.recv_ok() == (None, False)
        with pytest.raises(ChanClosed, match="receive from a closed channel"):
            await c.recv()
        with pytest.raises(ChanClosed, match="receive from a closed channel"):
            c.recv_nowait()

    run(main)


def test_a_closed_channel_never_waits() -> None:
    async def main() -> None:
        c: Chan[int] = Chan()
        c.close()
        for _ in range(100):
            assert await c.recv_ok() == (None, False)

    run(main)


def test_iteration_goes_on_until_closed_and_drained() -> None:
    async def main() -> list[int]:
        c: Chan[int] = Chan(5)
        for i in range(5):
            await c.send(i)
        c.close()
        return [i async for i in c]

    assert run(main) == [0, 1, 2, 3, 4]


def test_several_iterations_share_the_values() -> None:
    async def main() -> None:
        c: Chan[int] = Chan()

        async def collect() -> list[int]:
            return [i async for i in c]

        collectors = [go(collect()) for _ in range(3)]
        for i in range(30):
            await c.send(i)
        c.close()
        shares = [await g for g in collectors]
        assert sorted(chain.from_iterable(shares)) == list(range(30))
        assert all(share == sorted(share) for share in shares)

    run(main)


@ALL_PROCS
def test_close_reaches_every_waiter(procs: int) -> None:
    async def main() -> None:
        for _ in range(20):
            c: Chan[int] = Chan()
            receivers = [go(c.recv_ok()) for _ in range(20)]
            await gosched()
            c.close()
            assert [await g for g in receivers] == [(None, False)] * 20

    run(main, procs=procs)


# -- without waiting ----------------------------------------------------------


def test_send_nowait_raises_where_a_send_would_wait() -> None:
    async def main() -> None:
        with pytest.raises(WouldBlock, match="send would wait"):
            Chan[int]().send_nowait(1)
        c: Chan[int] = Chan(1)
        c.send_nowait(1)
        with pytest.raises(WouldBlock):
            c.send_nowait(2)
        assert (len(c), c.recv_nowait()) == (1, 1)

    run(main)


def test_recv_nowait_raises_where_a_receive_would_wait() -> None:
    async def main() -> None:
        for capacity in (0, 1):
            c: Chan[int] = Chan(capacity)
            with pytest.raises(WouldBlock, match="receive would wait"):
                c.recv_nowait()
            assert len(c) == 0

    run(main)


def test_recv_nowait_takes_the_waiting_senders_value_into_the_buffer() -> None:
    async def main() -> None:
        c: Chan[int] = Chan(1)
        await c.send(1)
        sender = await waiting(c.send(2))
        assert c.recv_nowait() == 1
        await sender
        assert c.recv_nowait() == 2

    run(main)


def test_operations_that_do_not_wait_need_no_program() -> None:
    c: Chan[int] = Chan(2)
    c.send_nowait(1)
    c.send_nowait(2)
    with pytest.raises(WouldBlock):
        c.send_nowait(3)
    assert (len(c), c.recv_nowait()) == (2, 1)
    c.close()
    assert c.recv_nowait() == 2
    with pytest.raises(ChanClosed):
        c.recv_nowait()


def test_a_channel_outlives_the_program() -> None:
    c: Chan[int] = Chan(2)
    run(c.send(1))
    run(c.send(2))
    assert (run(c.recv()), run(c.recv())) == (1, 2)


def test_a_channel_is_usable_after_its_waiters_program_has_ended() -> None:
    c: Chan[int] = Chan()

    async def main() -> None:
        await waiting(c.recv())
        await waiting(select(c))

    run(main)
    with pytest.raises(WouldBlock):
        c.send_nowait(1)

    async def again() -> int:
        go(c.send(2))
        return await c.recv()

    assert run(again) == 2


@ALL_PROCS
def test_a_foreign_thread_can_send_and_close(procs: int) -> None:
    c: Chan[int] = Chan(0)

    def feed() -> None:
        sent = 0
        while sent < 100:
            try:
                c.send_nowait(sent)
                sent += 1
            except WouldBlock:
                wait_a_little.wait(0.0001)
        c.close()

    async def main() -> list[int]:
        return [i async for i in c]

    wait_a_little = threading.Event()
    thread = threading.Thread(target=feed)
    thread.start()
    assert run(main, procs=procs) == list(range(100))
    thread.join()


# -- what it says of itself ---------------------------------------------------


def test_len_capacity_and_repr() -> None:
    c: Chan[int] = Chan(3)
    assert (len(c), c.capacity) == (0, 3)
    c.send_nowait(1)
    assert (len(c), c.capacity) == (1, 3)
    assert repr(c).startswith("<Chan ")
    assert repr(c).endswith(": 1/3>")
    c.close()
    assert repr(c).endswith(": 1/3 closed>")
    assert (Chan[int]().capacity, Chan[int](capacity=2).capacity) == (0, 2)


def test_every_channel_has_its_own_repr_and_identity() -> None:
    channels: list[Chan[int]] = [Chan(1) for _ in range(10)]
    assert len({repr(c) for c in channels}) == 10
    assert len(set(channels)) == 10
    assert channels[0] != channels[1]


def test_a_channel_is_true_even_if_empty() -> None:
    assert Chan()
    assert Chan(1)


@pytest.mark.parametrize("attribute", ["capacity", "closed"])
def test_attributes_are_read_only(attribute: str) -> None:
    with pytest.raises(AttributeError):
        setattr(Chan(), attribute, 1)


def test_no_attributes_can_be_added() -> None:
    with pytest.raises(AttributeError):
        Chan().colour = "red"  # type: ignore[attr-defined]


def test_it_cannot_be_copied_or_pickled() -> None:
    c: Chan[int] = Chan(1)
    with pytest.raises(TypeError, match="cannot be copied"):
        copy.copy(c)
    with pytest.raises(TypeError, match="cannot be copied"):
        copy.deepcopy([c])
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(c)


@pytest.mark.parametrize("capacity", [None, 1.0, "1", True, False, [1]])
def test_a_capacity_that_is_no_int(capacity: Any) -> None:
    with pytest.raises(TypeError, match=f"must be an int.*not {type(capacity).__name__}"):
        Chan(capacity)


@pytest.mark.parametrize("capacity", [-1, -(1 << 70)])
def test_a_negative_capacity(capacity: int) -> None:
    with pytest.raises(ValueError, match=f"cannot be negative: {capacity}"):
        Chan(capacity)


@pytest.mark.parametrize("capacity", [1 << 60, 1 << 70])
def test_a_capacity_beyond_memory(capacity: int) -> None:
    with pytest.raises((MemoryError, OverflowError)):
        Chan(capacity)


def test_it_takes_a_type_argument() -> None:
    c = Chan[int](3)
    assert type(c) is Chan
    assert c.capacity == 3
    assert Chan[tuple[int, str]]().capacity == 0


def test_it_can_be_subclassed() -> None:
    class Jobs(Chan[int]):
        """Has a name of its own."""

    async def main() -> int:
        jobs = Jobs(1)
        await jobs.send(1)
        assert repr(jobs).startswith("<Jobs ")
        i, v = await select(jobs)
        assert i == 0
        return int(v)

    assert run(main) == 1


def test_subclasses_without_init_do_not_share_waiters() -> None:
    class Bare(Chan[int]):
        def __init__(self) -> None:
            """Forgets super().__init__()."""

    async def main() -> None:
        one, other = Bare(), Bare()
        receiver = await waiting(one.recv())
        with pytest.raises(WouldBlock):
            other.send_nowait(1)
        one.send_nowait(2)
        assert await receiver == 2

    run(main)


# -- where it cannot wait -----------------------------------------------------

WAITS: list[Callable[[Chan[Any]], Awaitable[Any]]] = [
    lambda c: c.send(1),
    lambda c: c.recv(),
    lambda c: c.recv_ok(),
    lambda c: anext(c),
    lambda c: select(c),
]


def by_hand(operation: Awaitable[Any]) -> Any:
    """Begin an operation without a runtime; what awaits it until it can go on."""
    steps = operation.__await__()
    next(steps)
    return steps


@pytest.mark.parametrize("wait", WAITS)
def test_an_operation_in_an_asyncio_program_raises(wait: Callable[..., Any]) -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match=r"only a goroutine can wait.*gopark\.run"):
            await wait(Chan())

    asyncio.run(main())


@pytest.mark.parametrize("wait", WAITS)
def test_an_operation_driven_by_hand_raises(wait: Callable[..., Any]) -> None:
    with pytest.raises(RuntimeError, match="only a goroutine can wait"):
        by_hand(wait(Chan()))


def test_a_failed_operation_outside_of_a_program_loses_nothing() -> None:
    c: Chan[int] = Chan(1)
    with pytest.raises(RuntimeError, match="only a goroutine can wait"):
        by_hand(c.send(1))
    assert len(c) == 0
    c.send_nowait(2)
    with pytest.raises(RuntimeError, match="only a goroutine can wait"):
        by_hand(c.recv())
    assert c.recv_nowait() == 2


def test_waiting_for_ever_is_a_deadlock() -> None:
    async def main() -> None:
        await Chan[int]().recv()

    with pytest.raises(Deadlock, match="all goroutines are asleep") as info:
        run(main)
    (report,) = info.value.goroutines
    assert report.wait_reason == "chan receive"


def test_a_goroutine_cannot_wait_twice_at_once() -> None:
    async def main() -> None:
        c: Chan[int] = Chan()
        swallowed = by_hand(c.recv())  # and its wait is not passed on
        with pytest.raises(RuntimeError, match="already waits"):
            await c.recv()
        c.send_nowait(1)  # takes it out of the channel's queue
        swallowed.close()

    run(main)


# -- the end of the program ---------------------------------------------------


def test_finally_blocks_of_waiters_run_at_the_programs_end() -> None:
    ended = []

    async def wait(operation: Callable[[], Awaitable[Any]]) -> None:
        try:
            await operation()
        finally:
            ended.append(operation)

    async def main() -> None:
        c: Chan[int] = Chan()
        d: Chan[int] = Chan()
        operations = [c.recv, c.recv_ok, c.__anext__, lambda: d.send(1), lambda: select(c, (d, 1))]
        for operation in operations:
            await waiting(wait(operation))
        assert not ended

    run(main)
    assert len(ended) == 5


def test_a_finally_block_at_the_programs_end_may_use_what_does_not_wait() -> None:
    c: Chan[str] = Chan(5)

    async def wait() -> None:
        try:
            await Chan[int]().recv()
        finally:
            await c.send("send")
            c.send_nowait("send_nowait")
            received = await c.recv(), c.recv_nowait()
            await select((c, "select"))
            await gosched()
            c.close()
            c2: Chan[Any] = Chan(1)
            await c2.send(received)
            pairs.append(await c2.recv())

    pairs: list[Any] = []

    async def main() -> None:
        await waiting(wait())

    run(main)
    assert pairs == [("send", "send_nowait")]
    assert c.closed
    assert c.recv_nowait() == "select"


@pytest.mark.parametrize("wait", WAITS)
def test_a_finally_block_at_the_programs_end_cannot_wait(wait: Callable[..., Any]) -> None:
    errors = []

    async def waits() -> None:
        try:
            await Chan[int]().recv()
        finally:
            try:
                await wait(c)
            except RuntimeError as exc:
                errors.append(str(exc))

    c: Chan[int] = Chan()

    async def main() -> None:
        await waiting(waits())

    run(main)
    (error,) = errors
    assert "cannot wait: main has returned" in error
    with pytest.raises(WouldBlock):  # and it stands in no queue
        c.send_nowait(1)
    with pytest.raises(WouldBlock):
        c.recv_nowait()


def test_a_finally_block_finds_no_partner_among_the_closed() -> None:
    c: Chan[int] = Chan()
    outcomes = []

    async def wait() -> None:
        try:
            await c.recv()
        finally:
            try:
                c.send_nowait(1)
            except WouldBlock:
                outcomes.append("would block")

    async def main() -> None:
        await waiting(wait())
        await waiting(wait())

    run(main)
    assert outcomes == ["would block"] * 2


def test_an_iteration_inside_an_async_generator() -> None:
    async def numbers(c: Chan[int]) -> AsyncIterator[int]:
        async for i in c:
            yield 10 * i

    async def main() -> list[int]:
        c: Chan[int] = Chan()

        async def feed() -> None:
            for i in range(5):
                await c.send(i)
            c.close()

        go(feed())
        return [i async for i in numbers(c)]

    assert run(main) == [0, 10, 20, 30, 40]


# -- many of them -------------------------------------------------------------


@ALL_PROCS
@pytest.mark.parametrize("capacity", [0, 1, 10])
def test_no_value_is_lost_or_doubled(procs: int, capacity: int) -> None:
    async def main() -> None:
        c: Chan[int] = Chan(capacity)

        async def produce(start: int) -> None:
            for i in range(start, start + 100):
                await c.send(i)

        async def consume() -> list[int]:
            return [i async for i in c]

        consumers = [go(consume()) for _ in range(7)]
        producers = [go(produce(100 * k)) for k in range(10)]
        for g in producers:
            await g
        c.close()
        assert sorted(chain.from_iterable([await g for g in consumers])) == list(range(1000))

    run(main, procs=procs)


@ALL_PROCS
def test_ten_thousand_goroutines_on_one_channel(procs: int) -> None:
    async def main() -> int:
        c: Chan[int] = Chan()
        for i in range(10_000):
            go(c.send(i))
        return sum([await c.recv() for _ in range(10_000)])

    assert run(main, procs=procs) == sum(range(10_000))
