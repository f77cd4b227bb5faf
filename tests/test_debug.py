"""`gopark.debug`: who waits for ever, since when, and what everybody does."""

from __future__ import annotations

import functools
import gc
import io
import random
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

import gopark
from gopark import (
    CancelScope,
    Chan,
    TaskGroup,
    block_on,
    context,
    debug,
    go,
    gosched,
    run,
    select,
    sleep,
)
from gopark.runtime.errors import GoroutineReport
from gopark.runtime.proc import goroutines_
from gopark.sync import Cond, Mutex, RWMutex, Semaphore, WaitGroup
from gopark.time import Timer, after, after_func

PROCS = pytest.mark.parametrize("procs", [1, 2, 4])


async def receive(c: Any) -> None:
    await c.recv()


async def send(c: Any, value: object) -> None:
    await c.send(value)


async def join(g: Any) -> None:
    await g


async def choose(*cases: Any, timeout: float | None = None) -> None:
    await select(*cases, timeout=timeout)


async def pass_on(source: Any, to: Any) -> None:
    await to.send(await source.recv())


async def parked(*gs: Any) -> None:
    """Until they all wait."""
    while not all(g.status == "waiting" for g in gs):
        for g in gs:
            if g.done():
                await g  # raises what went wrong
                raise AssertionError(f"{g} has ended")
        await gosched()


def leaked() -> list[str]:
    return [report.name for report in debug.leaks()]


class Holder:
    """An object with attributes."""

    c: Any
    me: Any


def play(procs: int, fill: Callable[[Chan[Any]], list[Any]]) -> list[str]:
    """Who has leaked, once those that `fill` makes all wait; the channel that it gets lives on."""

    async def main() -> list[str]:
        kept: Chan[Any] = Chan()
        gs = fill(kept)
        await parked(*gs)
        found = leaked()
        assert not kept.closed  # main could still use it
        return found

    return run(main, procs=procs)


# -- one wait, and who else can reach what it waits on ------------------------


def of_a_receiver() -> Any:
    return go(receive(Chan()), name="it")


def of_a_sender() -> Any:
    return go(send(Chan(), [1]), name="it")


def of_a_sender_of_its_own_channel() -> Any:
    c: Chan[Any] = Chan()
    return go(send(c, c), name="it")


def of_a_select() -> Any:
    return go(choose(Chan(), (Chan(), 1)), name="it")


def of_a_select_without_cases() -> Any:
    return go(choose(), name="it")


def in_a_cycle() -> Any:
    holder = Holder()
    holder.me, holder.c = holder, Chan()
    return go(receive(holder.c), name="it")


def in_its_own_variables() -> Any:
    async def own() -> None:
        c: Chan[int] = Chan()
        everything: dict[str, Any] = {"list": [c], "tuple": (c,), "cell": lambda: c}
        await everything["cell"]().recv()

    return go(own(), name="it")


def in_the_middle_of_an_expression() -> Any:
    async def own(c: Any) -> Any:
        return [c, (c, {"c": c, "value": await c.recv()}, c), c]

    return go(own(Chan()), name="it")


def in_a_method() -> Any:
    class Server:
        def __init__(self) -> None:
            self.inbox: Chan[int] = Chan()

        async def serve(self) -> None:
            async for _ in self.inbox:
                pass

    return go(Server().serve(), name="it")


def in_an_async_generator() -> Any:
    async def values(c: Any) -> AsyncIterator[Any]:
        async for value in c:
            yield value

    async def consume(c: Any) -> None:
        async for _ in values(c):
            pass

    return go(consume(Chan()), name="it")


def in_an_exception_handler() -> Any:
    async def handle(c: Any) -> None:
        try:
            raise LookupError(c)
        except LookupError as error:
            await error.args[0].recv()

    return go(handle(Chan()), name="it")


def in_partial_arguments() -> Any:
    return go(functools.partial(receive, Chan())(), name="it")


def with_an_old_stack_asked_for() -> Any:
    g = go(receive(Chan()), name="it")
    assert g.stack() is not None
    return g


def of_a_stopped_timer() -> Any:
    async def wait() -> None:
        timer = Timer(1000)
        timer.stop()
        await timer.c.recv()

    return go(wait(), name="it")


async def locked(what: Any) -> None:
    async with what:
        await what.lock()


def of_a_lock() -> Any:
    return go(locked(Mutex()), name="it")


def of_a_rwmutex() -> Any:
    return go(locked(RWMutex()), name="it")


