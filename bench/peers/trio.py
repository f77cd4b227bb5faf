"""trio's programs. Its memory channels are Go's channels, capacity 0 included. It has no select."""

from __future__ import annotations

import time

import trio
from trio import MemoryReceiveChannel, MemorySendChannel, open_memory_channel
from trio.lowlevel import checkpoint

from peers.freeze import Lateness, occupy
from peers.measure import Parked, Sleepers, clock, main, per_op


async def hello() -> None:
    send, receive = open_memory_channel[str](0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send.send, "hello")
        print(await receive.receive())


async def switch(tasks: int) -> float:
    """``checkpoint``: trio's own name for giving way; ``sleep(0)`` comes to the same."""

    async def body(n: int) -> float:
        async with trio.open_nursery() as nursery:
            for _ in range(tasks):
                nursery.start_soon(give_way, n // tasks)
            began = clock()
        return clock() - began

    return await per_op(body)


async def give_way(times: int) -> None:
    for _ in range(times):
        await checkpoint()


async def spawn(batch: int) -> float:
    async def body(n: int) -> float:
        began = clock()
        for _ in range(n // batch):
            await spawn_batch(batch)
        return clock() - began

    return await per_op(body)


async def burst(n: int) -> float:
    await spawn_batch(1000)
    began = clock()
    await spawn_batch(n)
    return 1e9 * (clock() - began) / n


async def spawn_batch(n: int) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(n):
            nursery.start_soon(finish)


async def finish() -> None:
    pass


async def pingpong() -> float:
    async def body(n: int) -> float:
        send_ping, ping = open_memory_channel[int](0)
        send_pong, pong = open_memory_channel[int](0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(echo, ping, send_pong, n)
            began = clock()
            for i in range(n):
                await send_ping.send(i)
                await pong.receive()
            return clock() - began

    return await per_op(body)


async def echo(ping: MemoryReceiveChannel[int], pong: MemorySendChannel[int], n: int) -> None:
    for _ in range(n):
        await pong.send(await ping.receive())


async def buffered(capacity: int) -> float:
    async def body(n: int) -> float:
        send, receive = open_memory_channel[int](capacity)
        async with trio.open_nursery() as nursery:
            began = clock()
            nursery.start_soon(produce, send, n)
            for _ in range(n):
                await receive.receive()
            return clock() - began

    return await per_op(body)


async def produce(channel: MemorySendChannel[int], n: int) -> None:
    for i in range(n):
        await channel.send(i)


async def select_ready() -> float:
    """A look at each channel in turn: enough where one is always ready. It favours the first."""

    async def body(n: int) -> float:
        channels = [open_memory_channel[int](n) for _ in range(4)]
        for i in range(n):
            channels[i % 4][0].send_nowait(i)
        receivers = [receive for _, receive in channels]
        began = clock()
        for _ in range(n):
            receive_any_nowait(receivers)
        return clock() - began

    return await per_op(body)


def receive_any_nowait(receivers: list[MemoryReceiveChannel[int]]) -> int:
    for receive in receivers:
        try:
            return receive.receive_nowait()
        except trio.WouldBlock:
            continue
    raise trio.WouldBlock


async def select_block() -> float:
    """A nursery of receives in which the first to finish cancels the others: trio's way to race,
    and a right select, as a cancelled receive has taken nothing.
    """

    async def body(n: int) -> float:
        channels = [open_memory_channel[int](0) for _ in range(4)]
        send_answer, answers = open_memory_channel[int](0)
        receivers = [receive for _, receive in channels]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(select_loop, receivers, send_answer, n)
            began = clock()
            for i in range(n):
                await channels[i % 4][0].send(i)
                await answers.receive()
            return clock() - began

    return await per_op(body)


async def select_loop(
    receivers: list[MemoryReceiveChannel[int]], answers: MemorySendChannel[int], n: int
) -> None:
    for _ in range(n):
        await answers.send(await race(receivers))


async def race(receivers: list[MemoryReceiveChannel[int]]) -> int:
    winners: list[int] = []

    async def receive_one(receive: MemoryReceiveChannel[int]) -> None:
        winners.append(await receive.receive())
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for receive in receivers:
            nursery.start_soon(receive_one, receive)
    return winners[0]


async def parked(n: int) -> None:
    await spawn_batch(1000)
    _send, receive = open_memory_channel[None](0)
    state = Parked(n)

    async def wait() -> None:
        state.start()
        await receive.receive()

    async with trio.open_nursery() as nursery:
        for _ in range(n):
            nursery.start_soon(wait)
        while not state.all_started():
            await checkpoint()
        state.report()


async def sleepers(n: int) -> None:
    gate = trio.Event()
    state = Sleepers(n)

    async def sleep_twice(i: int) -> None:
        state.waits()
        await gate.wait()
        state.falls_asleep()
        await trio.sleep(state.delay(i))
        state.falls_asleep_again()
        await trio.sleep(state.delay(i))

    async with trio.open_nursery() as nursery:
        for i in range(n):
            nursery.start_soon(sleep_twice, i)
        while not state.all_waiting():
            await trio.sleep(0.01)
        gate.set()
        while not state.all_asleep():
            await trio.sleep(0.01)
        while not state.all_asleep_again():
            await trio.sleep(0.05)
        state.report()


async def sieve(n: int) -> float:
    await primes(20)
    began = clock()
    await primes(n)
    return 1e3 * (clock() - began)


async def primes(n: int) -> int:
    send, source = open_memory_channel[int](0)
    prime = 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(generate, send)
        for _ in range(n):
            prime = await source.receive()
            send, filtered = open_memory_channel[int](0)
            nursery.start_soon(keep, source, send, prime)
            source = filtered
        nursery.cancel_scope.cancel()
    return prime


async def generate(numbers: MemorySendChannel[int]) -> None:
    i = 2
    while True:
        await numbers.send(i)
        i += 1


async def keep(
    source: MemoryReceiveChannel[int], filtered: MemorySendChannel[int], prime: int
) -> None:
    while True:
        i = await source.receive()
        if i % prime:
            await filtered.send(i)


async def fanin(producers: int, lanes: int) -> float:
    async def body(n: int) -> float:
        channels = [open_memory_channel[int](0) for _ in range(lanes)]
        async with trio.open_nursery() as nursery:
            for _, receive in channels:
                nursery.start_soon(consume, receive, n // lanes)
            for p in range(producers):
                nursery.start_soon(produce, channels[p % lanes][0], n // producers)
            began = clock()
        return clock() - began

    return await per_op(body)


async def consume(channel: MemoryReceiveChannel[int], n: int) -> None:
    for _ in range(n):
        await channel.receive()


async def ticker(load: str, tasks: int, milliseconds: int) -> list[float]:
    book = Lateness()
    async with trio.open_nursery() as ticking:
        ticking.start_soon(tick, book)
        async with trio.open_nursery() as nursery:
            for _ in range(tasks):
                nursery.start_soon(keep_busy, load, milliseconds)
            await trio.sleep(milliseconds / 1000)
        book.over = True
    return book.summary()


async def tick(book: Lateness) -> None:
    while not book.over:
        await trio.sleep(book.pause())
        book.tick()


async def keep_busy(load: str, milliseconds: int) -> None:
    occupy(load, milliseconds)


async def sleeps(tasks: int, milliseconds: int) -> float:
    began = clock()
    async with trio.open_nursery() as nursery:
        for _ in range(tasks):
            nursery.start_soon(doze, milliseconds)
    return clock() - began


async def doze(milliseconds: int) -> None:
    time.sleep(milliseconds / 1000)


async def mutex() -> float:
    async def body(n: int) -> float:
        mutex = trio.Lock()
        began = clock()
        for _ in range(n):
            async with mutex:
                pass
        return clock() - began

    return await per_op(body)


async def contended(tasks: int) -> float:
    async def body(n: int) -> float:
        lock = trio.Lock()
        async with trio.open_nursery() as nursery:
            for _ in range(tasks):
                nursery.start_soon(take_turns, lock, n // tasks)
            began = clock()
        return clock() - began

    return await per_op(body)


async def take_turns(lock: trio.Lock, times: int) -> None:
    for _ in range(times):
        async with lock:
            await checkpoint()


async def group(tasks: int) -> float:
    await fill(tasks)
    began = clock()
    for _ in range(5):
        await fill(tasks)
    return 1e9 * (clock() - began) / (5 * tasks)


async def fill(tasks: int) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(tasks):
            nursery.start_soon(finish)


async def timeout() -> float:
    async def body(n: int) -> float:
        began = clock()
        for _ in range(n):
            with trio.fail_after(1):
                await checkpoint()
        return clock() - began

    return await per_op(body)


ROWS = (
    hello,
    switch,
    spawn,
    burst,
    pingpong,
    buffered,
    select_ready,
    select_block,
    parked,
    sleepers,
    sieve,
    fanin,
    ticker,
    sleeps,
    mutex,
    contended,
    group,
    timeout,
)

if __name__ == "__main__":
    main(ROWS, lambda row: trio.run(lambda: row))
