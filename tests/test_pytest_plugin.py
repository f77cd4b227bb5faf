"""The pytest plugin: tests that run tests."""

from __future__ import annotations

import importlib.metadata
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

import gopark

pytest_plugins = ["pytester"]

#: What every file of tests begins with.
HEAD = """
import contextvars, os, threading, time
import pytest
import gopark
from gopark import *

async def receive(c):
    await c.recv()

async def fail(what="seven"):
    raise ArithmeticError(what)
"""

Play = Callable[..., pytest.RunResult]


def plugin() -> list[str]:
    """The options that load the plugin, where no entry point does."""
    found = importlib.metadata.entry_points(group="pytest11", name="gopark")
    return [] if found else ["-p", "gopark.pytest_plugin"]


@pytest.fixture
def play(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Play:
    """Run a file of tests, all of them marked unless told otherwise."""
    for name in ("CI", "BUILD_NUMBER"):  # with them pytest's summary repeats whole messages
        monkeypatch.delenv(name, raising=False)

    def play(source: str, *options: str, marked: bool = True, **files: str) -> pytest.RunResult:
        mark = "pytestmark = pytest.mark.gopark\n" if marked else ""
        text = HEAD + mark + textwrap.dedent(source)
        pytester.makepyfile(test_it=text, **{k: textwrap.dedent(v) for k, v in files.items()})
        return pytester.runpytest_subprocess(
            *plugin(),
            *("-p", "no:cacheprovider", "-p", "no:hypothesispytest"),
            "--strict-markers",
            *options,
        )

    return play


def shown(result: pytest.RunResult) -> str:
    return result.stdout.str()


# -- which tests --------------------------------------------------------------


ASYNC = """
async def test_it():
    assert gopark.current().id > 1
    await sleep(0)
"""


def test_marked(play: Play) -> None:
    play(ASYNC).assert_outcomes(passed=1)


def test_others_are_left_alone(play: Play) -> None:
    result = play(ASYNC, marked=False)
    result.assert_outcomes(failed=1)
    assert "async def functions are not natively supported" in shown(result)


def test_auto(play: Play, pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\ngopark_mode = auto\nmarkers =\n    asyncio\n    anyio")
    result = play(
        """
        @pytest.fixture
        async def value():
            return gopark.current().id

        async def test_async():
            assert gopark.current().id > 1

        def test_plain():
            with pytest.raises(RuntimeError, match="no goroutine"):
                gopark.current()

        def test_plain_with_an_async_fixture(value):
            assert value > gopark.current().id

        @pytest.mark.asyncio
        async def test_of_asyncio():
            pass

        @pytest.mark.anyio
        async def test_of_anyio():
            pass
        """,
        marked=False,
    )
    result.assert_outcomes(passed=3, failed=2)
    assert "test_of_asyncio" in shown(result)
    assert "test_of_anyio" in shown(result)


def test_a_plain_test(play: Play) -> None:
    """It is in the program, and waits as plain code does."""
    play(
        """
        def test_it():
            async def give():
                await sleep(0)
                return 7

            assert block_on(go(give())) == 7
        """
    ).assert_outcomes(passed=1)


def test_in_a_class(play: Play) -> None:
    play(
        """
        class TestIt:
            @pytest.fixture
            async def own(self):
                self.value = 7
                return self

            @pytest.fixture
            async def halves(self, own):
                yield own.value
                assert self is own

            async def test_it(self, own, halves):
                assert self is own
                assert halves == self.value == 7
        """
    ).assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        ("leak=False", "it has no 'leak'"),
        ("False", "it takes keyword arguments only"),
        ("procs=0", "procs must be at least 1, not 0"),
        ("procs=[1, 'two']", "procs must be an int, not str"),
        ("timeout=0", "a timeout must be positive, not 0"),
    ],
)
def test_bad_marks(play: Play, mark: str, message: str) -> None:
    result = play(
        f"""
        @pytest.mark.gopark({mark})
        async def test_it():
            pass
        """,
        marked=False,
    )
    assert f"test_it.py::test_it: the mark gopark: {message}" in shown(result) + result.stderr.str()
    assert result.ret in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.INTERRUPTED)