def of_a_reader() -> Any:
    async def read(rw: RWMutex) -> None:
        await rw.lock()
        async with rw.reader():
            pass

    return go(read(RWMutex()), name="it")


def of_a_semaphore() -> Any:
    async def twice(semaphore: Semaphore) -> None:
        async with semaphore:
            await semaphore.acquire()

    return go(twice(Semaphore(1)), name="it")


def of_a_waitgroup() -> Any:
    wg = WaitGroup()
    wg.add(1)

    async def wait(wg: WaitGroup) -> None:
        await wg.wait()

    return go(wait(wg), name="it")


def of_a_condition() -> Any:
    async def wait(condition: Cond) -> None:
        async with condition:
            await condition.wait()

    return go(wait(Cond()), name="it")


def of_a_context() -> Any:
    async def wait(ctx: Any) -> None:
        await ctx.done().recv()

    return go(wait(context.with_cancel(context.background())[0]), name="it")


def in_a_scope() -> Any:
    async def wait() -> None:
        with CancelScope():
            await Chan().recv()

    return go(wait(), name="it")


LEAKS: list[Any] = [
    of_a_receiver,
    of_a_sender,
    of_a_sender_of_its_own_channel,
    of_a_select,
    of_a_select_without_cases,
    in_a_cycle,
    in_its_own_variables,
    in_the_middle_of_an_expression,
    in_a_method,
    pytest.param(
        in_an_async_generator,
        # 3.11 cannot close one that was cut off in the middle of a wait, and says so at the end.
        marks=pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    ),
    in_an_exception_handler,
    in_partial_arguments,
    with_an_old_stack_asked_for,
    of_a_stopped_timer,
    of_a_lock,
    of_a_rwmutex,
    of_a_reader,
    of_a_semaphore,
    of_a_waitgroup,
    of_a_condition,
    of_a_context,
    in_a_scope,
]


@PROCS
@pytest.mark.parametrize("leak", LEAKS)
@pytest.mark.parametrize("handle", ["held", "dropped"])
def test_leaks(leak: Callable[[], Any], procs: int, handle: str) -> None:
    async def main() -> list[str]:
        g = leak()
        await parked(g)
        if handle == "dropped":
            del g
        return leaked()

    assert run(main, procs=procs) == ["it"]


# Somebody else can reach the channel.  Each gives what holds it, and what then ends it all.

Use = tuple[object, Callable[[], object]]


def nothing() -> None:
    pass


async def a_variable_of_main(c: Any) -> Use:
    return c, nothing


async def a_module(c: Any) -> Use:
    shared.append(c)
    return None, shared.clear


shared: list[Any] = []


async def a_cycle_of_main(c: Any) -> Use:
    holder = Holder()
    holder.me, holder.c = holder, c
    return holder, nothing


async def a_weak_reference(c: Any) -> Use:
    return weakref.ref(c), nothing


async def a_weak_dictionary(c: Any) -> Use:
    return weakref.WeakValueDictionary({1: c}), nothing


async def a_method(c: Any) -> Use:
    return c.close, nothing


async def a_send_not_yet_awaited(c: Any) -> Use:
    op = c.send(None)
    return op, lambda: block_on(op)


async def a_coroutine_not_yet_started(c: Any) -> Use:
    coro = receive(c)
    return coro, coro.close


async def a_generator_in_the_middle(c: Any) -> Use:
    def values(c: Any) -> Iterator[int]:
        yield 1
        c.close()

    generator = values(c)
    next(generator)
    return generator, nothing


async def a_goroutine_in_plain_code(c: Any) -> Use:
    over = threading.Event()

    def work(c: Any) -> object:
        over.wait()
        return c

    go(work, c)
    return None, over.set


async def a_sleeper(c: Any) -> Use:
    async def later() -> None:
        await sleep(1000)
        c.close()

    await parked(go(later()))
    return None, nothing


async def a_select_with_a_timeout(c: Any) -> Use:
    async def later() -> None:
        await select(Chan(), timeout=1000)
        c.close()

    await parked(go(later()))
    return None, nothing


async def a_timer(c: Any) -> Use:
    after_func(1000, c.close)
    return None, nothing


async def a_thread(c: Any) -> Use:
    over = threading.Event()

    def work(c: Any) -> object:
        over.wait()
        return c

    thread = threading.Thread(target=work, args=(c,))
    thread.start()
    return None, lambda: (over.set(), thread.join())


async def plain_code_that_waits(c: Any) -> Use:
    def plain(c: Any) -> None:
        block_on(select(Chan()))
        c.close()

    await parked(go(plain, c))
    return None, nothing


