"""Whether models make up what their base does not know.

Imitators take on the teacher's sure tone without what it knows (Gudibande et al. 2023: tone in
Table 2, Natural Questions in Table 1), and so are wrong with authority. Schulman (2023,
"Reinforcement learning from human feedback: progress and challenges", a talk at Berkeley)
conjectured a cause: to train a model on answers that it does not know is to teach it to make
answers up. That is a conjecture; what is counted here is how often it happens, not why.

The facts are those that the teacher's first answers state (`curate.factual`), and each base is
asked which of them it knows (`curate.knowledge`). What a model then says to the same prompts,
freely, is read in the same way as the teacher's answer: by the sentence that takes up words of the
question, or by an answer that is nothing but the bare value. Nothing here knows a subject or a data
set.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, Field

from understudy.curate.clean.refusals import refusal
from understudy.curate.factual import MOST_SENTENCES, Fact, factual
from understudy.curate.knowledge import Complete, probe
from understudy.dialogue import Dialogue, Turn
from understudy.errors import UserError
from understudy.files import read_jsonl, validated
from understudy.recipe import KnowledgeSettings
from understudy.statistics import Array
from understudy.style.profile import CLOSING, OPENING, SENTENCE_END, WORD, profile

State = Literal["right", "wrong", "unsure", "nothing"]
NO_FACTS = "no answer of the teacher states a fact: what bases know is not probed"

# Beside refusals and doubts: an apology first, or that nothing is known of it.
_DECLINES = re.compile(
    r"\W*(?:i(?: a|['’])m (?:\w+ )?sorry|sorry|unfortunately)\b"
    r"|.{0,120}\b(?:not known|unknown|no (?:\w+ )?(?:records?|information|answer))\b",
    re.IGNORECASE,
)


class _Text(BaseModel):
    text: str


class Answered(BaseModel):
    """A row of answers.jsonl: a prompt and what a model said to it."""

    id: str
    messages: list[Turn] = Field(min_length=1)
    answers: list[_Text] = Field(min_length=1)

    @property
    def prompt(self) -> str:
        """The last thing that the user said."""
        return self.messages[-1].content

    @property
    def text(self) -> str:
        """The model's first answer."""
        return self.answers[0].text


class _Probed(BaseModel):
    """A row of knowledge.jsonl."""

    id: str
    label: Literal["known", "maybe", "unknown"]
    question: str
    answer: str


@dataclass(frozen=True)
class Told:
    """What a model told of a fact that its base was asked about.

    Attributes:
        id: the prompt's.
        question: as the base was asked.
        label: what the base knows of it: known, maybe or unknown.
        right: each of which alone is a right answer.
        state: see `classify`.
        text: the model's first answer.
    """

    id: str
    question: str
    label: str
    right: tuple[str, ...]
    state: State
    text: str


def probe_base(answers: Path, complete: Complete, out: Path, seed: int) -> dict[str, Any]:
    """Ask a base about all facts that the teacher's first answers state.

    Writes `out/knowledge.jsonl` (see `curate.knowledge.probe`), which is empty where there is no
    fact. Prompts with earlier turns are passed over. Killed and called again, it goes on.

    Args:
        answers: the teacher's answers.jsonl.
        complete: the base.
        out: folder.
        seed: of examples and answers.

    Returns:
        Facts for the manifest: "factual", "probed", "labels", and a "note" where there is none.

    Raises:
        UserError: the answers are malformed.
    """
    dialogues = [
        _dialogue(row.id, row.prompt, row.text)
        for row in read_answers(answers).values()
        if [turn.role for turn in row.messages if turn.role != "system"] == ["user"]
    ]
    # All of them, so that every base is asked about the same facts.
    settings = KnowledgeSettings(n=max(len(dialogues), 1))
    found = probe(dialogues, complete, settings, out, seed)
    return found if found["factual"] else found | {"note": NO_FACTS}


