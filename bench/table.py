"""From samples to Markdown: the tables, the targets, and where gopark loses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from environments import Environment
from rows import FREE, GIL, PEERS, ROWS, TARGETS, Cells, Row, Target

TITLES = {GIL: "With the GIL", FREE: "Free-threaded"}
Measurement = tuple[Target, float | None]


def program_key(table: str, peer: str) -> str:
    return "go" if peer == "go" else f"{table}:{peer}"


@dataclass
class Results:
    """Every sample of one run, and a sentence for everything that gave none."""

    machine: dict[str, str]
    environments: dict[str, Environment]
    repeat: int
    quick: bool
    wanted: set[str]
    known: tuple[Row, ...] = ROWS
    samples: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    failures: dict[str, dict[str, str]] = field(default_factory=dict)

    def add(self, row: Row, program: str, value: Any) -> None:
        self.samples.setdefault(row.key, {}).setdefault(program, []).append(value)

    def fail(self, row: Row, program: str, why: str) -> None:
        """A program that fails once has no median: its samples of this row are dropped."""
        self.samples.get(row.key, {}).pop(program, None)
        self.failures.setdefault(row.key, {})[program] = why

    def cells(self, table: str, row: Row) -> Cells:
        samples = self.samples.get(row.key, {})
        keys = {peer: program_key(table, peer) for peer in PEERS[table]}
        return Cells(row, {p: median(samples[k]) for p, k in keys.items() if k in samples})

    def peers(self, table: str) -> list[str]:
        return [peer for peer in PEERS[table] if peer in self.wanted]

    def rows(self, table: str) -> list[Row]:
        measured = self.samples.keys() | self.failures.keys()
        return [row for row in self.known if table in row.tables and row.key in measured]

    def why_missing(self, table: str, peer: str, row: Row) -> str | None:
        """None where the row does not apply to the peer."""
        environment = self.environments["go" if peer == "go" else table]
        if not row.applies_to(peer):
            return None
        if peer in environment.missing:
            return f"{peer}: {environment.missing[peer]}"
        why = self.failures.get(row.key, {}).get(program_key(table, peer))
        return f"{peer}: {why}" if why else None

    def as_json(self) -> dict[str, object]:
        return {
            "machine": self.machine,
            "environments": {name: vars(each) for name, each in self.environments.items()},
            "repeat": self.repeat,
            "quick": self.quick,
            "samples": self.samples,
            "failures": self.failures,
        }


def render(results: Results) -> str:
    return "\n\n".join([*tables(results), *judgement(results, measured(results))])


def tables(results: Results) -> list[str]:
    parts = [describe(results)]
    notes: list[str] = []
    for table in (GIL, FREE):
        if results.rows(table):
            name = results.environments[table].name
            parts += [f"### {TITLES[table]}: {name}", one_table(results, table, notes)]
    if notes:
        parts.append(numbered(notes))
    return parts


def judgement(results: Results, measurements: Iterable[Measurement]) -> list[str]:
    return ["### Targets", compare(measurements), "### Where gopark loses", losses(results)]


def describe(results: Results) -> str:
    machine = "; ".join(f"{what}: {value}" for what, value in results.machine.items())
    versions = [
        f"{name} {version}"
        for environment in results.environments.values()
        for name, version in environment.versions.items()
        if name != "asyncio"
    ]
    runs = f"Medians of {results.repeat} runs, each in a fresh process."
    if results.quick:
        runs = "A quick look at whether all work: these numbers mean little."
    return f"{machine}.  \n{', '.join(dict.fromkeys(versions))}.  \n{runs}"


def one_table(results: Results, table: str, notes: list[str]) -> str:
    peers = results.peers(table)
    header = ["", "unit", *peers, "gopark / Go", "best Python peer / gopark"]
    lines = [header]
    for row in results.rows(table):
        cells = results.cells(table, row)
        values = [value_or_note(results, table, peer, cells, notes) for peer in peers]
        lines.append([row.title, row.unit, *values, ratio(cells.to_go()), best_peer(cells)])
    return markdown(lines, numbers=True)


def value_or_note(results: Results, table: str, peer: str, cells: Cells, notes: list[str]) -> str:
    if peer in cells.medians:
        value = number(cells.medians[peer])
        return f"**{value}**" if peer == "gopark" else value
    return note_or_nothing(results.why_missing(table, peer, cells.row), notes)


def note_or_nothing(why: str | None, notes: list[str]) -> str:
    if why is None:
        return ""
    if why not in notes:
        notes.append(why)
    return f"- [{notes.index(why) + 1}]"


def numbered(notes: list[str]) -> str:
    return "\n".join(f"[{number}] {note}  " for number, note in enumerate(notes, 1))


def best_peer(cells: Cells) -> str:
    measured = cells.to_best_peer()
    return "" if measured is None else f"{ratio(measured)} ({cells.best_peer()})"


def number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}" if value < 10 else f"{value:.0f}"


def markdown(lines: Sequence[Sequence[str]], numbers: bool = False) -> str:
    """A Markdown table that also reads well as plain text; columns of numbers after the first."""
    widths = [max(len(line[c]) for line in lines) for c in range(len(lines[0]))]
    right = [numbers and c > 0 for c in range(len(widths))]
    rule = ["-" * (w - 1) + ("-:"[r]) for w, r in zip(widths, right, strict=True)]
    return "\n".join(
        "| " + " | ".join(map(justified, line, widths, right)) + " |"
        for line in (lines[0], rule, *lines[1:])
    )


def justified(text: str, width: int, right: bool) -> str:
    return text.rjust(width) if right else text.ljust(width)


def measured(results: Results) -> Iterator[Measurement]:
    rows = {row.key: row for row in ROWS}
    for target in TARGETS:
        yield target, target.measure(results.cells(target.table, rows[target.row]))


def compare(measurements: Iterable[Measurement]) -> str:
    lines = [["work", "interpreter", "target", "measured", ""]]
    for target, measured in measurements:
        where = {GIL: "GIL", FREE: "free-threaded"}[target.table]
        lines.append([target.work, where, target.text, *verdict(target, measured)])
    return markdown(lines)


def verdict(target: Target, measured: float | None) -> tuple[str, str]:
    if measured is None:
        return "", "not measured"
    reached = "reached" if target.reached(measured) else "**not reached**"
    return number(measured) + target.sign, reached


def losses(results: Results) -> str:
    """Every row in which Go or a Python peer did better, in the order of the tables."""
    sentences = [
        f"- {TITLES[table]}, {row.title}: {worse(cells)}."
        for table in (GIL, FREE)
        for row in results.rows(table)
        if worse(cells := results.cells(table, row))
    ]
    return "\n".join(sentences) or "Nowhere in this run."


def worse(cells: Cells) -> str:
    ours = cells.value()
    if ours is None:
        return ""
    better = [
        f"{peer} is {times:.2g} x better"
        for peer, theirs in cells.medians.items()
        if (times := advantage(cells.row, theirs, ours)) > 1
    ]
    return ", ".join(better)


def advantage(row: Row, theirs: float, ours: float) -> float:
    return theirs / ours if row.more_is_better else ours / theirs


def write(results: Results, readme: Path) -> None:
    """Replace what stands between the markers."""
    text = between_markers(readme.read_text(), "rows", explanations(ROWS))
    readme.write_text(between_markers(text, "results", render(results)))


def explanations(rows: Iterable[Row]) -> str:
    return markdown([["`--only`", "row", "what it measures"], *map(explain, rows)])


def explain(row: Row) -> list[str]:
    return [f"`{row.key}`", row.title, row.explanation]


def between_markers(text: str, name: str, new: str, program: str = "run.py") -> str:
    begin, end = f"<!-- {name}: written by {program} --write -->", f"<!-- end of {name} -->"
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n\n{new}\n\n{end}{after}"
