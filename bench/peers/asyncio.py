"""asyncio's programs. ``peers.uvloop`` runs the same ones on its own loop.

asyncio has no unbuffered channel: a ``Queue(1)`` is the closest thing. It has no select either.
"""

from __future__ import annotations

import asyncio
import time
from asyncio import FIRST_COMPLETED, Queue, create_task

from peers.freeze import Lateness, occupy
from peers.measure import Parked, Sleepers, clock, main, per_op


async def hello() -> None:
    words: Queue[str] = Queue(1)
    task = create_task(words.put("hello"))
    print(await words.get())
    await task


async def switch(tasks: int) -> float:
    """``sleep(0)``: documented as the way to give way, and the loop's shortest path."""

    async def body(n: int) -> float:
        running = [create_task(give_way(n // tasks)) for _ in range(tasks)]
        began = clock()
        for task in running:
            await task
        return clock() - began

    return await per_op(body)


async def give_way(times: int) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


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
    """``create_task`` and one await each: less work than ``TaskGroup`` or ``gather``.

    The eager task factory is left out: it calls the function on the spot and spawns nothing.
    """
    for task in [create_task(finish()) for _ in range(n)]:
        await task


async def finish() -> None:
    pass


async def pingpong() -> float:
    async def body(n: int) -> float:
        ping: Queue[int] = Queue(1)
        pong: Queue[int] = Queue(1)
        task = create_task(echo(ping, pong, n))
        began = clock()
        for i in range(n):
            await ping.put(i)
            await pong.get()
        elapsed = clock() - began
        await task
        return elapsed

    return await per_op(body)


async def echo(ping: Queue[int], pong: Queue[int], n: int) -> None:
    for _ in range(n):
        await pong.put(await ping.get())


async def buffered(capacity: int) -> float:
    async def body(n: int) -> float:
        queue: Queue[int] = Queue(capacity)
        began = clock()
        task = create_task(produce(queue, n))
        for _ in range(n):
            await queue.get()
        elapsed = clock() - began
        await task
        return elapsed

    return await per_op(body)


async def produce(queue: Queue[int], n: int) -> None:
    for i in range(n):
        await queue.put(i)


async def select_ready() -> float:
    """A look at each queue in turn: enough where one is always ready. It favours the first."""

    async def body(n: int) -> float:
        queues: list[Queue[int]] = [Queue() for _ in range(4)]
        for i in range(n):
            queues[i % 4].put_nowait(i)
        began = clock()
        for _ in range(n):
            next(queue for queue in queues if not queue.empty()).get_nowait()
        return clock() - began

    return await per_op(body)


async def select_block() -> float:
    """A getter task for each queue, kept until it has a value: cheaper than cancelling losers."""

    async def body(n: int) -> float:
        queues: list[Queue[int]] = [Queue(1) for _ in range(4)]
        answers: Queue[int] = Queue(1)
        task = create_task(select_loop(queues, answers, n))
        began = clock()
        for i in range(n):
            await queues[i % 4].put(i)
            await answers.get()
        elapsed = clock() - began
        await task
        return elapsed

    return await per_op(body)


async def select_loop(queues: list[Queue[int]], answers: Queue[int], n: int) -> None:
    getters = {create_task(queue.get()): queue for queue in queues}
    while n:
        done, _ = await asyncio.wait(getters, return_when=FIRST_COMPLETED)
        for task in done:
            queue = getters.pop(task)
            await answers.put(task.result())
            getters[create_task(queue.get())] = queue
            n -= 1
    for task in getters:
        task.cancel()


async def parked(n: int) -> None:
    """The list of tasks is part of it: a task that nobody holds may be collected, say the docs."""
    await spawn_batch(1000)
    queue: Queue[None] = Queue()
    state = Parked(n)

    async def wait() -> None:
        state.start()
        await queue.get()

    tasks = [create_task(wait()) for _ in range(n)]
    while not state.all_started():
        await asyncio.sleep(0)
    assert len(tasks) == n
    state.report()


async def sleepers(n: int) -> None:
    gate = asyncio.Event()
    state = Sleepers(n)

    async def sleep_twice(i: int) -> None:
        state.waits()
        await gate.wait()
        state.falls_asleep()
        await asyncio.sleep(state.delay(i))
        state.falls_asleep_again()
        await asyncio.sleep(state.delay(i))

    tasks = [create_task(sleep_twice(i)) for i in range(n)]
    while not state.all_waiting():
        await asyncio.sleep(0.01)
    gate.set()
    while not state.all_asleep():
        await asyncio.sleep(0.01)
    while not state.all_asleep_again():
        await asyncio.sleep(0.05)
    assert len(tasks) == n
    state.report()


async def sieve(n: int) -> float:
    await primes(20)
    began = clock()
    await primes(n)
    return 1e3 * (clock() - began)


async def primes(n: int) -> int:
    source: Queue[int] = Queue(1)
    tasks = [create_task(generate(source))]
    prime = 0
    for _ in range(n):
        prime = await source.get()
        filtered: Queue[int] = Queue(1)
        tasks.append(create_task(keep(source, filtered, prime)))
        source = filtered
    for task in tasks:
        task.cancel()
    return prime


async def generate(numbers: Queue[int]) -> None:
    i = 2
    while True:
        await numbers.put(i)
        i += 1


async def keep(source: Queue[int], filtered: Queue[int], prime: int) -> None:
    while True:
        i = await source.get()
        if i % prime:
            await filtered.put(i)


async def fanin(producers: int, lanes: int) -> float:
    async def body(n: int) -> float:
        queues: list[Queue[int]] = [Queue(1) for _ in range(lanes)]
        consumers = [create_task(consume(queue, n // lanes)) for queue in queues]
        tasks = [create_task(produce(queues[p % lanes], n // producers)) for p in range(producers)]
        began = clock()
        for task in consumers + tasks:
            await task
        return clock() - began

    return await per_op(body)


async def consume(queue: Queue[int], n: int) -> None:
    for _ in range(n):
        await queue.get()


async def ticker(load: str, tasks: int, milliseconds: int) -> list[float]:
    book = Lateness()
    ticking = create_task(tick(book))
    running = [create_task(keep_busy(load, milliseconds)) for _ in range(tasks)]
    await asyncio.sleep(milliseconds / 1000)
    for task in running:
        await task
    book.over = True
    await ticking
    return book.summary()


async def tick(book: Lateness) -> None:
    while not book.over:
        await asyncio.sleep(book.pause())
        book.tick()


async def keep_busy(load: str, milliseconds: int) -> None:
    occupy(load, milliseconds)


async def sleeps(tasks: int, milliseconds: int) -> float:
    began = clock()
    for task in [create_task(doze(milliseconds)) for _ in range(tasks)]:
        await task
    return clock() - began


async def doze(milliseconds: int) -> None:
    time.sleep(milliseconds / 1000)


async def mutex() -> float:
    async def body(n: int) -> float:
        mutex = asyncio.Lock()
        began = clock()
        for _ in range(n):
            async with mutex:
                pass
        return clock() - began

    return await per_op(body)


async def contended(tasks: int) -> float:
    async def body(n: int) -> float:
        lock = asyncio.Lock()
        running = [create_task(take_turns(lock, n // tasks)) for _ in range(tasks)]
        began = clock()
        for task in running:
            await task
        return clock() - began

    return await per_op(body)


async def take_turns(lock: asyncio.Lock, times: int) -> None:
    for _ in range(times):
        async with lock:
            await asyncio.sleep(0)


async def group(tasks: int) -> float:
    await fill(tasks)
    began = clock()
    for _ in range(5):
        await fill(tasks)
    return 1e9 * (clock() - began) / (5 * tasks)


async def fill(tasks: int) -> None:
    async with asyncio.TaskGroup() as tg:
        for _ in range(tasks):
            tg.create_task(finish())


async def timeout() -> float:
    async def body(n: int) -> float:
        began = clock()
        for _ in range(n):
            async with asyncio.timeout(1):
                await asyncio.sleep(0)
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
    main(ROWS, asyncio.run)
