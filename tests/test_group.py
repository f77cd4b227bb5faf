"""`TaskGroup`: one test for each rule."""

import asyncio
import contextvars
from typing import Any

import pytest

import gopark
from gopark import (
    Cancelled,
    CancelScope,
    Chan,
    GoCancelled,
    TaskGroup,
    context,
    go,
    gosched,
    run,
    sleep,
)

PROCS = [1, 2, 8]


async def fail(error: BaseException) -> None:
    raise error


async def forever() -> None:
    await sleep(1000)


@pytest.mark.parametrize("n", PROCS)
class TestEnds:
    def test_it_waits_for_all(self, n: int) -> None:
        async def main() -> None:
            done = []

            async def work(i: int) -> int:
                await sleep(0.0001 * (i % 3))
                done.append(i)
                return 2 * i

            async with TaskGroup() as tg:
                gs = [await tg.go(work, i) for i in range(50)]
            assert sorted(done) == list(range(50))
            assert all(g.done() for g in gs)
            assert [await g for g in gs] == [2 * i for i in range(50)]

        run(main, procs=n)

    def test_it_takes_what_go_takes(self, n: int) -> None:
        async def main() -> None:
            async def async_fn(a: int, b: int = 0) -> int:
                return a + b

            def plain_fn(a: int, b: int = 0) -> int:
                return a * b

            async with TaskGroup() as tg:
                gs = [
                    await tg.go(async_fn(1)),
                    await tg.go(async_fn, 1, b=2),
                    await tg.go(plain_fn, 3, b=4, name="plain"),
                ]
            assert [await g for g in gs] == [1, 3, 12]
            assert gs[2].name == "plain"

        run(main, procs=n)

    def test_goroutines_start_others_in_it(self, n: int) -> None:
        async def main() -> None:
            count = []

            async def grow(tg: TaskGroup, depth: int) -> None:
                count.append(depth)
                if depth:
                    await tg.go(grow, tg, depth - 1)
                    await tg.go(grow, tg, depth - 1)

            async with TaskGroup() as tg:
                await tg.go(grow, tg, 5)
            assert len(count) == 2**6 - 1

        run(main, procs=n)

    def test_the_first_failure_cancels_the_rest(self, n: int) -> None:
        async def main() -> None:
            cleaned = []

            async def worker(i: int) -> None:
                try:
                    await forever()
                except Cancelled:
                    cleaned.append(i)
                    raise

            try:
                async with TaskGroup() as tg:
                    for i in range(5):
                        await tg.go(worker, i)
                    await sleep(0.001)
                    await tg.go(fail(ValueError("first")))
                    await forever()
            finally:
                assert sorted(cleaned) == list(range(5))

        with pytest.raises(ExceptionGroup) as caught:
            run(main, procs=n)
        (error,) = caught.value.exceptions
        assert str(error) == "first"
        assert "in goroutine" in error.__notes__[0]

    def test_the_blocks_own_failure(self, n: int) -> None:
        async def main() -> None:
            async with TaskGroup() as tg:
                await tg.go(forever)
                raise KeyError("block")

        with pytest.raises(ExceptionGroup) as caught:
            run(main, procs=n)
        assert [repr(error) for error in caught.value.exceptions] == ["KeyError('block')"]

    def test_several_failures_and_except_star(self, n: int) -> None:
        async def main() -> list[str]:
            seen = []
            ready: Chan[None] = Chan()

            async def fail_late(error: Exception) -> None:
                try:
                    await ready.recv_ok()
                except Cancelled:
                    raise error from None
                raise error

            try:
                async with TaskGroup() as tg:
                    await tg.go(fail_late(ValueError("v")))
                    await tg.go(fail_late(KeyError("k")))
                    ready.close()
                    await forever()
            except* ValueError:
                seen.append("ValueError")
            except* KeyError:
                seen.append("KeyError")
            return seen

        assert run(main, procs=n) == ["ValueError", "KeyError"]

    def test_errgroups_behaviour(self, n: int) -> None:
        async def main() -> None:
            async with TaskGroup(first_error=True) as tg:
                await tg.go(forever)
                await tg.go(fail(ValueError("mine")))

        with pytest.raises(ValueError, match="mine"):
            run(main, procs=n)

    def test_with_a_limit(self, n: int) -> None:
        async def main() -> None:
            alive = 0
            most = 0

            async def work() -> None:
                nonlocal alive, most
                alive += 1
                most = max(most, alive)
                await gosched()
                alive -= 1

            async with TaskGroup(limit=3) as tg:
                for _ in range(50):
                    await tg.go(work)
            assert alive == 0
            assert 1 <= most <= 3

        run(main, procs=1)

    def test_no_more_than_the_limit_are_alive(self, n: int) -> None:
        async def main() -> None:
            async with TaskGroup(limit=2) as tg:
                assert await tg.go(forever)
                assert tg.try_go(forever)
                assert tg.try_go(forever) is None
                tg.cancel()
            assert gopark.num_goroutine() == 1

        run(main, procs=n)

    def test_waiting_for_a_place_is_cancelled_too(self, n: int) -> None:
        async def main() -> None:
            async with TaskGroup(limit=1) as tg:
                await tg.go(forever)
                with CancelScope() as scope:
                    go(scope.cancel)
                    await tg.go(forever())  # closed, so nothing warns of it
                assert scope.cancelled_caught
                tg.cancel()

        run(main, procs=n)


