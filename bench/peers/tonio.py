"""TonIO's programs, in its async/await notation (``tonio.colored``), but for ``switch``.

One runtime thread for each P of the row. Contexts are left off, as TonIO has them by default.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Generator
from itertools import count
from typing import Any

import tonio
import tonio.sync
from tonio import colored
from tonio.colored.sync import Barrier, Lock
from tonio.colored.sync.channel import channel

from peers.freeze import Lateness, occupy
from peers.measure import PROCS, Parked, Sleepers, burn, clock, main, per_op

ChannelSender = Any  # TonIO has no public name for the two halves of a channel
ChannelReceiver = Any


async def hello() -> None:
    send, receive = channel(0)
    colored.spawn.without_tracking(send.send("hello"))
    print(await receive.receive())


async def switch(tasks: int) -> float:
    """A bare ``yield`` in TonIO's other notation, which lets the others run. ``yield_now`` of the
    async/await notation does not: it comes back to the same task while others are ready.
    """

    async def body(n: int) -> float:
        done = Barrier(tasks + 1)
        tonio.spawn.without_tracking(*[give_way(n // tasks, done) for _ in range(tasks)])
        began = clock()
        await done.wait()
        return clock() - began

    return await per_op(body)


def give_way(times: int, done: Barrier) -> Generator[None]:
    for _ in range(times):
        yield
    done.ack()


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
    """One ``spawn`` call for all and one wait: TonIO's fastest way to have the results."""
    await colored.spawn(*[finish() for _ in range(n)])


async def finish() -> None:
    pass


async def pingpong() -> float:
    async def body(n: int) -> float:
        send_ping, ping = channel(0)
        send_pong, pong = channel(0)
        echoing = colored.spawn.without_results(echo(ping, send_pong, n))
        began = clock()
        for i in range(n):
            await send_ping.send(i)
            await pong.receive()
        elapsed = clock() - began
        await echoing
        return elapsed

    return await per_op(body)


async def echo(ping: ChannelReceiver, pong: ChannelSender, n: int) -> None:
    for _ in range(n):
        await pong.send(await ping.receive())


async def buffered(capacity: int) -> float:
    async def body(n: int) -> float:
        send, receive = channel(capacity)
        began = clock()
        producing = colored.spawn.without_results(produce(send, n))
        for _ in range(n):
            await receive.receive()
        elapsed = clock() - began
        await producing
        return elapsed

    return await per_op(body)


async def produce(sender: ChannelSender, n: int) -> None:
    for i in range(n):
        await sender.send(i)


async def select_ready() -> float:
    """A look at each channel in turn: enough where one is always ready. It favours the first."""

    async def body(n: int) -> float:
        channels = [channel(n) for _ in range(4)]
        for i in range(n):
            channels[i % 4][0].send_nowait(i)
        receivers = [receive for _, receive in channels]
        began = clock()
        for _ in range(n):
            receive_any_nowait(receivers)
        return clock() - began

    return await per_op(body)


def receive_any_nowait(receivers: list[ChannelReceiver]) -> int:
    for receive in receivers:
        if (value := receive.receive_nowait()) is not receive.Empty:
            return value
    raise LookupError("no channel is ready")


async def select_block() -> float:
    """An event for each channel, set after a send, and a wait for any of them.

    ``tonio.select`` over four receives would be the plain way, but a receive that it cancels may
    lose a value, as TonIO's documentation says: this row hung with it.
    """

    async def body(n: int) -> float:
        channels = [channel(1) for _ in range(4)]
        events = [colored.Event() for _ in channels]
        send_answer, answers = channel(0)
        receivers = [receive for _, receive in channels]
        selecting = colored.spawn.without_results(select_loop(receivers, events, send_answer, n))
        began = clock()
        for i in range(n):
            await channels[i % 4][0].send(i)
            events[i % 4].set()
            await answers.receive()
        elapsed = clock() - began
        await selecting
        return elapsed

    return await per_op(body)


async def select_loop(
    receivers: list[ChannelReceiver], events: list[colored.Event], answers: ChannelSender, n: int
) -> None:
    for _ in range(n):
        await colored.Waiter.any(*events)
        receive, event = next(
            pair for pair in zip(receivers, events, strict=True) if pair[1].is_set()
        )
        event.clear()
        await answers.send(receive.receive_nowait())


async def parked(n: int) -> None:
    await spawn_batch(1000)
    _send, receive = channel(0)
    state = Parked(n)

    async def wait() -> None:
        state.start()
        await receive.receive()

    for _ in range(n):
        colored.spawn.without_tracking(wait())
    while not state.all_started():
        await colored.sleep(0.001)
    state.report()


