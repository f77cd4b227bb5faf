"""os.fork, and whatever else makes processes, in a program that runs."""

import multiprocessing
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

HEAD = '''
import atexit, multiprocessing, os, signal, subprocess, sys, threading, time
import gopark
from gopark import Chan, CLOSED, block_on, go, gosched, run, select, sleep

def code(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

async def park(*goroutines):
    """Until all of them wait."""
    while any(g.status != "waiting" for g in goroutines):
        await gosched()

def play(main):
    """Runs it; if it is to fork on its first thread, then it stays there."""
    async def wired():
        if WHERE == "main":
            gopark.lock_os_thread()
        await main()

    run(wired, procs=PROCS)

async def forked(child):
    """The exit code of a child that goes on with `child`, on the thread that WHERE says."""
    done = threading.Event()

    async def forker():
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            return await child()
        done.set()
        return pid

    if WHERE == "main":
        assert threading.get_ident() == threading.main_thread().ident
        gopark.unlock_os_thread()
        pid = await forker()
    else:
        g = go(forker())
        done.wait()  # on this thread, and so it forks on another
        pid = await g
    return None if pid is None else code(pid)  # None: this is the child
'''

where = pytest.mark.parametrize("where", ["main", "other"])
procs = pytest.mark.parametrize("procs", [1, 2])


