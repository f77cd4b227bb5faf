"""Mistakes that the type checker finds: strict mypy complains of an ignore that hides nothing."""

from gopark import Chan, G, context, go, run, select, sleep
from gopark.sync import Cond, Mutex, RWMutex, Semaphore, WaitGroup


async def double(n: int) -> int:
    return 2 * n


def length(text: str) -> int:
    return len(text)


async def channels(numbers: Chan[int]) -> None:
    await numbers.send("one")  # type: ignore[arg-type]
    numbers.send_nowait("one")  # type: ignore[arg-type]
    text: str = await numbers.recv()  # type: ignore[assignment]
    text = numbers.recv_nowait()  # type: ignore[assignment]
    value, _ = await numbers.recv_ok()
    print(value + 1, text)  # type: ignore[operator]
    for _ in numbers:  # type: ignore[attr-defined]
        pass
    Chan[int]("10")  # type: ignore[arg-type]
    objects: Chan[object] = numbers  # type: ignore[assignment]
    await objects.send("one")


async def goroutines() -> None:
    go(42)  # type: ignore[call-overload]
    go(double, "21")  # type: ignore[call-overload]
    go(double)  # type: ignore[call-overload]
    go(length, 4)  # type: ignore[call-overload]
    go(n for n in range(3))  # type: ignore[call-overload]
    text: G[str] = go(double(21))  # type: ignore[arg-type]
    await text
    g = go(double(21))
    g.id = 7  # type: ignore[misc]
    print(g + 1)  # type: ignore[operator]


async def locks(mu: Mutex) -> None:
    with mu:  # type: ignore[attr-defined]
        pass
    async with mu.lock():  # type: ignore[attr-defined]
        pass
    mu.lock(1)  # type: ignore[call-arg]
    Semaphore("10")  # type: ignore[arg-type]
    Cond(RWMutex())  # type: ignore[arg-type]
    WaitGroup().go(double, "21")  # type: ignore[call-overload]


def contexts() -> None:
    context.with_cancel(None)  # type: ignore[arg-type]
    context.with_cancel(context.background()).cancel(ValueError("why"))  # type: ignore[call-arg]
    context.with_cancel_cause(context.background()).cancel("why")  # type: ignore[arg-type]
    text: str = context.background().err()  # type: ignore[assignment]
    print(text, context.background().done().closed)  # type: ignore[union-attr]


async def others(numbers: Chan[int]) -> None:
    await select(42)  # type: ignore[arg-type]
    await select((42, numbers))  # type: ignore[arg-type]
    sleep(1)  # type: ignore[unused-coroutine]


def programs() -> None:
    text: str = run(double, 21)  # type: ignore[assignment]
    run(double, 21, procs="2")  # type: ignore[call-overload]
    print(text)