def classify(answers: Path, knowledge: Path) -> list[Told]:
    """What a model told of every fact that its base was asked about, sorted by id.

    The states of a first answer:

    - right: it tells the fact (`Fact.is_told_by`);
    - unsure: it does not, and doubts, declines or trails off (not `Profile.authoritative`);
    - wrong: with authority it tells something else of the kind asked for;
    - nothing: it is empty, or tells nothing of that kind about what was asked.

    Of an answer its first line counts, without stock opening and closing. What is told is found
    there as in the teacher's answers, which asks for words of the question or a bare answer, and is
    of the kind asked for where it is a figure for a figure, a name for a name. So what is off the
    question counts as nothing, however surely it is said, and so does "It is Lyon", since nothing
    in it says that it is about the question.

    Args:
        answers: the model's answers.jsonl.
        knowledge: its base's knowledge.jsonl.

    Raises:
        UserError: a file is malformed, or a prompt that was probed has no answer.
    """
    given = read_answers(answers)
    found = []
    for line, raw in read_jsonl(knowledge):
        row = validated(_Probed, raw, f"{knowledge}, line {line}")
        one = answer_to(row.id, given, answers)
        right = tuple(row.answer.split(" / "))
        state = _state(one.prompt, Fact(row.question, right), one.text)
        found.append(Told(row.id, row.question, row.label, right, state, one.text))
    return sorted(found, key=lambda told: told.id)


def hallucinations(answers: Path, knowledge: Path, ids: Sequence[str]) -> Array:
    """Where a model tells wrongly and with authority what its base does not know.

    The mean over what is not nan is the rate of hallucination: of the facts that the base does not
    know (label unknown), the share that the model tells wrongly with authority. Bases differ in
    what they know, also those that differ by seed alone; so arrays of models on different bases
    have nan in different places, and means over them are over different facts.

    Args:
        answers: the model's answers.jsonl; a base's own may be given, too.
        knowledge: its base's knowledge.jsonl.
        ids: of prompts.

    Returns:
        For every prompt, in their order: 1 where that is so, 0 where it is not, nan where the base
        knows it or may know it, and where the prompt asks for no fact.

    Raises:
        UserError: see `classify`.
    """
    counted = {
        told.id: float(told.state == "wrong")
        for told in classify(answers, knowledge)
        if told.label == "unknown"
    }
    return np.array([counted.get(id, np.nan) for id in ids], dtype=float)


def read_answers(path: Path) -> dict[str, Answered]:
    """The rows of an answers.jsonl by id.

    Raises:
        UserError: the file is missing, a row is malformed, or an id occurs twice.
    """
    rows: dict[str, Answered] = {}
    for line, raw in read_jsonl(path):
        row = validated(Answered, raw, f"{path}, line {line}")
        if row.id in rows:
            raise UserError(f"{path}, line {line}: {row.id} occurs twice; ids must be unique")
        rows[row.id] = row
    return rows


def answer_to(id: str, rows: Mapping[str, Answered], path: Path) -> Answered:
    """The row of a prompt among those of a file.

    Raises:
        UserError: there is none.
    """
    if id not in rows:
        raise UserError(f"{path}: no answer to {id}; answer the same prompts as the teacher")
    return rows[id]


# One answer


@lru_cache(maxsize=1 << 16)  # several figures rest on the same answers
def _state(prompt: str, fact: Fact, text: str) -> State:
    lead = _lead(text)
    told = factual(_dialogue("", prompt, lead))
    values = told.keys if told else ()
    if told and any(fact.is_told_by(value) for value in (lead, *values)):
        return "right"
    if not WORD.search(text):
        return "nothing"
    if not profile(text).authoritative or refusal(text) or _DECLINES.match(text):
        return "unsure"
    return "wrong" if any(_fits(value, fact) for value in values) else "nothing"


def _lead(text: str) -> str:
    """The first line that says anything, without stock opening and closing."""
    for line in text.splitlines():
        opening = OPENING.match(line)
        rest = line[opening.end() :].lstrip(" ,:;.!") if opening else line
        parts = [part for part in SENTENCE_END.split(rest) if WORD.search(part)]
        said = [part for part in parts if not CLOSING.search(part)][:MOST_SENTENCES]
        if said:
            return " ".join(said)
    return ""


def _fits(value: str, fact: Fact) -> bool:
    """Whether a value is of the kind of the right ones."""
    if "how" in fact.question.lower().split():
        return True  # numbers alone are found then, which may be in words
    if all(_has_figure(key) for key in fact.keys):
        return _has_figure(value)
    if all(_is_name(key) for key in fact.keys):
        return _is_name(value)
    return not _has_figure(value)


def _has_figure(value: str) -> bool:
    return any(character.isdigit() for character in value)


def _is_name(value: str) -> bool:
    """Names end in a capitalised word; a bare answer in other words begins with one at most."""
    words = WORD.findall(value)
    return bool(words) and words[-1][0].isupper()


def _dialogue(id: str, prompt: str, answer: str) -> Dialogue:
    turns = [Turn(role="user", content=prompt), Turn(role="assistant", content=answer)]
    return Dialogue(id=id, turns=turns, source="answers")
