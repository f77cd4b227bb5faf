"""`CancelScope`, `timeout`, `deadline` and `G.cancel`: one test for each rule."""

import math
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import gopark
from gopark import (
    Cancelled,
    CancelScope,
    Chan,
    GoCancelled,
    block_on,
    go,
    gosched,
    run,
    select,
    sleep,
)

PROCS = [1, 2]


async def recv(c: Chan[Any]) -> Any:
    return await c.recv()


async def recv_ok(c: Chan[Any]) -> Any:
    return await c.recv_ok()


async def iterate(c: Chan[Any]) -> Any:
    async for value in c:
        return value


async def send(c: Chan[Any]) -> Any:
    await c.send("sent")


async def select_both(c: Chan[Any]) -> Any:
    return await select(c, (c, "selected"))


async def select_timed(c: Chan[Any]) -> Any:
    return await select(c, timeout=1000)


async def select_nothing(c: Chan[Any]) -> Any:
    return await select()


async def sleep_long(c: Chan[Any]) -> Any:
    await sleep(1000)


async def join(c: Chan[Any]) -> Any:
    return await go(c.recv)


async def plain(c: Chan[Any]) -> Any:
    return block_on(c.recv())


WAITS = [
    recv,
    recv_ok,
    iterate,
    send,
    select_both,
    select_timed,
    select_nothing,
    sleep_long,
    join,
    plain,
]


async def parked(g: gopark.G[Any]) -> None:
    while g.status != "waiting":
        await gosched()


@pytest.mark.parametrize("wait", WAITS)
@pytest.mark.parametrize("n", PROCS)
class TestEveryWait:
    def test_is_called_off(self, wait: Callable[..., Awaitable[Any]], n: int) -> None:
        async def main() -> None:
            c: Chan[Any] = Chan()

            async def body() -> str:
                try:
                    await wait(c)
                except Cancelled as error:
                    return str(error)
                return "not cancelled"

            g = go(body)
            await parked(g)
            assert g.cancel("because")
            assert await g == "because"
            if wait is not join:  # whose own child still waits there
                with pytest.raises(gopark.WouldBlock):
                    c.send_nowait("nobody is in line")
            with pytest.raises(gopark.WouldBlock):
                c.recv_nowait()

        run(main, procs=n)

    def test_raises_at_once_when_cancelled_before(
        self, wait: Callable[..., Awaitable[Any]], n: int
    ) -> None:
        async def main() -> None:
            c: Chan[Any] = Chan()
            with CancelScope() as scope:
                scope.cancel()
                for _ in range(3):  # and each time anew
                    with pytest.raises(Cancelled):
                        await wait(c)
                with pytest.raises(Cancelled):
                    await gosched()
            assert not scope.cancelled_caught  # nothing was left for it to catch

        run(main, procs=n)


