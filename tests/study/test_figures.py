"""Figures: what they show is what was measured, and their files can be made again to the byte."""

import csv
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from PIL import Image

from study.made_study import AMOUNTS, BASES, BENCHMARKS, settings, table
from understudy.study.facts import scores_of, title, training_of
from understudy.study.figures import draw, figures, svg
from understudy.study.gap import gaps
from understudy.study.panels import spread
from understudy.study.table import HALLUCINATION, Table

SVG = "{http://www.w3.org/2000/svg}"


def facts_of(measured: Table) -> dict[str, Any]:
    """The part of report.json that the figures are made of."""
    study = measured.settings
    kinds = {name: {"amounts": study.amounts_of(name)} for name in study.kinds}
    bases = [{"name": name, "parameters": n} for name, n in measured.parameters.items()]
    return {
        "grid": {"bases": bases, "kinds": kinds},
        "quantities": [{"name": name, "title": title(name)} for name in measured.quantities],
        "scores": scores_of(measured),
        "gaps": gaps(measured),
        "training": training_of(measured),
        "forecast": {"predictions": []},
    }


@pytest.fixture(scope="module")
def facts() -> dict[str, Any]:
    return facts_of(table())


@pytest.fixture(scope="module")
def made(facts: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {figure["id"]: figure for figure in figures(facts)}


def rows_of(figure: dict[str, Any]) -> list[dict[str, Any]]:
    return [dict(zip(figure["columns"], row, strict=True)) for row in figure["rows"]]


def test_every_student_base_and_teacher_is_in_the_figure_of_amounts(
    facts: dict[str, Any], made: dict[str, dict[str, Any]]
) -> None:
    rows = rows_of(made["amount"])
    shown = ["Overall", "MMLU", "Natural Questions", "HumanEval"]
    assert list(dict.fromkeys(row["panel"] for row in rows)) == shown
    assert len(rows) == 2 * len(shown) * (len(BASES) * (len(AMOUNTS) + 1) + 1)
    wanted = next(
        one
        for one in facts["scores"]
        if (one["model"], one["kind"], one["base"], one["amount"], one["quantity"])
        == ("student", "local", "medium", 300_000, "nq")
    )
    found = [
        row
        for row in rows
        if (row["group"], row["line"], row["imitation tokens"]) == ("local", "medium", 300_000)
        and row["panel"] == "Natural Questions"
    ]
    assert [[row["score"], row["low"], row["high"]] for row in found] == [
        [wanted["value"], wanted["low"], wanted["high"]]
    ]


def test_the_accent_has_every_student_by_style_and_by_benchmarks(
    facts: dict[str, Any], made: dict[str, dict[str, Any]]
) -> None:
    rows = rows_of(made["accent"])
    gap = {
        (one["kind"], one["base"], one["amount"], one["quantity"]): one["value"]
        for one in facts["gaps"]
    }
    assert len(rows) == 2 * len(BASES) * len(AMOUNTS)
    for row in rows:
        student = (row["group"], row["line"], row["imitation tokens"])
        assert row["style gap closed"] == gap[*student, "style"]
        assert row["benchmarks’ gap closed"] == gap[*student, "overall"]


def test_training_is_shown_seed_by_seed(made: dict[str, dict[str, Any]]) -> None:
    for id in ("trained", "loss"):
        rows = rows_of(made[id])
        assert len(rows) == 2 * len(BASES) * len(AMOUNTS) * 3
        assert {row["tokens trained on"] for row in rows if row["seed"] == 2} == {
            3 * amount + 200 for amount in AMOUNTS
        }


def test_what_was_not_measured_has_no_figure() -> None:
    measured = table(settings(run=settings().run | {"judges": []}))
    for values in (*measured.bases.values(), *measured.students.values()):
        for name in [*values]:
            if name == HALLUCINATION or name.startswith("preferred"):
                del values[name]
    ids = [figure["id"] for figure in figures(facts_of(measured))]
    assert ids == ["accent", "amount", "size", "style", "trained", "loss"]


def test_a_study_in_progress_can_be_drawn(tmp_path: Path) -> None:
    measured = table(finished=1)
    made = figures(facts_of(measured))
    draw([figure for figure in made if figure["id"] in ("amount", "accent")], tmp_path)
    assert (tmp_path / "amount.png").stat().st_size > 10_000


def test_files_hold_the_data_and_are_the_same_each_time(
    made: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    figure = made["style"]
    for folder in ("one", "two"):
        draw([figure], tmp_path / folder)
    for form in ("svg", "png", "csv"):
        one, two = ((tmp_path / name / f"style.{form}").read_bytes() for name in ("one", "two"))
        assert one == two
    with open(tmp_path / "one" / "style.csv", encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    assert head == figure["columns"]
    assert [[float(cell) if cell else None for cell in row[4:]] for row in rows] == [
        row[4:] for row in figure["rows"]
    ]
    with Image.open(tmp_path / "one" / "style.png") as picture:
        assert min(picture.info["dpi"]) > 200


def test_panels_are_named_and_their_ids_their_own(made: dict[str, dict[str, Any]]) -> None:
    drawn = [*svg(made["size"]), *svg(made["hallucination"])]
    assert len(drawn) == 1 + len(BENCHMARKS) + 2
    ids: list[str] = []
    for panel in drawn:
        spaces = f'<svg xmlns="{SVG[1:-1]}" xmlns:xlink="x" '
        root = ElementTree.fromstring(str(panel).replace("<svg ", spaces, 1))
        own = [element.get("id") for element in root.iter() if element.get("id")]
        ids += [str(id) for id in own]
        said = [element.get("id") for element in root[:2]]  # its title and description
        assert root.get("aria-labelledby") == " ".join(map(str, said))
        for used in re.findall(r'(?:url\(#|href="#)([^)"]+)', panel):
            assert used in own
    assert len(ids) == len(set(ids))


def test_a_teacher_far_above_is_drawn_over_a_broken_axis(facts: dict[str, Any]) -> None:
    def drawn(teacher: float) -> str:
        scores = [
            one | {"value": teacher} if one["model"] == "teacher" else one
            for one in facts["scores"]
        ]
        size = next(f for f in figures(facts | {"scores": scores}) if f["id"] == "size")
        return svg(size)[0]

    assert ">teacher 93 %<" in drawn(0.93)
    assert ">teacher 100 %<" in drawn(1.0)
    assert ">teacher<" in drawn(0.35)


def test_names_are_shown_as_they_are(facts: dict[str, Any]) -> None:
    figure = next(one for one in figures(facts) if one["id"] == "hallucination")
    named = [[row[0], "$x^{$ <script>", "a<b>$&", *row[3:]] for row in figure["rows"]]
    drawn = "".join(svg(figure | {"rows": named}))
    assert "<script" not in drawn
    assert ">a&lt;b&gt;$&amp;<" in drawn


def test_names_at_lines_ends_do_not_touch() -> None:
    assert spread([0.0, 10.0], 2.0) == [0.0, 10.0]
    assert spread([1.0, 1.0, 1.0], 2.0) == [-1.0, 1.0, 3.0]
    assert spread([0.0, 1.9, 3.0], 2.0) == pytest.approx([-1.1 / 3, 4.9 / 3, 10.9 / 3])
