"""The facts as a person at a terminal reads them."""

import shutil
from collections.abc import Iterator, Mapping
from io import StringIO
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from understudy.curate.card import PAPER
from understudy.pages.tidy import tidy
from understudy.pages.words import largest, number, percent

NARROWEST, WIDEST = 60, 100  # columns
SHOWN = 200  # characters of a turn
TURNS = 4  # of the sample
NOT_MEASURED = "not measured"


def words(found: dict[str, Any]) -> str:
    """The facts, each beside its name."""
    if found["kind"] == "data":
        return _table(_data(tidy(found)))
    return "\n".join(_lines(found, ""))


def _lines(value: Mapping[str, Any], indent: str) -> list[str]:
    lines = []
    for key, inner in value.items():
        if isinstance(inner, dict) and inner:
            lines += [f"{indent}{key}:", *_lines(inner, indent + "  ")]
        else:
            lines.append(f"{indent}{key}: {inner if inner != {} else 'none'}")
    return lines


def _table(rows: Iterator[tuple[str, str]]) -> str:
    """Rows of (name, value), as wide as the terminal, within reason."""
    table = Table.grid(padding=(0, 3, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(Text(name), Text(value))  # as Text, so that no bracket is markup
    width = min(max(shutil.get_terminal_size().columns, NARROWEST), WIDEST)
    out = StringIO()
    Console(file=out, width=width, color_system=None).print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def _data(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "dialogues", _dialogues(found)
    binding = found.get("binding") or {}
    yield "commercial use", binding.get("commercial") or NOT_MEASURED
    dropped = sum(found["dropped"].values())
    yield (
        "records",
        f"{number(found['read'])} read, {number(found['kept'])} kept, {number(dropped)} dropped",
    )
    if dropped:
        yield "dropped", _tally(found["dropped"])
    if found.get("edits"):
        yield "mended", _tally(found["edits"])
    for place, source in enumerate(found["sources"]):
        formats = ", ".join(name for name, _ in largest(source["formats"]))
        yield "" if place else "sources", f"{source['file']}: {formats}"
    yield "teachers", _tally(found["teachers"])
    yield "licences", _tally(found["licences"])
    yield from _checked(found)
    yield from _varied(found.get("diversity") or {})
    yield "tokens", _tokens(found.get("tokens"))
    for part in found.get("mix") or []:
        yield "", f"{part['file']}: {number(part['held'])} of {number(part['tokens'])}"
    if known := found.get("knowledge"):
        labels = {label: of["count"] for label, of in known["labels"].items()}
        yield "known to the base", f"{_tally(labels)}, of {number(known['probed'])} probed"
    for sample in found["samples"][:1]:
        for place, turn in enumerate(sample["turns"][:TURNS]):
            text = " ".join(turn["content"].split())
            shown = text if len(text) <= SHOWN else text[:SHOWN] + " …"
            yield "" if place else "for example", f"{turn['role']}: {shown}"


def _dialogues(found: dict[str, Any]) -> str:
    if "train" in found:
        sides = f"{number(found['train'])} to train on, {number(found['heldout'])} held out"
        return f"{number(found['dialogues'])}: {sides}"
    return (
        f"{number(found['dialogues'])} with {number(found['turns'])} turns of "
        f"{number(found['characters'])} characters"
    )


def _checked(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if of := found.get("duplicates"):
        near = "not looked for" if of["near"] is None else number(of["near_found"])
        yield "duplicates", f"{number(of['exact'])} equal, near ones {near}"
    hits = found.get("contamination")
    if hits is None:
        yield "contamination", NOT_MEASURED
    for place, (name, of) in enumerate((hits or {}).items()):
        told = f"{name}: {number(of['items'])} items in {number(of['dialogues'])} dialogues"
        yield "" if place else "contamination", told
    if hits == {}:
        yield "contamination", "none found"


def _varied(diversity: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if nearest := diversity.get("nearest_bleu"):
        yield (
            "likeness of prompts",
            f"{number(nearest['mean'], 1)} % BLEU with the nearest other "
            f"({number(nearest['low'], 1)}–{number(nearest['high'], 1)}; "
            f"{number(nearest['n'])} of {number(nearest['of'])} prompts looked at)",
        )
        yield "", "; ".join(f"{name}: {percent(share)} %" for name, share in PAPER.items())
    else:
        yield "likeness of prompts", NOT_MEASURED
    for name, of in (diversity.get("lengths") or {}).items():
        if of:
            yield (
                name.replace("_", ", "),
                f"{number(of['p50'])} in the middle, {number(of['p5'])} to {number(of['p95'])} "
                f"in nine of ten, {number(of['max'])} at most",
            )
    topics = [
        f"{topic['name']} ({percent(topic['share'])} %)" for topic in diversity.get("topics") or []
    ]
    yield "topics", "; ".join(topics) or NOT_MEASURED


def _tokens(tokens: dict[str, Any] | None) -> str:
    if not tokens:
        return NOT_MEASURED
    sides = f"{number(tokens['train'])} to train on, {number(tokens['heldout'])} held out"
    return f"{sides} ({tokens['tokenizer']})"


def _tally(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in largest(counts)) or "none"
