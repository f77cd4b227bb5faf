"""`run`: what it accepts, gives and raises, and how a program begins and ends."""

import _thread
import gc
import signal
import threading
import time
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine
from contextvars import ContextVar
from functools import partial
from typing import Any

import pytest

import gopark
from gopark import Chan, Deadlock, TooManyGoroutines, go, gosched, run, sleep
from gopark.runtime.proc import goroutines_


async def give(value: Any) -> Any:
    await gosched()
    return value


def plain(value: Any) -> Any:
    return value


async def settle(n: int) -> None:
    """Wait until so many goroutines do, or have ended."""
    while sum(g.status == "waiting" for g in goroutines_()) < n:
        await gosched()


class Callable_:
    async def __call__(self, value: Any) -> Any:
        return await give(value)

    async def method(self, value: Any) -> Any:
        return await give(value)


class TestWhatItRuns:
    @pytest.mark.parametrize(
        "main",
        [
            give,
            plain,
            partial(give),
            partial(plain),
            Callable_(),
            Callable_().method,
            lambda value: give(value),
        ],
        ids=["async", "plain", "partial", "plain partial", "callable", "method", "lambda"],
    )
    def test_function(self, main: Callable[[int], Any]) -> None:
        assert run(main, 7) == 7

    def test_coroutine(self) -> None:
        assert run(give(7)) == 7

    def test_awaitable(self) -> None:
        class Awaitable:
            def __await__(self) -> Any:
                return give(7).__await__()

        assert run(Awaitable()) == 7

    def test_arguments(self) -> None:
        async def main(*args: int) -> tuple[int, ...]:
            return args

        assert run(main, 1, 2, 3) == (1, 2, 3)

    @pytest.mark.parametrize("n", [1, 2, 8])
    def test_again_and_again(self, n: int) -> None:
        for i in range(50):
            assert run(give, i, procs=n) == i

    def test_in_another_thread(self) -> None:
        got = []
        thread = threading.Thread(target=lambda: got.append(run(give, 7)))
        thread.start()
        thread.join()
        assert got == [7]

    def test_main_begins_in_the_callers_thread(self) -> None:
        assert run(threading.get_ident, procs=8) == threading.get_ident()

    def test_main_is_goroutine_1(self) -> None:
        async def main() -> None:
            g = gopark.current()
            assert (g.id, g.name, g.status) == (1, f"{type(self).__name__}.{here}", "running")
            assert g.created_by is None

        here = "test_main_is_goroutine_1.<locals>.main"
        run(main)

    def test_main_sees_the_callers_context(self) -> None:
        var: ContextVar[int] = ContextVar("var")
        var.set(7)

        async def main() -> int:
            seen = var.get()
            var.set(8)
            return seen

        assert run(main) == 7
        assert var.get() == 7


class TestBadInput:
    @pytest.mark.parametrize("value", [42, None, "main", [1]])
    def test_neither_function_nor_coroutine(self, value: Any) -> None:
        with pytest.raises(TypeError, match=r"run\(\) needs a coroutine, an async function or"):
            run(value)

    def test_generators(self) -> None:
        def generator() -> Any:
            yield

        async def asyncgen() -> Any:
            yield

        for fn in (generator, asyncgen):
            with pytest.raises(TypeError, match="generator"):
                run(fn)
            with pytest.raises(TypeError, match="generator is not awaitable"):
                run(fn())

    def test_arguments_with_a_coroutine(self) -> None:
        coro = give(7)
        with pytest.raises(TypeError, match="only with a function"):
            run(coro, 1)  # type: ignore[call-overload]
        assert run(coro) == 7  # it is still good

    def test_coroutine_twice(self) -> None:
        coro = give(7)
        assert run(coro) == 7
        with pytest.raises(RuntimeError, match="already been awaited or started"):
            run(coro)

    @pytest.mark.parametrize("name", ["procs", "max_goroutines"])
    @pytest.mark.parametrize(
        ("value", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), ("2", TypeError)]
    )
    def test_numbers(self, name: str, value: Any, error: type[Exception]) -> None:
        with pytest.raises(error, match=name):
            run(plain, 7, **{name: value})

    def test_inside_a_goroutine(self) -> None:
        async def main() -> int:
            with pytest.raises(RuntimeError, match="inside a gopark program: await the coroutine"):
                run(give, 7)
            return 8

        assert run(main) == 8

    @pytest.mark.parametrize("n", [1, 2])
    def test_while_another_thread_runs(self, n: int) -> None:
        started, over = threading.Event(), threading.Event()

        def main() -> None:
            started.set()
            over.wait()

        thread = threading.Thread(target=run, args=(main,), kwargs={"procs": n})
        thread.start()
        started.wait()
        with pytest.raises(RuntimeError, match="already running in this process"):
            run(give, 7)
        over.set()
        thread.join()
        assert run(give, 7) == 7


