"""What the type checker knows of gopark: the programs beside this file, and the stubs."""

import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
STUBS = sorted((ROOT / "src/gopark/runtime").glob("*.pyi"))


@pytest.mark.parametrize("program", ["values", "mistakes"])
def test_program(program: str, tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="the type checker is not installed: make types installs it")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml")),
            *("--cache-dir", str(tmp_path)),
            str(HERE / "programs" / f"{program}.py"),
        ],
        env={**os.environ, "MYPYPATH": str(ROOT / "src")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("stub", STUBS, ids=[stub.stem for stub in STUBS])
def test_stubs_declare_what_is_there(stub: Path) -> None:
    module = importlib.import_module(f"gopark.runtime.{stub.stem}")
    missing = []
    for statement in ast.parse(stub.read_text()).body:
        for name, members in declared(statement):
            if not hasattr(module, name):
                missing.append(name)
            else:
                owner = getattr(module, name)
                missing += [f"{name}.{member}" for member in members if not hasattr(owner, member)]
    assert not missing


def declared(statement: ast.stmt) -> list[tuple[str, list[str]]]:
    """The public names of a stub's statement, each with the members of a class."""
    match statement:
        case ast.ClassDef(name=name, body=body):
            found = [(name, [member for part in body for member, _ in declared(part)])]
        case ast.FunctionDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
            found = [(name, [])]
        case _:
            found = []
    return [(name, members) for name, members in found if name not in PRIVATE]


PRIVATE = {"__init__"}  # a compiled class has it from object, if not of its own
