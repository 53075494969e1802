"""The style stage: answers of teacher, base and student in, style.json out."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from understudy.errors import UserError
from understudy.files import read_jsonl, validated, write_json
from understudy.progress import progress
from understudy.statistics import gap_closed, interval, resamples
from understudy.style.distance import (
    COMPARISONS,
    MEASURES,
    closed,
    measures,
    style_distance,
)
from understudy.style.profile import Profile, profile

SECOND = "teacher_2"
Texts = dict[str, dict[str, list[str]]]  # of each model its answers by prompt id


class _Text(BaseModel):
    text: str


class _Row(BaseModel):
    id: str
    answers: list[_Text]


def style(answers: dict[str, Path], out: Path, seed: int) -> dict[str, Any]:
    """Compare base and student with the teacher, habit by habit; writes `out/style.json`.

    Args:
        answers: an answers.jsonl for each of "teacher" (one answer a prompt, or two), "base" and
            "student"; the same ids in each.
        out: folder.
        seed: of the bootstrap.

    Returns:
        The number of prompts and the gap closed. For the file see `compare`.

    Raises:
        UserError: a file is malformed or empty, or its ids differ from the teacher's.
    """
    result = compare(_read(answers), seed)
    write_json(out / "style.json", result)
    return {"prompts": result["n"], "style_gap_closed": result["gap_closed"]}


def compare(texts: Texts, seed: int) -> dict[str, Any]:
    """Compare base and student with the teacher, habit by habit.

    What the measures, the distance and the gap by measure are is said in `distance.py`; shares are
    in 0..1, intervals are 95 % bootstrap intervals over prompts, paired between models.

    Args:
        texts: of "teacher" (one answer a prompt, or two), "base" and "student", by prompt id; the
            same ids in the same order in each.
        seed: of the bootstrap.

    Returns:
        `n` (prompts), `measures` {measure: {model: {value, low, high}}}, `distance`
        {model: {value, low, high}}, `ceiling` (the distance of the teacher's second answers, null
        where there are none; the gap is then measured against 0), `gap_closed` {value, low, high},
        `closed` {measure: {value, low, high}}, each with a `reason` where it is undefined or has no
        bounds, and `notes`.
    """
    teacher = [profile(first) for first, *_ in texts["teacher"].values()]
    models = _profiles(texts)
    n = len(teacher)
    weights = resamples(n, seed)
    values, reference = measures(models, teacher, weights)
    distances = {name: style_distance(value, reference) for name, value in values.items()}
    ceiling = distances.get(SECOND)
    nearest = distances["base"] * 0 if ceiling is None else ceiling
    gap = gap_closed(-distances["base"], -distances["student"], -nearest)
    shown = {
        name: {model: interval(value[:, column]) for model, value in values.items()}
        | ({"teacher": interval(reference[:, column])} if name not in COMPARISONS else {})
        for column, name in enumerate(MEASURES)
    }
    return {
        "n": n,
        "measures": shown,
        "distance": {name: interval(rows) for name, rows in distances.items()},
        "ceiling": None if ceiling is None else interval(ceiling)["value"],
        "gap_closed": gap,
        "closed": closed(values["base"], values["student"], reference, values.get(SECOND)),
        "notes": _notes(texts, shown, gap),
    }


def _profiles(texts: Texts) -> dict[str, list[Profile]]:
    """Profiles of base, student and, if every prompt has one, the teacher's second answer."""
    chosen = {name: [row[0] for row in texts[name].values()] for name in ("base", "student")}
    if all(len(row) > 1 for row in texts["teacher"].values()):
        chosen[SECOND] = [row[1] for row in texts["teacher"].values()]
    found: dict[str, list[Profile]] = {}
    with progress("style", sum(map(len, chosen.values()))) as task:
        for name, given in chosen.items():
            found[name] = []
            for text in given:
                found[name].append(profile(text))
                task.advance()
    return found


def _read(answers: dict[str, Path]) -> Texts:
    """Answers of every model by prompt id, in the order of the teacher's file."""
    texts = {name: read_texts(path) for name, path in answers.items()}
    ids = texts["teacher"]
    for name, path in answers.items():
        missing = next((id for id in ids if id not in texts[name]), None)
        extra = next((id for id in texts[name] if id not in ids), None)
        if missing is not None or extra is not None:
            fault = f"no answer to {missing}" if extra is None else f"{extra} is not the teacher's"
            raise UserError(f"{path}: {fault}; answer the same prompts as {answers['teacher']}")
    return {name: {id: rows[id] for id in ids} for name, rows in texts.items()}


def read_texts(path: Path) -> dict[str, list[str]]:
    """The answers of one answers.jsonl by prompt id, in the file's order; at least one each.

    Raises:
        UserError: the file is missing, empty or malformed; names the line.
    """
    rows: dict[str, list[str]] = {}
    for line, raw in read_jsonl(path):
        row = validated(_Row, raw, f"{path}, line {line}")
        if not row.answers:
            raise UserError(f"{path}, line {line}: no answers; remove the row in every file")
        if row.id in rows:
            raise UserError(f"{path}, line {line}: {row.id} occurs twice; ids must be unique")
        rows[row.id] = [answer.text for answer in row.answers]
    if not rows:
        raise UserError(f"{path}: holds no answers; ask the model first")
    return rows


def _notes(
    texts: Texts,
    shown: dict[str, dict[str, dict[str, float | None]]],
    gap: dict[str, float | None],
) -> list[str]:
    """What a reader must know about these numbers."""
    notes = []
    single = sum(len(row) < 2 for row in texts["teacher"].values())
    if single:
        notes.append(
            f"{single} of {len(texts['teacher'])} prompts have no second answer of the teacher: "
            "no ceiling, and the gap is measured against distance 0, which no sampler reaches"
        )
    unmeasured = [name for name in MEASURES if shown[name]["base"]["value"] is None]
    if unmeasured:
        notes.append(
            f"left out, as the teacher gives too little to compare: {', '.join(unmeasured)}"
        )
    if gap["value"] is None or gap["low"] is None:
        notes.append("the base is not reliably farther from the teacher than the ceiling is")
    notes.append("lists, summaries and tone are found by word lists and layout rules for English")
    return notes