class TestExceptions:
    def test_of_main(self) -> None:
        async def main() -> None:
            await gosched()
            raise ArithmeticError("seven")

        with pytest.raises(ArithmeticError, match="seven") as caught:
            run(main)
        assert caught.traceback[-1].name == "main"

    @pytest.mark.parametrize("where", ["main", "other"])
    @pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
    def test_that_end_the_program(self, where: str, error: BaseException) -> None:
        cleaned = []

        async def other() -> None:
            try:
                await Chan[int]().recv()
            finally:
                cleaned.append(True)

        async def stop() -> None:
            await sleep(0.001)
            raise error

        async def main() -> None:
            go(other())
            if where == "main":
                await stop()
            go(stop())
            await Chan[int]().recv()

        with pytest.raises(type(error)) as caught:
            run(main)
        assert caught.value is error
        assert cleaned == [True]

    @pytest.mark.parametrize("n", [1, 2])
    @pytest.mark.parametrize("how", ["wait", "sleep", "bytecode"])
    def test_ctrl_c(self, n: int, how: str) -> None:
        async def main() -> None:
            main_thread = threading.main_thread().ident
            assert main_thread is not None
            # Not threading.Thread: its start() does not survive an interrupt half-way.
            _thread.start_new_thread(signal.pthread_kill, (main_thread, signal.SIGINT))
            if how == "wait":
                go(sleep(1000))
                await Chan[int]().recv()
            elif how == "sleep":
                await sleep(1000)
            while True:
                await gosched()

        with pytest.raises(KeyboardInterrupt):
            run(main, procs=n)
        assert run(give, 7) == 7


class TestTheEnd:
    def test_finally_blocks_run(self) -> None:
        done = []

        async def waits(how: str, c: Chan[int]) -> None:
            try:
                match how:
                    case "recv":
                        await c.recv()
                    case "send":
                        await Chan[int]().send(1)
                    case "select":
                        await gopark.select(Chan[int](), (Chan[int](), 1), timeout=1000)
                    case "nothing":
                        await gopark.select()
                    case "sleep":
                        await sleep(1000)
                    case "join":
                        await gopark.go(sleep(1000))
                    case "gosched":
                        while True:
                            await gosched()
            finally:
                done.append(how)
                go_is_refused()

        def go_is_refused() -> None:
            coro = give(1)
            with pytest.raises(RuntimeError, match="program is over: main has returned"):
                go(coro)
            coro.close()

        ways = ["recv", "send", "select", "nothing", "sleep", "join", "gosched"]

        async def main() -> None:
            c = Chan[int]()
            for how in ways:
                go(waits(how, c))
            await settle(len(ways))  # of which one yields all the time, and one waits for its own

        for n in (1, 2, 8):
            done.clear()
            run(main, procs=n)
            assert sorted(done) == sorted(ways)

    def test_waiting_in_a_finally_block(self, capsys: pytest.CaptureFixture[str]) -> None:
        errors = []

        async def other(wait: Callable[[], Coroutine[Any, Any, Any]]) -> None:
            try:
                await Chan[int]().recv()
            finally:
                try:
                    await wait()
                except RuntimeError as exc:
                    errors.append(str(exc))

        async def main() -> None:
            c = Chan[int]()
            go(other(c.recv))
            go(other(lambda: c.send(1)))
            go(other(lambda: sleep(1)))
            go(other(lambda: gopark.select(c)))
            await settle(4)

        run(main, procs=1)
        assert len(errors) == 4
        for message in errors:
            assert "cannot wait: main has returned" in message
            assert "finally" in message

    def test_what_need_not_wait_works_in_a_finally_block(self) -> None:
        got = []

        async def other(c: Chan[int]) -> None:
            try:
                await Chan[int]().recv()
            finally:
                await c.send(1)
                await gosched()
                got.append(await c.recv())

        async def main() -> None:
            go(other(Chan(1)))
            await settle(1)

        run(main, procs=1)
        assert got == [1]

    def test_what_never_began_is_silent(self) -> None:
        async def main() -> None:
            for _ in range(100):
                go(give(1))
            go(plain, 1)

        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for n in (1, 2):
                run(main, procs=n)
                gc.collect()

    def test_an_error_in_a_finally_block_is_shown(self) -> None:
        async def other() -> None:
            try:
                await Chan[int]().recv()
            finally:
                raise ArithmeticError("on the way out")

        async def main() -> None:
            go(other())
            await settle(1)

        shown = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.unraisablehook", shown.append)
            run(main, procs=1)
        (unraisable,) = shown
        assert isinstance(unraisable.exc_value, ArithmeticError)
        assert "while closing goroutine" in unraisable.err_msg

    def test_stuck_in_plain_code(self) -> None:
        before = _thread._count()
        over = threading.Event()
        started = threading.Event()

        def stuck() -> None:
            started.set()
            over.wait()

        async def main() -> int:
            go(stuck, name="the stuck one")
            started.wait()
            return 7

        with pytest.warns(RuntimeWarning, match=r"stuck in plain code.*\[the stuck one\]"):
            assert run(main, procs=2) == 7
        assert run(give, 8, procs=2) == 8  # while it is still stuck
        over.set()
        while _thread._count() > before:
            time.sleep(0.001)
        assert run(give, 9, procs=2) == 9


