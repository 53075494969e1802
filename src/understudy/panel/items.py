"""What a panel rates: pairs of models' answers, gold pairs, and attention checks."""

import random
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from understudy.errors import UserError
from understudy.files import read_jsonl, validated
from understudy.panel.records import Pair
from understudy.recipe_file import load_recipe

BETWEEN = (("student", "teacher"), ("base", "teacher"))
ITEMS_A_CHECK = 15
CANDIDATES = 20  # prompts among which an attention check looks for one that is far away
FITTING, MISPLACED = "fitting", "misplaced"

RowT = TypeVar("RowT", bound=BaseModel)


class Turn(BaseModel):
    """A turn of a prompt."""

    role: str
    content: str


class Answer(BaseModel):
    """One answer of a model."""

    text: str


class Answers(BaseModel):
    """A line of answers.jsonl, of which the first answer is rated."""

    id: str
    messages: tuple[Turn, ...] = Field(min_length=1)
    answers: tuple[Answer, ...] = Field(min_length=1)
    reference: str | None = None


class Gold(BaseModel):
    """A line of a file of gold pairs."""

    model_config = ConfigDict(extra="forbid")

    prompt: str
    better: str
    worse: str
    reference: str | None = None


def run_pairs(run: Path, between: Sequence[tuple[str, str]] = BETWEEN) -> list[Pair]:
    """The pairs of a run's answers, with references where its prompts had any.

    Args:
        run: a run's folder, whose stage `answers` is done.
        between: the models of each pair, by the names of their folders in `run`/answers.

    Raises:
        UserError: answers are missing or malformed, or are not to the same prompts.
    """
    names = sorted({name for pair in between for name in pair})
    files = {name: run / "answers" / name / "answers.jsonl" for name in names}
    if not run.joinpath("answers").is_dir():
        raise UserError(f"{run}: holds no answers; name a run's folder, or files with --answers")
    return file_pairs(files, between)


def file_pairs(files: Mapping[str, Path], between: Sequence[tuple[str, str]]) -> list[Pair]:
    """The pairs of several models' first answers to the same prompts; see `run_pairs`.

    Args:
        files: an answers.jsonl by each model's name.
        between: the models of each pair.
    """
    said = {name: _answers(path) for name, path in files.items()}
    found = []
    for one, other in between:
        _check_same_prompts(files[one], said[one], files[other], said[other])
        for id, row in said[one].items():
            answered = said[other][id]
            pair = Pair(
                item=id,
                messages=tuple(turn.model_dump() for turn in row.messages),
                reference=row.reference or answered.reference,
                models=(one, other),
                texts=(row.answers[0].text, answered.answers[0].text),
            )
            found.append(pair)
    return found


def decoding(run: Path) -> dict[str, Any]:
    """How a run's answers were drawn, for raters to see: one account for all models.

    Answers to held-out prompts are partly the recorded ones of the imitation set, which were drawn
    as they were collected; then a value may be "0.7 or 1.0".
    """
    recipe = load_recipe(run / "recipe.yaml")
    drawn, names = recipe.answers, ("temperature", "max_tokens")
    found: dict[str, Any] = {name: getattr(drawn, name) for name in names}
    if drawn.prompts == "heldout":
        for name in names:
            recorded = getattr(recipe.collect, name, "unknown")
            if recorded != found[name]:
                found[name] = f"{found[name]} or {recorded}"
    return found | {"samples": 1}


def gold_pairs(path: Path) -> list[Pair]:
    """Pairs of which the better answer is known.

    Args:
        path: JSONL, {"prompt", "better", "worse"} and perhaps "reference" a line.

    Raises:
        UserError: the file is missing or empty, or a line is malformed.
    """
    found = [
        Pair(
            item=str(line),
            messages=({"role": "user", "content": row.prompt},),
            reference=row.reference,
            models=("better", "worse"),
            texts=(row.better, row.worse),
            kind="gold",
            better="better",
        )
        for line, row in _rows(path, Gold)
    ]
    if not found:
        raise UserError(f"{path}: holds no gold pair; write one a line or leave out --gold")
    return found


def attention_checks(pairs: Sequence[Pair], items: int | None, seed: int) -> list[Pair]:
    """Checks that nobody fails who reads: an answer against the same model's to another prompt.

    Args:
        pairs: what is rated; the checks are made of their second models' answers.
        items: how many a rater gets, None for all; there is a check to `ITEMS_A_CHECK` of them,
            and at least one.
        seed: of which prompts.

    Returns:
        Fewer where there are no prompts for more.
    """
    rng = random.Random(f"attention:{seed}")
    prompts = list({pair.item: pair for pair in pairs}.values())
    wanted = max(1, round((len(pairs) if items is None else items) / ITEMS_A_CHECK))
    found = []
    for pair in rng.sample(prompts, min(wanted, len(prompts))):
        others = [one for one in prompts if one.texts[1] != pair.texts[1]]
        if others:
            other = min(
                rng.sample(others, min(CANDIDATES, len(others))),
                key=lambda one: len(_words(one) & _words(pair)),
            )
            texts = {"models": (FITTING, MISPLACED), "texts": (pair.texts[1], other.texts[1])}
            found.append(pair.model_copy(update=texts | {"kind": "attention", "better": FITTING}))
    return found


def _words(pair: Pair) -> set[str]:
    """The words of a pair's prompt."""
    return {word for turn in pair.messages for word in re.findall(r"\w+", turn["content"].lower())}


def _answers(path: Path) -> dict[str, Answers]:
    found: dict[str, Answers] = {}
    for line, row in _rows(path, Answers):
        if row.id in found:
            raise UserError(f"{path}, line {line}: id {row.id!r:.80} occurs twice; ids are unique")
        found[row.id] = row
    if not found:
        raise UserError(f"{path}: holds no answer; run the stage answers")
    return found


def _check_same_prompts(
    path: Path, one: dict[str, Answers], other_path: Path, other: dict[str, Answers]
) -> None:
    for id in one | other:
        if id not in one or id not in other:
            missing = other_path if id in one else path
            raise UserError(f"{missing}: no answer to prompt {id!r:.80}; answer the same prompts")
        if one[id].messages != other[id].messages:
            raise UserError(
                f"{other_path}: prompt {id!r:.80} is another one than in {path}; answer the same "
                "prompts"
            )


def _rows(path: Path, kind: type[RowT]) -> list[tuple[int, RowT]]:
    return [
        (line, validated(kind, row, f"{path}, line {line}", whole="the line"))
        for line, row in read_jsonl(path)
    ]