class Script:
    """Runs a program as a script of its own, with warnings as errors.

    But for one: from 3.12 on Python warns of every fork beside threads, whatever these do.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(
        self, program: str, where: str = "main", procs: int = 1
    ) -> subprocess.CompletedProcess[str]:
        constants = f"WHERE, PROCS = {where!r}, {procs}\n"
        self.path.write_text(constants + HEAD + textwrap.dedent(program), encoding="utf-8")
        return subprocess.run(
            [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", str(self.path)],
            capture_output=True,
            text=True,
        )

    def prints(self, shown: str, program: str, where: str = "main", procs: int = 1) -> None:
        done = self(program, where, procs)
        assert (done.stdout, done.stderr, done.returncode) == (shown, "", 0)


@pytest.fixture
def script(tmp_path: Path) -> Script:
    return Script(tmp_path / "script.py")


class TestWithoutARuntime:
    """In the child, before it runs a program of its own."""

    @where
    def test_what_needs_one_says_so(self, where: str, script: Script) -> None:
        program = """
            full, empty = Chan(1), Chan()
            full.send_nowait(1)

            waits = {
                "send": lambda: full.send(1),
                "recv": lambda: empty.recv(),
                "recv_ok": lambda: empty.recv_ok(),
                "async for": lambda: empty.__anext__(),
                "select": lambda: select(empty, (full, 1)),
                "select with a timeout": lambda: select(empty, timeout=1),
                "sleep": lambda: sleep(0),
                "gosched": lambda: gosched(),
                "of the parent": lambda: receiver,
                "timeout": lambda: enter(gopark.timeout(1)),
                "TaskGroup": lambda: enter(gopark.TaskGroup()),
                "Mutex": lambda: gopark.sync.Mutex().lock(),
                "Semaphore": lambda: gopark.sync.Semaphore(1).acquire(),
            }
            calls = {
                "go": lambda: go(print, "never"),
                "current": gopark.current,
                "goexit": gopark.goexit,
                "gomaxprocs": lambda: gopark.gomaxprocs(2),
                "block_on": lambda: block_on(sleep(0)),
                "lock_os_thread": gopark.lock_os_thread,
                "unlock_os_thread": gopark.unlock_os_thread,
                "Timer": lambda: gopark.time.Timer(1),
                "after": lambda: gopark.time.after(1),
                "after_func": lambda: gopark.time.after_func(1, print),
            }

            async def enter(context):
                if hasattr(context, "__aenter__"):
                    await context.__aenter__()
                else:
                    context.__enter__()

            async def wait(make):
                await make()

            async def call(what):
                what()

            async def child():
                silent = []
                for how, each in (call, calls), (wait, waits):
                    for name, operation in each.items():
                        try:
                            await how(operation)
                            silent.append(name)
                        except RuntimeError as error:
                            assert str(error) == (
                                "this process was forked from a running gopark program: the child "
                                "has no runtime; start one with gopark.run"
                            ), (name, error)
                print(silent, flush=True)
                os._exit(7)

            async def main():
                global receiver
                receiver = go(empty.recv())
                await park(receiver)
                print(await forked(child))
                await empty.send(5)
                print(await receiver)

            play(main)
        """
        script.prints("[]\n7\n5\n", program, where)

    @where
    def test_what_needs_none_works(self, where: str, script: Script) -> None:
        program = """
            c = Chan(2)

            async def child():
                assert gopark.num_goroutine() == 0
                assert gopark.gomaxprocs() >= 1
                with gopark.blocking():
                    c.send_nowait(1)  # the parent's receivers are not here to take it
                assert len(c) == 1
                assert c.recv_nowait() == 1
                c.close()
                assert receivers[0].status == "waiting"
                assert receivers[0].stack()
                os._exit(7)

            async def main():
                global receivers
                receivers = [go(c.recv()) for _ in range(3)]
                selects = [go(select(c)), go(select(c, timeout=1000))]
                await park(*receivers, *selects)
                print(await forked(child))
                for n in range(5):
                    await c.send(n)
                print(sorted([await g for g in receivers] + [(await g)[1] for g in selects]))

            play(main)
        """
        script.prints("7\n[0, 1, 2, 3, 4]\n", program, where)

    def test_block_on_that_has_begun_before(self, script: Script) -> None:
        program = """
            class Bare:
                def __await__(self):
                    yield

            async def child(how):
                await sleep(0)
                pid = os.fork()
                if pid:
                    return code(pid)
                await (Bare() if how == "bare" else sleep(0))

            def main(how):
                try:
                    return block_on(child(how))
                except RuntimeError as error:
                    print(error, flush=True)
                    os._exit(7)

            for how in "bare", "sleep":
                print(run(main, how), flush=True)
        """
        says = (
            "this process was forked from a running gopark program: the child has no runtime; "
            "start one with gopark.run\n7\n"
        )
        script.prints(2 * says, program)


class TestOwnPrograms:
    """The child runs programs."""

    @where
    @procs
    def test_with_channels_of_the_parent(self, where: str, procs: int, script: Script) -> None:
        program = """
            c, buffered, permits = Chan(), Chan(3), gopark.sync.Semaphore(1)

            async def exchange():
                got = go(c.recv())
                await c.send(1)
                assert await got == 1
                got = go(select(c, None))
                await c.send(2)
                assert await got == (0, 2)
                for n in range(3):
                    await buffered.send(n)
                assert [await buffered.recv() for _ in range(3)] == [0, 1, 2]
                permits.release(1)
                await permits.acquire()
                await sleep(0.001)
                return gopark.num_goroutine()

            async def stuck():
                await c.recv()

            async def child():
                for _ in range(3):
                    assert run(exchange, procs=PROCS) == 1
                    try:
                        run(stuck, procs=PROCS)
                    except gopark.Deadlock as deadlock:
                        assert len(deadlock.goroutines) == 1
                    else:
                        raise AssertionError("no deadlock")
                try:
                    await sleep(0)
                except RuntimeError as error:
                    assert "only a goroutine can wait" in str(error), error
                os._exit(7)

            async def join(g):
                return await g

            async def acquire():
                await permits.acquire()

            async def main():
                await permits.acquire()
                receivers = [go(c.recv()) for _ in range(4)]
                joiners = [go(join(g)) for g in receivers]
                selects = [go(select(c, None, timeout=1000)) for _ in range(4)]
                others = [go(buffered.recv()), go(sleep(1000)), go(acquire())]
                cancelled = go(c.recv())
                await park(*receivers, *joiners, *selects, *others, cancelled)
                cancelled.cancel()  # it is about to leave the queue
                print(await forked(child))
                for n in range(8):
                    await c.send(n)
                print(sorted([await g for g in joiners] + [(await g)[1] for g in selects]))

            play(main)
        """
        script.prints("7\n[0, 1, 2, 3, 4, 5, 6, 7]\n", program, where, procs)

    def test_child_of_a_child_of_a_child(self, script: Script) -> None:
        program = """
            def descriptors():
                folder = "/proc/self/fd"
                return len(os.listdir(folder)) if os.path.exists(folder) else 0

            def child(depth):
                before = descriptors()
                result = run(generation, depth, procs=2)
                assert descriptors() == before
                os._exit(result)

            async def generation(depth):
                await sleep(0.001)
                if depth == 0:
                    return 0
                pid = os.fork()
                if pid == 0:
                    child(depth - 1)
                return code(pid) + 1

            print(run(generation, 5, procs=2))
        """
        script.prints("5\n", program)

    def test_between_two_programs(self, script: Script) -> None:
        """Parent and child sleep and wake at the same time, each on its own."""
        program = """
            async def work():
                c = Chan()
                async def send(n):
                    await sleep(0.001)
                    await c.send(n)
                for _ in range(50):
                    for n in range(5):
                        go(send(n))
                    assert sorted([await c.recv() for _ in range(5)]) == [0, 1, 2, 3, 4]

            run(work, procs=2)
            pid = os.fork()
            run(work, procs=2)
            if pid == 0:
                os._exit(7)
            print(code(pid))
        """
        script.prints("7\n", program)

    @pytest.mark.parametrize("procs", [1, 2, 8])
    def test_while_others_work(self, procs: int, script: Script) -> None:
        """Children are made all the time, from every thread; nothing is lost in the parent."""
        program = """
            c, over = Chan(), []

            async def produce(first):
                for n in range(first, first + 500):
                    await c.send(n)
                    await sleep(0)

            def hog():
                while not over:
                    pass

            def block():
                while not over:
                    time.sleep(0.001)

            async def add():
                got = [go(c.recv()) for _ in range(10)]
                for n in range(10):
                    await c.send(n)
                return sum([await g for g in got])

            async def fork():
                codes = []
                for _ in range(5):
                    pid = os.fork()
                    if pid == 0:
                        os._exit(run(add, procs=2))
                    await gosched()
                    codes.append(code(pid))
                return codes

            async def main():
                busy = [go(hog), go(block)]
                for i in range(4):
                    go(produce(500 * i))
                forks = [go(fork()) for _ in range(3)]
                assert sorted([await c.recv() for _ in range(2000)]) == list(range(2000))
                print([await g for g in forks])
                over.append(True)
                for g in busy:
                    await g

            run(main, procs=PROCS)
        """
        script.prints(f"{[[45] * 5] * 3}\n", program, procs=procs)

    def test_a_thread_of_ones_own_forks(self, script: Script) -> None:
        program = """
            async def add():
                await sleep(0.001)
                return await go(sum, [3, 4])

            async def main():
                codes = Chan(1)

                def thread():
                    pid = os.fork()
                    if pid == 0:
                        try:
                            go(add)
                        except RuntimeError as error:
                            assert "forked from a running" in str(error), error
                            os._exit(run(add))
                    codes.send_nowait(code(pid))

                threading.Thread(target=thread).start()
                print(await codes.recv())

            run(main)
        """
        script.prints("7\n", program)


ENDS = {
    "return": ("return", 1, "nothing to run there: end a child with os._exit"),
    "raise": ("raise ArithmeticError('in the child')", 1, "ArithmeticError: in the child"),
    "wait": ("await c.recv()", 1, "has no runtime; start one with gopark.run"),
    "exit with a code": ("sys.exit(9)", 9, ""),
    "exit with nothing": ("sys.exit()", 0, ""),
    "exit with a text": ("sys.exit('a text')", 1, "a text"),
}


class TestEnd:
    """The goroutine that has forked ends in the child too."""

    @where
    @pytest.mark.parametrize("how", ENDS)
    def test_the_process_ends_as_with_an_exception(
        self, how: str, where: str, script: Script
    ) -> None:
        statement, exit_code, says = ENDS[how]
        program = f"""
            def thread():
                time.sleep(0.1)
                print("its thread has ended")

            async def child():
                threading.Thread(target=thread).start()
                print("this is buffered")
                {statement}

            async def main():
                global c
                c = Chan()
                await park(*[go(c.recv()) for _ in range(3)])
                exit_code = await forked(child)
                if exit_code is not None:
                    print("exit code", exit_code)

            atexit.register(print, "at exit")
            try:
                play(main)
            finally:
                print("run has ended")
        """
        shown = [
            "this is buffered",
            *(["run has ended"] if where == "main" else []),
            "its thread has ended",
            "at exit",
            f"exit code {exit_code}",
            "run has ended",
            "at exit",
        ]
        done = script(program, where)
        assert (sorted(done.stdout.splitlines()), done.returncode) == (sorted(shown), 0)
        if says:
            assert done.stderr.splitlines()[-1].endswith(says)
        else:
            assert done.stderr == ""

    @where
    def test_what_the_parent_has_begun_is_the_parents(self, where: str, script: Script) -> None:
        """Its goroutines, generators and failures."""
        program = """
            async def waiter():
                try:
                    await Chan().recv()
                finally:
                    print("finally")

            async def generator():
                try:
                    yield 1
                finally:
                    await sleep(0)
                    print("closed")

            async def fail():
                raise ArithmeticError

            async def own():
                await gosched()
                print("own program")

            async def child():
                global failed, numbers
                run(own)
                del failed, numbers
                sys.exit(7)

            async def main():
                global failed, numbers
                failed, numbers = go(fail()), generator()
                await anext(numbers)
                await park(go(waiter()))
                while not failed.done():
                    await gosched()
                print(await forked(child))
                try:
                    await failed
                except ArithmeticError:
                    print("failed")

            play(main)
        """
        done = script(program, where)
        shown = ["own program", "7", "failed", "finally", "closed"]
        assert (done.stdout.splitlines(), done.stderr, done.returncode) == (shown, "", 0)

    @pytest.mark.parametrize("how", ["exit", "return"])
    @pytest.mark.parametrize("seconds", ["0.02", "1000"])
    def test_a_signal_handler_forks(self, seconds: str, how: str, script: Script) -> None:
        """While its thread sleeps, in the poller or without a timer, and in between."""
        program = f"""
            pids, over = Chan(1), []

            def fork(*_):
                pid = os.fork()
                if pid:
                    pids.send_nowait(pid)
                elif {how!r} == "exit":
                    os._exit(7)

            def send_a_signal(g):
                while g.status != "waiting":
                    time.sleep(0.001)
                signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
                while not over:  # it lives, so nobody is deadlocked
                    time.sleep(0.01)

            async def tick():
                while True:
                    await sleep({seconds})

            async def main():
                go(tick())
                threading.Thread(target=send_a_signal, args=(gopark.current(),)).start()
                print(code(await pids.recv()))

            signal.signal(signal.SIGUSR1, fork)
            try:
                run(main)
            finally:
                over.append(True)
        """
        done = script(program)
        assert (done.stdout, done.returncode) == ("7\n" if how == "exit" else "1\n", 0)
        assert ("nothing to run there" in done.stderr) == (how == "return")

    def test_a_finally_block_at_the_programs_end_forks(self, script: Script) -> None:
        program = """
            async def waiter():
                try:
                    await Chan().recv()
                finally:
                    pid = os.fork()
                    if pid:
                        print(code(pid))

            async def main():
                await park(go(waiter()))

            try:
                run(main, procs=1)
            except RuntimeError as error:
                assert "nothing to run there" in str(error)
                os._exit(7)
        """
        script.prints("7\n", program)

    @pytest.mark.skipif(not hasattr(sys, "monitoring"), reason="sys.monitoring is new in 3.12")
    def test_no_events_are_left_in_the_child(self, script: Script) -> None:
        program = """
            tools = lambda: [tool for n in range(6) if (tool := sys.monitoring.get_tool(n))]
            over = []

            def hog():
                while not over:
                    pass

            async def main():
                hogs = [go(hog) for _ in range(3)]
                while not tools():
                    await sleep(0.001)
                for _ in range(20):
                    pid = os.fork()
                    if pid == 0:
                        over.append(True)
                        hog()
                        os._exit(len(tools()))
                    assert code(pid) == 0
                    await sleep(0.001)
                over.append(True)
                for g in hogs:
                    await g

            run(main, procs=1)
        """
        script.prints("", program)


class TestProcesses:
    """Libraries that start processes, called in goroutines while others go on."""

    @procs
    def test_subprocess(self, procs: int, script: Script) -> None:
        program = """
            python = [sys.executable, "-c"]

            async def answer(n):
                done = subprocess.run(
                    [*python, f"print({n} * 7)"], capture_output=True, text=True, check=True
                )
                return int(done.stdout)

            async def talk():
                echo = [*python, "import sys; sys.stdout.write(sys.stdin.read().upper())"]
                pipe = subprocess.PIPE
                with subprocess.Popen(echo, stdin=pipe, stdout=pipe, text=True) as process:
                    return process.communicate("hello")[0]

            async def code():
                return subprocess.call([*python, "exit(9)"], preexec_fn=lambda: None)

            async def main():
                answers = [go(answer(n)) for n in range(8)]
                word, exit_code = go(talk()), go(code())
                print([await g for g in answers], await word, await exit_code)

            run(main, procs=PROCS)
        """
        script.prints(f"{[n * 7 for n in range(8)]} HELLO 9\n", program, procs=procs)

    @pytest.mark.parametrize("how", ["process", "pool", "executor"])
    @pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
    def test_multiprocessing(self, method: str, how: str, script: Script) -> None:
        program = f"""
            from concurrent.futures import ProcessPoolExecutor

            async def times(a, b):
                await sleep(0.001)
                return a * b

            async def square(n):
                return await go(times(n, n))

            def squared(n):
                return run(square, n)

            def send_squared(connection):
                connection.send(squared(connection.recv()))

            async def feed(connection, n):
                await gosched()
                connection.send(n)

            def by_process(context):
                got = []
                for n in range(4):
                    ours, theirs = context.Pipe()
                    process = context.Process(target=send_squared, args=(theirs,))
                    process.start()
                    go(feed(ours, n))
                    got.append(ours.recv())  # while this blocks, another goroutine sends
                    process.join()
                    assert process.exitcode == 0
                return got

            def by_pool(context):
                with context.Pool(2) as pool:
                    got = pool.map(squared, range(4))
                    pool.close()
                    pool.join()
                return got

            def by_executor(context):
                with ProcessPoolExecutor(2, mp_context=context) as executor:
                    return list(executor.map(squared, range(4)))

            async def main():
                print(await go(by_{how}, multiprocessing.get_context({method!r})))

            if __name__ == "__main__":
                run(main)
        """
        script.prints("[0, 1, 4, 9]\n", program)