async def sleepers(n: int) -> None:
    gate = colored.Event()
    state = Sleepers(n)

    async def sleep_twice(i: int) -> None:
        state.waits()
        await gate.wait()
        state.falls_asleep()
        await colored.sleep(state.delay(i))
        state.falls_asleep_again()
        await colored.sleep(state.delay(i))

    for i in range(n):
        colored.spawn.without_tracking(sleep_twice(i))
    while not state.all_waiting():
        await colored.sleep(0.01)
    gate.set()
    while not state.all_asleep():
        await colored.sleep(0.01)
    while not state.all_asleep_again():
        await colored.sleep(0.05)
    state.report()


async def sieve(n: int) -> float:
    await primes(20)
    began = clock()
    await primes(n)
    return 1e3 * (clock() - began)


async def primes(n: int) -> int:
    send, source = channel(0)
    prime = 0
    async with colored.scope() as scope:
        scope.spawn(generate(send))
        for _ in range(n):
            prime = await source.receive()
            send, filtered = channel(0)
            scope.spawn(keep(source, send, prime))
            source = filtered
        scope.cancel()
    return prime


async def generate(numbers: ChannelSender) -> None:
    for i in count(2):
        await numbers.send(i)


async def keep(source: ChannelReceiver, filtered: ChannelSender, prime: int) -> None:
    while True:
        i = await source.receive()
        if i % prime:
            await filtered.send(i)


async def fanin(producers: int, lanes: int) -> float:
    async def body(n: int) -> float:
        channels = [channel(0) for _ in range(lanes)]
        consuming = colored.spawn.without_results(
            *[consume(receive, n // lanes) for _, receive in channels]
        )
        for p in range(producers):
            colored.spawn.without_tracking(produce(channels[p % lanes][0], n // producers))
        began = clock()
        await consuming
        return clock() - began

    return await per_op(body)


async def consume(receiver: ChannelReceiver, n: int) -> None:
    for _ in range(n):
        await receiver.receive()


async def mutex() -> float:
    async def body(n: int) -> float:
        mutex = Lock()
        began = clock()
        for _ in range(n):
            async with mutex:
                pass
        return clock() - began

    return await per_op(body)


async def contended(tasks: int) -> float:
    """In the generator notation, as ``switch`` and for the same reason."""

    async def body(n: int) -> float:
        lock, done = tonio.sync.Lock(), Barrier(tasks + 1)
        tonio.spawn.without_tracking(*[take_turns(lock, n // tasks, done) for _ in range(tasks)])
        began = clock()
        await done.wait()
        return clock() - began

    return await per_op(body)


def take_turns(lock: tonio.sync.Lock, times: int, done: Barrier) -> Generator[Any]:
    for _ in range(times):
        with (yield lock()):
            yield
    done.ack()


def cpu(tasks: int, loops: int) -> float:
    """How much faster tasks that only compute are on two threads than on one.

    A process can have only one TonIO runtime, so each measurement is a process of its own.
    """
    return burn_on(1, tasks, loops) / burn_on(2, tasks, loops)


def burn_on(threads: int, tasks: int, loops: int) -> float:
    command = [sys.executable, "-m", "peers.tonio", "burn_all", str(tasks), str(loops)]
    environment = os.environ | {"GOMAXPROCS": str(threads)}
    return json.loads(subprocess.check_output(command, env=environment))["value"]


async def burn_all(tasks: int, loops: int) -> float:
    async def compute(loops: int) -> None:
        burn(loops)

    await colored.spawn(*[compute(loops // 10) for _ in range(tasks)])
    began = clock()
    await colored.spawn(*[compute(loops) for _ in range(tasks)])
    return clock() - began


async def ticker(load: str, tasks: int, milliseconds: int) -> list[float]:
    book = Lateness()
    ticking = colored.spawn(tick(book))
    running = [colored.spawn(keep_busy(load, milliseconds)) for _ in range(tasks)]
    await colored.sleep(milliseconds / 1000)
    for task in running:
        await task
    book.over = True
    await ticking
    return book.summary()


async def tick(book: Lateness) -> None:
    while not book.over:
        await colored.sleep(book.pause())
        book.tick()


async def keep_busy(load: str, milliseconds: int) -> None:
    occupy(load, milliseconds)


async def sleeps(tasks: int, milliseconds: int) -> float:
    began = clock()
    for task in [colored.spawn(doze(milliseconds)) for _ in range(tasks)]:
        await task
    return clock() - began


async def doze(milliseconds: int) -> None:
    time.sleep(milliseconds / 1000)


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
    cpu,
    burn_all,
    ticker,
    sleeps,
)

if __name__ == "__main__":
    main(ROWS, lambda row: tonio.run(row, threads=PROCS))
