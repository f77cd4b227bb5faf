"""Exceptions that nobody awaits, and operations used where they cannot work."""

import asyncio
import copy
import gc
import pickle
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

import pytest

import gopark
from gopark import Chan, GoPanic, go, gosched, run, sleep


@pytest.fixture(params=[1, 2, 8])
def play(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    return partial(run, procs=request.param)


Play = Callable[[Callable[[], Awaitable[Any]]], Any]


async def fail(what: str = "seven") -> None:
    await gosched()
    raise ArithmeticError(what)


def by_hand(coro: Coroutine[Any, Any, None]) -> None:
    coro.send(None)


async def forever() -> None:
    await sleep(1_000_000)


class TestGoPanic:
    def test_nobody_holds_the_handle(self, play: Play) -> None:
        async def main() -> None:
            go(fail(), name="the failing one")
            await forever()

        with pytest.raises(GoPanic) as caught:
            play(main)
        panic = caught.value
        assert isinstance(panic.exception, ArithmeticError)
        assert panic.__cause__ is panic.exception
        assert panic.goroutine_name == "the failing one"
        assert panic.goroutine_id > 1
        assert panic.created_by is not None
        assert panic.created_by[0] == __file__
        assert "[the failing one] failed with ArithmeticError: seven" in str(panic)
        assert f'created by {main.__qualname__}, File "{__file__}", line' in str(panic)

    def test_the_handle_goes_later(self, play: Play) -> None:
        async def main() -> None:
            g = go(fail())
            while not g.done():
                await gosched()
            del g
            gc.collect()
            await forever()

        with pytest.raises(GoPanic, match="seven"):
            play(main)

    def test_the_handle_is_held_until_the_end(self, play: Play) -> None:
        handles = []

        async def main() -> int:
            handles.append(go(fail()))
            while not handles[0].done():
                await gosched()
            return 7

        with pytest.raises(GoPanic, match="seven"):
            play(main)

    def test_a_goroutine_that_waited_for_it_took_it(self, play: Play) -> None:
        async def main() -> int:
            g = go(fail())
            with pytest.raises(ArithmeticError):
                await g
            return 7

        assert play(main) == 7

    def test_several(self, play: Play) -> None:
        handles = []

        async def main() -> None:
            for n in range(3):
                handles.append(go(fail(f"number {n}")))
            while not all(g.done() for g in handles):
                await gosched()

        with pytest.raises(GoPanic) as caught:
            play(main)
        panics = [caught.value, *caught.value.others]
        assert sorted(str(p.exception) for p in panics) == ["number 0", "number 1", "number 2"]

    def test_beside_an_exception_of_main(self) -> None:
        handles = []
        shown: list[Any] = []

        async def main() -> None:
            handles.append(go(fail()))
            while not handles[0].done():
                await gosched()
            raise LookupError("main's own")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.unraisablehook", shown.append)
            with pytest.raises(LookupError, match="main's own") as caught:
                run(main)
        assert any("seven" in note for note in caught.value.__notes__)
        assert [type(u.exc_value) for u in shown] == [ArithmeticError]

    def test_the_next_program_is_not_touched(self, play: Play) -> None:
        async def main() -> None:
            go(fail())
            await forever()

        with pytest.raises(GoPanic):
            play(main)
        gc.collect()

        async def good() -> int:
            return 7

        assert play(good) == 7

    def test_of_a_base_exception(self, play: Play) -> None:
        class Odd(BaseException):
            pass

        async def odd() -> None:
            raise Odd

        async def main() -> None:
            go(odd())
            await forever()

        with pytest.raises(GoPanic) as caught:
            play(main)
        assert isinstance(caught.value.exception, Odd)

    def test_finally_blocks_of_the_others_run(self, play: Play) -> None:
        done = []

        async def main() -> None:
            try:
                go(fail())
                await forever()
            finally:
                done.append(True)

        with pytest.raises(GoPanic):
            play(main)
        assert done == [True]


class TestOutsideOfAGoroutine:
    @pytest.mark.parametrize(
        "operation",
        [
            lambda c: c.recv(),
            lambda c: c.send(1),
            lambda c: c.recv_ok(),
            lambda c: c.__anext__(),
            lambda c: gopark.select(c),
            lambda c: sleep(1),
        ],
        ids=["recv", "send", "recv_ok", "next", "select", "sleep"],
    )
    @pytest.mark.parametrize("where", ["plain", "asyncio"])
    def test_what_waits(self, operation: Callable[[Any], Any], where: str) -> None:
        async def main() -> None:
            await operation(Chan[int]())

        start = asyncio.run if where == "asyncio" else by_hand
        with pytest.raises(RuntimeError, match=r"only a goroutine can wait.*gopark\.run\(main\)"):
            start(main())

    @pytest.mark.parametrize("where", ["plain", "asyncio"])
    def test_gosched(self, where: str) -> None:
        async def main() -> None:
            await gosched()

        start = asyncio.run if where == "asyncio" else by_hand
        with pytest.raises(RuntimeError, match=r"gopark\.run\(main\)"):
            start(main())

    def test_awaiting_a_goroutine_from_asyncio(self) -> None:
        async def give() -> int:
            return 7

        async def main() -> Any:
            g = go(give())
            await g
            return g

        g = run(main)

        async def other() -> None:
            await g

        with pytest.raises(RuntimeError, match=r"gopark\.run\(main\)"):
            asyncio.run(other())

    @pytest.mark.parametrize("fn", [gopark.current, gopark.goexit])
    def test_what_speaks_of_the_running_one(self, fn: Callable[[], Any]) -> None:
        with pytest.raises(RuntimeError, match=r"no goroutine.*gopark\.run"):
            fn()

    def test_gomaxprocs(self) -> None:
        with pytest.raises(RuntimeError, match="gomaxprocs"):
            gopark.gomaxprocs(2)

    def test_timers(self) -> None:
        with pytest.raises(RuntimeError, match=r"gopark\.run"):
            gopark.time.Timer(1)
        with pytest.raises(RuntimeError, match=r"gopark\.run"):
            gopark.time.after(1)

    def test_what_need_not_wait_works_anywhere(self) -> None:
        c = Chan[int](1)
        c.send_nowait(1)
        assert c.recv_nowait() == 1
        with pytest.raises(gopark.WouldBlock):
            c.recv_nowait()
        c.close()
        with pytest.raises(gopark.ChanClosed):
            c.close()


class TestOtherRuntimes:
    @pytest.mark.parametrize("n", [1, 2])
    def test_asyncio_sleep_0(self, n: int) -> None:
        async def main() -> None:
            with pytest.raises(TypeError, match=r"bare yield.*gopark\.gosched"):
                await asyncio.sleep(0)
            await gosched()  # the goroutine is as good as before
            assert await go(give(7)) == 7

        async def give(value: int) -> int:
            return value

        run(main, procs=n)

    def test_asyncio_sleep(self) -> None:
        async def main() -> None:
            with pytest.raises(RuntimeError, match="no running event loop") as caught:
                await asyncio.sleep(1)
            raise caught.value

        with pytest.raises(RuntimeError, match="no running event loop") as caught:
            run(main)
        assert any("gopark.sleep" in note for note in caught.value.__notes__)

    @pytest.mark.parametrize("depth", [0, 3])
    def test_asyncio_future(self, depth: int) -> None:
        loop = asyncio.new_event_loop()
        future = loop.create_future()

        async def wait(n: int) -> None:
            if n:
                await wait(n - 1)
            else:
                await future

        async def main() -> None:
            with pytest.raises(TypeError, match=r"goroutine 1 .*Future.*use channels"):
                await wait(depth)
            await sleep(0.0001)

        run(main)
        future.cancel()
        loop.close()

    def test_something_else_that_yields(self) -> None:
        class Odd:
            def __await__(self) -> Any:
                yield "odd"

        async def main() -> None:
            with pytest.raises(TypeError, match=r"awaited builtins\.str.*gopark cannot run"):
                await Odd()

        run(main)

    def test_uncaught_it_ends_the_goroutine(self) -> None:
        async def main() -> None:
            await go(asyncio.sleep(0))

        with pytest.raises(TypeError, match="bare yield"):
            run(main)


class TestExceptionsAsObjects:
    @pytest.mark.parametrize(
        "error",
        [
            gopark.ChanClosed("a"),
            gopark.WouldBlock("b"),
            gopark.TooManyGoroutines("c"),
            gopark.Deadlock("d"),
        ],
    )
    def test_pickle_and_copy(self, error: Exception) -> None:
        for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
            assert type(twin) is type(error)
            assert str(twin) == str(error)

    def test_go_panic(self) -> None:
        async def main() -> None:
            go(fail())
            await forever()

        with pytest.raises(GoPanic) as caught:
            run(main)
        twin = pickle.loads(pickle.dumps(caught.value))
        assert str(twin) == str(caught.value)
        assert type(twin.exception) is ArithmeticError
