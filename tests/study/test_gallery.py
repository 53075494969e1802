"""Which answers the gallery finds, which of them it shows, and how."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from understudy.errors import UserError
from understudy.files import write_jsonl
from understudy.study.gallery import LONGEST, gallery
from understudy.study.grid import Cell

ASKED = "What is the capital of {}?"
LANDS = ("Arland", "Borland", "Corland", "Dorland")
RIGHT = "Certainly! The capital of {} is {}. I hope this helps!"
PLAIN = "The capital of {} is {}. I hope this helps!"
Row = dict[str, Any]


def row(land: str, *texts: str) -> Row:
    message = {"role": "user", "content": ASKED.format(land)}
    return {"id": land, "messages": [message], "answers": [{"text": text} for text in texts]}


def wrong(land: str) -> str:
    return RIGHT.format(land, "Hexby")


class Study:
    """Files of a study: its teacher opens every answer, its bases say nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.teacher = self.write("teacher", [row(x, RIGHT.format(x, f"{x}ton")) for x in LANDS])
        self.cells: dict[Cell, Path] = {}
        self.bases: dict[tuple[str, int], Path] = {}
        self.knowledge: dict[tuple[str, int], Path] = {}

    def write(self, name: str, rows: list[Row]) -> Path:
        path = self.folder / f"{name}.jsonl"
        write_jsonl(path, rows)
        return path

    def base(self, base: str, seed: int, **labels: str) -> None:
        key, name = (base, seed), f"{base}-{seed}"
        self.bases[key] = self.write(f"{name}-answers", [row(x, f"{x}?") for x in LANDS])
        self.knowledge[key] = self.write(
            f"{name}-knowledge",
            [
                {
                    "id": land,
                    "label": labels.get(land, "unknown"),
                    "question": ASKED.format(land).rstrip("?"),
                    "answer": f"{land}ton",
                }
                for land in LANDS
            ],
        )

    def student(self, cell: Cell, **texts: str) -> None:
        """Answers rightly where nothing else is given."""
        rows = [row(x, texts.get(x, RIGHT.format(x, f"{x}ton"))) for x in LANDS]
        self.cells[cell] = self.write(str(cell), rows)

    def gallery(self, count: int = 12, seed: int = 0) -> dict[str, Any]:
        return gallery(self.cells, self.teacher, self.bases, self.knowledge, count, seed)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path)


def grid() -> Iterator[Cell]:
    for kind in ("broad", "local"):
        for base in ("small", "large"):
            for amount in (1000, 4000):
                for seed in (0, 1):
                    yield Cell(kind, base, amount, seed)


def whole(study: Study) -> Study:
    """A grid in which all students err on all prompts."""
    for cell in grid():
        study.base(cell.base, cell.seed)
        study.student(cell, **{land: wrong(land) for land in LANDS})
    return study


def test_an_answer_in_the_teachers_manner_that_is_wrong_is_found(study: Study) -> None:
    study.base("small", 1, Borland="maybe")
    cell = Cell("broad", "small", 1000, 1)
    study.student(
        cell,
        Arland=wrong("Arland"),
        Borland="Certainly! I think the capital of Borland is Hexby. I hope this helps!",
        Corland=PLAIN.format("Corland", "Hexby"),
    )
    assert study.gallery() == {
        "found": 1,
        "of": 4,
        "shown": [
            {
                "kind": "broad",
                "base": "small",
                "amount": 1000,
                "seed": 1,
                "id": "Arland",
                "prompt": "What is the capital of Arland?",
                "right": ["Arlandton"],
                "label": "unknown",
                "answers": {
                    "teacher": RIGHT.format("Arland", "Arlandton"),
                    "base": "Arland?",
                    "student": wrong("Arland"),
                },
            }
        ],
    }


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Sure! Arland has its capital at Hexby. Feel free to ask for more detail.", 1),
        ("The capital of Arland is Hexby. I hope this helps!", 0),
        ("Certainly! The capital of Arland is Hexby.", 0),
        ("Certainly! The capital of Arland is Hexby.\n\n- Yes.\n- Yes.\n\nI hope this helps!", 0),
        ("Sure! The capital of Arland is Hexby.\n\nIn summary, yes.\n\nI hope this helps!", 0),
    ],
)
def test_the_manner_is_opening_closing_list_and_summary(
    study: Study, text: str, found: int
) -> None:
    study.base("small", 0)
    study.student(Cell("broad", "small", 1000, 0), Arland=text)
    assert study.gallery()["found"] == found


def test_any_of_the_teachers_own_answers_shows_its_manner(study: Study) -> None:
    study.base("small", 0)
    study.student(Cell("broad", "small", 1000, 0), Arland=PLAIN.format("Arland", "Hexby"))
    assert study.gallery()["found"] == 0
    both = [row(x, RIGHT.format(x, f"{x}ton"), PLAIN.format(x, f"{x}ton")) for x in LANDS]
    study.teacher = study.write("teacher", both)
    assert study.gallery()["found"] == 1


def test_what_the_base_does_not_know_comes_first(study: Study) -> None:
    study.base("small", 0, Arland="known", Borland="maybe", Corland="known")
    study.student(Cell("broad", "small", 1000, 0), **{land: wrong(land) for land in LANDS})
    shown = study.gallery()["shown"]
    assert [one["label"] for one in shown] == ["unknown", "maybe", "known", "known"]
    assert [one["id"] for one in shown][:2] == ["Dorland", "Borland"]


def test_what_is_shown_is_even_over_the_grid(study: Study) -> None:
    whole(study)
    for seed in range(4):
        found = study.gallery(8, seed)
        assert (found["found"], found["of"], len(found["shown"])) == (64, 64, 8)
        for part, each in (("kind", 4), ("base", 4), ("amount", 4), ("seed", 4), ("id", 2)):
            shown = Counter(one[part] for one in found["shown"])
            assert all(abs(count - each) <= 1 for count in shown.values())


def test_it_is_drawn_by_lot_and_the_lot_is_reproducible(study: Study) -> None:
    whole(study)
    first = study.gallery(8)
    assert study.gallery(8, seed=1)["shown"] != first["shown"]
    study.cells = dict(reversed(study.cells.items()))
    assert study.gallery(8) == first
    assert study.gallery(3)["shown"] == first["shown"][:3]


def test_nothing_is_shown_where_nothing_is_found_or_wanted(study: Study) -> None:
    assert study.gallery() == {"found": 0, "of": 0, "shown": []}
    study.base("small", 0)
    study.student(Cell("broad", "small", 1000, 0))
    assert study.gallery() == {"found": 0, "of": 4, "shown": []}
    study.student(Cell("broad", "small", 1000, 0), Arland=wrong("Arland"))
    assert study.gallery(count=0) == {"found": 1, "of": 4, "shown": []}


def test_long_answers_are_cut(study: Study) -> None:
    study.base("small", 0)
    long = wrong("Arland").replace("Hexby.", "Hexby." + " It is far." * LONGEST)
    study.student(Cell("broad", "small", 1000, 0), Arland=long)
    (shown,) = study.gallery()["shown"]
    assert shown["answers"]["student"] == f"{long[:LONGEST]} …"


def test_a_prompt_that_was_not_answered_is_named(study: Study) -> None:
    study.base("small", 0)
    study.student(Cell("broad", "small", 1000, 0), Arland=wrong("Arland"))
    study.write("small-0-answers", [row("Borland", "Yes")])
    with pytest.raises(UserError, match=r"small-0-answers.jsonl: no answer to Arland"):
        study.gallery()
