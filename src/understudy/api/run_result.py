"""A finished run, and any student by its files."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

from pydantic import BaseModel, Field

from understudy.api.frames import INTERVAL, Row, card, frame, read_report
from understudy.dialogue import Turn
from understudy.errors import UserError
from understudy.files import read_jsonl, validated
from understudy.report.words import benchmark as title_of
from understudy.report.words import closed

if TYPE_CHECKING:
    import polars as pl

RecordT = TypeVar("RecordT", bound=BaseModel)

ANSWERS = {"base": ["base"], "student": ["student"], "teacher": ["teacher", "teacher_2"]}
PARTS = ("verdict", "models", "gap_closed", "change", "style_gap_closed", "style", "preference")


class _Text(BaseModel):
    text: str


class _Answered(BaseModel):
    id: str
    messages: list[Turn] = Field(min_length=1)
    answers: list[_Text]


class _Item(BaseModel):
    id: str
    group: str | None = None
    right: float
    expected: str | list[str] | None = None
    given: str | list[str] | None = None


class _Step(BaseModel):
    step: int
    loss: float | None = None
    heldout_loss: float | None = None


@dataclass(frozen=True)
class Student:
    """One student's files, with those of its base and its teacher.

    Attributes:
        folder: the run's or the cell's.
        place: where a part ("evaluate", "answers") of a model ("base", "student", "teacher") is.
    """

    folder: Path
    place: Callable[[str, str], Path] = field(repr=False)

    @property
    def training(self) -> "pl.DataFrame":
        """The student's loss: step, loss, heldout_loss (null where it was not taken)."""
        steps = _records(self.folder / "train" / "log.jsonl", _Step)
        return frame(map(_Step.model_dump, steps), ("step", "loss", "heldout_loss"))

    def answers(self) -> "pl.DataFrame":
        """What all said to the same prompts: id, prompt, base, student, teacher, teacher_2.

        `prompt` is the last message of a dialogue. The teacher answers twice where it can be asked.
        """
        rows: dict[str, Row] = {}
        for who, names in ANSWERS.items():
            for one in _records(self.place("answers", who) / "answers.jsonl", _Answered):
                row = rows.setdefault(one.id, {"id": one.id, "prompt": one.messages[-1].content})
                row |= zip(names, (answer.text for answer in one.answers), strict=False)
        return frame(rows.values(), ("id", "prompt", *chain(*ANSWERS.values())))

    def items(self, benchmark: str) -> "pl.DataFrame":
        """Every item of a benchmark: model, id, group, right (0..1), expected, given.

        Raises:
            UserError: no model was put to this benchmark; names those that there are.
        """
        folders = {who: self.place("evaluate", who) / "items" for who in ANSWERS}
        rows = [
            {"model": who, **item.model_dump()}
            for who, folder in folders.items()
            if (folder / f"{benchmark}.jsonl").exists()
            for item in _records(folder / f"{benchmark}.jsonl", _Item)
        ]
        if not rows:
            folder = folders["student"]
            known = ", ".join(sorted(path.stem for path in folder.glob("*.jsonl"))) or "none"
            raise UserError(f"{folder}: no items of {benchmark}; there are {known}")
        return frame(rows, ("model", "id", "group", "right", "expected", "given"))


@dataclass(frozen=True)
class RunResult(Student):
    """A finished run.

    Attributes:
        report: the content of report.json; its form is said in `understudy.report.facts`.
    """

    report: Row = field(repr=False)

    @classmethod
    def of(cls, folder: Path) -> Self:
        """The run in a folder; see `load_run`."""
        return cls(folder, lambda part, who: folder / part / who, read_report(folder, PARTS, "run"))

    @property
    def verdict(self) -> str:
        return str(self.report["verdict"])

    @property
    def scores(self) -> "pl.DataFrame":
        """Scores: model, quantity (a benchmark), metric, value, low, high, n, chance."""
        rows = [
            {"model": who, "quantity": name, "value": score["score"], **score}
            for who, content in self.report["models"].items()
            for name, score in content["benchmarks"].items()
        ]
        return frame(rows, ("model", "quantity", "metric", *INTERVAL, "n", "chance"))

    @property
    def gaps(self) -> "pl.DataFrame":
        """Gap closed, (student − base) / (teacher − base): quantity, value, low, high, reason.

        `quantity` is "style" or a benchmark, `reason` says why there is no value or are no bounds.
        """
        rows = [{"quantity": name, **gap} for name, gap in self._gaps.items()]
        return frame(rows, ("quantity", *INTERVAL, "reason"))

    @property
    def changes(self) -> "pl.DataFrame":
        """Student − base: quantity (a benchmark), value, low, high; intervals hold together."""
        rows = [{"quantity": name, **change} for name, change in self.report["change"].items()]
        return frame(rows, ("quantity", *INTERVAL))

    @property
    def style(self) -> "pl.DataFrame":
        """Habits, and the distance to the teacher's: measure, model, value, low, high."""
        style = self.report["style"]
        rows = [
            {"measure": measure, "model": who, **found}
            for measure, models in {**style["measures"], "distance": style["distance"]}.items()
            for who, found in models.items()
        ]
        return frame(rows, ("measure", "model", *INTERVAL))

    @property
    def preferences(self) -> "pl.DataFrame":
        """How often each party prefers one model to another; no rows if nobody compared them.

        by (judge, people), rater, protocol, model, against, value, low, high (the win rate), the
        win rates at_equal_length and at_equal_style, the leaning to the first place (position) and,
        of a scoring judge, the share_of_total, each with _low and _high; wins, ties, losses.
        """
        beside = ("at_equal_length", "at_equal_style", "position", "share_of_total")
        rows = [
            one | one["win_rate"] | {key: part for name in beside
                                     for key, part in _bounds(name, one[name]).items()}
            for one in (self.report["preference"] or {"comparisons": []})["comparisons"]
        ]  # fmt: skip
        columns = [column for name in beside for column in _bounds(name, None)]
        return frame(rows, ("by", "rater", "protocol", "model", "against", *INTERVAL, *columns,
                             "wins", "ties", "losses"))  # fmt: skip

    @property
    def _gaps(self) -> dict[str, Row]:
        return {"style": self.report["style_gap_closed"], **self.report["gap_closed"]}

    def _repr_html_(self) -> str:
        rows = [(title_of(name), closed(gap)) for name, gap in self._gaps.items()]
        return card(self.verdict, ("", "gap closed"), rows)


def _records(path: Path, kind: type[RecordT]) -> Iterator[RecordT]:
    for line, row in read_jsonl(path):
        yield validated(kind, row, f"{path}, line {line}")


def _bounds(name: str, found: Row | None) -> Row:
    """An interval in three columns of one name."""
    values = found or dict.fromkeys(INTERVAL)
    return {name: values["value"], f"{name}_low": values["low"], f"{name}_high": values["high"]}
