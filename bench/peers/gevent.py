"""gevent's programs. ``queue.Channel`` is Go's unbuffered channel, ``Queue(n)`` its buffered one.

gevent has no select over channels. Its greenlets belong to one thread.
"""

from __future__ import annotations

import time
from itertools import count

import gevent
import gevent.pool
from gevent import monkey
from gevent.event import Event
from gevent.lock import Semaphore
from gevent.queue import Channel, Queue

from peers.freeze import Lateness, occupy
from peers.measure import Parked, Sleepers, clock, main, per_op_plain


def hello() -> None:
    words = Channel()
    gevent.spawn(words.put, "hello")
    print(words.get())


def switch(tasks: int) -> float:
    """``sleep(0)``: documented as the way to give way."""

    def body(n: int) -> float:
        running = [gevent.spawn(give_way, n // tasks) for _ in range(tasks)]
        began = clock()
        gevent.joinall(running)
        return clock() - began

    return per_op_plain(body)


def give_way(times: int) -> None:
    for _ in range(times):
        gevent.sleep(0)


def spawn(batch: int) -> float:
    def body(n: int) -> float:
        began = clock()
        for _ in range(n // batch):
            spawn_batch(batch)
        return clock() - began

    return per_op_plain(body)


def burst(n: int) -> float:
    spawn_batch(1000)
    began = clock()
    spawn_batch(n)
    return 1e9 * (clock() - began) / n


def spawn_batch(n: int) -> None:
    """``spawn`` and one ``join`` each: less work than ``joinall`` of a long list."""
    for greenlet in [gevent.spawn(finish) for _ in range(n)]:
        greenlet.join()


def finish() -> None:
    pass


def pingpong() -> float:
    def body(n: int) -> float:
        ping, pong = Channel(), Channel()
        gevent.spawn(echo, ping, pong, n)
        began = clock()
        for i in range(n):
            ping.put(i)
            pong.get()
        return clock() - began

    return per_op_plain(body)


def echo(ping: Channel, pong: Channel, n: int) -> None:
    for _ in range(n):
        pong.put(ping.get())


def buffered(capacity: int) -> float:
    def body(n: int) -> float:
        queue = Queue(capacity)
        began = clock()
        gevent.spawn(produce, queue, n)
        for _ in range(n):
            queue.get()
        return clock() - began

    return per_op_plain(body)


def produce(channel: Channel | Queue, n: int) -> None:
    for i in range(n):
        channel.put(i)


def select_ready() -> float:
    """A look at each queue in turn: enough where one is always ready. It favours the first."""

    def body(n: int) -> float:
        queues = [Queue() for _ in range(4)]
        for i in range(n):
            queues[i % 4].put_nowait(i)
        began = clock()
        for _ in range(n):
            next(queue for queue in queues if not queue.empty()).get_nowait()
        return clock() - began

    return per_op_plain(body)


def select_block() -> float:
    """A getter for each channel, kept until it has a value: cheaper than killing the losers."""

    def body(n: int) -> float:
        channels = [Channel() for _ in range(4)]
        answers = Channel()
        task = gevent.spawn(select_loop, channels, answers, n)
        began = clock()
        for i in range(n):
            channels[i % 4].put(i)
            answers.get()
        elapsed = clock() - began
        task.join()
        return elapsed

    return per_op_plain(body)


def select_loop(channels: list[Channel], answers: Channel, n: int) -> None:
    getters = {gevent.spawn(channel.get): channel for channel in channels}
    while n:
        for task in gevent.wait(list(getters), count=1):
            channel = getters.pop(task)
            answers.put(task.value)
            getters[gevent.spawn(channel.get)] = channel
            n -= 1
    gevent.killall(list(getters))


def parked(n: int) -> None:
    spawn_batch(1000)
    channel = Channel()
    state = Parked(n)

    def wait() -> None:
        state.start()
        channel.get()

    for _ in range(n):
        gevent.spawn(wait)
    while not state.all_started():
        gevent.sleep(0)
    state.report()


def sleepers(n: int) -> None:
    gate = Event()
    state = Sleepers(n)

    def sleep_twice(i: int) -> None:
        state.waits()
        gate.wait()
        state.falls_asleep()
        gevent.sleep(state.delay(i))
        state.falls_asleep_again()
        gevent.sleep(state.delay(i))

    for i in range(n):
        gevent.spawn(sleep_twice, i)
    while not state.all_waiting():
        gevent.sleep(0.01)
    gate.set()
    while not state.all_asleep():
        gevent.sleep(0.01)
    while not state.all_asleep_again():
        gevent.sleep(0.05)
    state.report()


def sieve(n: int) -> float:
    primes(20)
    began = clock()
    primes(n)
    return 1e3 * (clock() - began)


def primes(n: int) -> int:
    source = Channel()
    tasks = [gevent.spawn(generate, source)]
    prime = 0
    for _ in range(n):
        prime = source.get()
        filtered = Channel()
        tasks.append(gevent.spawn(keep, source, filtered, prime))
        source = filtered
    gevent.killall(tasks, block=False)
    return prime


def generate(numbers: Channel) -> None:
    for i in count(2):
        numbers.put(i)


def keep(source: Channel, filtered: Channel, prime: int) -> None:
    while True:
        i = source.get()
        if i % prime:
            filtered.put(i)


def fanin(producers: int, lanes: int) -> float:
    def body(n: int) -> float:
        channels = [Channel() for _ in range(lanes)]
        tasks = [gevent.spawn(consume, channel, n // lanes) for channel in channels]
        for p in range(producers):
            tasks.append(gevent.spawn(produce, channels[p % lanes], n // producers))
        began = clock()
        gevent.joinall(tasks)
        return clock() - began

    return per_op_plain(body)


def consume(channel: Channel, n: int) -> None:
    for _ in range(n):
        channel.get()


def ticker(load: str, tasks: int, milliseconds: int) -> list[float]:
    """With ``time.sleep`` patched, as gevent advises: a program on gevent does not block in it."""
    monkey.patch_time()
    book = Lateness()
    ticking = gevent.spawn(tick, book)
    running = [gevent.spawn(occupy, load, milliseconds) for _ in range(tasks)]
    gevent.sleep(milliseconds / 1000)
    gevent.joinall(running)
    book.over = True
    ticking.join()
    return book.summary()


def tick(book: Lateness) -> None:
    while not book.over:
        gevent.sleep(book.pause())
        book.tick()


def sleeps(tasks: int, milliseconds: int) -> float:
    monkey.patch_time()
    began = clock()
    gevent.joinall([gevent.spawn(time.sleep, milliseconds / 1000) for _ in range(tasks)])
    return clock() - began


def mutex() -> float:
    """A semaphore of 1, as ``RLock`` keeps an owner besides."""

    def body(n: int) -> float:
        mutex = Semaphore(1)
        began = clock()
        for _ in range(n):
            with mutex:
                pass
        return clock() - began

    return per_op_plain(body)


def contended(tasks: int) -> float:
    def body(n: int) -> float:
        mutex = Semaphore(1)
        running = [gevent.spawn(take_turns, mutex, n // tasks) for _ in range(tasks)]
        began = clock()
        gevent.joinall(running)
        return clock() - began

    return per_op_plain(body)


def take_turns(mutex: Semaphore, times: int) -> None:
    for _ in range(times):
        with mutex:
            gevent.sleep(0)


def group(tasks: int) -> float:
    fill(tasks)
    began = clock()
    for _ in range(5):
        fill(tasks)
    return 1e9 * (clock() - began) / (5 * tasks)


def fill(tasks: int) -> None:
    group = gevent.pool.Group()
    for _ in range(tasks):
        group.spawn(finish)
    group.join()


def timeout() -> float:
    def body(n: int) -> float:
        began = clock()
        for _ in range(n):
            with gevent.Timeout(1):
                gevent.sleep(0)
        return clock() - began

    return per_op_plain(body)


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
    main(ROWS, float)
