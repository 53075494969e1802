"""The ledger's log-probabilities at the student's targets.

Teacher and student seldom share a tokenizer. A token of the teacher's supervises a target where,
in bytes, both begin at the same place of the same answer and the target is the first token that the
student would write the teacher's with. Its alternatives are counted for their first tokens as well.
One that the student has no tokens for stays in the remaining mass.

To ask for tokens that are equal instead would bias the student. Where some of the teacher's options
are one token of the student's and others are several, the teacher would be heard when it chose one
of the former only, and cross-entropy, elsewhere, would see the latter alone.

An answer that was changed after the teacher gave it is aligned up to the change, white space at its
beginning aside: what follows, the teacher never said. The token that ends an answer is supervised
where the API gives the teacher's.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np

from understudy.dialogue import Dialogue
from understudy.errors import UserError
from understudy.files import digest, file_digest, read_json, read_jsonl, whole_folder, write_json
from understudy.progress import progress
from understudy.teacher.ledger import Ledger, opened
from understudy.train.distil.spoken import Calls, Spoken, Token
from understudy.train.distil.vocabulary import Vocabulary
from understudy.train.template import Template
from understudy.train.tokens import Tokens

HEADER, IDS, LOGPROBS = "header.json", "ids", "logprobs"
LAYOUT = 1  # raised when other numbers come of the same data
AT_ONCE = 50  # dialogues whose calls are in memory
# Of the tokens of answers, how many have to align for distillation to be worth its name. What does
# align is exact at any share.
LEAST = 0.25


@dataclass
class Counts:
    """What was found for d dialogues.

    Attributes:
        dialogues: all.
        called: those whose call is in the ledger.
        answers: all answers in them.
        spoken: answers of which the ledger has log-probabilities.
        changed: answers of these that are no longer as the teacher gave them.
        targets: all targets.
        told: targets at which the teacher's likeliest tokens are known.
        own: targets, ends excepted, in the answers that are `spoken`.
        aligned: those of them that are `told`.
    """

    dialogues: int = 0
    called: int = 0
    answers: int = 0
    spoken: int = 0
    changed: int = 0
    targets: int = 0
    told: int = 0
    own: int = 0
    aligned: int = 0


@dataclass(frozen=True)
class TeacherArrays:
    """The teacher's likeliest tokens at each target, in the order of `Tokens`' targets.

    Attributes:
        ids: shape (targets, k), int32; -1 fills up.
        logprobs: shape (targets, k), float32; -inf fills up.
        counts: what was found.
    """

    ids: np.ndarray
    logprobs: np.ndarray
    counts: Counts = field(default_factory=Counts)

    def facts(self) -> dict[str, Any]:
        """The counts, and the shares of targets that the teacher speaks at."""
        counts = self.counts
        return asdict(counts) | {
            "told_share": round(counts.told / max(1, counts.targets), 4),
            "aligned_share": round(counts.aligned / max(1, counts.own), 4),
        }


def teacher_arrays(
    data: Path, tokens: Tokens, template: Template, place: str | Path, folder: Path
) -> TeacherArrays:
    """What the ledger has on the targets of `tokens`, memory-mapped from `folder`.

    It is aligned now, or read if it is there already and was made of the same data, tokens and
    calls. Some dialogues at a time are in memory, and the origins of all.

    Args:
        data: the dialogues that `tokens` were made of, JSONL.
        tokens: the student's.
        template: which made them.
        place: the ledger.
        folder: belongs to these arrays alone.

    Raises:
        UserError: the ledger is missing, has none of the calls or no log-probabilities of them, or
            hardly any align; or the base's tokens stand for no exact bytes.
    """
    with opened(place) as ledger:
        # A recorded call never changes, so their number says whether there is anything new.
        counted = [str(place), ledger.summary()["calls"]]
        key = digest([LAYOUT, file_digest(data), _digest(tokens, template), counted])
        if not _is_whole(folder, key):
            with whole_folder(folder) as part:
                _write(data, tokens, template, ledger, part, key)
                (folder / HEADER).unlink(missing_ok=True)  # half removed, it is not whole
    arrays = _open(folder)
    _check(arrays.counts, str(data), str(place))
    return arrays


def _digest(tokens: Tokens, template: Template) -> str:
    """Digest of the tokens, and of what they stand for."""
    sha = hashlib.sha256(template.tokenizer.backend_tokenizer.to_str().encode())
    for column in (tokens.ids, tokens.supervised, tokens.offsets, tokens.lines):
        sha.update(np.ascontiguousarray(column).view(np.uint8).data)
    return sha.hexdigest()


def _is_whole(folder: Path, key: str) -> bool:
    return (folder / HEADER).exists() and read_json(folder / HEADER)["key"] == key


def _open(folder: Path) -> TeacherArrays:
    header = read_json(folder / HEADER)
    shape = tuple(header["shape"])

    def mapped(name: str, kind: str) -> np.ndarray:
        return np.memmap(folder / name, kind, "r", shape=shape).view(np.ndarray)

    return TeacherArrays(
        mapped(IDS, "int32"), mapped(LOGPROBS, "float32"), Counts(**header["counts"])
    )


def _check(counts: Counts, data: str, place: str) -> None:
    """Refuse what is no distillation.

    Raises:
        UserError: see `teacher_arrays`.
    """
    if not counts.called:
        raise UserError(
            f"{data}: none of its dialogues came from a call in {place}; name the ledger that they "
            "were collected into, or remove train.distil"
        )
    if not counts.spoken:
        raise UserError(
            f"{place}: the calls behind {data} have no log-probabilities; collect anew with "
            "collect.top_logprobs, from a teacher that gives them, or remove train.distil"
        )
    if counts.aligned < LEAST * counts.own:
        raise UserError(
            f"{data}: of the answers' tokens only {counts.aligned / max(1, counts.own):.0%} are "
            f"the teacher's as well (at least {LEAST:.0%} are needed), because the tokenizers "
            "differ; choose a base whose tokenizer is nearer to the teacher's, or remove "
            "train.distil"
        )


# Aligning a file


def _write(
    data: Path, tokens: Tokens, template: Template, ledger: Ledger, folder: Path, key: str
) -> None:
    origins = {d.origin for _, d in _dialogues(data, tokens) if d.origin}
    calls = Calls(ledger, origins)
    width = max(1, calls.width)
    aligner = Aligner(Vocabulary(template.tokenizer), template.end_id, width)
    with ExitStack() as stack:
        task = stack.enter_context(progress("log-probabilities", len(tokens)))
        ids, logprobs = (stack.enter_context(open(folder / n, "wb")) for n in (IDS, LOGPROBS))
        numbered = _dialogues(data, tokens)
        for some in iter(lambda: list(islice(numbered, AT_ONCE)), []):
            spoken = calls.spoken({d.origin for _, d in some if d.origin})
            for index, dialogue in some:
                rows = aligner.rows(tokens, index, dialogue, spoken.get(dialogue.origin or ""))
                ids.write(rows[0].tobytes())
                logprobs.write(rows[1].tobytes())
            task.advance(len(some))
        for file in (ids, logprobs):
            file.flush()
            os.fsync(file.fileno())
    shape = [int(tokens.target_offsets[-1]), width]
    write_json(folder / HEADER, {"key": key, "shape": shape, "counts": asdict(aligner.counts)})


def _dialogues(data: Path, tokens: Tokens) -> Iterator[tuple[int, Dialogue]]:
    """The dialogues that have tokens, with their indices; tokens and lines are in one order."""
    wanted = enumerate(tokens.lines.tolist())
    index, line = next(wanted, (0, 0))
    for number, row in read_jsonl(data):
        if number == line:
            yield index, Dialogue.model_validate(row)
            index, line = next(wanted, (0, 0))


class Aligner:
    """Finds what the teacher said at the targets of dialogues, and counts.

    Args:
        vocabulary: the student's.
        end_id: its token that closes an answer.
        width: columns of the rows.
    """

    def __init__(self, vocabulary: Vocabulary, end_id: int, width: int) -> None:
        self._vocabulary, self._end_id, self._width = vocabulary, end_id, width
        self.counts = Counts()

    def rows(
        self, tokens: Tokens, index: int, dialogue: Dialogue, spoken: list[Spoken | None] | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Ids and log-probabilities at the targets of dialogue `index`, (targets, width) each.

        Args:
            spoken: the answers of the conversation that it is of, or a part of; None: unknown.
        """
        span = slice(*tokens.offsets[index : index + 2])
        ids = tokens.ids[span].astype(np.int64)
        answers = _answers(ids, tokens.supervised[span])
        targets = int(tokens.target_offsets[index + 1] - tokens.target_offsets[index])
        found_ids = np.full((targets, self._width), -1, np.int32)
        found = np.full((targets, self._width), -np.inf, np.float32)
        counts = self.counts
        counts.dialogues += 1
        counts.called += spoken is not None
        counts.answers += len(answers)
        counts.targets += targets
        turns = sum(turn.role == "assistant" for turn in dialogue.turns)
        given = self._matched(answers, spoken or [], turns)
        place = targets - sum(map(len, answers))  # -1 if a dialogue begins with an answer
        for answer, said in zip(answers, given, strict=True):
            if said is not None:
                counts.spoken += 1
                for row, options in self.align(answer, said):
                    if place + row >= 0 and options:
                        likeliest = sorted(options.items(), key=lambda option: -option[1])
                        for column, (id, logprob) in enumerate(likeliest[: self._width]):
                            found_ids[place + row, column] = id
                            found[place + row, column] = logprob
            place += len(answer)
        counts.told += int((found_ids[:, 0] >= 0).sum())
        return found_ids, found

    def align(self, answer: Sequence[int], said: Spoken) -> Iterator[tuple[int, dict[int, float]]]:
        """Places in an answer at which the teacher speaks, with its options by the student's ids.

        Args:
            answer: the student's tokens of it, its end among them unless it was cut.
            said: the same answer as the teacher gave it.
        """
        text = self._text(answer)
        shift = _shift(text, said.text)
        equal = _common(text, said.text)
        self.counts.changed += equal < len(text)
        at = 0
        for row, id in enumerate(answer):
            own = self._vocabulary.bytes_of.get(id)
            if own is None:
                closes = id == self._end_id and row == len(answer) - 1
                if said.end and closes and at == equal == len(said.text) - shift:
                    yield row, self._mapped(said.end, said)
                return
            self.counts.own += 1
            token = said.tokens.get(at + shift)
            at += len(own)
            if token is not None and at <= equal and id == self._vocabulary.first(token.text):
                self.counts.aligned += 1
                yield row, self._mapped(token, said)

    def _text(self, answer: Sequence[int]) -> bytes:
        """An answer's bytes, without its end."""
        bytes_of = self._vocabulary.bytes_of
        known = [bytes_of[id] for id in answer if id in bytes_of]
        return b"".join(known)

    def _mapped(self, token: Token, said: Spoken) -> dict[int, float]:
        """A token's options by the student's ids; those that begin with the same id are added."""
        options: dict[int, float] = {}
        for text, logprob in token.options.items():
            id = self._vocabulary.first(text)
            if said.end and text == said.end.text:
                id = self._end_id
            if id is not None:
                options[id] = float(np.logaddexp(options.get(id, -np.inf), logprob))
        return options

    def _matched(
        self, answers: list[list[int]], spoken: list[Spoken | None], turns: int
    ) -> list[Spoken | None]:
        """What the teacher gave of each answer; `turns` are the dialogue's, within the context.

        Where curation has split a conversation, an answer is looked for among those of the whole,
        and has to be equal to be known.
        """
        if len(spoken) == turns:
            return spoken[: len(answers)]
        found: list[Spoken | None] = []
        start = 0
        for text in map(self._text, answers):
            equal = (n for n, said in enumerate(spoken) if n >= start and _is_equal(text, said))
            place = next(equal, None)
            found.append(None if place is None else spoken[place])
            start = start if place is None else place + 1
        return found


def _answers(ids: np.ndarray, supervised: np.ndarray) -> list[list[int]]:
    """The runs of supervised tokens."""
    runs = groupby(zip(ids.tolist(), supervised.tolist(), strict=True), key=lambda pair: pair[1])
    return [[id for id, _ in run] for wanted, run in runs if wanted]


def _is_equal(text: bytes, said: Spoken | None) -> bool:
    return bool(text) and said is not None and _common(text, said.text) == len(text)


def _common(text: bytes, said: bytes) -> int:
    """How many of the first bytes of a text are as they were said, white space before aside."""
    shift = _shift(text, said)
    start, place = max(0, -shift), max(0, shift)
    if said.startswith(text[start:], place):
        return len(text)
    pairs = zip(text[start:], said[place:], strict=False)
    differs = next((n for n, (now, was) in enumerate(pairs) if now != was), len(said) - place)
    return start + differs


def _shift(text: bytes, said: bytes) -> int:
    """How many more bytes of white space what was said begins with than a text does.

    Curation takes some off; some tokenizers put one before every stretch of text.
    """
    was, now = (len(side) - len(side.lstrip()) for side in (said, text))
    return was - now