class TestMaxGoroutines:
    def test_limit(self) -> None:
        async def main() -> None:
            c = Chan[int]()
            started = [go(c.recv()) for _ in range(4)]
            late = c.recv()
            with pytest.raises(TooManyGoroutines, match=r"max_goroutines=5.*semaphore"):
                go(late)
            await c.send(1)
            while not any(g.done() for g in started):
                await gosched()
            started = [g for g in started if not g.done()]
            started.append(go(late))  # the program goes on, and so may the coroutine
            with pytest.raises(TooManyGoroutines):
                go(give, 1)  # its coroutine was made by go, and is not left behind
            c.close()
            for g in started:
                with pytest.raises(gopark.ChanClosed):
                    await g
            assert await go(give(7)) == 7

        with warnings.catch_warnings():
            warnings.simplefilter("error")
            run(main, max_goroutines=5)
            gc.collect()

    @pytest.mark.parametrize("n", [1, 2, 8])
    def test_never_exceeded(self, n: int) -> None:
        async def child() -> None:
            await sleep(0.0001)

        async def main() -> int:
            refused, highest = 0, 0
            for _ in range(300):
                coro = child()
                try:
                    go(coro)
                except TooManyGoroutines:
                    refused += 1
                    coro.close()
                    await gosched()
                highest = max(highest, gopark.num_goroutine())
            assert highest <= 10
            return refused

        assert run(main, procs=n, max_goroutines=10) > 0


class TestAsyncGenerators:
    @staticmethod
    async def numbers(closed: list[str], wait: bool = True) -> AsyncIterator[int]:
        try:
            for n in range(10):
                yield n
        finally:
            if wait:
                await sleep(0.0001)
                await gosched()
            closed.append("closed")

    @pytest.mark.parametrize("n", [1, 2])
    def test_dropped_half_way(self, n: int) -> None:
        closed: list[str] = []

        async def main() -> None:
            async for number in self.numbers(closed):
                if number == 3:
                    break
            gc.collect()
            while not closed:
                await gosched()

        run(main, procs=n)
        assert closed == ["closed"]

    @pytest.mark.parametrize("n", [1, 2])
    def test_left_at_the_end_of_main(self, n: int) -> None:
        closed: list[str] = []
        kept = []

        async def main() -> int:
            for _ in range(3):
                kept.append(numbers := self.numbers(closed))
                await anext(numbers)
            return 7

        assert run(main, procs=n) == 7
        assert closed == ["closed"] * 3

    def test_left_with_the_limit_reached(self) -> None:
        closed: list[str] = []
        kept = []

        async def main() -> int:
            kept.append(numbers := self.numbers(closed))
            await anext(numbers)
            c = Chan[int]()
            go(c.recv())
            return 7

        assert run(main, max_goroutines=2) == 7
        assert closed == ["closed"]

    def test_used_by_a_goroutine_that_is_closed(self) -> None:
        closed: list[str] = []

        async def other() -> None:
            async for _ in self.numbers(closed):
                await Chan[int]().recv()

        async def main() -> None:
            go(other())
            await settle(1)

        run(main, procs=1)
        gc.collect()
        assert closed == ["closed"]


