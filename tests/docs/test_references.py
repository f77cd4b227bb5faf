"""Every function, structure and file that docs/scheduler.md names is there.

The page writes them as `proc.py: findrunnable, stealWork`. A file without a folder is in
src/gopark/runtime; `gopark/...` is the public face, `tests/...` the tests.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs/scheduler.md").read_text(encoding="utf-8")
FILE = r"[\w/]+\.(?:py|pxd|pyi|h|md)"
REFERENCES = sorted(set(re.findall(rf"`({FILE}): ([\w., ]+)`", PAGE)))
FILES = sorted(set(re.findall(rf"`({FILE})(?:: [\w., ]+)?`", PAGE)))


def path(file: str) -> Path:
    if file.startswith("gopark/"):
        return ROOT / "src" / file
    return ROOT / file if "/" in file else ROOT / "src/gopark/runtime" / file


@cache
def names(file: Path) -> set[str]:
    """What a file defines, methods and fields with their class in front."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".h":
        return set(re.findall(r"\b\w+\b", text))
    if file.suffix == ".pxd":
        return names_of_pxd(text)
    found = set()
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{part.name}" for part in node.body if hasattr(part, "name")}
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
    for node in tree.body:
        if isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return found


def names_of_pxd(text: str) -> set[str]:
    """Classes, their fields, functions and constants."""
    found, owner = set(), ""
    for line in text.splitlines():
        line = line.partition("#")[0].rstrip()
        if match := re.match(r"cdef class (\w+)", line):
            owner = match[1]
            found.add(owner)
        elif match := re.match(r"    cdef .*?(\w+)(?:\[\d+\])?$", line):
            found.add(f"{owner}.{match[1]}")
        elif match := re.match(r"(?:ctypedef|cdef) .*?(\w+)\(|    (\w+) = -?\d+$", line):
            found.add(match[1] or match[2])
    return found


def test_there_are_references() -> None:
    assert len(REFERENCES) > 50


@pytest.mark.parametrize("file", FILES)
def test_file_exists(file: str) -> None:
    assert path(file).is_file()


@pytest.mark.parametrize(("file", "listed"), REFERENCES)
def test_is_defined(file: str, listed: str) -> None:
    missing = [name for name in listed.split(", ") if name not in names(path(file))]
    assert not missing, f"{file} does not define {missing}"


def test_every_state_is_told() -> None:
    """The tables of states are complete."""
    constants = re.findall(r"^    (_[GP]\w+|PS_\w+) = ", path("runtime2.pxd").read_text(), re.M)
    assert len(constants) > 10
    assert [name for name in constants if f"`{name}`" not in PAGE] == []
