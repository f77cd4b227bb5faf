"""`go` and the goroutine's handle."""

import contextvars
import gc
import threading
import traceback
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

import gopark
from gopark import Chan, G, go, gosched, run, sleep


async def give(value: Any = None, *, twice: bool = False) -> Any:
    await gosched()
    return [value, value] if twice else value


def plain(value: Any = None, *, twice: bool = False) -> Any:
    return [value, value] if twice else value


class Callable_:
    async def __call__(self, value: Any = None, *, twice: bool = False) -> Any:
        return await give(value, twice=twice)

    async def method(self, value: Any = None, *, twice: bool = False) -> Any:
        return await give(value, twice=twice)

    def plain(self, value: Any = None, *, twice: bool = False) -> Any:
        return plain(value, twice=twice)


FUNCTIONS = {
    "async": give,
    "plain": plain,
    "partial": partial(give),
    "plain partial": partial(plain),
    "callable": Callable_(),
    "method": Callable_().method,
    "plain method": Callable_().plain,
    "lambda that makes a coroutine": lambda value, twice=False: give(value, twice=twice),
}


@pytest.fixture(params=[1, 2, 8])
def play(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    return partial(run, procs=request.param)


Play = Callable[[Callable[[], Awaitable[Any]]], Any]


class TestWhatItStarts:
    @pytest.mark.parametrize("fn", FUNCTIONS.values(), ids=FUNCTIONS.keys())
    def test_function(self, play: Play, fn: Callable[..., Any]) -> None:
        async def main() -> None:
            assert await go(fn, 7) == 7
            assert await go(fn, 7, twice=True) == [7, 7]

        play(main)

    def test_coroutine(self, play: Play) -> None:
        async def main() -> None:
            assert await go(give(7)) == 7

        play(main)

    def test_awaitable(self, play: Play) -> None:
        async def main() -> None:
            g = go(give(7))
            assert await go(g) == 7  # waiting in a goroutine of its own

        play(main)

    def test_c_functions(self, play: Play) -> None:
        async def main() -> None:
            assert await go(len, "abc") == 3
            assert await go(int, "ff", base=16) == 255

        play(main)

    def test_it_does_not_wait(self) -> None:
        async def main() -> list[str]:
            order = []

            async def child() -> None:
                order.append("child")

            g = go(child())
            order.append("main")
            await g
            return order

        assert run(main, procs=1) == ["main", "child"]

    def test_a_name_is_the_goroutines_not_the_functions(self, play: Play) -> None:
        async def main() -> None:
            g = go(give, 7, name="bob")
            assert g.name == "bob"
            assert await g == 7

        play(main)


class TestBadInput:
    @pytest.mark.parametrize("value", [42, None, "fn", object()])
    def test_neither(self, value: Any) -> None:
        async def main() -> None:
            with pytest.raises(
                TypeError, match=r"go\(\) needs a coroutine, an async function or a plain function"
            ):
                go(value)

        run(main)

    def test_nothing(self) -> None:
        async def main() -> None:
            with pytest.raises(TypeError, match="go"):
                go()  # type: ignore[call-arg]

        run(main)

    def test_generators(self) -> None:
        def generator() -> Any:
            yield

        async def asyncgen() -> Any:
            yield

        async def main() -> None:
            for fn in (generator, asyncgen):
                with pytest.raises(TypeError, match="generator function"):
                    go(fn)
                with pytest.raises(TypeError, match="async function that iterates over it"):
                    go(fn())

        run(main)

    def test_coroutine_that_has_ended(self) -> None:
        async def main() -> None:
            coro = give(7)
            assert await coro == 7
            with pytest.raises(RuntimeError, match="already been awaited or started"):
                await go(coro)

        run(main)

    def test_coroutine_that_is_started_twice(self) -> None:
        async def main() -> None:
            coro = give(7)
            twins = [go(coro), go(coro)]
            outcomes = []
            for g in twins:
                try:
                    outcomes.append(await g)
                except RuntimeError as exc:
                    outcomes.append(str(exc))
            seven, refused = sorted(map(str, outcomes))
            assert seven == "7"
            assert "coroutine give has already been awaited or started" in refused

        run(main, procs=1)

    def test_coroutine_that_is_suspended(self) -> None:
        async def main() -> None:
            gate = Chan[int]()
            coro = gate.recv()
            first = go(coro)
            while first.status != "waiting":
                await gosched()
            with pytest.raises(RuntimeError, match="already been awaited or started"):
                await go(coro)
            await gate.send(7)
            assert await first == 7

        run(main, procs=1)

    def test_arguments_with_a_coroutine(self) -> None:
        async def main() -> None:
            coro = give(7)
            with pytest.raises(TypeError, match="arguments only with a function"):
                go(coro, 1)
            with pytest.raises(TypeError, match="arguments only with a function"):
                go(coro, twice=True)
            assert await go(coro) == 7

        run(main)

    def test_name(self) -> None:
        async def main() -> None:
            coro = give(7)
            with pytest.raises(TypeError, match="name must be a str, not int"):
                go(coro, name=7)
            g = go(coro)
            with pytest.raises(TypeError, match="name must be a str"):
                g.name = 7
            assert await g == 7

        run(main)

    def test_outside_of_a_program(self) -> None:
        coro = give(7)
        with pytest.raises(RuntimeError, match=r"gopark\.run|no gopark program|program is over"):
            go(coro)
        assert run(coro) == 7

    def test_wrong_arguments_are_the_callers_error(self) -> None:
        async def main() -> None:
            with pytest.raises(TypeError, match="unexpected keyword"):
                await go(give, thrice=True)

        run(main)


class TestAwait:
    def test_exception(self, play: Play) -> None:
        async def fail() -> None:
            await gosched()
            raise ArithmeticError("seven")

        async def main() -> None:
            with pytest.raises(ArithmeticError, match="seven") as caught:
                await go(fail())
            frames = [f.name for f in traceback.extract_tb(caught.value.__traceback__)]
            assert frames[-1] == "fail"
            assert any("in goroutine" in note for note in caught.value.__notes__)

        play(main)

    def test_several_wait_for_one(self, play: Play) -> None:
        async def main() -> None:
            gate = Chan[int]()
            g = go(gate.recv())
            waiting = [go(g) for _ in range(5)]
            await gosched()
            await gate.send(7)
            assert [await w for w in waiting] == [7] * 5

        play(main)

    def test_several_get_the_exception(self, play: Play) -> None:
        async def fail(gate: Chan[int]) -> None:
            raise ArithmeticError(await gate.recv())

        async def catch(g: G[None]) -> object:
            try:
                await g
            except ArithmeticError as exc:
                return exc
            return None

        async def main() -> None:
            gate = Chan[int]()
            g = go(fail(gate))
            waiting = [go(catch(g)) for _ in range(5)]
            await gate.send(7)
            caught = [await w for w in waiting]
            assert len({id(exc) for exc in caught}) == 1
            assert isinstance(caught[0], ArithmeticError)
            depth = len(traceback.extract_tb(caught[0].__traceback__))
            for _ in range(3):
                assert await catch(g) is caught[0]
            assert len(traceback.extract_tb(caught[0].__traceback__)) <= depth + 1

        play(main)

    def test_after_its_end_and_again(self, play: Play) -> None:
        async def main() -> None:
            g = go(give(7))
            while not g.done():
                await gosched()
            assert [await g, await g] == [7, 7]

        play(main)

    def test_itself(self, play: Play) -> None:
        async def main() -> None:
            async def narcissus() -> None:
                with pytest.raises(RuntimeError, match="awaits itself"):
                    await gopark.current()

            await go(narcissus())

        play(main)

    def test_each_other_is_a_deadlock(self) -> None:
        async def main() -> None:
            async def one() -> None:
                await handles[1]

            async def two() -> None:
                await handles[0]

            handles = [go(one()), go(two())]
            await handles[0]

        with pytest.raises(gopark.Deadlock):
            run(main)

    @pytest.mark.parametrize("error", [StopIteration, StopAsyncIteration, GeneratorExit])
    def test_odd_exceptions(self, play: Play, error: type[BaseException]) -> None:
        def fail() -> None:
            raise error

        async def main() -> None:
            with pytest.raises((error, RuntimeError)):
                await go(fail)

        play(main)


class TestHandle:
    def test_ids_are_unique_and_never_reused(self, play: Play) -> None:
        async def main() -> None:
            async def child() -> int:
                return gopark.current().id

            ids = [await go(child()) for _ in range(50)]
            more = [go(child()) for _ in range(50)]
            ids += [await g for g in more]
            assert len(set(ids)) == 100
            assert 1 not in ids
            assert [g.id for g in more] == ids[50:]

        play(main)

    def test_name_defaults_to_the_functions(self, play: Play) -> None:
        async def main() -> None:
            handles = [go(give(1)), go(plain, 1), go(Callable_().method, 1), go(len, "")]
            wanted = ["give", "plain", "Callable_.method", "len"]
            assert [g.name for g in handles] == wanted
            for g in handles:
                await g
            assert [g.name for g in handles] == wanted

        play(main)

    def test_name_can_be_set(self) -> None:
        async def main() -> None:
            gopark.current().name = "the first"
            assert gopark.current().name == "the first"
            assert "the first" in repr(gopark.current())

        run(main)

    def test_status_and_wait_reason(self) -> None:
        async def main() -> None:
            async def wait(how: str) -> None:
                c = Chan[int]()
                match how:
                    case "chan receive":
                        await c.recv()
                    case "chan send":
                        await c.send(1)
                    case "select":
                        await gopark.select(c)
                    case "select (no cases)":
                        await gopark.select(None)
                    case "sleep":
                        await sleep(1000)
                    case "await goroutine":
                        await go(sleep(1000))

            ways = ["chan receive", "chan send", "select", "select (no cases)", "sleep"]
            ways.append("await goroutine")
            handles = [go(wait(how)) for how in ways]
            assert {(g.status, g.wait_reason) for g in handles} == {("runnable", "")}
            while any(g.status != "waiting" for g in handles):
                await gosched()
            assert [g.wait_reason for g in handles] == ways
            for g, how in zip(handles, ways, strict=True):
                assert how in repr(g)
                assert not g.done()
            me = gopark.current()
            assert (me.status, me.wait_reason) == ("running", "")
            g = go(give(1))
            await g
            assert (g.status, g.wait_reason, g.done()) == ("dead", "", True)

        run(main, procs=1)

    def test_created_by(self, play: Play) -> None:
        async def main() -> None:
            g = go(give(1))
            h = go(plain, 1, name="h")
            line = traceback.extract_stack()[-1].lineno
            assert line is not None
            for handle, where in ((g, line - 2), (h, line - 1)):
                assert handle.created_by == (__file__, where, main.__qualname__)
            await g
            await h

        play(main)

    def test_stack(self) -> None:
        async def inner(c: Chan[int]) -> int:
            return await c.recv()

        async def outer(c: Chan[int]) -> int:
            return await inner(c)

        async def main() -> None:
            c = Chan[int]()
            g = go(outer(c))
            while g.status != "waiting":
                await gosched()
            assert [f.name for f in g.stack()] == ["outer", "inner", "recv"]
            assert g.stack()[0].line == "return await inner(c)"
            assert g.stack()[1].line == "return await c.recv()"
            await c.send(7)
            assert await g == 7
            assert list(g.stack()) == []

        run(main, procs=1)

    def test_stack_through_a_join_and_an_async_generator(self) -> None:
        async def numbers(c: Chan[int]) -> Any:
            yield await c.recv()

        async def iterate(c: Chan[int]) -> None:
            async for _ in numbers(c):
                pass

        async def join(g: G[None]) -> None:
            await g

        async def main() -> None:
            c = Chan[int]()
            g = go(iterate(c))
            j = go(join(g))
            while g.status != "waiting" or j.status != "waiting":
                await gosched()
            assert [f.name for f in g.stack()][:1] == ["iterate"]
            assert [f.name for f in j.stack()][:1] == ["join"]
            await c.send(1)
            await j

        run(main, procs=1)

    def test_looking_at_others_while_they_run(self, play: Play) -> None:
        """Handles may be read from anywhere, whatever the goroutine does."""

        async def main() -> None:
            live: list[G[Any]] = []

            async def spawn() -> None:
                for n in range(1000):
                    live.append(go(give(n)))
                    if n % 20 == 0:
                        await gosched()

            async def look() -> None:
                while not spawner.done():
                    for g in live[-30:]:
                        assert repr(g)
                        assert g.created_by
                        if g.id % 20 == 0:
                            g.stack()
                    await gosched()

            spawner = go(spawn())
            for g in [go(look()) for _ in range(3)]:
                await g
            assert [await g for g in live] == list(range(1000))

        play(main)

    def test_num_goroutine(self, play: Play) -> None:
        assert gopark.num_goroutine() == 0

        async def main() -> None:
            assert gopark.num_goroutine() == 1
            c = Chan[int]()
            waiting = [go(c.recv_ok()) for _ in range(10)]
            assert gopark.num_goroutine() == 11
            c.close()
            for g in waiting:
                await g
            while gopark.num_goroutine() > 1:  # an awaited one may be about to be counted out
                await gosched()

        play(main)
        assert gopark.num_goroutine() == 0

    def test_a_handle_keeps_only_the_result(self) -> None:
        class Thing:
            alive = 0

            def __init__(self) -> None:
                Thing.alive += 1

            def __del__(self) -> None:
                Thing.alive -= 1

        async def child(thing: Thing) -> int:
            await gosched()
            return 7

        async def main() -> None:
            handles = [go(child(Thing())) for _ in range(10)]
            for g in handles:
                assert await g == 7
            gc.collect()
            assert Thing.alive == 0

        run(main, procs=1)

    def test_generic_alias(self) -> None:
        assert G[int] is not None


class TestGoexit:
    def test_result_is_none_and_finally_runs(self, play: Play) -> None:
        async def main() -> None:
            done = []

            async def leave() -> None:
                try:
                    gopark.goexit()
                finally:
                    done.append("finally")

            async def child() -> int:
                try:
                    await leave()
                    done.append("not reached")
                except Exception:
                    done.append("not caught")
                return 7

            assert await go(child()) is None
            assert done == ["finally"]

        play(main)

    def test_waiting_in_finally(self, play: Play) -> None:
        async def main() -> None:
            done = []

            async def child() -> None:
                try:
                    gopark.goexit()
                finally:
                    await sleep(0.0001)
                    done.append(True)

            await go(child())
            assert done == [True]

        play(main)

    def test_of_a_plain_function(self, play: Play) -> None:
        async def main() -> None:
            assert await go(gopark.goexit) is None

        play(main)

    def test_of_main_lets_the_others_end(self, play: Play) -> None:
        done = []

        async def main() -> None:
            async def child() -> None:
                await sleep(0.001)
                done.append(True)

            go(child())
            gopark.goexit()

        with pytest.raises(gopark.Deadlock, match="main called goexit"):
            play(main)
        assert done == [True]


class TestContext:
    def test_each_goroutine_has_its_own(self, play: Play) -> None:
        var: contextvars.ContextVar[int] = contextvars.ContextVar("var")

        async def main() -> None:
            async def child(n: int) -> None:
                assert var.get() == 0
                var.set(n)
                for _ in range(10):
                    await gosched()
                    assert var.get() == n
                await sleep(0.0001)
                assert var.get() == n

            var.set(0)
            children = [go(child(n)) for n in range(1, 50)]
            var.set(0)
            for g in children:
                await g
            assert var.get() == 0

        play(main)

    def test_inherited_at_go_not_at_the_start(self, play: Play) -> None:
        var: contextvars.ContextVar[int] = contextvars.ContextVar("var")

        async def main() -> None:
            async def child() -> int:
                return var.get()

            var.set(1)
            g = go(child())
            h = go(var.get)
            var.set(2)
            assert (await g, await h) == (1, 1)

        play(main)

    def test_thread_locals_do_not_follow(self) -> None:
        """As in Go; what a goroutine can rely on is its context."""
        local = threading.local()

        async def main() -> None:
            local.value = 1
            assert await go(lambda: getattr(local, "value", None)) == 1  # the same thread

        run(main, procs=1)