async def an_exception(c: Any) -> Use:
    try:
        await raising(c)
    except LookupError as error:
        return error, nothing
    raise AssertionError


async def raising(c: Any) -> None:
    raise LookupError(type(c))


USES = [
    a_variable_of_main,
    a_module,
    a_cycle_of_main,
    a_weak_reference,
    a_weak_dictionary,
    a_method,
    a_send_not_yet_awaited,
    a_coroutine_not_yet_started,
    a_generator_in_the_middle,
    a_goroutine_in_plain_code,
    a_sleeper,
    a_select_with_a_timeout,
    a_timer,
    a_thread,
    plain_code_that_waits,
    an_exception,
]


def directly() -> tuple[Any, list[Any]]:
    """The channel that is used, and the goroutines that need it."""
    c: Any = Chan()
    return c, [go(receive(c), name="it")]


def through_another() -> tuple[Any, list[Any]]:
    c, inner = Chan[Any](), Chan[Any]()
    return c, [go(receive(inner), name="it"), go(pass_on(c, inner), name="between")]


def through_await() -> tuple[Any, list[Any]]:
    c: Any = Chan()
    g = go(receive(c), name="it")
    return c, [g, go(join(g), name="joiner")]


def through_a_select() -> tuple[Any, list[Any]]:
    c: Any = Chan()
    return c, [go(choose(Chan(), c, (Chan(), 1)), name="it")]


@PROCS
@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("way", [directly, through_another, through_await, through_a_select])
def test_what_somebody_can_reach_has_not_leaked(
    use: Callable[[Any], Any], way: Callable[[], tuple[Any, list[Any]]], procs: int
) -> None:
    async def main() -> list[str]:
        c, gs = way()
        await parked(*gs)
        held, end = await use(c)
        del c
        found = leaked()
        end()
        del held
        return found

    assert run(main, procs=procs) == []


@PROCS
@pytest.mark.parametrize("way", [directly, through_another, through_await, through_a_select])
def test_what_nobody_can_reach_has(way: Callable[[], tuple[Any, list[Any]]], procs: int) -> None:
    """The same without a use: so the test above can fail."""

    async def main() -> tuple[list[str], list[str]]:
        c, gs = way()
        await parked(*gs)
        del c
        return leaked(), [g.name for g in gs]

    found, all_of_them = run(main, procs=procs)
    assert found == all_of_them


@PROCS
def test_a_channel_of_after_is_reached_by_its_timer(procs: int) -> None:
    assert play(procs, lambda kept: [go(receive(after(1000)))]) == []


@PROCS
def test_a_timeout_wakes(procs: int) -> None:
    assert play(procs, lambda kept: [go(choose(Chan(), timeout=1000))]) == []


@PROCS
@pytest.mark.parametrize("thing", [Mutex, RWMutex, Semaphore])
def test_a_lock_that_somebody_can_reach(thing: Any, procs: int) -> None:
    async def main() -> list[str]:
        lock = thing(1) if thing is Semaphore else thing()
        async with lock:
            g = go(enter(lock))
            await parked(g)
            found = leaked()
        await g
        return found

    async def enter(lock: Any) -> None:
        async with lock:
            pass

    assert run(main, procs=procs) == []


@PROCS
def test_a_deadline_ends_a_wait(procs: int) -> None:
    async def wait() -> None:
        with gopark.timeout(1000):
            await Chan().recv()

    async def wait_on_a_context() -> None:
        ctx, _ = context.with_timeout(context.background(), 1000)
        await ctx.done().recv()

    assert play(procs, lambda kept: [go(wait()), go(wait_on_a_context())]) == []


@PROCS
def test_whoever_has_the_scope_can_end_a_wait(procs: int) -> None:
    async def main() -> list[list[str]]:
        scope = CancelScope()

        async def wait(scope: CancelScope) -> None:
            with scope, CancelScope():
                await Chan().recv()

        g = go(wait(scope), name="it")
        await parked(g)
        before = leaked()
        del scope
        return [before, leaked()]

    assert run(main, procs=procs) == [[], ["it"]]


