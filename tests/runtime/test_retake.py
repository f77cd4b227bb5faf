"""Taking the P of an M that runs user code, and its goroutine's way back (Go: exitsyscall)."""

import threading

import pytest
from robber import robber

import gopark
from gopark import Chan, go, gosched, run, select, sleep
from gopark.runtime.export_test import check_sched, counts, procs, retake, where


def lose() -> None:
    """Lose the own P; when it happens is up to the scheduler, so until it has."""
    p = where()[1]
    while not retake(p):
        p = where()[1]


@pytest.mark.parametrize("n", [1, 2, 8])
def test_others_run_while_a_goroutine_blocks(n: int) -> None:
    async def main() -> None:
        ran = threading.Event()

        async def other() -> None:
            await sleep(0.001)
            ran.set()

        g = go(other())
        here = threading.get_ident()
        with robber():
            ran.wait()  # a blocking call: with one P only a retake lets the other run
            assert threading.get_ident() == here
        gopark.num_goroutine()
        await g
        assert sum(p["taken"] for p in procs()) >= (1 if n == 1 else 0)

    run(main, procs=n)


@pytest.mark.parametrize("n", [1, 2, 8])
def test_many_block_at_once(n: int) -> None:
    async def main() -> None:
        barrier = threading.Barrier(20)

        async def blocker(i: int) -> int:
            barrier.wait()  # passes only when all twenty are in it
            await gosched()
            return i

        with robber():
            blockers = [go(blocker(i)) for i in range(20)]
            assert [await g for g in blockers] == list(range(20))
        assert counts()["nm"] >= 20
        check_sched()

    run(main, procs=n)


OPERATIONS = [
    "send",
    "recv",
    "handover",
    "close",
    "select",
    "go",
    "join",
    "gosched",
    "sleep",
    "timer",
    "return",
    "raise",
    "gomaxprocs",
]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("n", [1, 2, 8])
@pytest.mark.parametrize("busy", [False, True])
def test_every_operation_finds_its_way_back(operation: str, n: int, busy: bool) -> None:
    async def main() -> None:
        over = []

        async def hog() -> None:
            while not over:
                await gosched()

        async def victim() -> int:
            buffered, unbuffered = Chan[int](1), Chan[int]()
            value = 7
            if operation in ("recv", "select"):
                buffered.send_nowait(value)
            if operation == "handover":
                go(unbuffered.send(value))
                await gosched()
            child = go(gosched_and_give(value)) if operation == "join" else None
            me = gopark.current()
            here = threading.get_ident()
            lose()
            match operation:
                case "send":
                    await buffered.send(value)
                case "recv":
                    value = await buffered.recv()
                case "handover":
                    value = await unbuffered.recv()
                case "close":
                    buffered.close()
                    assert threading.get_ident() == here  # locked to its thread
                case "select":
                    value = (await select(unbuffered, buffered))[1]
                case "go":
                    value = await go(gosched_and_give(value))
                case "join":
                    assert child is not None
                    value = await child
                case "gosched":
                    await gosched()
                case "sleep":
                    await sleep(0.0001)
                case "timer":
                    await gopark.time.after(0.0001).recv()
                case "raise":
                    raise ArithmeticError
                case "gomaxprocs":
                    gopark.gomaxprocs(n + 1)
                    lose()
                    gopark.gomaxprocs(n)
            assert gopark.current() is me
            assert me.status == "running"
            return value

        hogs = [go(hog()) for _ in range(2 * n)] if busy else []
        for _ in range(20):
            g = go(victim())
            if operation == "raise":
                with pytest.raises(ArithmeticError):
                    await g
            else:
                assert await g == 7
        over.append(True)
        for g in hogs:
            await g
        check_sched()

    async def gosched_and_give(value: int) -> int:
        await gosched()
        return value

    run(main, procs=n)


def test_main_may_lose_its_p_and_end() -> None:
    async def main() -> int:
        go(sleep(10))
        lose()
        return 5

    for n in (1, 2, 8):
        for _ in range(20):
            assert run(main, procs=n) == 5


def test_a_p_taken_from_main_when_it_blocks_at_the_end() -> None:
    """What others do meanwhile still counts, and is closed with the program."""

    async def main() -> str:
        done = threading.Event()

        async def other() -> None:
            await gosched()
            done.set()
            await Chan[int]().recv()

        go(other())
        lose()
        done.wait()
        return "over"

    assert run(main, procs=1) == "over"
