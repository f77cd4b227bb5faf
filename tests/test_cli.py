"""The command line, always in a process of its own: exit codes and signals are what is tested."""

import os
import signal
import subprocess
import sys
import sysconfig
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

import gopark._version

MODULE = [sys.executable, "-m", "gopark"]
CONSOLE_SCRIPT = [str(Path(sysconfig.get_path("scripts"), "gopark"))]

Write = Callable[..., Path]


@pytest.fixture
def script(tmp_path: Path) -> Write:
    """Writes a script and returns its path."""

    def write(source: str, name: str = "script.py") -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(source), encoding="utf-8")
        return path

    return write


def command(
    *args: object, start: list[str] = MODULE, **options: object
) -> subprocess.CompletedProcess[str]:
    options.setdefault("env", {**os.environ, "NO_COLOR": "1", "PYTHON_COLORS": "0"})
    return subprocess.run(
        [*start, *map(str, args)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        **options,
    )


def output(*args: object, **options: object) -> str:
    """What a command prints that must succeed."""
    done = command(*args, **options)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


class TestCommand:
    @pytest.mark.parametrize("start", [MODULE, CONSOLE_SCRIPT], ids=["module", "console script"])
    def test_version(self, start: list[str]) -> None:
        version = gopark._version.__version__
        assert output("--version", start=start) == f"gopark {version}\n"

    @pytest.mark.parametrize("start", [MODULE, CONSOLE_SCRIPT], ids=["module", "console script"])
    def test_run(self, start: list[str], script: Write) -> None:
        path = script("async def main():\n    print('ran')")
        assert output("run", path, start=start) == "ran\n"

    def test_help_names_the_command(self) -> None:
        assert "Usage: gopark run [OPTIONS] SCRIPT [ARGS]" in output("run", "--help")

    @pytest.mark.parametrize(
        ("args", "message"),
        [
            (["run"], "Missing argument 'SCRIPT'"),
            (["run", "--procs", "0", "x.py"], "'--procs'"),
            (["run", "--max-goroutines", "many", "x.py"], "'--max-goroutines'"),
            (["run", "--cores", "2", "x.py"], "No such option"),
            (["jog"], "No such command 'jog'"),
        ],
    )
    def test_wrong_usage(self, args: list[str], message: str) -> None:
        done = command(*args)
        assert done.returncode == 2
        assert message in done.stderr


class TestWhatTheScriptSees:
    def test_plain_main(self, script: Write) -> None:
        assert output("run", script("def main():\n    print('ran')")) == "ran\n"

    def test_arguments_are_the_scripts_own(self, script: Write) -> None:
        path = script("import sys\nasync def main():\n    print(sys.argv[1:])")
        args = ["--help", "-x", "--procs", "9", "--", "--version", "", "a b"]
        assert output("run", path, *args) == f"{args}\n"

    def test_name_of_the_script_as_given(self, script: Write) -> None:
        path = script("import sys\nasync def main():\n    print(sys.argv[0], __file__)")
        assert output("run", path.name, cwd=path.parent) == f"{path.name} {path}\n"

    def test_modules_beside_the_script(self, script: Write, tmp_path: Path) -> None:
        script("word = 'beside'", "beside/helper.py")
        path = script("import helper\nasync def main():\n    print(helper.word)", "beside/s.py")
        link = tmp_path / "link.py"
        link.symlink_to(path)
        assert output("run", path) == "beside\n"
        assert output("run", link) == "beside\n"  # as in Python, the folder of the file itself

    def test_main_guard_does_not_run_it_twice(self, script: Write) -> None:
        path = script(
            """
            import gopark

            async def main():
                print("once")

            if __name__ == "__main__":
                gopark.run(main())
            """
        )
        assert output("run", path) == "once\n"
        assert subprocess.check_output([sys.executable, path], text=True) == "once\n"

    def test_script_is_the_main_module(self, script: Write) -> None:
        path = script(
            """
            import __main__, pickle

            class Thing:
                pass

            async def main():
                print(__main__.Thing is Thing)
                print(type(pickle.loads(pickle.dumps(Thing()))) is Thing)
            """
        )
        assert output("run", path) == "True\nTrue\n"

    def test_objects_reach_multiprocessing_children(self, script: Write) -> None:
        path = script(
            """
            import multiprocessing

            class Thing:
                value = 42

            def value_of(thing):
                return thing.value

            def main():
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    print(pool.apply(value_of, [Thing()]))
            """
        )
        assert output("run", path) == "42\n"

    def test_options_reach_the_runtime(self, script: Write) -> None:
        path = script("import gopark\nasync def main():\n    print(gopark.gomaxprocs())")
        assert output("run", "--procs", "3", path) == "3\n"

    def test_max_goroutines_reaches_the_runtime(self, script: Write) -> None:
        path = script(
            """
            import gopark

            async def main():
                started = []
                try:
                    while len(started) < 100:
                        started.append(gopark.go(gopark.sleep, 0))
                except gopark.TooManyGoroutines:
                    print(len(started) < 10)
                for g in started:
                    await g
            """
        )
        assert output("run", "--max-goroutines", "10", path) == "True\n"

    def test_deprecations_are_shown_as_in_main(self, script: Write) -> None:
        path = script(
            """
            import warnings

            async def main():
                warnings.warn("old", DeprecationWarning)
            """
        )
        assert "DeprecationWarning: old" in command("run", path).stderr

    def test_source_encoding(self, tmp_path: Path) -> None:
        path = tmp_path / "latin.py"
        source = "# coding: latin-1\ndef main():\n    print(ascii('é'))\n"
        path.write_bytes(source.encode("latin-1"))
        assert output("run", path) == "'\\xe9'\n"


class TestExitCode:
    @pytest.mark.parametrize(
        ("body", "code", "stderr"),
        [
            ("pass", 0, ""),
            ("return 0", 0, ""),
            ("return 3", 3, ""),
            ("return 'text'", 0, ""),
            ("sys.exit()", 0, ""),
            ("sys.exit(5)", 5, ""),
            ("sys.exit('the reason')", 1, "the reason\n"),
            ("raise SystemExit(None)", 0, ""),
        ],
    )
    @pytest.mark.parametrize("form", ["async def", "def"])
    def test_of_main(self, script: Write, form: str, body: str, code: int, stderr: str) -> None:
        done = command("run", script(f"import sys\n{form} main():\n    {body}"))
        assert (done.returncode, done.stderr) == (code, stderr)

    def test_of_the_script_before_main(self, script: Write) -> None:
        assert command("run", script("import sys\nsys.exit(4)")).returncode == 4

    def test_interrupted(self, script: Write) -> None:
        path = script(
            """
            import os, signal, time

            def main():
                os.kill(os.getpid(), signal.SIGINT)
                for _ in range(3000):
                    time.sleep(0.01)
            """
        )
        done = command("run", path)
        assert done.returncode == -signal.SIGINT  # a shell shows 130
        assert done.stderr.endswith("KeyboardInterrupt\n")


class TestTraceback:
    def test_begins_in_the_script(self, script: Write) -> None:
        path = script(
            """
            async def inner():
                return 1 / 0

            async def main():
                await inner()
            """
        )
        done = command("run", path)
        lines = done.stderr.splitlines()
        assert done.returncode == 1
        assert lines[:2] == [
            "Traceback (most recent call last):",
            f'  File "{path}", line 6, in main',
        ]
        assert lines[-1] == "ZeroDivisionError: division by zero"
        assert "_cli.py" not in done.stderr

    def test_before_main_is_as_in_python(self, script: Write) -> None:
        path = script("import nothing_of_this_name")
        python = command(path, start=[sys.executable])
        assert command("run", path).stderr == python.stderr

    def test_syntax_error_is_as_in_python(self, script: Write) -> None:
        path = script("async def main():\n    print('a'")
        python = command(path, start=[sys.executable])
        done = command("run", path)
        assert (done.returncode, done.stderr) == (1, python.stderr)

    def test_a_script_may_have_a_hook(self, script: Write) -> None:
        path = script(
            """
            import sys

            async def main():
                sys.excepthook = lambda kind, error, traceback: print("hook:", error)
                raise ValueError("lost")
            """
        )
        done = command("run", path)
        assert (done.returncode, done.stdout, done.stderr) == (1, "hook: lost\n", "")

    def test_without_a_frame_of_the_script(self, script: Write) -> None:
        path = script(
            """
            import gopark

            async def main():
                await gopark.Chan().recv()
            """
        )
        done = command("run", path)
        assert done.returncode == 1
        assert "Deadlock: " in done.stderr
        assert "_cli.py" not in done.stderr


class TestUnusableScript:
    """One sentence that says what to do, and exit code 2."""

    def refused(self, path: object) -> str:
        done = command("run", path)
        assert done.returncode == 2
        assert done.stdout == ""
        (line,) = done.stderr.splitlines()
        assert line.startswith("Error: ")
        assert str(path) in line
        return line

    def test_missing(self, tmp_path: Path) -> None:
        assert "there is no file" in self.refused(tmp_path / "nowhere.py")

    def test_folder(self, tmp_path: Path) -> None:
        assert "is a folder" in self.refused(tmp_path)

    def test_not_reachable(self, script: Write) -> None:
        assert "cannot be read" in self.refused(script("") / "below.py")

    @pytest.mark.parametrize("content", [b"\x7fELF\2\1\0", b"\xff\xfe", b"# coding: klingon"])
    def test_not_python(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "program"
        path.write_bytes(content)
        assert "give the path of a Python script" in self.refused(path)

    def test_no_main(self, script: Write) -> None:
        assert "has no main: define 'async def main():'" in self.refused(script("x = 1"))

    def test_main_not_callable(self, script: Write) -> None:
        assert "of type int: define 'async def main():'" in self.refused(script("main = 1"))