class TestScope:
    def test_it_ends_the_block_and_no_more(self) -> None:
        async def main() -> None:
            with CancelScope() as outer:
                with CancelScope() as scope:
                    scope.cancel()
                    await sleep(1000)
                    raise AssertionError
                await sleep(0)
            assert scope.cancelled_caught
            assert scope.cancel_called
            assert not outer.cancelled_caught

        run(main)

    def test_an_operation_that_is_ready_is_not_done(self) -> None:
        async def main() -> int:
            c: Chan[int] = Chan(2)
            await c.send(1)
            with CancelScope() as scope:
                scope.cancel()
                for operation in (c.recv(), c.send(2)):
                    with pytest.raises(Cancelled):
                        await operation
            assert len(c) == 1
            return await c.recv()

        assert run(main) == 1

    def test_operations_that_never_wait_go_on(self) -> None:
        async def main() -> list[int]:
            c: Chan[int] = Chan(2)
            with CancelScope() as scope:
                scope.cancel()
                c.send_nowait(1)
                g = go(c.send_nowait, 2)
            await g
            return [c.recv_nowait(), c.recv_nowait()]

        assert run(main) == [1, 2]

    def test_the_outer_one_ends_both(self) -> None:
        async def main() -> None:
            with CancelScope() as outer:
                with CancelScope() as inner:
                    outer.cancel()
                    await sleep(1000)
                raise AssertionError
            assert outer.cancelled_caught
            assert not inner.cancelled_caught
            assert not inner.cancel_called

        run(main)

    def test_cancelled_both_the_outer_one_catches(self) -> None:
        async def main() -> None:
            with CancelScope() as outer:
                with CancelScope() as inner:
                    inner.cancel()
                    outer.cancel()
                    await sleep(1000)
                raise AssertionError
            assert outer.cancelled_caught

        run(main)

    def test_a_shield(self) -> None:
        async def main() -> None:
            with CancelScope() as outer:
                outer.cancel()
                with CancelScope(shield=True) as inner:
                    await sleep(0.001)
                    inner.shield = False
                    with pytest.raises(Cancelled):
                        await sleep(1000)
                    inner.shield = True
                    await sleep(0.001)
                    inner.cancel()
                    await sleep(1000)
                assert inner.cancelled_caught  # its own cancellation passes the shield
                await sleep(1000)
            assert outer.cancelled_caught

        run(main)

    def test_a_shield_that_is_lowered_while_its_goroutine_waits(self) -> None:
        async def main() -> None:
            inner = CancelScope(shield=True)

            async def body() -> None:
                with inner:
                    await sleep(1000)

            g = go(body)
            await parked(g)
            g.cancel()
            await sleep(0.001)
            assert g.wait_reason == "sleep"
            inner.shield = False
            with pytest.raises(GoCancelled):
                await g

        run(main)

    def test_cancelled_before_it_is_entered(self) -> None:
        async def main() -> None:
            scope = CancelScope()
            scope.cancel()
            with scope:
                await sleep(1000)
            assert scope.cancelled_caught

        run(main)

    def test_from_another_thread(self) -> None:
        async def main() -> None:
            with CancelScope() as scope:
                thread = threading.Thread(target=scope.cancel, args=("from afar",))
                thread.start()
                with pytest.raises(Cancelled, match="from afar"):
                    await sleep(1000)
                await gosched()
            thread.join()
            assert scope.cancelled_caught

        for n in PROCS:
            run(main, procs=n)

    def test_other_exceptions_pass(self) -> None:
        async def main() -> None:
            async def fail() -> None:
                try:
                    await sleep(1000)
                finally:
                    raise KeyError

            scope = CancelScope()
            scope.cancel()
            with pytest.raises(KeyError), scope:
                await fail()
            assert not scope.cancelled_caught

        run(main)

    def test_it_takes_its_share_of_a_group(self) -> None:
        async def main() -> None:
            async def fail(*more: BaseException) -> None:
                try:
                    await sleep(1000)
                except Cancelled as error:
                    raise BaseExceptionGroup("several", [error, *more]) from None

            scope = CancelScope()
            scope.cancel()
            with pytest.raises(ExceptionGroup) as caught, scope:
                await fail(KeyError(1))
            assert [type(error) for error in caught.value.exceptions] == [KeyError]
            assert scope.cancelled_caught
            with CancelScope() as scope:
                scope.cancel()
                await fail()
            assert scope.cancelled_caught

        run(main)

    def test_the_deadline(self) -> None:
        async def main() -> None:
            with CancelScope(deadline=time.monotonic() + 0.002) as scope:
                await sleep(1000)
            assert scope.cancelled_caught
            with CancelScope() as scope:
                assert scope.deadline == math.inf
                scope.deadline = time.monotonic() + 1000
                scope.deadline = time.monotonic() + 0.002
                await sleep(1000)
            assert scope.cancelled_caught
            with CancelScope(deadline=time.monotonic() + 0.002) as scope:
                scope.deadline = math.inf
                await sleep(0.01)
            assert not scope.cancel_called
            with CancelScope(deadline=time.monotonic() - 1) as scope:
                await gosched()
            assert scope.cancelled_caught

        run(main)

    def test_a_deadline_after_the_block_does_nothing(self) -> None:
        async def main() -> None:
            scopes = [CancelScope(deadline=time.monotonic() + 0.002) for _ in range(50)]
            for scope in scopes:
                with scope:
                    await gosched()
            await sleep(0.01)
            assert not any(scope.cancelled_caught for scope in scopes)

        run(main)

    def test_misuse(self) -> None:
        async def main() -> None:
            with CancelScope() as scope:
                pass
            with pytest.raises(RuntimeError, match="only once"), scope:
                pass
            outer, inner = CancelScope(), CancelScope()
            outer.__enter__()
            inner.__enter__()
            with pytest.raises(RuntimeError, match="scopes nest"):
                outer.__exit__(None, None, None)
            inner.__exit__(None, None, None)
            g = go(outer.__exit__, None, None, None)
            with pytest.raises(RuntimeError, match="another goroutine"):
                await g
            g = go(setattr, outer, "deadline", 1.0)
            with pytest.raises(RuntimeError, match="only the goroutine in a scope"):
                await g
            outer.__exit__(None, None, None)
            with pytest.raises(TypeError, match="message"):
                outer.cancel(1)  # type: ignore[arg-type]

        run(main)
        with pytest.raises(ValueError, match="NaN"):
            CancelScope(deadline=math.nan)
        with pytest.raises(RuntimeError, match="only a goroutine"), CancelScope():
            pass

    def test_repr(self) -> None:
        async def main() -> None:
            scope = CancelScope()
            assert repr(scope) == "<CancelScope not entered>"
            with scope:
                assert repr(scope) == "<CancelScope active>"
                scope.cancel()
            assert repr(scope) == "<CancelScope left, cancelled>"

        run(main)


