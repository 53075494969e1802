"""What a ledger holds of a teacher's words, at the student's targets."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from train.tiny_tokenizers import ALL
from understudy.dialogue import Dialogue, Turn, write_dialogues
from understudy.errors import UserError
from understudy.files import canonical_json
from understudy.teacher.ledger import Call, Ledger, call_key
from understudy.train.distil.align import TeacherArrays, teacher_arrays
from understudy.train.distil.vocabulary import Vocabulary
from understudy.train.template import Template, bind
from understudy.train.tokens import Tokens, encode_file

Messages = list[dict[str, str]]
ASK: Messages = [{"role": "user", "content": "What does a lamp do?"}]
TEXT = "A lamp gives light."


def entry(token: str | bytes, logprob: float, **others: float) -> dict[str, Any]:
    """An entry of logprobs.content; `others` are alternatives."""
    raw = token if isinstance(token, bytes) else token.encode()
    shown = raw.decode(errors="replace")
    likely = [
        {"token": name, "bytes": list(name.encode()), "logprob": value}
        for name, value in {**({shown: logprob} if shown.encode() == raw else {}), **others}.items()
    ]
    return {"token": shown, "bytes": list(raw), "logprob": logprob, "top_logprobs": likely}


def call(
    messages: Messages,
    text: str,
    entries: Sequence[dict[str, Any]] | None,
    finish: str = "stop",
    **changes: Any,
) -> Call:
    body = {"messages": messages, "model": "m", "logprobs": True, "top_logprobs": 4}
    request = canonical_json(body)
    message = {"role": "assistant", "content": text}
    logprobs = None if entries is None else {"content": entries}
    choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": logprobs}
    response = json.dumps({"choices": [choice]})
    key = call_key("here", "m", request, 0)
    return Call(key, "here", "m", 0, request, response, finish, 3, 2, None, 1.0)._replace(**changes)


def dialogue(call: Call, messages: Messages, answer: str, **changes: Any) -> Dialogue:
    turns = [Turn(role=m["role"], content=m["content"]) for m in messages]  # type: ignore[arg-type]
    turns.append(Turn(role="assistant", content=answer))
    return Dialogue(id="d", turns=turns, source="s", origin=call.key[:16], **changes)


def student_pieces(template: Template, text: str) -> list[bytes]:
    """A text cut as the student cuts it."""
    encoded = template.encode([*ASK, {"role": "assistant", "content": text}])
    own = [i for i, s in zip(encoded.ids, encoded.supervised, strict=True) if s][:-1]
    return [template.tokenizer.decode([id]).encode() for id in own]


@pytest.fixture
def template() -> Template:
    return bind("markers", ALL["gpt2"]())


class Desk:
    """Aligns dialogues with the calls of a ledger."""

    def __init__(self, folder: Path, template: Template) -> None:
        self.folder, self.template = folder, template
        self.data, self.ledger = folder / "train.jsonl", folder / "ledger.db"

    def align(
        self, calls: list[Call], dialogues: list[Dialogue], context: int = 200
    ) -> TeacherArrays:
        with Ledger(self.ledger) as ledger:
            ledger.record(calls)
        write_dialogues(self.data, dialogues)
        return self.again(context)

    def again(self, context: int = 200) -> TeacherArrays:
        self.tokens: Tokens = encode_file(self.data, self.template, context, self.folder / "tokens")
        return teacher_arrays(
            self.data, self.tokens, self.template, self.ledger, self.folder / "teacher"
        )

    def shown(self, arrays: TeacherArrays) -> list[dict[str, float]]:
        """The options at each target, in words."""
        return [
            {
                self.template.tokenizer.decode([id]): pytest.approx(logprob, abs=1e-5)
                for id, logprob in zip(ids, logprobs, strict=True)
                if id >= 0
            }
            for ids, logprobs in zip(arrays.ids.tolist(), arrays.logprobs.tolist(), strict=True)
        ]


@pytest.fixture
def desk(tmp_path: Path, template: Template) -> Desk:
    return Desk(tmp_path, template)


def test_the_same_tokenizer_aligns_everywhere_but_at_the_end(desk: Desk) -> None:
    pieces = student_pieces(desk.template, TEXT)
    said = call(ASK, TEXT, [entry(piece, -0.5, z=-2.0) for piece in pieces])
    arrays = desk.align([said], [dialogue(said, ASK, TEXT)])
    assert arrays.ids.shape == arrays.logprobs.shape == (len(pieces) + 1, 5)
    shown = desk.shown(arrays)
    assert shown == [*({p.decode(): -0.5, "z": -2.0} for p in pieces), {}]
    assert arrays.ids[:-1, 0].tolist() == desk.tokens.ids[desk.tokens.supervised][:-1].tolist()
    assert (arrays.ids == -1).tolist() == np.isneginf(arrays.logprobs).tolist()
    facts = arrays.facts()
    assert facts["told_share"] == round(len(pieces) / (len(pieces) + 1), 4)
    assert facts["aligned_share"] == 1
    assert (facts["spoken"], facts["changed"]) == (1, 0)


def test_another_tokenizer_aligns_where_the_students_begins_the_teachers(desk: Desk) -> None:
    entries = [entry(text, -0.1) for text in ("A la", "mp", " gives", " ", "light", ".")]
    said = call(ASK, TEXT, entries)
    pieces = student_pieces(desk.template, TEXT)
    assert pieces == [b"A", b" lamp", b" gives", b" light", b"."]
    arrays = desk.align([said], [dialogue(said, ASK, TEXT)])
    assert desk.shown(arrays) == [{"A": -0.1}, {}, {" gives": -0.1}, {}, {".": -0.1}, {}]
    assert arrays.facts()["aligned_share"] == 0.6


def test_the_teacher_is_heard_whichever_of_its_options_it_chose(desk: Desk) -> None:
    likely = {"A": -0.7, "Aqqq": -1.7, "The": -1.2}  # "Aqqq" is several tokens of the student's
    asks = [[{"role": "user", "content": f"Question {number}?"}] for number in range(2)]
    texts = ["A", "Aqqq"]
    calls = [
        call(ask, text, [entry(text, likely[text], **likely)])
        for ask, text in zip(asks, texts, strict=True)
    ]
    said = [dialogue(*one) for one in zip(calls, asks, texts, strict=True)]
    shown = desk.shown(desk.align(calls, said))
    first, second = shown[0], shown[int(desk.tokens.target_offsets[1])]
    assert first == second
    assert first["A"] == pytest.approx(math.log(math.exp(-0.7) + math.exp(-1.7)), abs=1e-5)


def test_alternatives_count_for_their_first_token_and_add_up(desk: Desk) -> None:
    first, *rest = student_pieces(desk.template, TEXT)
    likely = {"A" + "qqq": -2.0, "\ufffd": -3.0, "<|user|>": -4.0}
    said = call(ASK, TEXT, [entry(first, -1.0, **likely), *(entry(p, -0.1) for p in rest)])
    shown = desk.shown(desk.align([said], [dialogue(said, ASK, TEXT)]))
    assert shown[0]["A"] == math.log(math.exp(-1) + math.exp(-2))
    assert "<|user|>" not in shown[0]


def test_the_end_token_is_told_where_the_api_gives_it(desk: Desk) -> None:
    pieces = student_pieces(desk.template, TEXT)
    entries = [entry(p, -0.1, **{"<eot>": -3.0}) for p in pieces]
    entries.append(entry("<eot>", -0.2, **{" And": -2.0}))
    said = call(ASK, TEXT, entries)
    shown = desk.shown(desk.align([said], [dialogue(said, ASK, TEXT)]))
    assert shown[-1]["<|end|>"] == -0.2
    assert shown[0] == {"A": -0.1, "<|end|>": -3.0}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ("A lamp makes light.", [1, 1, 0]),
        ("  A lamp gives light.", [0, 1, 1, 1, 1]),
        ("A lamp gives light. Yes.", [1, 1, 1, 1, 1]),
        ("A lamp", [1, 1]),
        ("The lamp gives light.", [0, 0]),
    ],
)
def test_a_changed_answer_is_aligned_up_to_the_change(
    desk: Desk, changed: str, told: list[int]
) -> None:
    whole = call(ASK, TEXT, [entry(p, -0.1) for p in student_pieces(desk.template, TEXT)])
    other = [{"role": "user", "content": "Again?"}]
    second = call(other, TEXT, [entry(p, -0.1) for p in student_pieces(desk.template, TEXT)])
    dialogues = [dialogue(whole, ASK, TEXT), dialogue(second, other, changed)]
    arrays = desk.align([whole, second], dialogues)
    after = (arrays.ids[:, 0] >= 0)[desk.tokens.target_offsets[1] :]
    if changed.startswith("  "):  # the first tokens are white space
        assert after[-1 - len(told) :].tolist() == [*map(bool, told), False]
    else:
        assert after[: len(told)].tolist() == [bool(one) for one in told]
        assert not after[len(told) :].any()


def test_white_space_that_curation_took_off_does_not_matter(desk: Desk) -> None:
    entries = [entry("\n\n", -0.1), *(entry(p, -0.3) for p in student_pieces(desk.template, TEXT))]
    said = call(ASK, "\n\n" + TEXT, entries)
    arrays = desk.align([said], [dialogue(said, ASK, TEXT)])
    assert (arrays.ids[:, 0] >= 0).tolist() == [True] * 5 + [False]
    assert arrays.counts.changed == 0


def conversation(template: Template) -> tuple[list[Call], Messages]:
    """Three answers, each asked with those before it."""
    calls, messages = [], list[dict[str, str]]()
    for number, text in enumerate(["A lamp.", "A baker.", "The village."]):
        messages = [*messages, {"role": "user", "content": f"Question {number}?"}]
        entries = [entry(p, -0.1 * (number + 1)) for p in student_pieces(template, text)]
        calls.append(call(messages, text, entries))
        messages = [*messages, {"role": "assistant", "content": text}]
    return calls, messages


def test_every_answer_of_a_conversation_is_found(desk: Desk) -> None:
    calls, messages = conversation(desk.template)
    talk = dialogue(calls[-1], messages[:-1], messages[-1]["content"])
    arrays = desk.align(calls, [talk])
    assert arrays.counts.spoken == arrays.counts.answers == 3
    likely = [row for row in arrays.logprobs[:, 0].tolist() if row > -math.inf]
    assert sorted(set(np.round(likely, 3))) == [-0.3, -0.2, -0.1]
    last = len(student_pieces(desk.template, messages[-1]["content"])) + 1
    cut = desk.again(context=len(desk.tokens.ids) - last)
    assert cut.counts.answers == 2
    assert cut.counts.spoken == 2


def test_a_part_of_a_conversation_finds_its_own_answers(desk: Desk) -> None:
    calls, messages = conversation(desk.template)
    part = dialogue(calls[-1], messages[2:3], messages[3]["content"])
    arrays = desk.align(calls, [part])
    assert arrays.counts.spoken == 1
    assert arrays.logprobs[0, 0] == pytest.approx(-0.2)


def test_dialogues_without_a_call_say_nothing(desk: Desk) -> None:
    said = call(ASK, TEXT, [entry(p, -0.1) for p in student_pieces(desk.template, TEXT)])
    whole = dialogue(said, ASK, TEXT)
    others = [whole.model_copy(update={"origin": origin}) for origin in (None, "0" * 16)]
    arrays = desk.align([said], [others[0], whole, others[1]])
    told = (arrays.ids[:, 0] >= 0).reshape(3, -1)
    assert told.any(axis=1).tolist() == [False, True, False]
    assert arrays.counts.called == 1


@pytest.mark.parametrize(
    "broken",
    [
        "no JSON",
        '{"choices": []}',
        '{"choices": [{"message": {"content": "A"}, "logprobs": {"content": [3]}}]}',
        '{"choices": [{"message": {"content": "A"}, "logprobs": {"content": [{"token": "A", '
        '"logprob": 3}]}}]}',
        '{"choices": [{"message": {"content": "A"}, "logprobs": {"content": [{"token": "A", '
        '"logprob": NaN}]}}]}',
        '{"choices": [{"message": {"content": "A"}, "logprobs": {"content": [{"token": "A", '
        '"bytes": [300], "logprob": "x"}]}}]}',
    ],
)
def test_a_broken_answer_says_nothing(desk: Desk, broken: str) -> None:
    said = call(ASK, TEXT, None, response=broken)
    with pytest.raises(UserError, match=r"no log-probabilities.*collect\.top_logprobs"):
        desk.align([said], [dialogue(said, ASK, TEXT)])


def test_what_is_as_good_as_impossible_is_left_out(desk: Desk) -> None:
    pieces = student_pieces(desk.template, TEXT)
    said = call(ASK, TEXT, [entry(p, 0.0, z=-9999.0) for p in pieces])
    assert desk.shown(desk.align([said], [dialogue(said, ASK, TEXT)]))[0] == {"A": 0.0}


def test_a_ledger_of_other_dialogues_is_refused(desk: Desk) -> None:
    said = call(ASK, TEXT, [entry("A", -0.1)])
    other = dialogue(said, ASK, TEXT).model_copy(update={"origin": "0" * 16})
    with pytest.raises(UserError, match=r"none of its dialogues came from a call"):
        desk.align([said], [other])
    desk.ledger.unlink()
    with pytest.raises(UserError, match="no such ledger"):
        desk.again()


def test_tokenizers_that_have_hardly_a_token_in_common_are_refused(desk: Desk) -> None:
    said = call(ASK, TEXT, [entry(letter, -0.1) for letter in TEXT])
    arrays = desk.align([said], [dialogue(said, ASK, TEXT)])  # "A" and "." are the same
    assert arrays.facts()["aligned_share"] == 0.4
    longer = " lamp" * 8
    other = call([{"role": "user", "content": "?"}], longer, [entry(x, -0.1) for x in longer])
    with pytest.raises(UserError, match=r"only 0% .* because the tokenizers differ"):
        desk.align([other], [dialogue(other, [{"role": "user", "content": "?"}], longer)])


def test_a_second_start_aligns_nothing_until_something_changes(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = call(ASK, TEXT, [entry(p, -0.1) for p in student_pieces(desk.template, TEXT)])
    first = desk.align([said], [dialogue(said, ASK, TEXT)])
    with monkeypatch.context() as closed:
        closed.setattr("understudy.train.distil.align._write", lambda *_: pytest.fail("again"))
        second = desk.again()
        assert (second.ids == first.ids).all()
        assert second.facts() == first.facts()
        with pytest.raises(pytest.fail.Exception):
            desk.again(context=12)
    with Ledger(desk.ledger) as ledger:
        ledger.record([call([{"role": "user", "content": "new"}], TEXT, None)])
    monkeypatch.setattr("understudy.train.distil.align._write", lambda *_: pytest.fail("again"))
    with pytest.raises(pytest.fail.Exception):
        desk.again()


@pytest.mark.parametrize("kind", ["llama", "metaspace", "legacy"])
def test_other_kinds_of_tokenizers_align_as_well(tmp_path: Path, kind: str) -> None:
    template = bind("markers", ALL[kind]())
    encoded = template.encode([*ASK, {"role": "assistant", "content": TEXT}])
    own = [i for i, s in zip(encoded.ids, encoded.supervised, strict=True) if s][:-1]
    pieces = [Vocabulary(template.tokenizer).bytes_of[id] for id in own]
    spaced = pieces[0].startswith(b" ")  # which the legacy kind puts before every text
    assert spaced == (kind == "legacy")
    entries = [entry(pieces[0].strip(), -0.1), *(entry(piece, -0.1) for piece in pieces[1:])]
    said = call(ASK, TEXT, entries)
    arrays = Desk(tmp_path, template).align([said], [dialogue(said, ASK, TEXT)])
    told = (arrays.ids[:, 0] >= 0).tolist()
    assert told == [not spaced, *[True] * (len(pieces) - 1), False]
    assert arrays.counts.changed == 0
