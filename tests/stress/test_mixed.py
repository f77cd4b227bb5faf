"""Everything at once: goroutines that hog, block, are wired or wait in plain code, and threads.

Each actor does its kind of work, and then sends a message of its own, in every way that it
can. Nothing is asserted about time. At the end every message must have been received once, and
every thread of the runtime must be gone.
"""

import hashlib
import os
import random
import threading
import time
from array import array
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from threads import os_threads, wait_for_threads

import gopark
from gopark import Chan, WouldBlock, block_on, go, gosched, lock_os_thread, run, select, sleep
from gopark.runtime.export_test import check_sched, counts
from gopark.runtime.proc import threads_

Message = tuple[int, int]


class Play:
    """The actors, the channels between them, and the accounts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.channels = [Chan[Message](), Chan[Message](16)]
        self.sent: list[int] = []  # by actor
        self.got: list[dict[int, array[int]]] = []  # by receiver: by actor
        self.most_ms = 0

    def actor(self) -> int:
        self.sent.append(0)
        return len(self.sent) - 1

    def message(self, me: int) -> Message:
        """The actor's next one; whoever asks for it sends it."""
        self.sent[me] += 1
        return me, self.sent[me] - 1

    def account(self) -> Callable[[Message], None]:
        got: dict[int, array[int]] = defaultdict(lambda: array("L"))
        self.got.append(got)
        return lambda message: got[message[0]].append(message[1])

    # -- work, each of its kind -----------------------------------------------

    def hog(self) -> None:
        for _ in range(random.randrange(20_000)):
            pass

    def nap(self) -> None:
        time.sleep(random.random() / 500)

    def hash(self) -> None:
        hashlib.sha256(bytes(random.randrange(1 << 20))).digest()

    def write(self) -> None:
        file = self.folder / str(threading.get_ident())
        file.write_bytes(os.urandom(10_000))
        assert len(file.read_bytes()) == 10_000

    def quarrel(self) -> None:
        """Over a lock that knows nothing of goroutines."""
        with self.lock:
            time.sleep(0.0005)

    # -- actors that send -----------------------------------------------------

    async def async_actor(self, me: int, work: Callable[[], None]) -> None:
        unbuffered, buffered = self.channels
        while not self.over.is_set():
            work()
            match random.randrange(4):
                case 0:
                    await unbuffered.send(self.message(me))
                case 1:
                    await buffered.send(self.message(me))
                case 2:
                    message = self.message(me)
                    await select((unbuffered, message), (buffered, message))
                case 3:
                    await go(buffered.send(self.message(me)))

    async def wired_actor(self, me: int, work: Callable[[], None]) -> None:
        lock_os_thread()
        here = threading.get_ident()
        while not self.over.is_set():
            work()
            message = self.message(me)
            await select(*[(c, message) for c in self.channels])
            assert threading.get_ident() == here
            await gosched()
            assert threading.get_ident() == here

    def plain_actor(self, me: int, work: Callable[[], None]) -> None:
        """A plain function, as a goroutine or on a thread of its own."""
        while not self.over.is_set():
            work()
            c = random.choice(self.channels)
            match random.randrange(4):
                case 0:
                    block_on(c.send(self.message(me)))
                case 1:
                    block_on(go(c.send(self.message(me))))
                case 2:
                    message = self.message(me)
                    block_on(select(*[(c, message) for c in self.channels]))
                case 3:
                    message = self.message(me)
                    while not sent_nowait(c, message):
                        time.sleep(0.0002)

    def closer(self) -> None:
        """A thread that closes what goroutines wait on."""
        while not self.over.is_set():
            c = Chan[None]()
            waiting = [go(c.recv_ok()) for _ in range(5)] + [go(self.plain_wait, c)]
            time.sleep(0.001)
            c.close()
            for g in waiting:
                assert block_on(g) == (None, False)

    def plain_wait(self, c: Chan[None]) -> tuple[None, bool]:
        return block_on(c.recv_ok())

    # -- who receives ---------------------------------------------------------

    async def receive_from_one(self, c: Chan[Message]) -> None:
        note = self.account()
        async for message in c:
            note(message)

    async def receive_from_both(self) -> None:
        note = self.account()
        open_: list[Chan[Message] | None] = [*self.channels]
        while any(c is not None for c in open_):
            i, message = await select(*open_)
            if message is gopark.CLOSED:
                open_[i] = None
            else:
                note(message)

    def plain_receive(self, c: Chan[Message]) -> None:
        note = self.account()
        while True:
            message, ok = block_on(c.recv_ok())
            if not ok:
                return
            note(message)

    async def watch(self) -> None:
        """The number of Ms, all the while."""
        while not self.over.is_set():
            self.most_ms = max(self.most_ms, counts()["nm"])
            await sleep(0.005)

    # -- the play -------------------------------------------------------------

    async def main(self, seconds: float) -> None:
        works = (self.hog, self.nap, self.hash, self.write, self.quarrel)
        receivers = [go(self.receive_from_both()) for _ in range(3)]
        for c in self.channels:
            receivers += [go(self.receive_from_one(c)), go(self.plain_receive, c)]
        actors = [go(self.watch())]
        senders = [threading.Thread(target=self.closer)]
        receiving = [threading.Thread(target=self.plain_receive, args=(c,)) for c in self.channels]
        for work in works:
            actors += [go(self.async_actor(self.actor(), work)) for _ in range(3)]
            actors += [go(self.wired_actor(self.actor(), work))]
            actors += [go(self.plain_actor, self.actor(), work)]
            args = self.actor(), work
            senders.append(threading.Thread(target=self.plain_actor, args=args))
        for thread in senders + receiving:
            thread.start()
        await sleep(seconds)
        self.over.set()
        for g in actors:
            await g
        for thread in senders:
            thread.join()
        for c in self.channels:
            c.close()
        for g in receivers:
            await g
        for thread in receiving:
            thread.join()
        assert gopark.num_goroutine() == 1
        check_sched()

    def check(self) -> None:
        assert min(self.sent) > 0
        for me, n in enumerate(self.sent):
            received = sorted(i for got in self.got for i in got.get(me, ()))
            assert received == list(range(n)), f"of actor {me}"


def sent_nowait(c: Chan[Message], message: Message) -> bool:
    try:
        c.send_nowait(message)
    except WouldBlock:
        return False
    return True


def test_everything_at_once(procs: int, soak: float, tmp_path: Path) -> None:
    before = os_threads()
    play = Play(tmp_path)
    run(play.main(soak), procs=procs)
    play.check()
    # An M for each that blocks or waits in plain code, one for each P, and some on their way.
    at_once = len(play.sent) + len(play.got) + 6
    assert play.most_ms <= at_once + 2 * procs + 10
    wait_for_threads(before)
    assert threads_() == 0
