"""tools/check_machine.sh, on machines that lack something: each lack has its own message."""

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

TOOL = Path(__file__).parent.parent / "tools" / "check_machine.sh"

Machine = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Checks a machine whose only commands are a few of this one's and the Pythons given.

    A Python is given as the code that spoils it: this interpreter runs that first.
    """

    def check(
        *args: str, pythons: dict[str, str], **environment: str
    ) -> subprocess.CompletedProcess[str]:
        for name in ("sh", "mktemp", "head", "rm"):
            found = shutil.which(name)
            assert found is not None
            (tmp_path / name).symlink_to(found)
        for name, spoiler in pythons.items():
            wrapper = tmp_path / name
            wrapper.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{spoiler}\n$2"\n')
            wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
        return subprocess.run(
            ["sh", str(TOOL), *args],
            env={"PATH": str(tmp_path), **environment},
            capture_output=True,
            text=True,
        )

    return check


OLD = "import sys; sys.version_info = (3, 9, 2)"
NO_ENSUREPIP = "import sys; sys.modules['ensurepip'] = None"
NO_HEADERS = "import sysconfig; sysconfig.get_path = lambda name: '/nowhere'"


@pytest.mark.parametrize(
    ("args", "pythons", "cc", "problem", "remedy"),
    [
        ([], {}, None, "no Python 3.11 or newer was found", "Install one"),
        ([], {"python3": OLD}, None, "no Python 3.11 or newer was found", "make PYTHON="),
        (["python9"], {}, None, "'python9' is not a Python that runs", "make PYTHON="),
        (["python3"], {"python3": OLD}, None, "too old", "make PYTHON="),
        ([], {"python3": NO_ENSUREPIP}, None, "has no venv module", "-venv"),
        ([], {"python3": ""}, "no-such-cc -pthread", "'no-such-cc -pthread' does not", "Install"),
        ([], {"python3": NO_HEADERS}, "true", "no /nowhere/Python.h", "-dev"),
    ],
)
def test_message(
    machine: Machine,
    args: list[str],
    pythons: dict[str, str],
    cc: str | None,
    problem: str,
    remedy: str,
) -> None:
    done = machine(*args, pythons=pythons, **({"CC": cc} if cc else {}))
    assert done.returncode == 1
    assert done.stdout == ""
    what, remedy_line = done.stderr.splitlines()
    assert problem in what
    assert remedy in remedy_line


def test_a_newer_python_beside_an_old_one_is_found(machine: Machine) -> None:
    done = machine(pythons={"python3": OLD, "python3.12": ""}, CC="true")
    assert (done.returncode, done.stdout, done.stderr) == (0, "python3.12\n", "")


def test_this_machine() -> None:
    done = subprocess.run(
        ["sh", str(TOOL), sys.executable], env=os.environ, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, f"{sys.executable}\n"), done.stderr