def test_unittest(play: Play) -> None:
    result = play(
        """
        import unittest

        class TestIt(unittest.TestCase):
            async def test_it(self):
                pass
        """
    )
    assert "a unittest.TestCase cannot run on gopark" in shown(result) + result.stderr.str()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--gopark-procs=0", "procs must be at least 1"),
        ("--gopark-procs=1,x", "'x'"),
        ("--gopark-timeout=-1", "a timeout must be positive"),
    ],
)
def test_bad_options(play: Play, option: str, message: str) -> None:
    result = play(ASYNC, option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert message in result.stderr.str()


def test_bad_mode(play: Play, pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\ngopark_mode = sometimes")
    result = play(ASYNC)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert 'gopark_mode is "strict" or "auto", not "sometimes"' in result.stderr.str()


# -- what becomes of a test ---------------------------------------------------


def test_outcomes(play: Play) -> None:
    result = play(
        """
        async def test_passes():
            await sleep(0)

        async def test_fails():
            value = await go(sleep(0))
            assert value == 7, "it is not"

        async def test_raises():
            await go(fail())

        async def test_is_skipped():
            pytest.skip("not today")

        @pytest.mark.skip
        async def test_is_marked():
            raise AssertionError

        @pytest.mark.xfail
        async def test_is_expected():
            raise AssertionError

        @pytest.mark.xfail(strict=True)
        async def test_is_not_expected():
            pass

        async def test_ends_itself():
            goexit()

        async def test_exits():
            raise SystemExit(3)
        """
    )
    result.assert_outcomes(passed=2, failed=4, skipped=2, xfailed=1)
    text = shown(result)
    assert "AssertionError: it is not" in text
    assert "assert None == 7" in text  # rewritten
    assert "ArithmeticError: seven" in text
    assert "XPASS(strict)" in text
    assert "pytest_plugin.py" not in text  # no frames of ours
    assert "_block.py" not in text


def test_the_tests_of_one_file_are_programs_of_their_own(play: Play) -> None:
    play(
        """
        ids = []

        @pytest.mark.parametrize("n", range(3))
        async def test_it(n):
            ids.append((await go(me())).id)
            assert gopark.num_goroutine() == 3
            assert ids[n] == ids[0]

        async def me():
            return gopark.current()
        """
    )


def test_hypothesis(play: Play) -> None:
    play(
        """
        from hypothesis import given, settings, strategies as st

        seen = []

        @given(st.integers(), st.data())
        @settings(max_examples=20, database=None, deadline=None)
        async def test_it(n, data):
            await sleep(0)
            seen.append(n)

        def test_it_ran():
            assert len(seen) == 20

        @given(st.integers())
        @settings(max_examples=20, database=None, deadline=None)
        @pytest.mark.xfail(raises=ZeroDivisionError, strict=True)
        async def test_it_finds(n):
            await sleep(0)
            1 / n
        """
    ).assert_outcomes(passed=2, xfailed=1)


# -- fixtures -----------------------------------------------------------------


def test_fixtures(play: Play) -> None:
    """One after the other, and back, all in the goroutine of the test."""
    result = play(
        """
        where = []

        def note(name):
            where.append((name, gopark.current().id))

        @pytest.fixture
        async def first():
            note("first")
            await sleep(0)
            return 1

        @pytest.fixture
        async def second(first):
            await sleep(0)
            note("second")
            yield first + 1
            await sleep(0)
            note("second ends")

        @pytest.fixture
        def third(second):
            yield second + 1
            where.append("third ends")

        @pytest.fixture
        async def fourth(third):
            note("fourth")
            yield third + 1
            note("fourth ends")

        async def test_it(first, second, third, fourth):
            note("test")
            assert (first, second, third, fourth) == (1, 2, 3, 4)

        @pytest.mark.gopark
        async def test_how_it_went():
            names = [x if isinstance(x, str) else x[0] for x in where]
            assert names == [
                *("first", "second", "fourth", "test"),
                *("fourth ends", "third ends", "second ends"),
            ]
            assert len({x[1] for x in where if not isinstance(x, str)}) == 1
        """
    )
    result.assert_outcomes(passed=2)


def test_context_variables(play: Play) -> None:
    """What a fixture sets, async or plain, the test sees."""
    play(
        """
        var = contextvars.ContextVar("var", default="nobody")

        @pytest.fixture
        async def ada():
            token = var.set("ada")
            yield
            assert var.get() == "ada"
            var.reset(token)

        @pytest.fixture
        def plain(ada):
            assert var.get() == "ada"
            token = var.set("plain")
            yield
            assert var.get() == "test"
            var.reset(token)

        @pytest.fixture
        async def last(plain):
            assert var.get() == "plain"

        async def test_it(last):
            assert var.get() == "plain"
            var.set("test")

        async def test_the_next_one_is_not_touched():
            assert var.get() == "nobody"
        """
    ).assert_outcomes(passed=2)


def test_a_fixture_may_open_a_group_and_a_scope(play: Play) -> None:
    result = play(
        """
        @pytest.fixture
        async def group():
            with CancelScope():
                async with TaskGroup() as tg:
                    yield tg

        async def test_passes(group):
            await group.go(sleep(0))

        async def test_is_cancelled_with_the_group(group):
            await group.go(fail())
            await Chan().recv()

        async def test_the_next_one_is_not_touched(group):
            await sleep(0)
        """
    )
    result.assert_outcomes(passed=2, failed=1, errors=1)
    assert "ArithmeticError: seven" in shown(result)
    assert "Cancelled" in shown(result)


def test_what_goes_wrong_in_fixtures(play: Play) -> None:
    result = play(
        """
        @pytest.fixture
        async def bad():
            raise LookupError("while setting up")

        @pytest.fixture
        async def worse():
            yield
            raise LookupError("while tearing down")

        @pytest.fixture
        async def nothing():
            if False:
                yield

        @pytest.fixture
        async def twice():
            yield 1
            yield 2

        @pytest.fixture(scope="module")
        async def wide():
            return 1

        @pytest.fixture
        async def skips():
            pytest.skip("not today")

        async def test_bad(bad): pass
        async def test_worse(worse): pass
        async def test_nothing(nothing): pass
        async def test_twice(twice): pass
        async def test_wide(wide): pass
        async def test_skips(skips): pass
        """
    )
    result.assert_outcomes(passed=2, errors=5, skipped=1)
    text = shown(result)
    assert "LookupError: while setting up" in text
    assert "LookupError: while tearing down" in text
    assert "RuntimeError: the async fixture 'nothing' yields nothing" in text
    assert "RuntimeError: the async fixture 'twice' yields more than once" in text
    assert "the async fixture 'wide' has scope 'module', but what is async lives in" in text


def test_wider_fixtures_that_are_plain(play: Play) -> None:
    play(
        """
        order = []

        @pytest.fixture(scope="module")
        def module():
            order.append("module")
            yield
            order.append("module ends")

        @pytest.mark.parametrize("n", range(2))
        async def test_it(module, n):
            order.append(n)

        def test_order():
            assert order == ["module", 0, 1]
        """
    ).assert_outcomes(passed=3)


def test_a_fixture_asked_for_in_the_test(play: Play) -> None:
    play(
        """
        @pytest.fixture
        async def value():
            await sleep(0)
            yield 7

        def test_it(request):
            assert request.getfixturevalue("value") == 7
        """
    ).assert_outcomes(passed=1)


# -- goroutines that are left behind ------------------------------------------


def test_leaks(play: Play) -> None:
    result = play(
        """
        async def test_leaks():
            go(receive(Chan()), name="worker")

        def test_plain_code_leaks():
            go(sleep, 1000, name="sleeper")

        async def test_leaves_none():
            go(sleep(0))

        @pytest.mark.gopark(leaks=False)
        async def test_may():
            go(receive(Chan()))

        @pytest.mark.gopark(ignore=["pool-*"])
        async def test_ignores():
            go(receive(Chan()), name="pool-1")

        @pytest.mark.gopark(ignore="pool-*")
        async def test_ignores_others():
            go(receive(Chan()), name="pond-1")

        @pytest.mark.xfail(strict=True)
        async def test_is_expected():
            go(receive(Chan()))
        """
    )
    result.assert_outcomes(passed=3, failed=3, xfailed=1)
    result.stdout.fnmatch_lines(
        [
            "*_ test_leaks _*",
            "1 goroutine outlives the test that started them",
            "Leaked, as nobody can wake any more:",
            "goroutine * [[]chan receive[]] worker:",
            "*in receive",
            "*created by test_leaks, *",
            "*_ test_plain_code_leaks _*",
            "Alive:",
            "goroutine * [[]sleep[]] sleeper:",
            "*_ test_ignores_others _*",
            "FAILED test_it.py::test_leaks - *1 goroutine outlives*",
        ]
    )


def test_a_fixture_may_end_them(play: Play) -> None:
    play(
        """
        @pytest.fixture
        async def jobs():
            jobs = Chan()
            yield jobs
            jobs.close()

        async def test_it(jobs):
            async def work():
                async for _ in jobs:
                    pass

            go(work())
        """
    ).assert_outcomes(passed=1)


def test_a_fixtures_leak_is_the_tests(play: Play) -> None:
    play(
        """
        @pytest.fixture
        async def server():
            go(receive(Chan()), name="server")
            yield

        async def test_it(server):
            pass
        """
    ).assert_outcomes(failed=1)


def test_one_that_failed_is_not_checked(play: Play) -> None:
    result = play(
        """
        async def test_it():
            go(receive(Chan()))
            raise LookupError("the test's own")
        """
    )
    result.assert_outcomes(failed=1)
    assert "the test's own" in shown(result)
    assert "outlives" not in shown(result)


# -- programs that end early --------------------------------------------------


def test_deadlock(play: Play) -> None:
    """Told as it is, also if there is a timeout; the fixtures that are plain are torn down."""
    result = play(
        """
        over = []
        var = contextvars.ContextVar("var")

        @pytest.fixture
        def plain():
            var.set("mine")
            yield
            over.append(var.get())

        @pytest.fixture
        async def halves(plain):
            yield
            over.append("halves")

        async def test_hangs(halves):
            go(receive(Chan()), name="another")
            await Chan().recv()

        async def test_the_next_one():
            assert over == ["halves", "mine"]

        @pytest.fixture
        async def stuck():
            await Chan().recv()

        async def test_hangs_early(stuck):
            pass

        @pytest.fixture
        async def stuck_later():
            yield
            await Chan().recv()

        async def test_hangs_late(stuck_later):
            pass

        def test_hangs_in_plain_code():
            block_on(Chan().recv())
        """,
        "--gopark-timeout=1000",
    )
    result.assert_outcomes(passed=2, failed=2, errors=2)
    result.stdout.fnmatch_lines(
        [
            "*_ test_hangs _*",
            "all goroutines are asleep",
            "goroutine 2 [[]chan receive[]] test_hangs:",
            "*in test_hangs",
            "*in recv",
            "goroutine * [[]chan receive[]] another:",
            "*created by test_hangs, *",
        ]
    )
    hanging, _, plain = shown(result).partition("_ test_hangs_in_plain_code _")
    assert "goroutine 1 " not in hanging  # pytest's own
    assert ">       block_on(Chan().recv())" in plain
    assert "Failed: all goroutines are asleep" in plain
    assert "pytest_plugin.py" not in shown(result)


def test_panic(play: Play) -> None:
    result = play(
        """
        async def test_nobody_holds_it():
            go(fail("first"), name="bad")
            await sleep(1000)

        async def test_it_is_held():
            g = go(fail("second"))
            while not g.done():
                await gosched()

        held = []

        async def test_it_is_held_for_longer():
            held.append(go(fail("third")))
            while not held[0].done():
                await gosched()

        def test_in_plain_code():
            g = go(fail("fourth"))
            while not g.done():
                block_on(gosched())

        async def test_the_next_one():
            pass
        """
    )
    result.assert_outcomes(passed=1, failed=4)
    result.stdout.fnmatch_lines(
        [
            "*_ test_nobody_holds_it _*",
            "goroutine * [[]bad[]] failed with ArithmeticError: first",
            "created by test_nobody_holds_it, *",
            "Traceback*",
            "*in fail",
            "ArithmeticError: first",
        ]
    )
    for what in ("second", "third", "fourth"):
        assert f"failed with ArithmeticError: {what}" in shown(result)


# -- the number of Ps ---------------------------------------------------------


def test_procs(play: Play) -> None:
    source = """
        async def test_it(gopark_procs):
            assert gomaxprocs() == gopark_procs
            print("Ps:", gopark_procs)

        @pytest.mark.gopark(procs=3)
        async def test_marked():
            assert gomaxprocs() == 3

        @pytest.mark.gopark(procs=(1, 2))
        @pytest.mark.parametrize("n", "ab")
        async def test_both(n):
            assert gomaxprocs() in (1, 2)
    """
    result = play(source, "-v", "-s", "--gopark-procs=4")
    result.assert_outcomes(passed=6)
    assert "Ps: 4" in shown(result)
    result = play(source, "-v", "-s", "--gopark-procs=1,4")
    result.assert_outcomes(passed=7)
    result.stdout.fnmatch_lines(
        [
            "*::test_it[[]procs=1[]] Ps: 1",
            "*::test_it[[]procs=4[]] Ps: 4",
            "*::test_marked *",
            "*::test_both[[]*procs=1*[]]*",
        ]
    )


def test_procs_of_tests_that_are_not_ours(play: Play) -> None:
    result = play("def test_it(): pass", "--gopark-procs=1,2", marked=False)
    result.assert_outcomes(passed=1)


# -- the timeout --------------------------------------------------------------


def test_timeout(play: Play) -> None:
    result = play(
        """
        over = []

        @pytest.fixture
        def plain():
            yield
            over.append("plain")

        @pytest.mark.gopark(timeout=0.3)
        async def test_waits(plain):
            go(receive(Chan()), name="another")
            await sleep(1000)

        async def test_the_next_one():
            assert over == ["plain"]

        event = threading.Event()

        @pytest.mark.gopark(timeout=0.3)
        async def test_is_stuck_in_plain_code():
            event.wait()

        def test_it_goes_on():
            event.set()
        """,
        "-W",
        "ignore:the program is over:RuntimeWarning",
    )
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines(
        [
            "*_ test_waits _*",
            "the test took longer than 0.3 seconds",
            "goroutine 2 [[]sleep[]] test_waits:",
            "*in test_waits",
            "goroutine * [[]chan receive[]] another:",
            "*in receive",
            "*created by test_waits, *",
            "*_ test_is_stuck_in_plain_code _*",
            "the test took longer than 0.3 seconds",
            "goroutine 2 [[]running[]] test_is_stuck_in_plain_code:",
            "*in wait",
            "*in test_is_stuck_in_plain_code",
        ]
    )
    assert "goroutine 1 " not in shown(result)
    assert "in time_out" not in shown(result)


# 3.11 cannot close an async generator that was cut off in the middle of a wait, and says so.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_timeout_of_all(play: Play) -> None:
    result = play(
        """
        async def test_waits():
            await sleep(1000)

        async def test_does_not():
            await sleep(0)

        @pytest.fixture
        async def slow():
            yield
            await sleep(1000)

        async def test_has_a_slow_fixture(slow):
            pass
        """,
        "--gopark-timeout=0.5",
    )
    result.assert_outcomes(passed=2, failed=1, errors=1)
    assert shown(result).count("the test took longer than 0.5 seconds\n\n") == 2
    assert "in slow" in shown(result)


@pytest.mark.parametrize("how", ["threading.Event().wait()", "while True: pass"])
def test_timeout_of_plain_code_on_the_main_thread(play: Play, how: str) -> None:
    result = play(
        f"""
        @pytest.mark.gopark(timeout=0.3)
        def test_hangs():
            {how}

        @pytest.fixture
        def hangs():
            {how}

        @pytest.mark.gopark(timeout=0.3)
        async def test_hangs_early(hangs):
            pass

        async def test_the_next_one():
            pass
        """,
        "-W",
        "ignore:the program is over:RuntimeWarning",
    )
    result.assert_outcomes(passed=1, failed=1, errors=1)
    result.stdout.fnmatch_lines(
        [
            "*_ ERROR at setup of test_hangs_early _*",
            "*Failed: the test took longer than 0.3 seconds",
            "*goroutine 1 [[]running[]] pytest:",
            "*in hangs",
            "*_ test_hangs _*",
            "*Failed: the test took longer than 0.3 seconds",
            "*goroutine 1 [[]running[]] pytest:",
            "*in test_hangs",
        ]
    )
    assert "in pytest_runtest_call" not in shown(result)


def run_apart(folder: Path, source: str, *options: str) -> subprocess.Popen[str]:
    (folder / "test_it.py").write_text(HEAD + textwrap.dedent(source), encoding="utf-8")
    package = Path(gopark.__file__).parent.parent
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", *plugin(), "-p", "no:cacheprovider", *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(package)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_timeout_of_what_cannot_be_broken_off(tmp_path: Path) -> None:
    """A call into C that looks at no signals: pytest ends, and says what it was."""
    process = run_apart(
        tmp_path,
        """
        import hashlib
        from gopark import pytest_plugin

        pytest_plugin._GRACE = 0.1

        @pytest.mark.gopark(timeout=0.3)
        def test_hangs():
            hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
        """,
    )
    text, _ = process.communicate()
    assert process.returncode == 1
    assert "test_it.py::test_hangs: the test took longer than 0.3 seconds" in text
    assert "in test_hangs" in text
    assert "The test cannot be broken off: pytest ends here." in text


def test_ctrl_c(tmp_path: Path) -> None:
    process = run_apart(
        tmp_path,
        """
        @pytest.fixture
        def plain():
            yield
            print("torn down")

        @pytest.mark.gopark
        async def test_waits(plain):
            print("begun", flush=True)
            await sleep(1000)

        def test_is_never_run():
            raise AssertionError
        """,
        "-s",
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "begun" in line:
            break
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate()
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert "KeyboardInterrupt" in text
    assert "torn down" in text


# -- pytest's other options ---------------------------------------------------


def test_exitfirst(play: Play) -> None:
    result = play(
        """
        @pytest.fixture(scope="module", autouse=True)
        def module():
            yield
            print("the module is torn down")

        async def test_fails():
            raise AssertionError

        async def test_is_not_run():
            pass
        """,
        "-x",
        "-s",
    )
    result.assert_outcomes(failed=1)
    assert "the module is torn down" in shown(result)


def test_exit(play: Play) -> None:
    result = play(
        """
        async def test_exits():
            pytest.exit("enough")

        async def test_is_not_run():
            pass
        """
    )
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert "enough" in shown(result)


@pytest.mark.parametrize("option", ["--setup-only", "--setup-show", "--setup-plan"])
def test_setup_options(play: Play, option: str) -> None:
    result = play(
        """
        @pytest.fixture
        async def value():
            yield 7

        async def test_it(value):
            assert value == 7
        """,
        option,
    )
    assert result.ret == 0
    assert "SETUP    F value" in shown(result)
    assert "TEARDOWN F value" in shown(result)


def test_durations_and_output(play: Play) -> None:
    result = play(
        """
        async def test_leaks():
            print("printed")
            await sleep(0.05)
            go(receive(Chan()))
        """,
        "--durations=1",
        "-vv",
    )
    result.stdout.fnmatch_lines(["*Captured stdout call*", "printed", "0.* call*test_leaks"])


def test_the_tests_in_the_guide(pytester: pytest.Pytester) -> None:
    guide = Path(__file__).parent.parent / "docs/guide.md"
    source = (
        guide.read_text(encoding="utf-8").partition("# test_squares.py\n")[2].partition("```")[0]
    )
    pytester.makepyfile(test_squares=source)
    result = pytester.runpytest_subprocess(*plugin(), "-p", "no:cacheprovider", "--strict-markers")
    assert set(result.parseoutcomes()) == {"passed"}


def test_the_mark_is_registered(play: Play) -> None:
    result = play("", "--markers")
    assert "@pytest.mark.gopark(" in shown(result)
