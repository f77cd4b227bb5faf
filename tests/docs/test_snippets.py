"""The documentation is wrong until it runs.

On a page, the ```python blocks are one program, run in order. A ```text block right after one of
them is what it prints; `...` in it stands for anything. A block that begins with a comment such as
`# hello.py` is a script: it is only written to a file. A ```console block is run line by line if
it starts programs with `$ gopark`, and what follows a command is what it prints.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

import gopark

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


@dataclass
class Block:
    language: str
    source: str
    line: int
    follows: bool  # nothing but blank lines between it and the block before

    @property
    def script(self) -> str | None:
        """The name of the file that the block is."""
        found = re.match(r"# (\w+\.py)\n", self.source)
        return found[1] if found else None


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found, end = [], 0
    for match in FENCE.finditer(text):
        between, end = text[end : match.start()], match.end()
        line = text.count("\n", 0, match.start()) + 2
        found.append(Block(match[2], textwrap.dedent(match[3]), line, not between.strip()))
    return found


def pages_with(*languages: str) -> list[object]:
    return [
        pytest.param(page, id=page.name)
        for page in PAGES
        if any(block.language in languages for block in blocks(page))
    ]


def assert_shown(shown: str, printed: str, where: str) -> None:
    """Is `printed` what the page shows?  Spaces at the ends of lines do not count."""
    tidy = [re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE).strip() for text in (shown, printed)]
    pattern = ".*?".join(re.escape(part) for part in tidy[0].split("..."))
    if not re.fullmatch(pattern, tidy[1], re.DOTALL):
        pytest.fail(f"{where} shows\n{tidy[0]}\n\nbut this is printed:\n{tidy[1]}", pytrace=False)


@pytest.mark.parametrize("page", pages_with("python"))
def test_python(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "page"}
    printed = ""
    for block in blocks(page):
        if block.language == "python":
            if block.script is not None:
                continue
            # Tracebacks give the page's own line numbers.
            code = compile("\n" * (block.line - 1) + block.source, str(page), "exec")
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(code, namespace)
            printed = out.getvalue()
        elif block.language == "text" and block.follows:
            assert_shown(block.source, printed, f"{page.name}:{block.line}")


@pytest.mark.parametrize("page", pages_with("console"))
def test_console(page: Path, tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    for block in blocks(page):
        if block.language == "python" and block.script is not None:
            (tmp_path / block.script).write_text(block.source, encoding="utf-8")
        elif block.language == "console":
            for command, shown in sessions(block.source):
                if command[0] == "gopark":
                    assert_shown(shown, run(command, tmp_path), f"{page.name}: {command}")


def sessions(source: str) -> list[tuple[list[str], str]]:
    """The commands of a console block, each with what it prints."""
    parts = re.split(r"^\$ (.*)\n", source, flags=re.MULTILINE)[1:]
    return [
        (shlex.split(command, comments=True), shown)
        for command, shown in zip(parts[::2], parts[1::2], strict=True)
    ]


def run(command: list[str], folder: Path) -> str:
    """What a `gopark` command prints, errors included."""
    package = Path(gopark.__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(package), "NO_COLOR": "1", "PYTHON_COLORS": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        timeout=60,
    )
    return done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file) if file else page
        assert target.exists(), f"{page.name}: {link}"
        if anchor:
            assert anchor in anchors(target), f"{page.name}: {link}"


def anchors(page: Path) -> set[str]:
    """The anchors that a forge makes of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