class TestDeadlock:
    def test_report(self) -> None:
        async def receiver(c: Chan[int]) -> None:
            await c.recv()

        async def sender(c: Chan[int]) -> None:
            await c.send(1)

        async def main() -> None:
            go(receiver(Chan()), name="the receiver")
            go(sender(Chan()))
            g = go(gopark.select())
            await g

        for n in (1, 2, 8):
            with pytest.raises(Deadlock, match="all goroutines are asleep") as caught:
                run(main, procs=n)
            report = caught.value.goroutines
            assert [(g.wait_reason, g.status) for g in report] == [
                ("await goroutine", "waiting"),
                ("chan receive", "waiting"),
                ("chan send", "waiting"),
                ("select (no cases)", "waiting"),
            ]
            assert report[0].id == 1
            assert report[1].name == "the receiver"
            assert report[1].created_by is not None
            assert report[1].created_by[0] == __file__
            assert report[1].created_by[2].endswith("test_report.<locals>.main")
            assert next(f.name for f in report[1].stack) == "receiver"
            text = str(caught.value)
            assert "goroutine 1 [await goroutine]" in text
            assert "[chan receive] the receiver" in text
            assert "await c.recv()" in text
            assert "started by gopark.run" in text
            assert f'created by {report[1].created_by[2]}, File "{__file__}", line' in text

    def test_goroutines_are_closed_and_finally_runs(self) -> None:
        cleaned = []

        async def main() -> None:
            try:
                await Chan[int]().recv()
            finally:
                cleaned.append(True)

        with pytest.raises(Deadlock):
            run(main)
        assert cleaned == [True]

    def test_select_of_nothing_and_none(self) -> None:
        async def main() -> None:
            await gopark.select(None, None)

        with pytest.raises(Deadlock, match="select"):
            run(main)

    def test_a_stopped_timer_does_not_hide_it(self) -> None:
        async def main() -> None:
            timer = gopark.time.Timer(100_000)
            timer.stop()
            c = Chan[int](1)
            await c.send(1)
            go(c.recv())
            await gopark.select((c, 2), timeout=100_000)
            await Chan[int]().recv()

        for n in (1, 2):
            with pytest.raises(Deadlock):
                run(main, procs=n)

    @pytest.mark.parametrize("n", [1, 2])
    def test_a_thread_of_the_programs_own_may_wake_someone(self, n: int) -> None:
        async def main() -> int:
            c = Chan[int]()

            def later() -> None:
                time.sleep(0.1)
                while True:
                    try:
                        c.send_nowait(7)
                        return
                    except gopark.WouldBlock:
                        pass

            threading.Thread(target=later).start()
            return await c.recv()

        assert run(main, procs=n) == 7

    def test_when_that_thread_has_ended(self) -> None:
        async def main() -> None:
            threading.Thread(target=time.sleep, args=(0.05,)).start()
            await Chan[int]().recv()

        with pytest.raises(Deadlock):
            run(main)

    def test_goexit_of_main(self) -> None:
        async def main() -> None:
            go(give(1))
            gopark.goexit()

        for n in (1, 2):
            with pytest.raises(Deadlock, match="main called goexit"):
                run(main, procs=n)


class TestSignals:
    @staticmethod
    def signalled(handler: Callable[[Chan[int]], object], n: int) -> int:
        """A handler that is called while all threads are idle: it runs on one without a P."""

        async def main() -> int:
            thread = threading.main_thread().ident
            assert thread is not None
            threading.Timer(0.05, signal.pthread_kill, (thread, signal.SIGUSR1)).start()
            go(sleep(1000))
            return await c.recv()

        c = Chan[int]()
        before = signal.signal(signal.SIGUSR1, lambda *_: handler(c))
        try:
            return int(run(main, procs=n))
        finally:
            signal.signal(signal.SIGUSR1, before)

    @pytest.mark.parametrize("n", [1, 2])
    def test_a_handler_may_wake_a_goroutine(self, n: int) -> None:
        assert self.signalled(lambda c: c.send_nowait(7), n) == 7

    @pytest.mark.parametrize("n", [1, 2])
    def test_a_handler_may_start_a_goroutine(self, n: int) -> None:
        assert self.signalled(lambda c: go(c.send(7)), n) == 7


class TestOtherThreads:
    @pytest.mark.parametrize("n", [1, 2, 8])
    def test_go_from_another_thread(self, n: int) -> None:
        async def main() -> None:
            c = Chan[int](100)

            def start() -> None:
                for i in range(20):
                    go(c.send(i))

            threads = [threading.Thread(target=start) for _ in range(3)]
            for t in threads:
                t.start()
            got = sorted([await c.recv() for _ in range(60)])
            assert got == sorted(list(range(20)) * 3)
            for t in threads:
                t.join()
            while gopark.num_goroutine() > 1:
                await gosched()
            assert gopark.num_goroutine() == 1

        run(main, procs=n)
