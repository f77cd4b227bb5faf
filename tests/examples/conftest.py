"""The example programs: as processes, and some as modules too."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def example() -> Callable[..., list[str]]:
    """Makes the command line that runs an example, with warnings as errors."""

    def command(name: str, *args: object) -> list[str]:
        start = [sys.executable, "-W", "error", "-m", "gopark", "run"]
        return [*start, str(EXAMPLES / f"{name}.py"), *map(os.fspath, args)]

    return command


@pytest.fixture
def run(example: Callable[..., list[str]]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs an example to its end."""

    def run(name: str, *args: object, **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            example(name, *args),
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=100,
            **options,
        )

    return run


@pytest.fixture
def serve(
    example: Callable[..., list[str]],
) -> Iterator[Callable[..., tuple[subprocess.Popen[str], tuple[str, int]]]]:
    """Starts an example that is a server and prints its address last on its first line."""
    with ExitStack() as stack:

        def serve(name: str, *args: object) -> tuple[subprocess.Popen[str], tuple[str, int]]:
            process = subprocess.Popen(
                example(name, *args),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            address = process.stdout.readline().split()[-1].removeprefix("http://")
            host, _, port = address.rpartition(":")
            return process, (host, int(port))

        yield serve


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # its dataclasses look for it there
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def dupes() -> ModuleType:
    return load("dupes")


@pytest.fixture(scope="session")
def anyblock() -> ModuleType:
    return load("anyblock")


@pytest.fixture(scope="session")
def redis_client() -> ModuleType:
    pytest.importorskip("hiredis", reason="hiredis is not installed: it is in the extra `examples`")
    return load("redis_client")