class TestCancelled:
    def test_by_itself(self) -> None:
        async def main() -> None:
            async with TaskGroup() as tg:
                g = await tg.go(forever)
                tg.cancel("enough")
                await forever()
            assert tg.scope.cancelled_caught
            with pytest.raises(GoCancelled, match="enough"):
                await g

        run(main)

    def test_from_around_it(self) -> None:
        async def main() -> None:
            with CancelScope() as scope:
                async with TaskGroup() as tg:
                    await tg.go(forever)
                    go(scope.cancel)
                raise AssertionError("the group is not complete")
            assert scope.cancelled_caught

        run(main)

    def test_a_timeout_around_it(self) -> None:
        async def main() -> None:
            with pytest.raises(TimeoutError):
                async with gopark.timeout(0.001), TaskGroup() as tg:
                    await tg.go(forever)
            assert gopark.num_goroutine() == 1

        run(main)

    def test_one_goroutine_alone_is_no_failure(self) -> None:
        async def main() -> str:
            async with TaskGroup() as tg:
                g = await tg.go(forever)
                h = await tg.go(sleep(0.001))
                await gosched()
                g.cancel()
            await h
            return "went on"

        assert run(main) == "went on"

    def test_a_shield_inside_holds_the_group_open(self) -> None:
        async def main() -> None:
            done = []

            async def shielded() -> None:
                with CancelScope(shield=True):
                    await sleep(0.002)
                    done.append(1)

            async with TaskGroup() as tg:
                await tg.go(shielded)
                await gosched()
                tg.cancel()
            assert done == [1]

        run(main)

    def test_the_group_of_a_cancelled_goroutine(self) -> None:
        async def main() -> None:
            ended = []

            async def leaf() -> None:
                try:
                    await forever()
                finally:
                    ended.append(1)

            async def node() -> None:
                async with TaskGroup() as tg:
                    for _ in range(3):
                        await tg.go(leaf)

            g = go(node)
            while gopark.num_goroutine() < 5:
                await gosched()
            await sleep(0.001)
            g.cancel()
            with pytest.raises(GoCancelled):
                await g
            assert ended == [1, 1, 1]

        for n in PROCS:
            run(main, procs=n)


class TestMisuse:
    def test_not_open(self) -> None:
        async def main() -> None:
            tg = TaskGroup()
            with pytest.raises(RuntimeError, match="not open"):
                await tg.go(forever)
            async with tg:
                pass
            with pytest.raises(RuntimeError, match="not open"):
                tg.try_go(forever())
            with pytest.raises(RuntimeError, match="only once"):
                async with tg:
                    pass

        run(main)

    @pytest.mark.parametrize("limit", [0, -1, 1.5, "2"])
    def test_a_bad_limit(self, limit: Any) -> None:
        with pytest.raises(ValueError, match="limit"):
            TaskGroup(limit)

    def test_what_is_no_task(self) -> None:
        async def main() -> None:
            async with TaskGroup() as tg:
                with pytest.raises(TypeError, match=r"TaskGroup.go\(\) needs a coroutine"):
                    await tg.go(3)  # type: ignore[call-overload]

        run(main)

    def test_too_many_goroutines_gives_the_place_back(self) -> None:
        async def main() -> None:
            async with TaskGroup(limit=5) as tg:
                await tg.go(forever)
                with pytest.raises(gopark.TooManyGoroutines):
                    await tg.go(forever())
                tg.cancel()

        run(main, max_goroutines=2)

    def test_foreign_awaitables_fail_as_anywhere(self) -> None:
        async def main() -> None:
            async with TaskGroup() as tg:
                await tg.go(asyncio.sleep(0))

        with pytest.raises(ExceptionGroup) as caught:
            run(main)
        assert "which gopark cannot run" in str(caught.value.exceptions[0])