class TestTimeout:
    @pytest.mark.parametrize("n", PROCS)
    def test_it_raises(self, n: int) -> None:
        async def main() -> None:
            with pytest.raises(TimeoutError), gopark.timeout(0.001):
                await sleep(1000)
            with pytest.raises(TimeoutError):
                async with gopark.timeout(0.001):
                    await sleep(1000)
            with pytest.raises(TimeoutError), gopark.deadline(time.monotonic() + 0.001):
                await sleep(1000)

        run(main, procs=n)

    def test_in_time(self) -> None:
        async def main() -> int:
            with gopark.timeout(1000), gopark.timeout(None):
                await sleep(0.001)
            return 7

        assert run(main) == 7

    def test_the_inner_and_the_outer(self) -> None:
        async def main() -> str:
            try:
                with gopark.timeout(0.002):
                    try:
                        with gopark.timeout(1000):
                            await sleep(1000)
                    except TimeoutError:
                        return "the inner"
            except TimeoutError:
                return "the outer"
            return "none"

        assert run(main) == "the outer"

    def test_a_value_that_came_in_time_is_not_lost(self) -> None:
        async def main() -> None:
            c: Chan[int] = Chan()
            got = []

            async def sender() -> None:
                for i in range(500):
                    await c.send(i)
                    await sleep(0.00001)
                c.close()

            go(sender)
            while True:
                try:
                    with gopark.timeout(0.00005):
                        value, ok = await c.recv_ok()
                        if not ok:
                            break
                        got.append(value)
                except TimeoutError:
                    pass
            assert got == list(range(500))

        for n in PROCS:
            run(main, procs=n)

    def test_bad_limits(self) -> None:
        with pytest.raises(ValueError, match="NaN"):
            gopark.timeout(math.nan)
        with pytest.raises(TypeError):
            gopark.timeout("1")  # type: ignore[arg-type]


