"""Hogs: goroutines in plain Python code that calls nothing of the runtime."""

import gc
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import gopark
from gopark import Chan, go, gosched, run, sleep
from gopark.runtime.export_test import check_sched

MONITORING: Any = getattr(sys, "monitoring", None)
pauses = pytest.mark.skipif(MONITORING is None, reason="sys.monitoring is new in 3.12")


class Flag:
    """What hogs look at, and only another goroutine sets."""

    def __init__(self) -> None:
        self.set = False


def hog_while(flag: Flag) -> None:
    while not flag.set:
        pass


def hog_one_line(flag: Flag) -> None:
    while not flag.set: pass  # noqa: E701  # fmt: skip


def hog_for(flag: Flag) -> None:
    for _ in iter(lambda: flag.set, True):
        pass


def leaf(flag: Flag) -> bool:
    return flag.set


def middle(flag: Flag) -> bool:
    return leaf(flag)


def hog_calls(flag: Flag) -> None:
    while not middle(flag):
        pass


def spin(flag: Flag) -> None:
    while not flag.set:
        pass


def deep(flag: Flag, depth: int) -> None:
    if depth:
        deep(flag, depth - 1)
    else:
        spin(flag)


def hog_deep(flag: Flag) -> None:
    deep(flag, 50)


def hog_recursion(flag: Flag) -> None:
    def down(depth: int) -> int:
        return 0 if flag.set or not depth else down(depth - 1) + 1

    while not flag.set:
        down(20)


def hog_generator(flag: Flag) -> None:
    def numbers() -> Iterator[int]:
        n = 0
        while not flag.set:
            n += 1
            yield n

    for _ in numbers():
        pass


def hog_generator_expression(flag: Flag) -> None:
    while not flag.set:
        sum(n for n in range(1000))


def hog_comprehension(flag: Flag) -> None:
    while not flag.set:
        [n for n in range(1000) if not flag.set]


def hog_long_comprehension(flag: Flag) -> None:
    [n for n in iter(lambda: flag.set, True)]  # noqa: C416


def hog_try(flag: Flag) -> None:
    while not flag.set:
        try:
            raise ValueError
        except ValueError:
            continue
        finally:
            pass


def hog_c_calls(flag: Flag) -> None:
    """Short calls of C, and C that calls Python."""
    while not flag.set:
        sorted(range(50), key=lambda n: -n)


def hog_phases(flag: Flag) -> None:
    """Where it is interrupted first it never comes back to."""

    def once() -> None:
        until = time.perf_counter() + 0.03
        while time.perf_counter() < until:
            pass

    once()
    while not flag.set:
        pass


class Deleter:
    flag: Flag

    def __del__(self) -> None:
        while not self.flag.set:
            pass


def hog_del(flag: Flag) -> None:
    d = Deleter()
    d.flag = flag
    del d


def hog_exec(flag: Flag) -> None:
    exec("while not flag.set:\n    pass", {"flag": flag})


HOGS = [
    hog_while,
    hog_one_line,
    hog_for,
    hog_calls,
    hog_deep,
    hog_recursion,
    hog_generator,
    hog_generator_expression,
    hog_comprehension,
    hog_long_comprehension,
    hog_try,
    hog_c_calls,
    hog_phases,
    hog_del,
    hog_exec,
]


def gopark_tools() -> list[int]:
    """The tool ids that gopark has."""
    if MONITORING is None:
        return []
    return [tool for tool in range(6) if MONITORING.get_tool(tool) == "gopark"]


def armed() -> list[Any]:
    """Code objects with events of any tool."""
    if MONITORING is None:
        return []
    found = []
    for code in [o.__code__ for o in gc.get_objects() if hasattr(o, "__code__")]:
        for tool in range(6):
            if MONITORING.get_tool(tool) and MONITORING.get_local_events(tool, code):
                found.append((tool, code))
    return found


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """After a program no event is armed and no tool id taken."""
    yield
    assert gopark_tools() == []
    if MONITORING is not None:
        # A new user of any id would get events that are left in a code object.
        for tool in range(6):
            if MONITORING.get_tool(tool) is not None:
                continue
            MONITORING.use_tool_id(tool, "look")
            try:
                for hog in [*HOGS, leaf, middle, spin, deep]:
                    assert MONITORING.get_local_events(tool, hog.__code__) == 0
            finally:
                MONITORING.free_tool_id(tool)


async def pause(*hogs: gopark.G[Any]) -> None:
    """Until each of the hogs, which runs, was seen to wait for a P."""
    seen: set[int] = set()
    deadline = time.monotonic() + 30
    while len(seen) < len(hogs):
        await sleep(0.0001)
        until = time.perf_counter() + 0.002
        while time.perf_counter() < until:
            # This one has the P, and gives it up to nobody.
            seen |= {g.id for g in hogs if g.status == "runnable"}
        assert time.monotonic() < deadline, f"not paused: {[g for g in hogs if g.id not in seen]}"


