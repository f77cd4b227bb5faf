"""Plain code and the scheduler: blocking, block_on, other threads, and the program's end."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest

import gopark
from gopark import Chan, Deadlock, block_on, blocking, go, gosched, run, select, sleep, sync
from gopark.runtime.export_test import check_sched, procs


async def give(value: Any) -> Any:
    await gosched()
    return value


async def fail() -> None:
    await gosched()
    raise ArithmeticError("seven")


def both_ways(test: Callable[..., Any]) -> Any:
    """The same wait inside a plain goroutine, and inside an async function."""
    test = pytest.mark.parametrize("inside", ["plain", "async"])(test)
    return pytest.mark.parametrize("n", [1, 2])(test)


def in_goroutine(inside: str, n: int, body: Callable[[], Any]) -> Any:
    async def async_body() -> Any:
        await gosched()
        return body()

    async def main() -> Any:
        over: list[bool] = []

        async def other() -> None:
            while not over:
                await gosched()

        beside = go(other())
        value = await (go(body) if inside == "plain" else go(async_body()))
        over.append(True)
        await beside
        check_sched()
        return value

    return run(main, procs=n)


class TestBlocking:
    def test_the_p_is_free_at_once(self) -> None:
        async def main() -> None:
            ran = threading.Event()
            go(ran.set)
            with blocking():
                assert all(p["state"] != "syscall" or p["taken"] for p in procs())
                ran.wait()
            await gosched()
            check_sched()

        for _ in range(20):
            run(main, procs=1)

    @pytest.mark.parametrize("n", [1, 2])
    def test_many(self, n: int) -> None:
        async def main() -> None:
            barrier = threading.Barrier(50)

            async def blocker(i: int) -> int:
                with blocking():
                    barrier.wait()
                await gosched()
                with blocking():
                    barrier.wait()
                return i

            assert [await g for g in [go(blocker(i)) for i in range(50)]] == list(range(50))

        run(main, procs=n)

    def test_exceptions_pass(self) -> None:
        async def main() -> None:
            with pytest.raises(ArithmeticError), blocking():
                raise ArithmeticError
            await gosched()

        run(main)

    def test_it_nests_and_operations_work_inside(self) -> None:
        async def main() -> None:
            c = Chan[int](5)
            with blocking():
                with blocking():
                    c.send_nowait(1)
                c.send_nowait(2)
                await c.send(3)
                await gosched()
                with blocking():
                    pass
                g = go(give(4))
            assert [await c.recv() for _ in range(3)] == [1, 2, 3]
            assert await g == 4

        for n in (1, 2):
            run(main, procs=n)

    def test_outside_of_a_program(self) -> None:
        with blocking():
            pass

    def test_again_and_again(self) -> None:
        async def main() -> None:
            async def blocker() -> None:
                for _ in range(200):
                    with blocking():
                        pass
                    await gosched()

            for g in [go(blocker()) for _ in range(10)]:
                await g
            check_sched()

        for n in (1, 2, 8):
            run(main, procs=n)


class TestBlockOn:
    @both_ways
    def test_recv_and_send(self, inside: str, n: int) -> None:
        def body() -> list[int]:
            c, back = Chan[int](), Chan[int]()

            async def echo() -> None:
                async for i in c:
                    await back.send(i + 1)

            go(echo())
            got = []
            for i in range(20):
                block_on(c.send(i))
                got.append(block_on(back.recv()))
            c.close()
            return got

        assert in_goroutine(inside, n, body) == list(range(1, 21))

    @both_ways
    def test_sleep_select_and_join(self, inside: str, n: int) -> None:
        def body() -> Any:
            block_on(sleep(0.001))
            block_on(gosched())
            c: Chan[int] = Chan()
            go(c.send(5))
            assert block_on(select(c, None)) == (0, 5)
            with pytest.raises(TimeoutError):
                block_on(select(c, timeout=0.001))
            g = go(give(6))
            assert block_on(g) == 6
            assert block_on(g) == 6  # it has ended: no wait
            return block_on(give(7))

        assert in_goroutine(inside, n, body) == 7

    @both_ways
    def test_exceptions(self, inside: str, n: int) -> None:
        def body() -> str:
            for awaitable in (fail(), go(fail())):
                with pytest.raises(ArithmeticError, match="seven") as caught:
                    block_on(awaitable)
                assert "fail" in [entry.name for entry in caught.traceback]
            c: Chan[int] = Chan()
            c.close()
            with pytest.raises(gopark.ChanClosed):
                block_on(c.recv())
            return "raised"

        assert in_goroutine(inside, n, body) == "raised"

    @both_ways
    def test_timeout(self, inside: str, n: int) -> None:
        def body() -> Any:
            c: Chan[int] = Chan()
            with pytest.raises(TimeoutError, match=r"not done within 0.01 seconds"):
                block_on(c.recv(), timeout=0.01)
            # The awaitable goes on as a goroutine of its own, which takes the value.
            block_on(c.send(1))
            assert block_on(give(2), timeout=100) == 2
            with pytest.raises(ArithmeticError):
                block_on(fail(), timeout=100)
            return "timed out"

        assert in_goroutine(inside, n, body) == "timed out"

    @both_ways
    def test_a_foreign_awaitable(self, inside: str, n: int) -> None:
        def body() -> str:
            loop = asyncio.new_event_loop()
            try:
                future = loop.create_future()

                async def wait() -> str:
                    try:
                        await future
                    except TypeError as error:
                        return str(error)
                    return "no error"

                message: str = block_on(wait())
                with pytest.raises(TypeError, match="which gopark cannot run"):
                    block_on(asyncio.sleep(0))
            finally:
                loop.close()
            return message

        assert "asyncio's futures" in in_goroutine(inside, n, body)

    @both_ways
    def test_what_is_not_awaitable(self, inside: str, n: int) -> None:
        def body() -> str:
            with pytest.raises(TypeError, match=r"block_on\(\) needs"):
                block_on(42)  # type: ignore[arg-type]
            return "raised"

        assert in_goroutine(inside, n, body) == "raised"

    @both_ways
    def test_it_nests(self, inside: str, n: int) -> None:
        def body() -> Any:
            async def outer(depth: int) -> int:
                await gosched()
                return depth if depth == 5 else block_on(outer(depth + 1))

            return block_on(outer(0))

        assert in_goroutine(inside, n, body) == 5

    @both_ways
    def test_the_same_goroutine_thread_and_context(self, inside: str, n: int) -> None:
        var: ContextVar[int] = ContextVar("var")

        def body() -> str:
            me, here = gopark.current(), threading.get_ident()
            var.set(1)

            async def inner() -> None:
                assert gopark.current() is me
                await sleep(0.001)
                assert var.get() == 1
                assert gopark.current() is me

            block_on(inner())
            assert threading.get_ident() == here
            assert me.status == "running"
            return "same"

        assert in_goroutine(inside, n, body) == "same"

    @pytest.mark.parametrize("n", [1, 2])
    def test_a_callback_sends_on_a_channel(self, n: int) -> None:
        class Library:
            """Knows nothing of goroutines, and calls back."""

            def parse(self, text: str, found: Callable[[str], None]) -> None:
                for word in text.split():
                    found(word)

        async def main() -> list[str]:
            words: Chan[str] = Chan()

            def parse() -> None:
                Library().parse("the quick brown fox", lambda word: block_on(words.send(word)))
                words.close()

            go(parse)
            return [word async for word in words]

        assert run(main, procs=n) == ["the", "quick", "brown", "fox"]

    @pytest.mark.parametrize("n", [1, 2])
    def test_hundreds_wait(self, n: int) -> None:
        async def main() -> None:
            c = Chan[int]()
            gs = [go(lambda: block_on(c.recv())) for _ in range(200)]
            for i in range(200):
                await c.send(i)
            assert sorted([await g for g in gs]) == list(range(200))
            check_sched()

        run(main, procs=n)

    @pytest.mark.parametrize("n", [1, 2])
    def test_the_program_ends_while_they_wait(self, n: int) -> None:
        """They leave the queues that they stand in: nothing may refer to them afterwards."""
        c: Chan[int] = Chan()
        mutex = sync.Mutex()

        async def main() -> None:
            await mutex.lock()
            waits = [c.recv, lambda: select(c, timeout=1000), mutex.lock, lambda: sleep(1000)]
            gs = [go(lambda w=w: block_on(w())) for w in waits * 3]  # type: ignore[misc]
            for g in gs:
                while g.status != "waiting":
                    await sleep(0.001)

        for _ in range(5):
            run(main, procs=n)
            with pytest.raises(gopark.WouldBlock):
                c.send_nowait(1)
            mutex.unlock()
            assert not mutex.locked()

    def test_in_a_sort_key_and_a_generator(self) -> None:
        async def main() -> None:
            def numbers() -> Any:
                for i in range(5):
                    yield block_on(give(i))

            assert sorted(numbers(), key=lambda i: -block_on(give(i))) == [4, 3, 2, 1, 0]

        run(main)

    def test_the_goroutine_is_closed_while_it_waits(self) -> None:
        cleaned: list[str] = []

        async def main() -> None:
            def waiter() -> None:
                try:
                    block_on(Chan[int]().recv())
                finally:
                    cleaned.append("waiter")

            for _ in range(3):
                go(waiter)
            await sleep(0.01)

        for n in (1, 2):
            cleaned.clear()
            run(main, procs=n)
            assert cleaned == ["waiter"] * 3

    @pytest.mark.parametrize("n", [1, 2])
    @pytest.mark.parametrize("how", ["recv", "join", "timeout"])
    def test_deadlock(self, n: int, how: str) -> None:
        c: Chan[int] = Chan()

        def main() -> None:
            go(lambda: block_on(c.send(1)))
            block_on(sleep(0.01))
            if how == "join":
                block_on(go(Chan[int]().recv()))
            elif how == "recv":
                block_on(Chan[int]().recv())
            else:
                block_on(Chan[int]().recv(), timeout=0.01)

        if how == "timeout":
            with pytest.raises(TimeoutError):
                run(main, procs=n)
            return
        with pytest.raises(Deadlock) as caught:
            run(main, procs=n)
        reasons = [g.wait_reason for g in caught.value.goroutines]
        assert "chan send" in reasons
        assert {"recv": "chan receive", "join": "chan receive"}[how] in reasons


class TestOtherThreads:
    """Threads of the program's own, in a program that runs."""

    @pytest.mark.parametrize("n", [1, 2])
    def test_they_use_the_program(self, n: int) -> None:
        async def main() -> None:
            got, ended = Chan[int](100), Chan[str]()
            outcomes: list[Any] = []

            def thread() -> None:
                for i in range(50):
                    got.send_nowait(i)
                for i in range(50, 60):
                    go(got.send(i))
                outcomes.append(block_on(give(7)))
                outcomes.append(block_on(go(give(8))))
                with pytest.raises(ArithmeticError, match="seven"):
                    block_on(fail())
                with pytest.raises(TimeoutError, match="not done within"):
                    block_on(sleep(100), timeout=0.01)
                outcomes.append(block_on(give(9), timeout=100))
                with pytest.raises(RuntimeError, match="no goroutine is running here"):
                    gopark.current()
                ended.close()

            t = threading.Thread(target=thread)
            t.start()
            assert await ended.recv_ok() == (None, False)
            assert sorted([await got.recv() for _ in range(60)]) == list(range(60))
            assert outcomes == [7, 8, 9]
            t.join()

        run(main, procs=n)

    def test_many_of_them(self) -> None:
        async def main() -> None:
            def thread(i: int) -> None:
                for k in range(20):
                    assert block_on(give((i, k))) == (i, k)
                    block_on(c.send(i))

            c: Chan[int] = Chan()
            threads = [threading.Thread(target=thread, args=(i,)) for i in range(10)]
            for t in threads:
                t.start()
            got = [await c.recv() for _ in range(200)]
            assert sorted(got) == sorted(list(range(10)) * 20)
            for t in threads:
                t.join()

        for n in (1, 2):
            run(main, procs=n)

    @pytest.mark.parametrize("n", [1, 2, 8])
    @pytest.mark.parametrize("how", ["recv", "recv_ok", "for", "send", "select", "select send"])
    def test_one_closes_what_goroutines_wait_on(self, how: str, n: int) -> None:
        async def wait(c: Chan[int]) -> Any:
            match how:
                case "recv":
                    return await c.recv()
                case "recv_ok":
                    return await c.recv_ok()
                case "for":
                    return [value async for value in c]
                case "send":
                    return await c.send(1)
                case "select":
                    return await select(None, c, timeout=1000)
                case "select send":
                    return await select((c, 1), Chan[int]())

        ends = {"recv_ok": (None, False), "for": [], "select": (1, gopark.CLOSED)}

        async def main() -> None:
            c = Chan[int]()
            gs = [go(wait(c)) for _ in range(20)]
            while any(g.status != "waiting" for g in gs):
                await gosched()
            t = threading.Thread(target=c.close)
            t.start()
            for g in gs:
                if how in ends:
                    assert await g == ends[how]
                else:
                    with pytest.raises(gopark.ChanClosed):
                        await g
            t.join()

        run(main, procs=n)

    def test_no_program_runs(self) -> None:
        with pytest.raises(RuntimeError, match=r"block_on\(\) needs a running program"):
            block_on(give(1))  # closed, so nothing warns that it was never awaited

    @pytest.mark.parametrize("n", [1, 2])
    def test_the_program_ends_meanwhile(self, n: int) -> None:
        errors: list[BaseException] = []
        began = threading.Event()

        async def wait() -> None:
            began.set()
            await sleep(1000)

        def thread() -> None:
            try:
                block_on(wait())
            except BaseException as error:
                errors.append(error)

        t = threading.Thread(target=thread)

        async def main() -> None:
            t.start()
            while not began.is_set():
                await sleep(0.001)

        run(main, procs=n)
        t.join(30)
        assert not t.is_alive()
        (error,) = errors
        assert isinstance(error, RuntimeError)
        assert "the gopark program ended before" in str(error)

    def test_a_thread_that_may_wake_somebody_hinders_deadlock(self) -> None:
        async def main() -> int:
            c: Chan[int] = Chan()

            def later() -> None:
                time.sleep(0.1)
                block_on(c.send(7))

            t = threading.Thread(target=later)
            t.start()
            value = await c.recv()
            t.join()
            return value

        assert run(main) == 7