class TestRest:
    def test_context_variables(self) -> None:
        var = contextvars.ContextVar("var", default=0)

        async def main() -> list[int]:
            async def get() -> int:
                return var.get()

            gs = []
            async with TaskGroup() as tg:
                for i in range(3):
                    var.set(i)
                    gs.append(await tg.go(get))
            return [await g for g in gs]

        assert run(main) == [0, 1, 2]

    def test_keyboard_interrupt_is_no_part_of_a_group(self) -> None:
        async def main() -> None:
            async with TaskGroup() as tg:
                await tg.go(forever)
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run(main)

    def test_main_returns_from_within(self) -> None:
        async def main() -> str:
            async with TaskGroup() as tg:
                await tg.go(sleep(0.001))
                return "value"

        assert run(main) == "value"

    def test_goexit_in_a_member(self) -> None:
        async def main() -> None:
            async with TaskGroup() as tg:
                await tg.go(gopark.goexit)

        run(main)

    def test_the_program_ends_with_a_group_open(self) -> None:
        ended = []

        async def member(ready: Chan[None]) -> None:
            try:
                await ready.send(None)
                await forever()
            finally:
                ended.append("member")

        async def owner(ready: Chan[None]) -> None:
            async with TaskGroup() as tg:
                await tg.go(member, ready)

        async def main() -> None:
            ready: Chan[None] = Chan()
            go(owner, ready)
            await ready.recv()

        for n in PROCS:
            ended.clear()
            run(main, procs=n)
            assert ended == ["member"]

    @pytest.mark.parametrize("n", PROCS)
    def test_ten_thousand(self, n: int) -> None:
        async def main() -> None:
            async with TaskGroup(limit=100) as tg:
                for _ in range(10_000):
                    await tg.go(gosched)
            assert gopark.num_goroutine() == 1

        run(main, procs=n)


class TestContext:
    def test_its_end_cancels_the_group(self) -> None:
        async def main() -> None:
            ctx, cancel = context.with_cancel(context.background())
            async with TaskGroup(ctx=ctx) as tg:
                await tg.go(forever)
                go(cancel)

        with pytest.raises(context.Canceled):
            run(main)

    def test_its_deadline(self) -> None:
        async def main() -> None:
            with context.with_timeout(context.background(), 0.001) as ctx:
                async with TaskGroup(ctx=ctx):
                    await forever()

        with pytest.raises(context.DeadlineExceeded):
            run(main)

    def test_one_that_has_ended(self) -> None:
        async def main() -> None:
            ctx, cancel = context.with_cancel(context.background())
            cancel()
            async with TaskGroup(ctx=ctx):
                await gosched()
                raise AssertionError

        with pytest.raises(context.Canceled):
            run(main)

    def test_the_groups_own_ends_with_a_failure(self) -> None:
        async def main() -> list[object]:
            seen: list[object] = []

            async def watch(ctx: context.Context) -> None:
                with CancelScope(shield=True):
                    await ctx.done().recv_ok()  # type: ignore[union-attr]
                seen.append(ctx.err())

            try:
                async with TaskGroup(ctx=context.background()) as tg:
                    assert tg.ctx is not None
                    await tg.go(watch, tg.ctx)
                    await tg.go(fail(ValueError("v")))
            except* ValueError:
                seen.append("ValueError")
            return seen

        seen = run(main)
        assert isinstance(seen[0], context.Canceled)
        assert seen[1] == "ValueError"

    def test_after_the_block_it_is_cancelled_and_the_outer_one_is_not(self) -> None:
        async def main() -> None:
            outer, cancel = context.with_cancel(context.background())
            async with TaskGroup(ctx=outer) as tg:
                pass
            assert tg.ctx is not None
            assert isinstance(tg.ctx.err(), context.Canceled)
            assert outer.err() is None
            cancel()
            await gosched()
            assert not tg.scope.cancel_called

        run(main)