@pytest.mark.parametrize("hog", HOGS, ids=lambda hog: hog.__name__)
@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("in_async", [False, True])
def test_others_run(hog: Callable[[Flag], None], n: int, in_async: bool) -> None:
    async def main() -> None:
        flag = Flag()

        async def async_hog() -> None:
            hog(flag)

        async def other() -> None:
            for _ in range(3):
                await gosched()
            await sleep(0.001)
            flag.set = True

        hogs = [go(async_hog()) if in_async else go(hog, flag) for _ in range(n)]
        await gosched()
        await go(other())
        for g in hogs:
            await g
        check_sched()

    run(main, procs=n)


@pauses
@pytest.mark.parametrize("hog", HOGS, ids=lambda hog: hog.__name__)
def test_a_hog_is_paused(hog: Callable[[Flag], None]) -> None:
    async def main() -> None:
        flag = Flag()
        g = go(hog, flag)
        await gosched()
        for _ in range(3):
            await pause(g)
        flag.set = True
        await g

    run(main, procs=1)


@pauses
@pytest.mark.parametrize("count", [2, 5])
@pytest.mark.parametrize("shared", [True, False])
def test_several_hogs_are_paused(count: int, shared: bool) -> None:
    """They run the same code, or each its own."""

    async def main() -> None:
        flag = Flag()
        hogs = [go(hog_while if shared else HOGS[i], flag) for i in range(count)]
        await gosched()
        await pause(*hogs)
        flag.set = True
        for g in hogs:
            await g

    run(main, procs=1)


def test_main_is_a_hog() -> None:
    async def main() -> None:
        flag = Flag()

        async def other() -> None:
            flag.set = True

        go(other())
        hog_while(flag)

    for _ in range(5):
        run(main, procs=1)


def test_hogs_share_the_p_fairly() -> None:
    async def main() -> list[int]:
        flag = Flag()

        def hog(i: int) -> None:
            while not flag.set:
                turns[i] += 1

        turns = [0] * 4
        hogs = [go(hog, i) for i in range(4)]
        while min(turns) < 1000:
            await sleep(0.01)
        flag.set = True
        for g in hogs:
            await g
        return turns

    run(main, procs=1)


def test_a_hog_that_never_ends_does_not_hold_up_the_end() -> None:
    """At the program's end a hog is told so at its next line, and its ``finally`` blocks run."""

    async def main() -> None:
        flag = Flag()

        def hog() -> None:
            try:
                hog_while(flag)
            finally:
                ended.set()

        async def watch() -> None:
            await sleep(0.05)
            flag.set = True

        g = go(hog)
        go(watch())
        await g

    ended = threading.Event()
    run(main, procs=1)
    assert ended.is_set()


def test_code_that_others_run_too() -> None:
    """A thread of the program's own, in the same code, is not held."""
    flag = Flag()
    thread = threading.Thread(target=hog_while, args=(flag,))

    async def main() -> None:
        thread.start()
        mine = go(hog_while, flag)
        await gosched()
        for _ in range(20):
            await sleep(0.005)
        flag.set = True
        await mine

    run(main, procs=1)
    thread.join(30)
    assert not thread.is_alive()


def test_contextvars_and_exceptions_of_a_hog() -> None:
    """A pause leaves what is being handled, and its context, as they were."""
    from contextvars import ContextVar

    var = ContextVar[int]("var")

    async def main() -> None:
        flag = Flag()

        async def hog(i: int) -> None:
            var.set(i)
            try:
                raise ArithmeticError(i)
            except ArithmeticError as error:
                hog_while(flag)
                assert (sys.exc_info()[1] is error, error.args) == (True, (i,))  # noqa: PT017
            assert var.get() == i

        hogs = [go(hog(i)) for i in range(3)]
        for _ in range(10):
            await sleep(0.01)
        flag.set = True
        for g in hogs:
            await g

    run(main, procs=1)


def hog_and_others(rounds: int = 10) -> None:
    """A program with two hogs and one that must run beside them."""

    async def main() -> None:
        flag = Flag()
        c = Chan[int]()

        async def sender() -> None:
            for n in range(rounds):
                await sleep(0.002)
                await c.send(n)
            c.close()

        hogs = [go(hog_while, flag), go(hog_calls, flag)]
        go(sender())
        assert [n async for n in c] == list(range(rounds))
        flag.set = True
        for g in hogs:
            await g

    run(main, procs=1)