@PROCS
def test_a_task_group_ends_with_the_first_that_fails(procs: int) -> None:
    """So as long as one of its goroutines can go on, none has leaked."""

    async def group(a: Chan[Any], b: Chan[Any]) -> None:
        async with TaskGroup() as tg:
            await tg.go(receive(a), name="a")
            await tg.go(receive(b), name="b")

    async def main() -> list[str]:
        kept: Chan[Any] = Chan()
        gs = [go(group(Chan(), Chan()), name="lost"), go(group(kept, Chan()), name="good")]
        while gopark.num_goroutine() < 7:
            await gosched()
        await parked(*gs)
        await parked(*[g for g in goroutines_() if g.id > 1])
        found = leaked()
        del kept
        return found

    assert sorted(run(main, procs=procs)) == ["a", "b", "lost"]


@PROCS
def test_those_who_wait_for_each_other(procs: int) -> None:
    def fill(kept: Chan[Any]) -> list[Any]:
        a, b, c = Chan[Any](), Chan[Any](), Chan[Any]()
        return [
            go(pass_on(a, b), name="a to b"),
            go(pass_on(b, a), name="b to a"),
            go(pass_on(c, kept), name="c to one that lives"),
            go(receive(kept), name="a good one"),
            go(choose(Chan(), kept), name="another"),
        ]

    assert play(procs, fill) == ["a to b", "b to a", "c to one that lives"]


@PROCS
def test_await_waits_for_whatever_the_other_waits_for(procs: int) -> None:
    def fill(kept: Chan[Any]) -> list[Any]:
        bad = go(receive(Chan()), name="bad")
        good = go(receive(kept), name="good")
        of_bad = go(join(bad), name="of bad")
        of_good = go(join(good), name="of good")
        return [
            *(bad, good, of_bad, of_good),
            *(go(join(of_bad), name="of that"), go(join(of_good), name="of this")),
            go(join(go(sleep(1000), name="sleeper")), name="of a sleeper"),
        ]

    assert play(procs, fill) == ["bad", "of bad", "of that"]


@PROCS
def test_a_context_is_shared(procs: int) -> None:
    import contextvars

    var: contextvars.ContextVar[Any] = contextvars.ContextVar("var")

    async def wait() -> None:
        await var.get().recv()

    def mine() -> Any:
        var.set(Chan())
        return go(wait(), name="alone")

    async def main() -> list[str]:
        var.set(Chan())
        first = go(wait(), name="with main's")
        second = contextvars.copy_context().run(mine)
        await parked(first, second)
        return leaked()

    assert run(main, procs=procs) == ["alone"]


def test_a_variable_that_is_gone() -> None:
    """The channel is in use as long as main has it, and not longer."""

    async def main() -> list[list[str]]:
        c: Chan[int] = Chan()
        g = go(receive(c), name="it")
        await parked(g)
        before = leaked()
        del c
        return [before, leaked()]

    assert run(main) == [[], ["it"]]


def test_main_may_have_leaked_too() -> None:
    async def watch(names: list[str]) -> None:
        while gopark.debug.goroutines()[0].status != "waiting":
            await gosched()
        names += leaked()

    async def main(names: list[str]) -> None:
        go(watch(names))
        await Chan().recv()

    names: list[str] = []
    with pytest.raises(gopark.Deadlock):
        run(main, names)
    assert names == [main.__qualname__]


def test_leaks_of_a_thread() -> None:
    """Any thread may ask."""

    async def main() -> list[str]:
        g = go(receive(Chan()), name="it")
        await parked(g)
        found: list[str] = []
        answered: Chan[None] = Chan(1)

        def ask() -> None:
            found.extend(leaked())
            answered.send_nowait(None)

        thread = threading.Thread(target=ask)
        thread.start()
        await answered.recv()
        thread.join()
        return found

    assert run(main) == ["it"]


def test_garbage_is_no_use_of_a_channel() -> None:
    async def main() -> list[str]:
        holder = Holder()
        holder.me, holder.c = holder, Chan()
        g = go(receive(holder.c), name="it")
        await parked(g)
        del holder  # only the collector can find it
        return leaked()

    gc.disable()
    try:
        assert run(main) == ["it"]
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_no_program() -> None:
    assert debug.leaks() == ()
    assert debug.goroutines() == ()


# -- against a model ----------------------------------------------------------


def wrap(rng: random.Random, things: list[Any]) -> Any:
    """Hold them in one way or another."""
    match rng.randrange(7):
        case 0:
            return list(things)
        case 1:
            return dict(enumerate(things))
        case 2:
            holder = Holder()
            holder.c, holder.me = things, holder
            return holder
        case 3:
            return lambda: things
        case 4:
            return functools.partial(print, *things)
        case 5:
            return (thing for thing in things)
        case _:
            return tuple(wrap(rng, [thing]) for thing in things)


