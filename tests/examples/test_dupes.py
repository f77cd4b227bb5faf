"""`dupes` on trees of every kind: as functions, and as the command that a user starts."""

import hashlib
import json
import os
import pty
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import gopark

NOBODY = 65534


@pytest.fixture(params=[1, 2, 8])
def procs(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.fixture
def find(dupes: ModuleType) -> Callable[..., Any]:
    """Searches folders, in this process."""

    def find(*folders: str | Path, procs: int = 2, **options: object) -> Any:
        found = dupes.find_duplicates(list(map(os.fspath, folders)), **options)
        return gopark.run(found, procs=procs)

    return find


@pytest.fixture
def small_limits(dupes: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """So small that short files have a tail, and chunks of it, and that every queue fills up."""
    monkeypatch.setattr(dupes, "HEAD", 4)
    monkeypatch.setattr(dupes, "CHUNK", 3)
    monkeypatch.setattr(dupes, "QUEUE", 1)


@pytest.fixture
def bound_by_permissions() -> Iterator[Path]:
    """A folder in which the permissions of files hold for this process, even if it is root's."""
    folder = Path(tempfile.mkdtemp())
    if os.geteuid() != 0:
        yield folder
    else:
        os.chown(folder, NOBODY, -1)
        os.seteuid(NOBODY)
        try:
            yield folder
        finally:
            os.seteuid(0)
    for path in folder.iterdir():
        path.chmod(0o700)
    shutil.rmtree(folder)


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(content)
    return folder


def names(result: Any) -> list[list[str]]:
    """The groups by file name alone."""
    return [[os.path.basename(path) for path in group.paths] for group in result.groups]


def reasons(result: Any) -> dict[str, str]:
    return {os.path.basename(problem.path): problem.reason for problem in result.problems}


def too_deep(folder: Path) -> None:
    """Make folders in each other, until the path to the last is longer than the system allows."""
    name = "d" * 200
    fd = os.open(folder, os.O_RDONLY)
    for _ in range(25):
        os.mkdir(name, dir_fd=fd)
        inner = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)


class TestContent:
    def test_groups(self, tmp_path: Path, find: Callable) -> None:
        write(tmp_path / "a", one="same", two="other", three="same")
        write(tmp_path / "b", four="same", five="others")
        result = find(tmp_path)
        assert names(result) == [["one", "three", "four"]]
        assert (result.groups[0].size, result.wasted, result.files) == (4, 8, 5)
        assert result.problems == []

    def test_most_wasteful_group_first(self, tmp_path: Path, find: Callable) -> None:
        write(tmp_path, a="x" * 10, b="x" * 10, c="y" * 6, d="y" * 6, e="y" * 6, f="z" * 10)
        write(tmp_path, g="z" * 10)
        assert names(find(tmp_path)) == [["c", "d", "e"], ["a", "b"], ["f", "g"]]

    @pytest.mark.parametrize("difference", ["first", "end of head", "start of tail", "last"])
    def test_one_different_byte(
        self, tmp_path: Path, dupes: ModuleType, find: Callable, difference: str
    ) -> None:
        content = bytearray(dupes.CHUNK + dupes.HEAD + 10)
        for name in "ab":
            (tmp_path / name).write_bytes(content)
        place = {
            "first": 0,
            "end of head": dupes.HEAD - 1,
            "start of tail": dupes.HEAD,
            "last": -1,
        }
        content[place[difference]] = 1
        (tmp_path / "c").write_bytes(content)
        assert names(find(tmp_path)) == [["a", "b"]]

    def test_reads_no_more_than_needed(
        self, tmp_path: Path, dupes: ModuleType, find: Callable
    ) -> None:
        size = 3 * dupes.HEAD
        (tmp_path / "a").write_bytes(b"a" * size)
        (tmp_path / "b").write_bytes(b"b" * size)
        (tmp_path / "alone").write_bytes(b"c" * (size + 1))
        progress = dupes.Progress()
        assert find(tmp_path, progress=progress).groups == []
        assert progress.bytes_read == progress.bytes_wanted == 2 * dupes.HEAD
        (tmp_path / "c").write_bytes(b"a" * size)
        progress = dupes.Progress()
        assert names(find(tmp_path, progress=progress)) == [["a", "c"]]
        assert progress.bytes_read == progress.bytes_wanted == 2 * size + dupes.HEAD

    def test_empty_files_only_if_wanted(self, tmp_path: Path, find: Callable) -> None:
        write(tmp_path, a="", b="", c="12345", d="12345")
        assert names(find(tmp_path)) == [["c", "d"]]
        assert names(find(tmp_path, min_size=0)) == [["c", "d"], ["a", "b"]]
        assert find(tmp_path, min_size=6).groups == []

    def test_nothing_to_find(self, tmp_path: Path, find: Callable) -> None:
        result = find(tmp_path)
        assert (result.groups, result.problems, result.files) == ([], [], 0)

    def test_many_small_files(self, tmp_path: Path, find: Callable, procs: int) -> None:
        for i in range(5000):
            if i % 100 == 0:
                folder = tmp_path / str(i)
                folder.mkdir()
            (folder / str(i)).write_text(str(i % 2500))
        result = find(tmp_path, procs=procs)
        assert result.files == 5000
        assert len(result.groups) == 2500
        assert {len(group.paths) for group in result.groups} == {2}

    @pytest.mark.usefixtures("small_limits")
    @pytest.mark.parametrize("seed", range(15))
    def test_same_as_brute_force(
        self, tmp_path: Path, find: Callable, seed: int, procs: int
    ) -> None:
        make_tree(tmp_path, random.Random(seed))
        min_size = seed % 3
        result = find(tmp_path, procs=procs, min_size=min_size, workers=1 + seed % 4)
        assert result.problems == []
        assert [group.paths for group in result.groups] == brute_force(tmp_path, min_size)


def make_tree(root: Path, rng: random.Random) -> None:
    """Folders, files of few different contents, and links of both kinds, at random."""
    folders, files = [root], []
    for i in range(rng.randrange(1, 80)):
        path = rng.choice(folders) / f"{rng.randrange(100)}-{i}"
        match rng.choices(["folder", "file", "hard link", "symbolic link"], [2, 8, 1, 1])[0]:
            case "folder":
                path.mkdir()
                folders.append(path)
            case "file":
                path.write_bytes(
                    bytes(rng.choices(b"ab", k=rng.randrange(1, 4)) * rng.randrange(5))
                )
                files.append(path)
            case "hard link" if files:
                path.hardlink_to(rng.choice(files))
            case "symbolic link":
                path.symlink_to(rng.choice(folders + files))


def brute_force(root: Path, min_size: int) -> list[list[str]]:
    same: defaultdict[bytes, dict[int, str]] = defaultdict(dict)
    for folder, _, files in os.walk(root):
        for path in (Path(folder, name) for name in files):
            if not path.is_symlink() and path.stat().st_size >= min_size:
                inodes = same[path.read_bytes()]
                inode = path.stat().st_ino
                inodes[inode] = min(str(path), inodes.get(inode, str(path)))
    groups = [
        (-len(content) * (len(paths) - 1), sorted(paths.values()))
        for content, paths in same.items()
        if len(paths) > 1
    ]
    return [paths for _, paths in sorted(groups)]


class TestLinks:
    def test_hard_links_are_one_file(self, tmp_path: Path, find: Callable) -> None:
        write(tmp_path, b="same")
        (tmp_path / "a").hardlink_to(tmp_path / "b")
        result = find(tmp_path)
        assert (result.groups, result.files) == ([], 1)
        write(tmp_path, c="same")
        assert names(find(tmp_path)) == [["a", "c"]]

    def test_symbolic_links_are_not_followed(self, tmp_path: Path, find: Callable) -> None:
        outside = write(tmp_path / "outside", a="same")
        inside = write(tmp_path / "inside", b="same")
        (inside / "file").symlink_to(outside / "a")
        (inside / "folder").symlink_to(outside)
        (inside / "dangling").symlink_to("nowhere")
        (inside / "loop").symlink_to(inside)
        (inside / "self").symlink_to("self")
        result = find(inside)
        assert (result.groups, result.problems, result.files) == ([], [], 1)

    def test_a_folder_given_is_followed(self, tmp_path: Path, find: Callable) -> None:
        folder = write(tmp_path / "folder", a="same", b="same")
        (tmp_path / "link").symlink_to(folder)
        assert names(find(tmp_path / "link")) == [["a", "b"]]

    @pytest.mark.parametrize("order", [1, -1])
    def test_folders_that_overlap(self, tmp_path: Path, find: Callable, order: int) -> None:
        inner = write(tmp_path / "inner", a="same")
        write(tmp_path, b="same")
        folders = [tmp_path, inner, tmp_path, tmp_path / "inner" / ".."][::order]
        result = find(*folders)
        assert sorted(map(sorted, names(result))) == [["a", "b"]]
        assert result.files == 2

    def test_a_folder_mounted_in_itself(self, tmp_path: Path, example: Callable) -> None:
        """In a namespace of its own, so that nothing stays mounted."""
        root = write(tmp_path / "root", a="same")
        write(tmp_path / "root" / "inner" / "loop", b="same")
        mount = 'mount --bind "$0" "$0/inner/loop" && '
        separate = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
        if (
            not shutil.which("unshare")
            or subprocess.run(
                [*separate, mount + "true", root], capture_output=True, check=False
            ).returncode
        ):
            pytest.skip("a bind mount needs Linux and the right to make one")
        done = subprocess.run(
            [*separate, mount + 'exec "$@"', root, *example("dupes", root, "--json")],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert json.loads(done.stdout)["groups"] == []
        assert json.loads(done.stdout)["total"]["files"] == 1


class TestProblems:
    """What cannot be read is reported, and the rest is found all the same."""

    def test_permissions(self, bound_by_permissions: Path, find: Callable) -> None:
        folder = write(bound_by_permissions, a="same", b="same", c="same")
        write(folder / "secret", d="same")
        (folder / "c").chmod(0)
        (folder / "secret").chmod(0)
        result = find(folder)
        assert names(result) == [["a", "b"]]
        assert reasons(result) == {"c": "Permission denied", "secret": "Permission denied"}

    def test_unreadable_folder_given(self, bound_by_permissions: Path, find: Callable) -> None:
        secret, open_ = bound_by_permissions / "secret", bound_by_permissions / "open"
        write(secret, a="same").chmod(0)
        write(open_, b="same", c="same")
        result = find(secret, open_)
        assert names(result) == [["b", "c"]]
        assert reasons(result) == {"secret": "Permission denied"}

    def test_folder_that_is_gone(self, tmp_path: Path, find: Callable) -> None:
        assert reasons(find(tmp_path / "gone")) == {"gone": "No such file or directory"}

    def test_path_too_long(self, tmp_path: Path, find: Callable) -> None:
        write(tmp_path, a="same", b="same")
        too_deep(tmp_path)
        result = find(tmp_path)
        assert names(result) == [["a", "b"]]
        assert set(reasons(result).values()) == {"File name too long"}

    def test_special_files_are_skipped(self, tmp_path: Path, find: Callable) -> None:
        write(tmp_path, a="same", b="same")
        os.mkfifo(tmp_path / "pipe")
        result = find(tmp_path, min_size=0)
        assert (names(result), result.problems, result.files) == ([["a", "b"]], [], 2)

    def test_files_without_the_size_they_claim(self, find: Callable) -> None:
        if not os.path.exists("/sys/kernel/mm"):
            pytest.skip("needs Linux")
        result = find("/sys/kernel/mm")
        assert result.groups == []
        assert "is shorter than its size says" in reasons(result).values()

    @pytest.mark.parametrize("part", ["hash_head", "hash_tail"])
    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            (Path.unlink, "No such file or directory"),
            (lambda path: os.truncate(path, 3), "changed meanwhile"),
            (lambda path: os.utime(path, ns=(0, 0)), "changed meanwhile"),
            (lambda path: (path.unlink(), path.write_text("same size")), "changed meanwhile"),
            (lambda path: (path.unlink(), os.mkfifo(path)), "changed meanwhile"),
            (lambda path: (path.unlink(), path.mkdir()), "Is a directory"),
            (
                lambda path: (path.unlink(), path.symlink_to("a")),
                "Too many levels of symbolic links",
            ),
        ],
        ids=["gone", "shorter", "touched", "replaced", "pipe", "folder", "link"],
    )
    @pytest.mark.usefixtures("small_limits")
    def test_file_that_changes(
        self,
        tmp_path: Path,
        dupes: ModuleType,
        find: Callable,
        monkeypatch: pytest.MonkeyPatch,
        part: str,
        change: Callable[[Path], object],
        reason: str,
    ) -> None:
        write(tmp_path, a="same size", b="same size", c="same size")
        read = getattr(dupes, part)

        async def change_and_read(file: Any, *args: Any) -> None:
            if file.path.endswith("c"):
                change(tmp_path / "c")
            await read(file, *args)

        monkeypatch.setattr(dupes, part, change_and_read)
        result = find(tmp_path)
        assert names(result) == [["a", "b"]]
        assert reasons(result) == {"c": reason}

    def test_file_that_changes_while_it_is_read(
        self, tmp_path: Path, dupes: ModuleType, find: Callable, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(tmp_path, a="same", b="same", c="same")
        once = threading.Lock()

        async def gosched() -> None:
            if once.acquire(blocking=False):
                os.truncate(tmp_path / "a", 10)
                os.truncate(tmp_path / "b", 10)

        monkeypatch.setattr(dupes, "gosched", gosched)
        result = find(tmp_path, procs=1, workers=1)
        assert result.groups == []
        assert reasons(result) == {"a": "changed meanwhile", "b": "changed meanwhile"}

    def test_folder_that_vanishes(
        self, tmp_path: Path, dupes: ModuleType, find: Callable, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(tmp_path, a="same", b="same")
        (tmp_path / "gone").mkdir()
        examine = dupes.examine

        def examine_and_remove(*args: Any) -> Any:
            seen = examine(*args)
            if isinstance(seen, dupes.Folder):
                os.rmdir(seen.path)
            return seen

        monkeypatch.setattr(dupes, "examine", examine_and_remove)
        result = find(tmp_path)
        assert names(result) == [["a", "b"]]
        assert reasons(result) == {"gone": "No such file or directory"}


class TestPipeline:
    @pytest.mark.parametrize(
        "stage",
        [
            "walk",
            "list_folder",
            "examine",
            "distinct",
            "twins",
            "hash_all",
            "hash_head",
            "hash_tail",
            "collect",
            "digest",
        ],
    )
    @pytest.mark.usefixtures("small_limits")
    def test_a_stage_that_fails_ends_the_program(
        self,
        tmp_path: Path,
        dupes: ModuleType,
        find: Callable,
        monkeypatch: pytest.MonkeyPatch,
        stage: str,
        procs: int,
    ) -> None:
        write(tmp_path, **{str(i): "same content" for i in range(50)})
        whole = getattr(dupes, stage)

        def fail(*args: object) -> None:
            raise ZeroDivisionError("planted")

        async def fail_later(*args: object) -> None:
            await gopark.gosched()
            fail()

        monkeypatch.setattr(dupes, stage, fail if stage == "examine" else fail_later)
        with pytest.raises((gopark.GoPanic, ZeroDivisionError), match="planted"):
            find(tmp_path, procs=procs)
        monkeypatch.setattr(dupes, stage, whole)
        assert len(find(tmp_path, procs=procs).groups[0].paths) == 50

    def test_files_are_hashed_on_several_threads(
        self, tmp_path: Path, dupes: ModuleType, find: Callable, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(tmp_path, a="same", b="same")
        both = threading.Barrier(2)
        hash_head = dupes.hash_head

        async def meet_and_hash(*args: Any) -> None:
            both.wait(timeout=60)
            await hash_head(*args)

        monkeypatch.setattr(dupes, "hash_head", meet_and_hash)
        assert names(find(tmp_path, procs=2)) == [["a", "b"]]

    def test_one_p_for_each_cpu(self, dupes: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("GOMAXPROCS", raising=False)
        monkeypatch.setattr(dupes, "cpus", lambda: 3)

        def chosen(workers: int) -> int:
            dupes.use_every_core(dupes.Options((), 1, None, workers, False))
            return gopark.gomaxprocs()

        with_gil = getattr(sys, "_is_gil_enabled", lambda: True)()
        assert gopark.run(chosen, 8, procs=1) == (3 if with_gil else 1)
        assert gopark.run(chosen, 8, procs=2) == 2
        assert gopark.run(chosen, 1, procs=1) == 1
        monkeypatch.setenv("GOMAXPROCS", "1")
        assert gopark.run(chosen, 8) == 1


class TestCommand:
    def test_table(self, tmp_path: Path, run: Callable) -> None:
        write(tmp_path, a="x" * 3000, b="x" * 3000, c="y", d="y", e="z")
        done = run("dupes", ".", cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == (
            "    WASTED        SIZE  FILES\n"
            "   2.9 KiB     2.9 KiB  ./a\n"
            "                        ./b\n"
            "\n"
            "       1 B         1 B  ./c\n"
            "                        ./d\n"
            "\n"
            "5 files: 2 groups of duplicates, 2.9 KiB wasted\n"
        )

    def test_top(self, tmp_path: Path, run: Callable) -> None:
        write(tmp_path, a="xx", b="xx", c="y", d="y")
        lines = run("dupes", "--top", "1", tmp_path).stdout.splitlines()
        assert lines[-3] == "... and 1 more group"
        assert lines[-1] == "4 files: 2 groups of duplicates, 3 B wasted"
        assert not any(line.endswith(os.sep + "c") for line in lines)
        found = json.loads(run("dupes", "--json", "--top", "1", tmp_path).stdout)
        assert [group["wasted"] for group in found["groups"]] == [2]
        assert found["total"] == {"files": 4, "groups": 2, "wasted": 3}

    def test_table_is_short_unless_told(self, tmp_path: Path, run: Callable) -> None:
        for i in range(50):
            write(tmp_path / str(i), a=str(100 + i), b=str(100 + i))
        assert "\n... and 30 more groups\n" in run("dupes", tmp_path).stdout
        assert "more group" not in run("dupes", tmp_path, "--top", "50").stdout
        assert len(json.loads(run("dupes", tmp_path, "--json").stdout)["groups"]) == 50

    def test_json(self, tmp_path: Path, run: Callable) -> None:
        write(tmp_path, a="same", b="same", c="else")
        too_deep(tmp_path)
        done = run("dupes", tmp_path, "--json", "--workers", "1")
        found = json.loads(done.stdout)
        (problem,) = found.pop("problems")
        assert found == {
            "groups": [
                {"size": 4, "wasted": 4, "paths": [str(tmp_path / "a"), str(tmp_path / "b")]}
            ],
            "total": {"files": 3, "groups": 1, "wasted": 4},
        }
        assert problem["path"].startswith(str(tmp_path))
        assert problem["reason"] == "File name too long"

    def test_problems_are_listed_and_not_fatal(self, tmp_path: Path, run: Callable) -> None:
        write(tmp_path, a="same", b="same")
        too_deep(tmp_path)
        done = run("dupes", tmp_path)
        assert done.returncode == 0
        assert done.stdout.endswith("2 files: 1 group of duplicates, 4 B wasted\n")
        count, problem = done.stderr.splitlines()
        assert count == "Warning: 1 path left out:"
        assert problem.startswith(f"  {tmp_path}")
        assert problem.endswith(": File name too long")

    def test_names_that_are_no_text(self, tmp_path: Path, run: Callable) -> None:
        hostile = [
            b"\xff\xfe",
            "caf\u00e9 \U0001f980".encode(),
            b"line\nfeed",
            b"\x1b[31m",
            b"[red]",
        ]
        for name in hostile:
            try:
                Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_text("same")
            except OSError:
                pytest.skip("this file system takes only names in UTF-8")
        done = run("dupes", tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        shown = {line.rpartition(os.sep)[2] for line in done.stdout.splitlines()[1:6]}
        assert shown == {
            r"\udcff\udcfe",
            "caf\u00e9 \U0001f980",
            r"line\nfeed",
            r"\x1b[31m",
            "[red]",
        }
        (group,) = json.loads(run("dupes", "--json", tmp_path).stdout)["groups"]
        assert {os.path.basename(os.fsencode(path)) for path in group["paths"]} == set(hostile)

    def test_terminal_that_knows_only_ascii(self, tmp_path: Path, run: Callable) -> None:
        write(tmp_path, **{"caf\u00e9": "same", "a": "same"})
        done = run("dupes", tmp_path, env={**os.environ, "PYTHONIOENCODING": "ascii"})
        assert (done.returncode, done.stderr) == (0, "")
        assert r"caf\xe9" in done.stdout

    @pytest.mark.parametrize(
        ("size", "groups"), [("0", 3), ("1", 2), ("1K", 1), ("0.5k", 1), ("1M", 0)]
    )
    def test_min_size(self, tmp_path: Path, run: Callable, size: str, groups: int) -> None:
        write(tmp_path, a="", b="", c="1", d="1", e="2" * 2000, f="2" * 2000)
        done = run("dupes", "--json", "--min-size", size, tmp_path)
        assert json.loads(done.stdout)["total"]["groups"] == groups

    @pytest.mark.parametrize(
        ("args", "message"),
        [
            ([], "Missing argument 'FOLDERS...'"),
            (["/nowhere/at/all"], "Directory '/nowhere/at/all' does not exist."),
            ([__file__], "is a file"),
            (["--top", "-1", "."], "'--top'"),
            (["--workers", "0", "."], "'--workers'"),
            (["--min-size", "much", "."], "'much' is no size"),
            (["--min-size", "nan", "."], "'nan' is no size"),
            (["--min-size", "infG", "."], "'infG' is no size"),
            (["--min-size", "", "."], "'' is no size"),
            (["--min-size", "-1K", "."], "'-1K' is negative"),
            (["--colour", "."], "No such option"),
        ],
    )
    def test_wrong_command_line(self, run: Callable, args: list[str], message: str) -> None:
        done = run("dupes", *args)
        assert (done.returncode, done.stdout) == (2, "")
        assert message in done.stderr

    def test_help(self, run: Callable) -> None:
        done = run("dupes", "--help")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("Usage: dupes.py [OPTIONS] FOLDERS...")

    def test_without_the_command_gopark(self, tmp_path: Path, example: Callable) -> None:
        write(tmp_path, a="same", b="same")
        python, script = sys.executable, example("dupes")[-1]
        done = subprocess.run(
            [python, script, tmp_path], capture_output=True, text=True, timeout=60, check=True
        )
        assert "1 group of duplicates" in done.stdout
        wrong = subprocess.run([python, script], capture_output=True, timeout=60, check=False)
        assert wrong.returncode == 2

    def test_reader_that_goes_away(self, tmp_path: Path, example: Callable) -> None:
        write(tmp_path, a="same", b="same")
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(
            example("dupes", tmp_path),
            stdout=writer,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
        os.close(writer)
        assert (done.returncode, done.stderr) == (0, b"")


class TestProgressBar:
    HIDE_CURSOR, SHOW_CURSOR = b"\x1b[?25l", b"\x1b[?25h"

    @pytest.fixture
    def on_terminal(self, example: Callable) -> Iterator[Callable]:
        """Starts dupes with a terminal for its stderr; returns the process and our end."""
        pytest.importorskip("rich")
        ours, theirs = pty.openpty()
        started = []

        def start(*args: object) -> tuple[subprocess.Popen[bytes], int]:
            process = subprocess.Popen(
                example("dupes", *args),
                stdout=subprocess.PIPE,
                stderr=theirs,
                env={**os.environ, "TERM": "xterm"},
            )
            os.close(theirs)
            started.append(process)
            return process, ours

        yield start
        os.close(ours)
        for process in started:  # one that a test has not seen to its end has failed it
            process.kill()
            process.communicate()

    def test_on_a_terminal(self, tmp_path: Path, on_terminal: Callable) -> None:
        write(tmp_path, a="same", b="same")
        process, terminal = on_terminal(tmp_path)
        drawn = read_all(terminal)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert b" files " in drawn
        assert drawn.rindex(self.SHOW_CURSOR) > drawn.rindex(self.HIDE_CURSOR)
        assert output.endswith(b"2 files: 1 group of duplicates, 4 B wasted\n")
        assert b"\x1b" not in output

    def test_interrupted(self, tmp_path: Path, on_terminal: Callable) -> None:
        for name in "ab":  # no disk holds them, and no computer reads them before the signal comes
            with open(tmp_path / name, "wb") as file:
                file.truncate(2**40)
        process, terminal = on_terminal(tmp_path)
        drawn = b""
        while b"2 files" not in drawn:
            drawn += os.read(terminal, 1000)
        process.send_signal(signal.SIGINT)
        drawn += read_all(terminal)
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGINT
        assert drawn.rindex(self.SHOW_CURSOR) > drawn.rindex(self.HIDE_CURSOR)

    def test_without_rich(self, dupes: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "rich.console", None)
        assert gopark.run(dupes.show(dupes.Progress(), gopark.Chan())) is None


def read_all(terminal: int) -> bytes:
    """What comes from a terminal until nobody has its other end any more."""
    parts = []
    while True:
        try:
            part = os.read(terminal, 10_000)
        except OSError:  # what Linux says at the end
            part = b""
        if not part:
            return b"".join(parts)
        parts.append(part)


def test_content_hash_is_of_the_right_bytes(tmp_path: Path, dupes: ModuleType) -> None:
    """`digest` against hashlib, for every kind of range."""
    content = bytes(range(256)) * 10
    path = tmp_path / "file"
    path.write_bytes(content)
    seen = os.stat(path)
    file = dupes.File(str(path), dupes.version(seen), seen.st_size)
    for start, stop in [(0, 0), (0, 1), (0, 2560), (5, 100), (2559, 2560), (17, 2560)]:
        progress = dupes.Progress()
        digest = gopark.run(dupes.digest(file, start, stop, bytearray(100), progress))
        assert digest == hashlib.blake2b(content[start:stop], digest_size=32).digest()
        assert progress.bytes_read == stop - start
