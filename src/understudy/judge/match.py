"""Prompts, reference answers and models' answers brought together; what does not fit is counted."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from understudy.errors import UserError
from understudy.files import digest
from understudy.judge.sets import Row

PROMPTS, REFERENCES = "prompts", "references"  # beside the models in what is counted
Unmatched = dict[str, dict[str, int]]


@dataclass
class Item:
    """A prompt with a right answer, if one is known, and the answers of models by their names."""

    id: str
    prompt: str
    turns: int = 1
    reference: str | None = None
    answers: dict[str, str] = field(default_factory=dict)


def match(
    prompts: Iterable[Row], references: Iterable[Row], answers: Mapping[str, Iterable[Row]]
) -> tuple[list[Item], Unmatched]:
    """Find the prompt of every reference and answer: by its id, or else by the prompt's text.

    A prompt without an id has a digest of its text as its id. A row with the id of a prompt and
    another text than that prompt's is no answer to it.

    Returns:
        The prompts with what belongs to them, in their order, and how many rows there were, by
        file, that nothing was done with: "no_prompt" (of this set), "other_prompt" (under its id),
        "other_turns", "repeated" and "empty"; "unanswered" are the prompts a model did not answer.

    Raises:
        UserError: there is no prompt.
    """
    found = _Prompts(prompts)
    unmatched = {PROMPTS: found.unmatched, REFERENCES: Counter[str]()}
    for row in references:
        text = row.answer if row.reference is None else row.reference
        item = found.of(row, text, unmatched[REFERENCES])
        if item:
            item.reference = text
    for model, rows in answers.items():
        counts = unmatched[model] = Counter[str]()
        for row in rows:
            item = found.of(row, row.answer, counts)
            if item and model in item.answers:
                counts["repeated"] += 1
            elif item and row.answer is not None:
                item.answers[model] = row.answer
        counts["unanswered"] = sum(model not in item.answers for item in found.items)
    return found.items, {name: dict(+counts) for name, counts in unmatched.items() if +counts}


class _Prompts:
    def __init__(self, rows: Iterable[Row]) -> None:
        self._by_id: dict[str, Item] = {}
        self._by_text: dict[str, Item] = {}
        self.items: list[Item] = []
        self.unmatched: Counter[str] = Counter()
        for row in rows:
            self._add(row)
        if not self.items:
            raise UserError("judge: the answers do not say what was asked; name it with --prompts")

    def _add(self, row: Row) -> None:
        if row.prompt is None:
            self.unmatched["empty"] += 1
            return
        text = _key(row.prompt)
        item = Item(row.id or digest(text)[:12], row.prompt, row.turns, row.reference)
        if item.id in self._by_id:
            self.unmatched["repeated"] += 1
            return
        self.items.append(item)
        self._by_id[item.id] = item
        self._by_text.setdefault(text, item)

    def of(self, row: Row, text: str | None, counts: Counter[str]) -> Item | None:
        """The prompt that a row's text belongs to; None, and counted why, if it cannot be used."""
        asked = None if row.prompt is None else _key(row.prompt)
        by_id = self._by_id.get(row.id or "")
        item = by_id or self._by_text.get(asked or "")
        if item is None:
            counts["no_prompt"] += 1
        elif by_id and asked is not None and _key(item.prompt) not in asked:
            counts["other_prompt"] += 1
        elif row.turns != item.turns:
            counts["other_turns"] += 1
        elif text is None:
            counts["empty"] += 1
        else:
            return item
        return None


def _key(text: str) -> str:
    """The text without what files differ in: white space."""
    return " ".join(text.split())