@pauses
class TestBesideOtherTools:
    def test_no_tool_id_free(self) -> None:
        mine = [t for t in range(6) if MONITORING.get_tool(t) is None]
        for tool in mine:
            MONITORING.use_tool_id(tool, "test")
        try:
            hog_and_others()
            assert [MONITORING.get_tool(tool) for tool in mine] == ["test"] * len(mine)
        finally:
            for tool in mine:
                MONITORING.free_tool_id(tool)

    @pytest.mark.parametrize("tool", [0, 1, 2, 3, 5])
    @pytest.mark.parametrize("how", ["global", "local"])
    def test_line_events_of_another(self, tool: int, how: str) -> None:
        lines: set[int] = set()
        code = hog_while.__code__
        events = MONITORING.events.LINE

        def line(where: Any, lineno: int) -> None:
            if where is code:
                lines.add(lineno)

        if MONITORING.get_tool(tool) is not None:
            pytest.skip("somebody has this tool id")
        MONITORING.use_tool_id(tool, "test")
        MONITORING.register_callback(tool, events, line)
        try:
            if how == "global":
                MONITORING.set_events(tool, events)
            else:
                MONITORING.set_local_events(tool, code, events)
            hog_and_others()
            assert MONITORING.get_tool(tool) == "test"
            first = code.co_firstlineno
            assert {first + 1, first + 2} <= lines
            if how == "local":
                assert MONITORING.get_local_events(tool, code) == events
            lines.clear()
            flag = Flag()
            flag.set = True
            hog_while(flag)
            assert lines == {first + 1}  # still there after the program
        finally:
            MONITORING.set_events(tool, 0)
            MONITORING.set_local_events(tool, code, 0)
            MONITORING.register_callback(tool, events, None)
            MONITORING.free_tool_id(tool)

    def test_another_that_disables_its_lines(self) -> None:
        """As coverage.py does: it wants to hear of each line once."""
        seen: list[int] = []
        code = hog_while.__code__
        events = MONITORING.events.LINE

        def line(where: Any, lineno: int) -> Any:
            if where is code:
                seen.append(lineno)
            return MONITORING.DISABLE

        tool = 1
        if MONITORING.get_tool(tool) is not None:
            pytest.skip("somebody has this tool id")
        MONITORING.use_tool_id(tool, "test")
        MONITORING.register_callback(tool, events, line)
        try:
            MONITORING.set_events(tool, events)
            hog_and_others()
            first = code.co_firstlineno
            assert {first + 1, first + 2} <= set(seen)
            assert len(seen) < 1000
        finally:
            MONITORING.set_events(tool, 0)
            MONITORING.register_callback(tool, events, None)
            MONITORING.free_tool_id(tool)
            MONITORING.restart_events()

    def test_a_tool_that_takes_its_id_meanwhile(self) -> None:
        async def main() -> None:
            flag = Flag()
            g = go(hog_while, flag)
            await gosched()
            await pause(g)
            (used,) = gopark_tools()
            with pytest.raises(ValueError, match="in use"):
                MONITORING.use_tool_id(used, "test")
            flag.set = True
            await g

        run(main, procs=1)


class TestBesideTraceAndProfile:
    @pytest.mark.parametrize("kind", ["trace", "profile"])
    def test_of_every_thread(self, kind: str) -> None:
        events: set[str] = set()

        def watch(frame: Any, event: str, arg: Any) -> Any:
            if frame.f_code is leaf.__code__:
                events.add(event)
            return watch

        set_threads = threading.settrace if kind == "trace" else threading.setprofile
        set_here = sys.settrace if kind == "trace" else sys.setprofile
        before = sys.gettrace() if kind == "trace" else sys.getprofile()
        before_threads = threading.gettrace() if kind == "trace" else threading.getprofile()
        set_threads(watch)
        set_here(watch)
        try:
            hog_and_others(3)
            now = sys.gettrace() if kind == "trace" else sys.getprofile()
            assert now is watch
        finally:
            set_here(before)
            set_threads(before_threads)
        assert {"call", "return"} <= events
        if kind == "trace":
            assert "line" in events


def test_programs_again_and_again() -> None:
    for _ in range(10):
        hog_and_others(3)


@pauses
def test_the_tool_id_is_free_while_nothing_hogs() -> None:
    async def main() -> None:
        for _ in range(100):
            await sleep(0.0001)
        assert gopark_tools() == []

    run(main, procs=2)


@pauses
def test_events_are_armed_only_for_as_long_as_needed() -> None:
    async def main() -> None:
        flag = Flag()
        g = go(hog_while, flag)
        await gosched()
        await pause(g)
        flag.set = True
        await g
        (tool,) = gopark_tools()
        deadline = time.monotonic() + 30
        while MONITORING.get_local_events(tool, hog_while.__code__):
            assert time.monotonic() < deadline
            await sleep(0.001)

    run(main, procs=1)
