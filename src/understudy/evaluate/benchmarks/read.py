"""From a declaration and its data to items, with the prompts that lm-evaluation-harness makes."""

import random
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from understudy.errors import UserError
from understudy.evaluate.benchmarks.declaration import (
    AnyDeclaration,
    Asked,
    ChoiceDeclaration,
    CodeDeclaration,
    Generating,
    PerplexityDeclaration,
    ShortDeclaration,
    Shots,
    ToxicityDeclaration,
)
from understudy.evaluate.benchmarks.entries import Entry, dealt, name_entries, read_entry
from understudy.evaluate.benchmarks.kinds import (
    LETTERS,
    Benchmark,
    ChoiceItem,
    CodeItem,
    Extract,
    Item,
    PerplexityItem,
    ShortItem,
    ToxicityItem,
)
from understudy.evaluate.benchmarks.sources import Files, FromHub, Row, Source

SEED = 1234  # the harness's for examples


def benchmark_of(declared: AnyDeclaration, home: Path | None = None) -> Benchmark:
    """The benchmark that is declared.

    Args:
        declared: what is read, and how it is asked.
        home: the folder of a user's own declaration, in which its files are; None for a shipped
            one, whose files are in the data folder.
    """
    own: dict[str, Any] = {}
    if isinstance(declared, Generating):
        own |= {"stop": tuple(declared.stop), "max_tokens": declared.max_tokens}
    if isinstance(declared, ShortDeclaration):
        own["corrected"] = declared.corrected
        own["extracts"] = tuple(
            (name, Extract(**rules.model_dump() | {"ignored": tuple(rules.ignored)}))
            for name, rules in declared.metrics.items()
        )
    return Benchmark(
        declared.name,
        declared.kind,
        tuple(declared.metrics),
        declared.shots.n if declared.shots else 0,
        declared.chance,
        partial(_items, declared, home),
        clustered=declared.clustered,
        categories=tuple(
            (group, name) for name, groups in declared.categories.items() for group in groups
        ),
        harness=declared.harness,
        **own,
    )


def _items(
    declared: AnyDeclaration, home: Path | None, data: Path | None, limit: int | None
) -> list[Item]:
    source = _source(declared, home, data)
    entries = [read_entry(source.fields, row) for row in source.rows(declared.split)]
    name_entries(declared.name, entries)
    kept = dealt(entries, limit)
    if not isinstance(declared, Asked) or not declared.shots:
        return [_item(declared, entries[place], "") for place in kept]
    examples = _Examples(declared, declared.shots, source)
    # Drawn for every item, so that a limit leaves the draws of those that are kept as they are.
    shown = [examples.draw(entry) for entry in entries]
    return [_item(declared, entries[place], examples.text(shown[place])) for place in kept]


def _source(declared: AnyDeclaration, home: Path | None, data: Path | None) -> Source:
    folder = home or data
    if declared.files and folder is not None:
        return Files(folder, declared)
    if declared.hub:
        return FromHub(declared.hub, declared)
    raise UserError(f"{declared.name}: the hub has no copy; name a folder of its files with --data")


class _Examples:
    """Which rows are shown before which items, as the harness draws them."""

    def __init__(self, declared: Asked, shots: Shots, source: Source) -> None:
        self._declared, self._shots, self._source = declared, shots, source
        self._split = next(filter(source.has, shots.source), shots.source[0])
        self._spare = shots.spare or self._split == declared.split
        self._random: dict[str | None, random.Random] = defaultdict(partial(random.Random, SEED))
        self._texts: dict[str, str] = {}  # by the row's place
        self._pools: dict[str | None, list[Row]] = defaultdict(list)
        for row in source.rows(self._split):
            group = read_entry(source.fields, row).said["group"] if shots.own_group else None
            self._pools[group].append(row)

    def draw(self, entry: Entry) -> list[Row]:
        """The next examples, to be shown before this item; calls follow the items' order."""
        n = self._shots.n
        group = entry.said["group"] if self._shots.own_group else None
        pool = self._pools[group]
        others = (row for row in pool if not self._spare or row.columns != entry.row.columns)
        if self._shots.draw == "first":
            drawn = list(islice(others, n))
        else:
            sample = self._random[group].sample
            drawn = sample(pool, min(n + self._spare, len(pool)))
            if self._spare:
                drawn = [row for row in drawn if row.columns != entry.row.columns]
                if len(drawn) < n:  # several copies of the item were among them
                    rest = list(others)
                    drawn = sample(rest, min(n, len(rest)))
        if len(drawn) < n:
            rows = f"rows of {group}" if group else "rows"
            raise UserError(
                f"{self._source.where(self._split)}: too few {rows} to show {n} as examples; "
                "fetch it again"
            )
        return drawn[:n]

    def text(self, rows: Sequence[Row]) -> str:
        """Questions with their answers."""
        for row in rows:
            if row.place not in self._texts:
                entry = read_entry(self._source.fields, row)
                self._texts[row.place] = _solved(self._declared, entry)
        return "".join(self._texts[row.place] for row in rows)


def _solved(declared: Asked, entry: Entry) -> str:
    if isinstance(declared, ChoiceDeclaration):
        target = _continuations(declared, entry)[entry.said["right"][0]]
    else:
        assert isinstance(declared, ShortDeclaration)
        target = declared.delimiter + entry.render("target", declared.target)
    return entry.render("prompt", declared.prompt) + target + declared.between


def _continuations(declared: ChoiceDeclaration, entry: Entry) -> tuple[str, ...]:
    options = entry.said["options"]
    if declared.continuation == "letter":
        if len(options) > len(LETTERS):
            raise UserError(f"{entry.row.place}: more options than there are letters; mend it")
        options = LETTERS[: len(options)]
    return tuple(declared.delimiter + option for option in options)


def _item(declared: AnyDeclaration, entry: Entry, examples: str) -> Item:
    said = entry.said
    id, group = said["id"], said["group"]
    if isinstance(declared, CodeDeclaration):
        return CodeItem(id, group, said["prompt"], said["entry_point"], said["test"])
    if isinstance(declared, ToxicityDeclaration):
        return ToxicityItem(id, group, said["prompt"])
    if isinstance(declared, PerplexityDeclaration):
        prompt, answer = entry.render("prompt", declared.prompt), said["answer"]
        continuation = declared.delimiter + answer
        return PerplexityItem(
            id, group, said["instruction"], said["input"], answer, prompt, continuation
        )
    description = entry.render("description", declared.description)
    prompt = description + examples + entry.render("prompt", declared.prompt)
    if isinstance(declared, ShortDeclaration):
        return ShortItem(id, group, said["question"], said["answers"], prompt)
    continuations = _continuations(declared, entry)
    return ChoiceItem(
        id, group, said["question"], said["options"], said["right"], prompt, continuations
    )