class TestGoroutine:
    def test_it_ends_as_cancelled(self) -> None:
        async def main() -> None:
            g = go(sleep(1000), name="sleeper")
            await parked(g)
            assert g.cancel("enough")
            for _ in range(2):
                with pytest.raises(
                    GoCancelled, match=r"\[sleeper\] was cancelled: enough"
                ) as caught:
                    await g
                assert caught.value.goroutine_id == g.id
                assert isinstance(caught.value.__cause__, Cancelled)
            assert g.done()
            assert not g.cancel()

        run(main)

    def test_nobody_need_await_it(self) -> None:
        async def main() -> None:
            go(sleep(1000)).cancel()
            await sleep(0.001)

        run(main)

    def test_before_it_has_run(self) -> None:
        async def main() -> None:
            ran = []

            async def body() -> None:
                ran.append(1)
                await gosched()
                ran.append(2)

            g = go(body)
            g.cancel()
            with pytest.raises(GoCancelled):
                await g
            assert ran == [1]  # it is cancelled at its first wait

        run(main, procs=1)

    def test_it_may_end_well_nevertheless(self) -> None:
        async def main() -> None:
            async def body() -> str:
                try:
                    await sleep(1000)
                except Cancelled:
                    return "cleaned up"
                return ""

            g = go(body)
            await parked(g)
            g.cancel()
            assert await g == "cleaned up"

        run(main)

    def test_except_exception_does_not_swallow_it(self) -> None:
        async def main() -> None:
            async def body() -> None:
                while True:
                    try:
                        await sleep(1000)
                    except Exception:
                        raise AssertionError from None

            g = go(body)
            await parked(g)
            g.cancel()
            with pytest.raises(GoCancelled):
                await g

        run(main)

    def test_inside_its_scopes_and_again(self) -> None:
        async def main() -> None:
            async def body() -> None:
                with CancelScope(), CancelScope():
                    await sleep(1000)

            g = go(body)
            await parked(g)
            g.cancel("first")
            g.cancel("second")
            with pytest.raises(GoCancelled, match="first"):
                await g

        run(main)

    def test_itself(self) -> None:
        async def main() -> None:
            async def body() -> None:
                gopark.current().cancel("me")
                await gosched()

            with pytest.raises(GoCancelled, match="me"):
                await go(body)

        run(main)

    def test_main(self) -> None:
        async def main() -> None:
            gopark.current().cancel("main too")
            await sleep(1000)

        with pytest.raises(GoCancelled, match="main too"):
            run(main)

    def test_the_one_who_awaits_it_is_not_cancelled(self) -> None:
        async def main() -> None:
            g = go(sleep(1000))
            with CancelScope() as scope:
                g.cancel()
                with pytest.raises(GoCancelled):
                    await g
                await sleep(0)
            assert not scope.cancelled_caught

        run(main)

    def test_plain_code_is_cancelled_at_its_next_wait(self) -> None:
        async def main() -> None:
            steps = []

            def body() -> None:
                gopark.current().cancel()
                steps.append(1)
                block_on(sleep(1000))
                steps.append(2)

            with pytest.raises(GoCancelled):
                await go(body)
            assert steps == [1]

        run(main)

    def test_a_bad_message(self) -> None:
        async def main() -> None:
            with pytest.raises(TypeError, match="message"):
                gopark.current().cancel(3)  # type: ignore[arg-type]

        run(main)


class TestTheEnd:
    def test_finally_blocks_of_cancelled_ones_run_at_the_programs_end(self) -> None:
        done = []

        async def stubborn() -> None:
            try:
                with CancelScope(shield=True):
                    await sleep(1000)
            finally:
                c: Chan[int] = Chan(1)
                await c.send(1)  # it need not wait, and may go on
                done.append(await c.recv())

        async def main() -> None:
            g = go(stubborn)
            await parked(g)
            g.cancel()

        run(main)
        assert done == [1]

    def test_nothing_is_left_behind(self) -> None:
        import gc
        import weakref

        refs = []

        async def main() -> None:
            for _ in range(20):
                with CancelScope(deadline=time.monotonic() + 1000) as scope:
                    refs.append(weakref.ref(scope))
                    await gosched()

        run(main)
        del main
        gc.collect()
        assert [r for r in refs if r() is not None] == []
