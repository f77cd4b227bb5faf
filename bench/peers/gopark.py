"""gopark's programs, written on nothing but its public face."""

from __future__ import annotations

import time
from itertools import count

import gopark
from gopark import Chan, TaskGroup, go, gosched, run, select, sleep
from gopark.sync import Mutex
from peers.freeze import Lateness, occupy
from peers.measure import PROCS, Parked, Sleepers, burn, clock, main, per_op


async def hello() -> None:
    words: Chan[str] = Chan(0)
    go(words.send("hello"))
    print(await words.recv())


async def switch(tasks: int) -> float:
    async def body(n: int) -> float:
        running = [go(give_way(n // tasks)) for _ in range(tasks)]
        began = clock()
        for g in running:
            await g
        return clock() - began

    return await per_op(body)


async def give_way(times: int) -> None:
    for _ in range(times):
        await gosched()


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
    """``go`` and one await each, which fetches the result too."""
    for g in [go(finish()) for _ in range(n)]:
        await g


async def finish() -> None:
    pass


async def pingpong() -> float:
    async def body(n: int) -> float:
        ping: Chan[int] = Chan()
        pong: Chan[int] = Chan()
        go(echo(ping, pong))
        began = clock()
        for i in range(n):
            await ping.send(i)
            await pong.recv()
        elapsed = clock() - began
        ping.close()
        return elapsed

    return await per_op(body)


async def echo(ping: Chan[int], pong: Chan[int]) -> None:
    async for value in ping:
        await pong.send(value)


async def buffered(capacity: int) -> float:
    async def body(n: int) -> float:
        channel: Chan[int] = Chan(capacity)
        began = clock()
        go(produce_and_close(channel, n))
        async for _ in channel:
            pass
        return clock() - began

    return await per_op(body)


async def produce_and_close(channel: Chan[int], n: int) -> None:
    await produce(channel, n)
    channel.close()


async def produce(channel: Chan[int], n: int) -> None:
    for i in range(n):
        await channel.send(i)


async def select_ready() -> float:
    async def body(n: int) -> float:
        a, b, c, d = channels = [Chan[int](n // 4) for _ in range(4)]
        for i in range(n):
            channels[i % 4].send_nowait(i)
        began = clock()
        for _ in range(n):
            await select(a, b, c, d)
        return clock() - began

    return await per_op(body)


async def select_block() -> float:
    async def body(n: int) -> float:
        channels = [Chan[int]() for _ in range(4)]
        answers: Chan[int] = Chan()
        go(select_loop(channels, answers, n))
        began = clock()
        for i in range(n):
            await channels[i % 4].send(i)
            await answers.recv()
        return clock() - began

    return await per_op(body)


async def select_loop(channels: list[Chan[int]], answers: Chan[int], n: int) -> None:
    a, b, c, d = channels
    for _ in range(n):
        _, value = await select(a, b, c, d)
        await answers.send(value)


async def parked(n: int) -> None:
    await spawn_batch(1000)
    channel: Chan[None] = Chan()
    state = Parked(n)

    async def wait() -> None:
        state.start()
        await channel.recv()

    for _ in range(n):
        go(wait())
    while not state.all_started():
        await gosched()
    state.report()


async def sleepers(n: int) -> None:
    gate: Chan[None] = Chan()
    state = Sleepers(n)

    async def sleep_twice(i: int) -> None:
        state.waits()
        await gate.recv_ok()
        state.falls_asleep()
        await sleep(state.delay(i))
        state.falls_asleep_again()
        await sleep(state.delay(i))

    for i in range(n):
        go(sleep_twice(i))
    while not state.all_waiting():
        await sleep(0.01)
    gate.close()
    while not state.all_asleep():
        await sleep(0.01)
    while not state.all_asleep_again():
        await sleep(0.05)
    state.report()


async def sieve(n: int) -> float:
    await primes(20)
    began = clock()
    await primes(n)
    return 1e3 * (clock() - began)


async def primes(n: int) -> int:
    source: Chan[int] = Chan()
    go(generate(source))
    prime = 0
    for _ in range(n):
        prime = await source.recv()
        filtered: Chan[int] = Chan()
        go(keep(source, filtered, prime))
        source = filtered
    return prime


async def generate(numbers: Chan[int]) -> None:
    for i in count(2):
        await numbers.send(i)


async def keep(source: Chan[int], filtered: Chan[int], prime: int) -> None:
    while True:
        i = await source.recv()
        if i % prime:
            await filtered.send(i)


async def fanin(producers: int, lanes: int) -> float:
    async def body(n: int) -> float:
        channels = [Chan[int]() for _ in range(lanes)]
        consumers = [go(consume(channel, n // lanes)) for channel in channels]
        for p in range(producers):
            go(produce(channels[p % lanes], n // producers))
        began = clock()
        for g in consumers:
            await g
        return clock() - began

    return await per_op(body)


async def consume(channel: Chan[int], n: int) -> None:
    for _ in range(n):
        await channel.recv()


async def mutex() -> float:
    async def body(n: int) -> float:
        mutex = Mutex()
        began = clock()
        for _ in range(n):
            async with mutex:
                pass
        return clock() - began

    return await per_op(body)


async def contended(tasks: int) -> float:
    async def body(n: int) -> float:
        mutex = Mutex()
        running = [go(take_turns(mutex, n // tasks)) for _ in range(tasks)]
        began = clock()
        for g in running:
            await g
        return clock() - began

    return await per_op(body)


async def take_turns(mutex: Mutex, times: int) -> None:
    for _ in range(times):
        async with mutex:
            await gosched()


def cpu(tasks: int, loops: int) -> float:
    """How much faster goroutines that only compute are on two Ps than on one."""
    burn_on(2, tasks, loops)
    return burn_on(1, tasks, loops) / burn_on(2, tasks, loops)


def burn_on(procs: int, tasks: int, loops: int) -> float:
    async def burn_all() -> float:
        began = clock()
        for g in [go(burn, loops) for _ in range(tasks)]:
            await g
        return clock() - began

    return run(burn_all, procs=procs)


async def ticker(load: str, tasks: int, milliseconds: int) -> list[float]:
    book = Lateness()
    ticking = go(tick(book))
    running = [go(keep_busy(load, milliseconds)) for _ in range(tasks)]
    await sleep(milliseconds / 1000)
    for g in running:
        await g
    book.over = True
    await ticking
    return book.summary()


async def tick(book: Lateness) -> None:
    while not book.over:
        await sleep(book.pause())
        book.tick()


async def keep_busy(load: str, milliseconds: int) -> None:
    occupy(load, milliseconds)


async def sleeps(tasks: int, milliseconds: int) -> float:
    began = clock()
    for g in [go(doze(milliseconds)) for _ in range(tasks)]:
        await g
    return clock() - began


async def doze(milliseconds: int) -> None:
    time.sleep(milliseconds / 1000)


async def group(tasks: int) -> float:
    await fill(tasks)
    began = clock()
    for _ in range(5):
        await fill(tasks)
    return 1e9 * (clock() - began) / (5 * tasks)


async def fill(tasks: int) -> None:
    async with TaskGroup() as tg:
        for _ in range(tasks):
            await tg.go(finish())


async def timeout() -> float:
    async def body(n: int) -> float:
        began = clock()
        for _ in range(n):
            with gopark.timeout(1):
                await gosched()
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
    mutex,
    contended,
    group,
    timeout,
    cpu,
    ticker,
    sleeps,
)

if __name__ == "__main__":
    main(ROWS, lambda row: run(row, procs=PROCS))