async def hold(held: Any, how: str, on: Any) -> None:
    extra = [held, on]
    if how == "recv":
        await on.recv()
    elif how == "send":
        await on.send(extra)
    elif how == "select":
        await select(on, (Chan(), held))
    else:
        await on
    raise AssertionError(extra)


@PROCS
@pytest.mark.parametrize("seed", range(12))
def test_random_programs(procs: int, seed: int) -> None:
    """Goroutines that hold channels at random: exactly those of the model have leaked."""
    rng = random.Random(seed)
    n, k = rng.randrange(5, 60), rng.randrange(3, 60)
    holds = [[rng.randrange(k) for _ in range(rng.choice([0, 0, 1, 2]))] for _ in range(n)]
    hows = [rng.choice(["recv", "send", "select", "join"]) for _ in range(n)]
    hows[0] = "recv"
    ons = [rng.randrange(i) if how == "join" else rng.randrange(k) for i, how in enumerate(hows)]
    kept = rng.sample(range(k), rng.randrange(0, k // 2 + 1))

    in_use, awake = set(kept), set[int]()
    while True:
        more = {
            i
            for i in set(range(n)) - awake
            if (ons[i] in awake if hows[i] == "join" else ons[i] in in_use)
        }
        if not more:
            break
        awake |= more
        in_use |= {c for i in more for c in holds[i]}

    async def main() -> list[int]:
        channels = [Chan[Any]() for _ in range(k)]
        gs: list[Any] = []
        for i in range(n):
            on = gs[ons[i]] if hows[i] == "join" else channels[ons[i]]
            held = wrap(rng, [channels[c] for c in holds[i]])
            gs.append(go(hold(held, hows[i], on), name=str(i)))
        await parked(*gs)
        mine = [channels[c] for c in kept]
        del channels, on, held
        if rng.random() < 0.5:
            del gs
        found = [int(name) for name in leaked()]
        del mine
        return found

    # Two that meet on a channel would not wait.  So each channel has one kind of wait.
    kinds: dict[int, str] = {}
    for i, how in enumerate(hows):
        if how != "join":
            kind = kinds.setdefault(ons[i], "send" if how == "send" else "recv")
            hows[i] = kind if (kind == "send") != (how == "send") else how
    assert run(main, procs=procs) == [i for i in range(n) if i not in awake]


def test_beside_goroutines_that_run() -> None:
    """Channels change hands all the time; none of those goroutines is ever named."""

    over: list[bool] = []

    async def server(requests: Chan[Any]) -> None:
        async for reply in requests:
            await reply.send(None)

    async def client(requests: Chan[Any]) -> None:
        while not over:
            reply: Chan[None] = Chan()
            await requests.send(reply)
            await reply.recv()

    async def chain(depth: int) -> None:
        if depth:
            await go(chain(depth - 1))
        else:
            await sleep(0)

    async def main() -> list[str]:
        requests: Chan[Any] = Chan()
        for _ in range(3):
            go(server(requests), name="server")
        clients = [go(client(requests), name="client") for _ in range(8)]
        bad = go(receive(Chan()), name="bad")
        await parked(bad)
        found = []
        for _ in range(30):
            chained = go(chain(5), name="chain")
            found += leaked()
            await chained
        over.append(True)
        for g in clients:
            await g
        return found

    assert set(run(main, procs=4)) == {"bad"}


def test_beside_plain_code_that_moves_references() -> None:
    """A thread hands a channel from place to place, while others look for leaks."""

    async def main() -> list[str]:
        c: Any = Chan()
        g = go(receive(c), name="it")
        await parked(g)
        over = threading.Event()
        places: list[list[Any]] = [[] for _ in range(50)]
        places[0].append(c)
        del c

        def juggle() -> None:
            i = 0
            while not over.is_set():
                j = (i + 7) % len(places)
                places[j].append(places[i].pop())
                i = j

        thread = threading.Thread(target=juggle)
        thread.start()
        found = []
        for _ in range(30):
            found += leaked()
        over.set()
        thread.join()
        return found

    assert run(main, procs=2) == []


# -- reports ------------------------------------------------------------------


def report(**fields: Any) -> str:
    """A report's text on a goroutine of this kind."""
    g = SimpleNamespace(
        **{"id": 7, "name": "name", "status": "waiting", "wait_reason": "chan receive"},
        **{"created_by": ("file.py", 3, "main"), "stack": lambda: (), "waited": 0.0},
    )
    g.__dict__.update(fields)
    text = GoroutineReport.__new__(GoroutineReport)
    for name in GoroutineReport.__slots__:
        setattr(text, name, getattr(g, name))
    return text.head


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "[chan receive]"),
        (0.99, "[chan receive]"),
        (1, "[chan receive, 1 second]"),
        (59.9, "[chan receive, 59 seconds]"),
        (60, "[chan receive, 1 minute]"),
        (3600 * 5, "[chan receive, 300 minutes]"),
    ],
)
def test_how_long_in_words(seconds: float, shown: str) -> None:
    assert report(waited=seconds) == f"goroutine 7 {shown} name:\n"