def start(program: str, *options: str) -> subprocess.Popen[str]:
    source = "import os, signal, sys, threading, time\nimport gopark\n"
    source += "from gopark import *\nfrom gopark import Chan, go, run, sleep, block_on\n"
    return subprocess.Popen(
        [sys.executable, *options, "-c", source + textwrap.dedent(program)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def interrupt(process: subprocess.Popen[str]) -> None:
    """Ctrl-C.  Once more if nothing happens.

    Without the GIL the interpreter itself misses a signal that comes while its main
    thread spins for a lock, before it sleeps: on a busy machine that is a while.
    """
    process.send_signal(signal.SIGINT)
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)


def finish(process: subprocess.Popen[str], seconds: float = 15) -> tuple[int, str, str]:
    """(exit code, stdout, stderr); a process that hangs is a failure."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        pytest.fail(f"it hangs\n{out}\n{err}")
    return process.returncode, out, err


STUCK = {
    "event": "threading.Event().wait()",
    "sleep": "time.sleep(1000)",
    "read": "os.read(os.pipe()[0], 1)",
    "hog": """
    while True:
        pass
""",
}


class TestTheEnd:
    """As processes: what is stuck in plain code must not hold up the interpreter's exit."""

    @pytest.mark.parametrize("how", list(STUCK))
    @pytest.mark.parametrize("where", ["callers thread", "another thread"])
    @pytest.mark.parametrize("inside", ["main thread", "other thread"])
    def test_stuck_in_plain_code(self, how: str, where: str, inside: str) -> None:
        # While main parks, the stuck one gets run's own thread; else it is on another.
        park = "await sleep(0.1)" if where == "callers thread" else "time.sleep(0.1)"
        if inside == "other thread" and where == "callers thread" and how != "hog":
            pytest.skip("a system call on a thread that is not Python's main one cannot be ended")
        call = "run(main, procs=1)"
        if inside == "other thread":
            call = f"t = threading.Thread(target=lambda: {call}); t.start(); t.join()"
        program = f"""
def stuck():
    {STUCK[how].strip()}
async def main():
    go(stuck, name="the stuck one")
    {park}
{call}
print("after")
"""
        code, out, err = finish(start(program))
        assert (code, out) == (0, "after\n"), err
        if how != "hog":  # a hog is told so at its next line, from 3.12 on
            assert "stuck in plain code" in err
            assert "[the stuck one]" in err

    def test_another_program_afterwards(self) -> None:
        program = """
        event = threading.Event()
        async def main():
            go(event.wait)
            time.sleep(0.1)
            return 1
        print(run(main, procs=1), run(main, procs=2))
        event.set()
        time.sleep(0.1)
        print(run(main, procs=1))
        """
        code, out, err = finish(start(program, "-W", "ignore"))
        assert (code, out) == (0, "1 1\n1\n"), err

    @pytest.mark.parametrize("how", ["wait", "block", "hog", "block_on", "sleep", "locked"])
    @pytest.mark.parametrize("n", [1, 2])
    def test_ctrl_c(self, how: str, n: int) -> None:
        bodies = {
            "wait": "await Chan().recv()",
            "block": "threading.Event().wait()",
            "hog": "while True: pass",
            "block_on": "block_on(Chan().recv())",
            "sleep": "time.sleep(1000)",
            "locked": "lock_os_thread(); await Chan().recv()",
        }
        program = f"""
async def other():
    while True:
        await sleep(0.01)
async def main():
    go(other())
    await gosched()
    print("ready", flush=True)
    {bodies[how]}
try:
    run(main, procs={n})
except KeyboardInterrupt:
    print("interrupted")
"""
        process = start(program)
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.05)
        interrupt(process)
        code, out, err = finish(process)
        assert (code, out) == (0, "interrupted\n"), err

    @pytest.mark.parametrize("how", ["wait", "sleep", "block_on", "wait, while others hog"])
    def test_main_gets_the_interrupt_where_it_waits(self, how: str) -> None:
        waits = {
            "sleep": "await sleep(1000)",
            "block_on": "block_on(Chan().recv())",
        }
        program = f"""
        def hog():
            while True: pass
        async def main():
            go(sleep, 1000)  # or it would be a deadlock
            if {"hog" in how}:
                go(hog)
            try:
                print("ready", flush=True)
                {waits.get(how, "await Chan().recv()")}
            except KeyboardInterrupt:
                c = Chan(1)
                await c.send("caught")
                await sleep(0.001)  # once is once: it may wait again
                print(await c.recv())
                return "main's result"
            finally:
                print("finally")
        print(run(main, procs=1))
        """
        process = start(program, "-W", "ignore")
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        code, out, err = finish(process)
        assert (code, out) == (0, "caught\nfinally\nmain's result\n"), err

    @pytest.mark.parametrize("n", [1, 2])
    @pytest.mark.parametrize("stubborn", ["await Chan().recv()", "time.sleep(1000)"])
    def test_a_second_ctrl_c_ends_the_program(self, stubborn: str, n: int) -> None:
        program = f"""
        async def main():
            go(sleep, 1000)  # or it would be a deadlock
            try:
                print("ready", flush=True)
                await Chan().recv()
            except KeyboardInterrupt:
                print("not yet", flush=True)
                {stubborn}
        try:
            run(main, procs={n})
        except KeyboardInterrupt:
            print("interrupted")
        """
        process = start(program, "-W", "ignore")
        assert process.stdout
        for line in ("ready\n", "not yet\n"):
            assert process.stdout.readline() == line
            time.sleep(0.05)
            process.send_signal(signal.SIGINT)
        code, out, err = finish(process)
        assert (code, out) == (0, "interrupted\n"), err

    def test_the_programs_own_handler_stays(self) -> None:
        program = """
        got = []
        signal.signal(signal.SIGINT, lambda *_: got.append(1))
        async def main():
            print("ready", flush=True)
            while not got:
                await sleep(0.001)
        run(main)
        signal.raise_signal(signal.SIGINT)
        print(got)
        """
        process = start(program)
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        code, out, err = finish(process)
        assert (code, out) == (0, "[1, 1]\n"), err

    def test_the_handlers_are_restored(self) -> None:
        numbers = (signal.SIGINT, signal.SIGURG)
        before = [signal.getsignal(n) for n in numbers]
        run(lambda: None)
        assert [signal.getsignal(n) for n in numbers] == before

    @pytest.mark.parametrize("how", ["hogs", "blockers", "idle"])
    def test_ctrl_c_while_others_do_this(self, how: str) -> None:
        other = {"hogs": "while True: pass", "blockers": "time.sleep(0.05)", "idle": "pass"}[how]
        program = f"""
def other():
    {other}
async def main():
    for _ in range(4):
        go(other)
    print("ready", flush=True)
    await Chan().recv() if {how == "idle"} else await sleep(1000)
gopark.go
try:
    threading.Thread(target=time.sleep, args=(2,), daemon=True).start()
    run(main, procs=1)
except KeyboardInterrupt:
    print("interrupted")
"""
        process = start(program, "-W", "ignore")
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        code, out, err = finish(process)
        assert (code, out) == (0, "interrupted\n"), err

    def test_sigterm_keeps_its_default(self) -> None:
        process = start("run(lambda: (print('ready', flush=True), time.sleep(1000)))")
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        assert finish(process)[0] == -signal.SIGTERM

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    def test_multiprocessing_and_subprocess(self) -> None:
        program = """
        import multiprocessing, subprocess
        def work(n):
            async def main():
                return n * await go(sleep_and_give(2))
            return run(main)
        async def sleep_and_give(n):
            await sleep(0.001)
            return n
        async def main():
            out = subprocess.run([sys.executable, "-c", "print(5)"], capture_output=True, text=True)
            print(out.stdout.strip())
        if __name__ == "__main__":
            run(main)
            with multiprocessing.get_context("fork").Pool(2) as pool:
                print(pool.map(work, [1, 2, 3]))
        """
        code, out, err = finish(start(program, "-W", "ignore"))
        assert (code, out) == (0, "5\n[2, 4, 6]\n"), err
