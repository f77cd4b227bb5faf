"""The pytest plugin: ``async def`` tests and fixtures run on gopark.

Each test is a goroutine program of its own, with its fixtures' set-up and
tear-down.  Main is pytest's own code, which is plain code and keeps the thread that
called `run`.  All that is async runs in one goroutine beside it (`_runner`): so a
fixture's two halves and the test have the same goroutine, and a scope or a group
that a fixture opens is around the test.  Context variables are carried to and fro.

**When the program is over before the test**, by a deadlock, a panic or the timeout,
whatever pytest waits for ends with `ProgramOver`, and the phase fails with the reason.
Then main returns as soon as it can, since it is interrupted if it does not (see
runtime/signals.py); what is left of the test's phases comes after the program.

The timeout is kept by a thread, as a timer of the program's own would tell it that it
is no deadlock.  It ends the program like everybody else; the runtime breaks off plain
code.  Only if that fails too, as in a long call into C, it ends the process.
"""

from __future__ import annotations

import argparse
import contextvars
import inspect
import os
import re
import sys
import threading
import traceback
import unittest
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from types import MethodType
from typing import Any, NoReturn, TypeVar

import pytest
from _pytest.runner import check_interactive_exception, get_reraise_exceptions, show_test_item

from . import _run, debug
from ._block import block_on
from ._cancel import CancelScope
from ._chan import Chan
from .runtime import awaits, proc
from .runtime.errors import Deadlock, Goexit, GoPanic, GoroutineReport, ProgramOver
from .runtime.runtime2 import G
from .testing import GoroutinesLeft, no_leaks

T = TypeVar("T")

#: How long (in seconds) a test that has timed out may take to be broken off.
_GRACE = 10.0

_OTHERS = ("anyio", "asyncio", "trio")  # marks of those who run async tests too
_MARK = (
    "gopark(*, leaks=True, ignore=(), procs=None, timeout=None): run the test on gopark. It "
    "fails if goroutines outlive it, but for those whose names `ignore` has, or with leaks=False"
)


# -- options ------------------------------------------------------------------


@dataclass(frozen=True)
class Options:
    """How one test is run."""

    leaks: bool = True
    ignore: tuple[str, ...] = ()
    procs: tuple[int, ...] = ()  # none: what GOMAXPROCS says
    timeout: float | None = None


_options = pytest.StashKey[Options]()
_program: _Program | None = None  # the one that runs; there is one in a process


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("gopark")
    group.addoption(
        "--gopark-procs",
        metavar="N[,M...]",
        type=_option(_procs),
        default=(),
        help="run tests on this number of Ps; with several, once on each",
    )
    group.addoption(
        "--gopark-timeout",
        metavar="SECONDS",
        type=_option(_seconds),
        help="fail a test that takes longer, with the stack of every goroutine",
    )
    parser.addini(
        "gopark_mode",
        'which tests run on gopark: those with its mark ("strict"), or all async ones ("auto")',
        default="strict",
    )