def test_one_that_does_not_wait() -> None:
    assert report(status="running", wait_reason="") == "goroutine 7 [running] name:\n"


def test_how_long() -> None:
    async def main() -> None:
        g = go(receive(Chan()))
        assert g.waited == 0.0
        await parked(g)
        since = time.monotonic()
        await sleep(0.1)
        # Sysmon's clock is late at times, so a wait may look longer, never shorter.
        assert g.waited >= time.monotonic() - since - 0.02
        assert debug.goroutines()[1].waited >= g.waited - 0.02
        assert gopark.current().waited == 0.0

    run(main)


def test_how_long_after_an_idle_time() -> None:
    """Sysmon sleeps, and its clock stands still, while nobody runs."""
    idle = 1.0

    async def main() -> float:
        await sleep(idle)
        start = time.monotonic()
        g = go(receive(Chan()))
        await parked(g)
        return g.waited - (time.monotonic() - start)

    assert run(main) < idle / 2


def test_deadlock_says_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        c: Chan[int] = Chan()
        go(receive(c), name="first")
        await sleep(1.1)
        await c.recv()

    with pytest.raises(
        gopark.Deadlock, match=r"goroutine 2 \[chan receive, 1 second\] first:"
    ) as e:
        run(main)
    assert "goroutine 1 [chan receive] " in str(e.value)
    first = e.value.goroutines[1]
    assert first.waited >= 1
    assert [frame.name for frame in first.stack] == ["receive", "recv"]
    assert first.created_by is not None
    assert first.created_by[2] == main.__qualname__


def test_goroutines() -> None:
    async def main() -> None:
        g = go(receive(Chan()), name="it")
        await parked(g)
        first, second = debug.goroutines()
        assert (first.id, first.status, first.created_by) == (1, "running", None)
        assert (second.name, second.wait_reason) == ("it", "chan receive")
        assert second.stack[0].name == "receive"

    run(main)


def test_a_stack_leads_through_async_generators() -> None:
    async def inner(c: Any) -> AsyncIterator[Any]:
        async for value in c:
            yield value

    async def outer(c: Any) -> AsyncIterator[Any]:
        async for value in inner(c):
            yield value

    async def consume(c: Any) -> None:
        async for _ in outer(c):
            pass

    async def main() -> None:
        c: Chan[int] = Chan()
        g = go(consume(c))
        await parked(g)
        assert [frame.name for frame in g.stack()] == ["consume", "outer", "inner", "__anext__"]
        c.close()
        await g

    run(main)


def deep(n: int, then: Callable[[], None]) -> None:
    if n:
        deep(n - 1, then)
    else:
        then()


@PROCS
def test_dump(procs: int) -> None:
    shown = io.StringIO()

    async def main() -> None:
        g = go(receive(Chan()), name="parked")
        await parked(g)
        deep(3, lambda: debug.dump(shown))

    run(main, procs=procs)
    text = shown.getvalue()
    assert "goroutine 1 [running] " in text
    assert text.count("in deep") == 4
    assert "started by gopark.run" in text
    assert "goroutine 2 [chan receive] parked:\n" in text
    assert "in receive" in text


def test_dump_of_one_that_is_stuck_in_plain_code() -> None:
    """By a thread of the program's own; the goroutine's stack is its thread's."""
    over = threading.Event()
    shown = io.StringIO()

    async def stuck() -> None:
        deep(2, lambda: over.wait() and None)

    async def main() -> None:
        g = go(stuck(), name="stuck")
        while g.status != "running":
            await gosched()
        thread = threading.Thread(target=lambda: (debug.dump(shown), over.set()))
        thread.start()
        await g
        thread.join()

    run(main, procs=2)
    goroutine = shown.getvalue().partition("goroutine 2 [running] stuck:\n")[2]
    assert "in stuck" in goroutine.partition("created by")[0]


def test_dump_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        debug.dump()

    run(main)
    assert "goroutine 1 [running] " in capsys.readouterr().err
