"""A study, and its figures."""

import base64
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from markupsafe import Markup

from understudy.api.frames import INTERVAL, Row, card, frame, read_report
from understudy.api.run_result import Student
from understudy.errors import UserError
from understudy.files import read_text
from understudy.study.grid import Cell

if TYPE_CHECKING:
    import polars as pl

CELL = ("kind", "base", "amount", "seed")
PARTS = ("verdict", "grid", "findings", "scores", "gaps", "training", "forecast", "advice",
         "gallery", "figures")  # fmt: skip


@dataclass(frozen=True)
class Figure:
    """A figure that notebooks show, and its numbers.

    Attributes:
        id: its name.
        content: what report.json says of it.
        svg: the picture.
    """

    id: str
    content: Row = field(repr=False)
    svg: str = field(repr=False)

    @property
    def data(self) -> "pl.DataFrame":
        """The numbers that are drawn."""
        columns = self.content["columns"]
        return frame((dict(zip(columns, row, strict=True)) for row in self.content["rows"]),
                      columns)  # fmt: skip

    def _repr_html_(self) -> str:
        # As an image the picture runs no script, and its ids meet no other picture's.
        picture = base64.b64encode(self.svg.encode()).decode()
        return Markup(
            '<figure><img style="max-width: 100%" alt="{}" src="data:image/svg+xml;base64,{}">'
            "<figcaption>{}</figcaption></figure>"
        ).format(self.content["alt"], picture, self.content["caption"])


@dataclass(frozen=True)
class StudyResult:
    """A study. A student is named by kind and amount (tokens) of its data, base and seed.

    Attributes:
        folder: the study's.
        report: the content of report.json; its form is said in `understudy.study.facts`.
    """

    folder: Path
    report: Row = field(repr=False)

    @classmethod
    def of(cls, folder: Path) -> Self:
        """The study in a folder; see `load_study`."""
        return cls(folder, read_report(folder, PARTS, "study"))

    @property
    def verdict(self) -> str:
        return str(self.report["verdict"])

    @property
    def findings(self) -> "pl.DataFrame":
        """A row for each part of each finding, and for one without parts.

        id, title, verdict ("seen", "not seen", "cannot tell") and note of the finding; part, value,
        low, high, unit, side and bound (as stated beforehand), decides and part_verdict.
        """
        measured = (*INTERVAL, "unit", "side", "bound", "decides")
        rows = [
            {**one, "part": part.get("text"), "part_verdict": part.get("verdict")}
            | {name: part.get(name) for name in measured}
            for one in self.report["findings"]
            for part in one["parts"] or [{}]
        ]
        columns = ("id", "title", "verdict", "part", *measured, "part_verdict", "note")
        return frame(rows, columns)

    @property
    def scores(self) -> "pl.DataFrame":
        """Means over seeds: model, kind, base, parameters, amount, quantity, value, low, high."""
        return frame(self.report["scores"], ("model", "kind", "base", "parameters", "amount",
                                              "quantity", *INTERVAL))  # fmt: skip

    @property
    def gaps(self) -> "pl.DataFrame":
        """Gap closed: kind, base, amount, quantity, value, low, high, reason."""
        columns = ("kind", "base", "amount", "quantity", *INTERVAL, "reason")
        return frame(self.report["gaps"], columns)

    @property
    def training(self) -> "pl.DataFrame":
        """Every student's: kind, base, amount, seed, steps, tokens (repeated ones counted),
        heldout_loss."""
        return frame(self.report["training"], (*CELL, "steps", "tokens", "heldout_loss"))

    @property
    def cells(self) -> "pl.DataFrame":
        """A row for each student: kind, base, amount, seed, parameters (of the base), and a column
        for each quantity."""
        rows: dict[Cell, Row] = {}
        students = (one for one in self.report["scores"] if one["model"] == "student")
        for one in students:
            for seed, value in one["seeds"].items():
                cell = Cell(one["kind"], one["base"], one["amount"], int(seed))
                row = rows.setdefault(cell, {**vars(cell), "parameters": one["parameters"]})
                row[one["quantity"]] = value
        return frame(rows.values())

    @property
    def forecast(self) -> Row:
        """The fits and how they did on held-out runs, as in report.json."""
        return dict(self.report["forecast"])

    @property
    def advice(self) -> Row:
        """Where the next money is best spent, as in report.json."""
        return dict(self.report["advice"])

    @property
    def gallery(self) -> "pl.DataFrame":
        """Answers that are right in style and wrong in fact: kind, base, amount, seed, id, prompt,
        right (answers), label (what the base knows of it), teacher, base_answer, student."""
        columns = (*CELL, "id", "prompt", "right", "label", "teacher", "base_answer", "student")
        rows = [
            one | one["answers"] | {"base": one["base"], "base_answer": one["answers"]["base"]}
            for one in self.report["gallery"]["shown"]
        ]
        return frame(rows, columns)

    def cell(self, kind: str, base: str, amount: int, seed: int) -> Student:
        """One student's files.

        Raises:
            UserError: there is no such student (yet).
        """
        cell = Cell(kind, base, amount, seed)
        if cell not in (Cell(*(row[name] for name in CELL)) for row in self.report["training"]):
            raise UserError(f"{self.folder}: no student of {cell}; .cells has those that there are")
        own, before = self.folder / cell.folder, self.folder / "bases" / f"{base}-s{seed}"
        folders = {"base": before, "student": own, "teacher": self.folder / "teacher"}
        return Student(own, lambda part, who: folders[who] / part)

    def figure(self, id: str) -> Figure:
        """A figure of the report, by id.

        Raises:
            UserError: the report has no such figure; names those that there are.
        """
        figures = {one["id"]: one for one in self.report["figures"]}
        if id not in figures:
            raise UserError(f"{self.folder}: no figure {id}; there are {', '.join(figures)}")
        return Figure(id, figures[id], read_text(self.folder / "figures" / f"{id}.svg"))

    def _repr_html_(self) -> str:
        rows = [(one["title"], one["verdict"]) for one in self.report["findings"]]
        return card(self.verdict, ("finding", ""), rows)