def _option(convert: Callable[[str], T]) -> Callable[[str], T]:
    """For argparse, which says what is wrong only if it is told in this way."""

    def converted(text: str) -> T:
        try:
            return convert(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return converted


def _procs(text: str) -> tuple[int, ...]:
    return tuple(_run._at_most_1024("procs", int(n)) for n in text.split(","))


def _seconds(value: str | float) -> float:
    seconds = float(value)
    if not 0 < seconds < threading.TIMEOUT_MAX:
        raise ValueError(f"a timeout must be positive, not {value}")
    return seconds


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", _MARK)
    mode = config.getini("gopark_mode")
    if mode not in ("strict", "auto"):
        raise pytest.UsageError(f'gopark_mode is "strict" or "auto", not "{mode}"')


def _wanted(node: pytest.Function | Any, function: Callable[..., Any]) -> bool:
    """Is this test to run on gopark?"""
    if node.get_closest_marker("gopark") is not None:
        return True
    return (
        node.config.getini("gopark_mode") == "auto"
        and (_is_async(_inner(function) or function) or _has_async_fixtures(node))
        and not any(node.get_closest_marker(other) for other in _OTHERS)
        and not _is_unittest(node)
    )


def _is_async(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def _has_async_fixtures(node: Any) -> bool:
    fixtures = node._fixtureinfo.name2fixturedefs.values()
    return any(_is_async(defs[-1].func) for defs in fixtures)


def _is_unittest(node: Any) -> bool:
    cls = getattr(node, "cls", None)
    return cls is not None and issubclass(cls, unittest.TestCase)


def _inner(function: Any) -> Any:
    """The test itself, where Hypothesis is around it."""
    return getattr(getattr(function, "hypothesis", None), "inner_test", None)


def _options_of(node: Any) -> Options:
    """What the mark says, and where it says nothing the command line."""
    mark = node.get_closest_marker("gopark")
    given = {} if mark is None else dict(mark.kwargs)
    try:
        if mark is not None and mark.args:
            raise TypeError("it takes keyword arguments only")
        if unknown := set(given) - set(Options.__dataclass_fields__):
            raise TypeError(f"it has no {sorted(unknown)[0]!r}")
        if _is_unittest(node):
            raise TypeError("a unittest.TestCase cannot run on gopark")
        return _checked(node.config, **given)
    except (TypeError, ValueError) as error:
        raise pytest.UsageError(f"{node.nodeid}: the mark gopark: {error}") from None


def _checked(
    config: pytest.Config,
    leaks: bool = True,
    ignore: str | Iterable[str] = (),
    procs: int | Iterable[int] | None = None,
    timeout: float | None = None,
) -> Options:
    wanted: Any = config.getoption("gopark_procs") if procs is None else procs
    return Options(
        leaks=leaks,
        ignore=(ignore,) if isinstance(ignore, str) else tuple(ignore),
        procs=tuple(
            _run._at_most_1024("procs", n)
            for n in ((wanted,) if isinstance(wanted, int) else wanted)
        ),
        timeout=config.getoption("gopark_timeout") if timeout is None else _seconds(timeout),
    )


def pytest_itemcollected(item: pytest.Item) -> None:
    if isinstance(item, pytest.Function) and _wanted(item, item.obj):
        item.stash[_options] = _options_of(item)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """With several numbers of Ps the test is run on each."""
    if not _wanted(metafunc.definition, metafunc.function):
        return
    procs = _options_of(metafunc.definition).procs
    if len(procs) > 1:
        if "gopark_procs" not in metafunc.fixturenames:
            metafunc.fixturenames.append("gopark_procs")
        ids = [f"procs={n}" for n in procs]
        metafunc.parametrize("gopark_procs", procs, ids=ids, indirect=True)


@pytest.fixture
def gopark_procs(request: pytest.FixtureRequest) -> int:
    """The number of Ps that the test runs on."""
    return _run.gomaxprocs()


# -- one test -----------------------------------------------------------------


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    options = item.stash.get(_options, None)
    if options is None:
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    _Program(item, options).run(nextitem)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


class _Program:
    """One test, its fixtures, and the goroutine program that they run in."""

    def __init__(self, item: Any, options: Options) -> None:
        self.item = item
        self.options = options
        self.phases = ["setup", "call", "teardown"]  # those that are not over
        # Those that nothing was wrong with, so far: not shown yet.
        self.held: list[tuple[pytest.CallInfo[Any], pytest.TestReport]] = []
        self.failed = False
        self.ended = False
        self.thread = threading.get_ident()
        self.context = contextvars.Context()  # main's, when the program was over
        self.jobs: Chan[_Job] = Chan()
        self.runner: G[None] | None = None
        self.busy = False  # is there anything to do for the runner?
        self.seen = contextvars.copy_context()  # what the runner knows of main's variables
        self.late: list[Awaitable[None]] = []  # what was to be done when the program was over
        self.why: BaseException | None = None  # the program is over
        self.told = False  # and one of the phases has said so
        callspec = getattr(item, "callspec", None)
        chosen = None if callspec is None else callspec.params.get("gopark_procs")
        self.procs: int | None = chosen or (options.procs[0] if options.procs else None)

    # The phases of a test, as in pytest's own runtestprotocol.

    def run(self, nextitem: pytest.Item | None) -> None:
        global _program
        if not getattr(self.item, "_request", True):
            self.item._initrequest()  # it is run again
        _program = self
        try:
            self._in_a_program(nextitem)
            self._after_it(nextitem)
        finally:
            _program = None
        self.item._request = False
        self.item.funcargs = None
        for _, report in self.held:
            self.item.ihook.pytest_runtest_logreport(report=report)

    def _in_a_program(self, nextitem: pytest.Item | None) -> None:
        last: list[pytest.CallInfo[Any]] = []  # reported only after the program's end
        try:
            with _Watchdog(self):
                _run.run(self._main, nextitem, last, procs=self.procs)
        except (KeyboardInterrupt, pytest.exit.Exception):
            raise
        except BaseException as error:
            self.why = self.why or _explained(error)
        finally:
            self.ended = True
        for call in last:
            self._report(call)

    def _main(self, nextitem: pytest.Item | None, last: list[pytest.CallInfo[Any]]) -> None:
        """The main goroutine: pytest, in plain code."""
        check = no_leaks(ignore=self.options.ignore)
        check._what = "the test that started them"
        _run.current().name = "pytest"
        self.runner = proc.go(_runner(self.jobs), name=self.item.name)
        check.__enter__()
        while self.phases:
            call = self._phase(self.phases[0], nextitem)
            if self.over():
                last.append(call)
                self.context = contextvars.copy_context()
                return
            self._report(call)
        if self.options.leaks and not self.failed:
            try:
                check.__exit__(None, None, None)
            except GoroutinesLeft as error:
                self.why = _failed(str(error))
        self.jobs.close()

    def _after_it(self, nextitem: pytest.Item | None) -> None:
        """What is left of the test, if its program ended early, and what it failed of."""
        while self.phases:
            if self.phases[0] == "teardown":
                self._report(self.context.run(self._phase, "teardown", nextitem))
            else:
                self._report(self._failure(self.phases[0]))
        for awaitable in self.late:
            try:
                self.wait(awaitable)
            except Exception as error:
                awaits.unraisable(error, f"while tearing down {self.item.name}", None)
        if self.why is not None and not self.told:
            self._fail()

    def _phase(self, phase: Any, nextitem: pytest.Item | None) -> pytest.CallInfo[Any]:
        item, session = self.item, self.item.session
        hook = getattr(item.ihook, f"pytest_runtest_{phase}")
        options: dict[str, Any] = {}
        if phase == "teardown":
            stop = session.shouldfail or session.shouldstop
            options["nextitem"] = None if stop else nextitem
        return pytest.CallInfo.from_call(
            lambda: hook(item=item, **options),
            when=phase,
            reraise=get_reraise_exceptions(item.config),
        )

    def _report(self, call: pytest.CallInfo[Any]) -> None:
        """Report a phase, and decide how to go on."""
        item, phase = self.item, call.when
        report = item.ihook.pytest_runtest_makereport(item=item, call=call)
        self.phases.remove(phase)
        self.failed = self.failed or call.excinfo is not None
        if phase == "setup":
            if report.passed and item.config.getoption("setupshow", False):
                show_test_item(item, add_space=not item.config.getoption("setuponly", False))
            if not report.passed or item.config.getoption("setuponly", False):
                self.phases.remove("call")
        if self.held or (phase != "setup" and call.excinfo is None):
            self.held.append((call, report))
        else:
            item.ihook.pytest_runtest_logreport(report=report)
        if check_interactive_exception(call, report):
            item.ihook.pytest_exception_interact(node=item, call=call, report=report)

    def _fail(self) -> None:
        """The program failed: so has the test, if it seemed to have passed."""
        for i, (was, _) in enumerate(self.held):
            if was.when == "call" and was.excinfo is None:
                call = self._failure("call")
                call.start, call.stop, call.duration = was.start, was.stop, was.duration
                report = self.item.ihook.pytest_runtest_makereport(item=self.item, call=call)
                self.held[i] = (call, report)

    def _failure(self, phase: Any) -> pytest.CallInfo[Any]:
        return pytest.CallInfo.from_call(self._raise, when=phase)

    def _raise(self) -> NoReturn:
        raise self.reason()

    # What is async.

    def wait(self, awaitable: Awaitable[T]) -> T:
        """Have the runner await it; pytest waits for that."""
        __tracebackhide__ = True
        here = contextvars.copy_context()
        job = _Job(awaitable, _changes(self.seen, here))
        if self.ended:
            self._afterwards(job)
        else:
            self.busy = True
            try:
                block_on(job.done_by(self.jobs))
            except ProgramOver:
                raise self.reason() from None
            self.busy = False
        _carry(_changes(here, job.context))
        self.seen = contextvars.copy_context()
        return job.outcome()  # type: ignore[no-any-return]

    def _afterwards(self, job: _Job) -> None:
        """Its program is over: this gets one of its own."""
        __tracebackhide__ = True
        try:
            with _Watchdog(self):
                _run.run(job.do(), procs=self.procs)
        except (Deadlock, GoPanic, RuntimeWarning) as error:
            raise _explained(error) from None

    def second_half(self, awaitable: Awaitable[None]) -> None:
        """The tear-down of a fixture, now or after the program's end."""
        __tracebackhide__ = True
        if self.over() and not self.ended:
            self.late.append(awaitable)
        else:
            self.wait(awaitable)

    def over(self) -> bool:
        return self.ended or proc.ended_()[0] != 0

    def reason(self) -> BaseException:
        """Why the program is over, for a phase to raise."""
        self.told = True
        if self.why is None:
            reason, value = proc.ended_()
            if reason == _run._STOP_DEADLOCK:
                value = _run._deadlock(self.others(value))
            elif reason == _run._STOP_PANIC:
                value = awaits.panics()[0]
            self.why = _explained(value)
        return self.why

    def others(self, reports: Iterable[GoroutineReport]) -> tuple[GoroutineReport, ...]:
        """Without pytest and without our part of the runner, where these only wait."""
        runner = 0 if self.runner is None else self.runner.id
        told = []
        for report in reports:
            inner = [frame for frame in report.stack if frame.filename != __file__]
            if report.id == runner:
                report.stack = traceback.StackSummary.from_list(inner)
                report.created_by = None
            if report.id != (1 if self.busy else runner):
                told.append(report)
        return tuple(told)

    def time_out(self, seconds: float) -> str:
        """It took too long: end the program.  Called on a thread of its own."""
        shown = [f"the test took longer than {seconds:g} seconds\n"]
        for report, thread, stack in debug._stacks():
            if report is not None and thread is None:
                shown += [f"{told}\n" for told in self.others((report,)) if report.id != 1]
            elif thread not in (threading.get_ident(), self.thread if self.busy else None):
                shown.append(_without_pytest(stack))
        text = "\n".join(shown)
        proc.abort_(_failed(text))
        return text


def _without_pytest(stack: str) -> str:
    """What pytest called, without how it came to call that."""
    lines = [line for line in stack.splitlines(keepends=True) if __file__ not in line]
    calls = [i for i, line in enumerate(lines) if re.search(r"[/\\](_pytest|pluggy)[/\\]", line)]
    return "".join(lines[: calls[0]] if calls else lines)


def _failed(text: str) -> BaseException:
    return pytest.fail.Exception(text, pytrace=False)


def _explained(error: BaseException) -> BaseException:
    """What a test fails with that let its program end by this."""
    if isinstance(error, GoPanic):
        cause = "".join(traceback.format_exception(error.exception))
        error = _failed(f"{error}\n\n{cause}")
    elif isinstance(error, (Deadlock, RuntimeWarning)):
        error = _failed(str(error))
    return error


class _Watchdog(threading.Thread):
    """The thread that keeps a test's timeout, if it has one."""

    def __init__(self, program: _Program) -> None:
        super().__init__(name="gopark timeout", daemon=True)
        self.program = program
        self.seconds = program.options.timeout
        self.ended = threading.Event()

    def __enter__(self) -> None:
        if self.seconds is not None:
            self.start()

    def __exit__(self, *exc: object) -> None:
        if self.seconds is not None:
            self.ended.set()
            self.join()

    def run(self) -> None:
        assert self.seconds is not None
        proc.countthread_(1)  # it wakes no goroutine, so a deadlock is one in spite of it
        if not self.ended.wait(self.seconds):
            text = self.program.time_out(self.seconds)
            if not self.ended.wait(_GRACE):
                self.give_up(text)
        proc.countthread_(-1)

    def give_up(self, text: str) -> None:
        name = self.program.item.nodeid
        capture = self.program.item.config.pluginmanager.getplugin("capturemanager")
        if capture is not None:
            capture.suspend_global_capture(in_=True)
        print(
            f"\n{name}: {text}\nThe test cannot be broken off: pytest ends here.", file=sys.stderr
        )
        sys.stderr.flush()
        os._exit(1)


# -- what is async ------------------------------------------------------------


class _Job:
    """Something to await in the runner."""

    def __init__(self, awaitable: Awaitable[Any], changes: _Changes) -> None:
        self.awaitable: Awaitable[Any] | None = awaitable
        self.changes = changes
        self.context = contextvars.Context()
        self.value: Any = None
        self.error: BaseException | None = None
        self.done: Chan[None] = Chan()

    async def done_by(self, jobs: Chan[_Job]) -> None:
        await jobs.send(self)
        await self.done.recv_ok()

    async def do(self) -> None:
        awaitable, self.awaitable = self.awaitable, None
        assert awaitable is not None
        _carry(self.changes)
        try:
            self.value = await awaitable
        except Goexit:
            pass  # the test ended itself
        except (GeneratorExit, ProgramOver):
            raise
        except BaseException as error:
            self.error = error
        del awaitable
        self.context = contextvars.copy_context()
        self.done.close()

    def outcome(self) -> Any:
        __tracebackhide__ = True
        error, self.error = self.error, None
        if error is None:
            return self.value
        try:
            raise error
        finally:
            del error  # no reference cycle through this frame


async def _runner(jobs: Chan[_Job]) -> None:
    """Do them one by one, in one goroutine."""
    while True:
        # A fixture's scope may be cancelled, and its other half is still to come.
        with CancelScope(shield=True):
            job, ok = await jobs.recv_ok()
        if job is None or not ok:
            return
        await job.do()
        del job


_Changes = list[tuple[contextvars.ContextVar[Any], Any]]


def _changes(before: contextvars.Context, after: contextvars.Context) -> _Changes:
    return [(var, v) for var, v in after.items() if var not in before or before[var] is not v]


def _carry(changes: _Changes) -> None:
    for var, value in changes:
        var.set(value)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    __tracebackhide__ = True
    program = _program
    if program is None or program.item is not pyfuncitem:
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    with _hypothesis(pyfuncitem.obj, program):
        result = pyfuncitem.obj(**arguments)
    if inspect.isawaitable(result):
        program.wait(result)
    return True


class _hypothesis:
    """Where Hypothesis is around a test, it is to see a plain function."""

    def __init__(self, function: Any, program: _Program) -> None:
        self.inner = _inner(function)
        self.handle: Any = getattr(function, "hypothesis", None)
        self.program = program

    def __enter__(self) -> None:
        inner, program = self.inner, self.program
        if inspect.iscoroutinefunction(inner):
            self.handle.inner_test = lambda *args, **kwargs: program.wait(inner(*args, **kwargs))

    def __exit__(self, *exc: object) -> None:
        if self.inner is not None:
            self.handle.inner_test = self.inner


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, Any, Any]:
    """In a test of ours async fixtures run where the test does."""
    function: Any = fixturedef.func
    stand_in = None if _program is None else _plain(function, _program, request)
    if stand_in is None:
        return (yield)
    if fixturedef.scope != "function":
        pytest.fail(
            f"the async fixture {fixturedef.argname!r} has scope {fixturedef.scope!r}, but what is "
            'async lives in the program of one test: give it scope="function", or make it plain',
            pytrace=False,
        )
    change: Any = fixturedef
    change.func = stand_in
    try:
        return (yield)
    finally:
        change.func = function


def _plain(function: Any, program: _Program, request: pytest.FixtureRequest) -> Any:
    """An async fixture's function as a plain one; None if it is not async."""
    if isinstance(function, MethodType) and isinstance(request.instance, type(function.__self__)):
        function = MethodType(function.__func__, request.instance)

    def whole(**arguments: Any) -> Any:
        return program.wait(function(**arguments))

    def halves(**arguments: Any) -> Iterator[Any]:
        fixture = function(**arguments)
        try:
            value = program.wait(fixture.__anext__())
        except StopAsyncIteration:
            raise RuntimeError(
                f"the async fixture {request.fixturename!r} yields nothing"
            ) from None
        awaits.disown(fixture)  # its second half is ours to run, come what may
        yield value
        program.second_half(_finish(fixture, request.fixturename))

    if inspect.isasyncgenfunction(function):
        return halves
    return whole if inspect.iscoroutinefunction(function) else None


async def _finish(fixture: AsyncGenerator[Any, None], name: str | None) -> None:
    async for _ in fixture:
        raise RuntimeError(f"the async fixture {name!r} yields more than once")


def _phase() -> Generator[None, Any, Any]:
    """Around a phase: if its program is over, it fails with why that is."""
    __tracebackhide__ = True
    try:
        return (yield)
    except BaseException as error:
        if _program is None or error is _program.why or not _by_the_end(error):
            raise
        reason: Any = _program.reason()
        reason.pytrace = True  # it was in plain code, and this says where
        raise reason.with_traceback(error.__traceback__) from None


def _by_the_end(error: BaseException | None) -> bool:
    """Is it the program's end that raised here, or before this, on the way out?"""
    while error is not None and not isinstance(error, ProgramOver):
        error = error.__context__
    return error is not None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, Any, Any]:
    __tracebackhide__ = True
    return (yield from _phase())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    __tracebackhide__ = True
    return (yield from _phase())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, Any, Any]:
    __tracebackhide__ = True
    return (yield from _phase())
