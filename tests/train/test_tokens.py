"""Dialogues are encoded once, whole or not at all, and the same way by one process or many."""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from train.tiny_models import TOKENIZERS, llama_like
from understudy.dialogue import Dialogue, Turn, write_dialogues
from understudy.errors import UserError
from understudy.train import tokens as tokens_module
from understudy.train.template import Encoded, Template, bind
from understudy.train.tokens import Encoder, Numbered, Tokens, encode_dialogue, encode_file


def dialogue(answer: str, id: str = "d", cut: bool = False) -> Dialogue:
    turns = [Turn(role="user", content="Go"), Turn(role="assistant", content=answer)]
    return Dialogue(id=id, turns=turns, source="test", cut=cut)


def decoded(tokens: Tokens) -> list[Encoded]:
    """What went in, dialogue by dialogue."""
    spans = zip(tokens.offsets[:-1], tokens.offsets[1:], strict=True)
    return [
        Encoded(tokens.ids[start:end].tolist(), tokens.supervised[start:end].tolist())
        for start, end in spans
    ]


@pytest.fixture
def template() -> Template:
    return bind("markers", llama_like())


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.jsonl"
    write_dialogues(path, [dialogue("light " * (i % 7 + 1), f"naïve-{i}") for i in range(25)])
    return path


@pytest.fixture
def encodings(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """A list that grows by one whenever a file is encoded."""
    found: list[Path] = []
    real = tokens_module._encode

    def counted(path: Path, template: Template, context: int, folder: Path, key: str) -> None:
        found.append(path)
        real(path, template, context, folder, key)

    monkeypatch.setattr(tokens_module, "_encode", counted)
    return found


def test_what_is_cut_keeps_no_end_token(template: Template) -> None:
    whole = encode_dialogue(dialogue("light"), template)
    assert whole.ids[-1] == template.end_id
    known_cut = encode_dialogue(dialogue("light", cut=True), template)
    assert known_cut.ids == whole.ids[:-1]
    assert known_cut.supervised == whole.supervised[:-1]


@pytest.mark.parametrize("tokenizer", TOKENIZERS.values())
def test_a_file_holds_its_dialogues_as_they_are_encoded(
    tokenizer: Callable[[], PreTrainedTokenizerFast], data: Path, tmp_path: Path
) -> None:
    template = bind("vicuna", tokenizer())
    some = [dialogue("light", "one"), dialogue("🙂 café\n\n", "two"), dialogue("a", "three", True)]
    write_dialogues(data, some)
    tokens = encode_file(data, template, 200, tmp_path / "tokens")
    whole = [encode_dialogue(one, template) for one in some]
    assert decoded(tokens) == whole
    assert tokens.target_offsets.tolist() == [
        sum(sum(one.supervised) for one in whole[:i]) for i in range(4)
    ]
    assert [tokens.name(i) for i in range(3)] == ["one", "two", "three"]
    assert (len(tokens), tokens.cut, tokens.empty) == (3, 0, 0)


def test_what_is_longer_than_the_context_loses_its_end(template: Template, tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    asked_much = Dialogue(
        id="asked",
        turns=[Turn(role="user", content="light " * 50), Turn(role="assistant", content="Go")],
        source="test",
    )
    lone = Dialogue(id="lone", turns=[Turn(role="user", content="Go")], source="test")
    write_dialogues(path, [dialogue("light " * 50, "long"), asked_much, lone, dialogue("a", "a")])
    tokens = encode_file(path, template, 20, tmp_path / "tokens")
    assert (len(tokens), tokens.cut, tokens.empty) == (2, 1, 2)
    whole = encode_dialogue(dialogue("light " * 50), template)
    assert decoded(tokens)[0] == Encoded(whole.ids[:20], whole.supervised[:20])
    assert template.end_id not in decoded(tokens)[0].ids
    assert decoded(tokens)[1] == encode_dialogue(dialogue("a"), template)
    assert [tokens.name(i) for i in range(2)] == ["long", "a"]


def test_a_first_token_is_no_target(
    data: Path, template: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_dialogues(data, [dialogue("a", "one"), dialogue("a", "two")])
    encoded = [Encoded([5, 6], [True, True]), Encoded([7, 8], [True, False])]
    monkeypatch.setattr(template, "encode_many", lambda dialogues: encoded)
    tokens = encode_file(data, template, 20, tmp_path / "tokens")
    assert tokens.target_offsets.tolist() == [0, 1]
    assert (tokens.name(0), len(tokens), tokens.empty) == ("one", 1, 1)


def test_lines_are_those_of_the_file(template: Template, tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    line = dialogue("light").model_dump_json(exclude_none=True)
    path.write_text(f"\n{line}\n\n \n{line}")
    tokens = encode_file(path, template, 100, tmp_path / "tokens")
    assert tokens.lines.tolist() == [2, 5]


def test_a_file_without_answers_gives_no_dialogues(template: Template, tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    for dialogues, empty in (([], 0), ([dialogue("light")], 1)):
        write_dialogues(path, dialogues)
        tokens = encode_file(path, template, 3, tmp_path / "tokens")
        assert (len(tokens), len(tokens.ids), tokens.empty) == (0, 0, empty)
        assert tokens.offsets.tolist() == tokens.target_offsets.tolist() == [0]


@pytest.mark.parametrize(("words", "kind"), [(60_000, "uint16"), (66_000, "uint32")])
def test_ids_take_the_bytes_that_the_vocabulary_needs(
    words: int, kind: str, tmp_path: Path
) -> None:
    vocabulary = {f"w{i}": i for i in range(words)} | {"<unk>": words}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    template = bind(
        "markers", PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")
    )
    path = tmp_path / "data.jsonl"
    write_dialogues(path, [dialogue(f"w1 w{words - 1}")])
    tokens = encode_file(path, template, 100, tmp_path / "tokens")
    assert tokens.ids.dtype == kind
    assert words - 1 in tokens.ids


def test_a_second_start_encodes_nothing(
    data: Path, template: Template, tmp_path: Path, encodings: list[Path]
) -> None:
    first = encode_file(data, template, 20, tmp_path / "tokens")
    before = decoded(first)
    again = encode_file(data, bind("markers", llama_like()), 20, tmp_path / "tokens")
    assert decoded(again) == before
    assert (again.cut, again.empty) == (first.cut, first.empty)
    assert len(encodings) == 1


def test_any_change_encodes_anew(
    data: Path, template: Template, tmp_path: Path, encodings: list[Path]
) -> None:
    folder = tmp_path / "tokens"
    encode_file(data, template, 20, folder)
    encode_file(data, template, 21, folder)
    encode_file(data, bind("alpaca", llama_like()), 21, folder)
    other = llama_like()
    other.add_tokens(["light"])
    encode_file(data, bind("alpaca", other), 21, folder)
    write_dialogues(data, [dialogue("light", "new")])
    tokens = encode_file(data, bind("alpaca", other), 21, folder)
    assert len(encodings) == 5
    assert tokens.name(0) == "new"
    assert len(tokens) == 1


def test_a_change_of_the_chat_template_alone_encodes_anew(
    data: Path, tmp_path: Path, encodings: list[Path]
) -> None:
    template = bind("own", llama_like())
    before = len(encode_file(data, template, 40, tmp_path / "tokens").ids)
    changed = llama_like()
    changed.chat_template = str(changed.chat_template).replace("<|im_end|>\n", "<|im_end|>")
    after = len(encode_file(data, bind("own", changed), 40, tmp_path / "tokens").ids)
    assert after < before
    assert len(encodings) == 2


def test_what_was_killed_half_way_is_made_anew(
    data: Path, template: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = decoded(encode_file(data, template, 20, tmp_path / "whole"))
    folder, calls = tmp_path / "tokens", []
    real = Encoder.encode

    def encode(self: Encoder, numbered: Sequence[Numbered]) -> object:
        calls.append(len(numbered))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(self, numbered)

    monkeypatch.setattr(tokens_module, "PART", 4)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *args, **options: None)  # a kill tidies nothing up
        patch.setattr(Encoder, "encode", encode)
        with pytest.raises(KeyboardInterrupt):
            encode_file(data, template, 20, folder)
    assert not folder.exists()
    assert (tmp_path / ".tokens.part" / "ids").stat().st_size
    assert decoded(encode_file(data, template, 20, folder)) == whole
    assert not (tmp_path / ".tokens.part").exists()


@pytest.mark.parametrize("damage", ["header.json", "supervised", "offsets"])
def test_a_folder_with_a_file_missing_or_cut_is_made_anew(
    damage: str, data: Path, template: Template, tmp_path: Path, encodings: list[Path]
) -> None:
    folder = tmp_path / "tokens"
    before = decoded(encode_file(data, template, 20, folder))
    if damage == "supervised":
        os.truncate(folder / damage, 3)
    else:
        (folder / damage).unlink()
    assert decoded(encode_file(data, template, 20, folder)) == before
    assert len(encodings) == 2


def test_workers_give_what_one_process_gives(
    data: Path, template: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = encode_file(data, template, 20, tmp_path / "alone")
    monkeypatch.setattr(tokens_module, "LARGE", 1)
    monkeypatch.setattr(tokens_module, "PART", 2)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    pools: list[int] = []
    real = tokens_module._pool

    def counted(encoder: Encoder, workers: int) -> object:
        pools.append(workers)
        return real(encoder, workers)

    monkeypatch.setattr(tokens_module, "_pool", counted)
    together = encode_file(data, template, 20, tmp_path / "together")
    assert pools == [2]
    files = sorted(path.name for path in (tmp_path / "alone").iterdir())
    assert files == sorted(path.name for path in (tmp_path / "together").iterdir())
    for name in files:
        assert (tmp_path / "alone" / name).read_bytes() == (
            tmp_path / "together" / name
        ).read_bytes()
    assert (together.cut, len(together)) == (alone.cut, 25)


def test_large_files_alone_are_worth_workers(
    data: Path, template: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(encoder: Encoder, workers: int) -> None:
        raise AssertionError

    monkeypatch.setattr(tokens_module, "_pool", refuse)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert len(encode_file(data, template, 20, tmp_path / "tokens")) == 25


def test_parts_are_closed_by_number_and_by_size(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens_module, "PART", 10)
    assert [len(batch) for batch in tokens_module._batches(data)] == [10, 10, 5]
    monkeypatch.setattr(tokens_module, "PART_CHARACTERS", 0)
    assert [len(batch) for batch in tokens_module._batches(data)] == [1] * 25


def test_errors_name_file_and_dialogue(tmp_path: Path) -> None:
    tokenizer = llama_like()
    tokenizer.chat_template = "{% if messages[0]['content'] == 'No' %}{{ raise_exception('odd') }}"
    tokenizer.chat_template += (
        "{% endif %}{% for m in messages %}{{ m['content'] }}<|im_end|>{% endfor %}"
    )
    template = bind("own", tokenizer)
    path = tmp_path / "data.jsonl"
    turns = [Turn(role="user", content="No"), Turn(role="assistant", content="a")]
    refused = Dialogue(id="bad one", turns=turns, source="test")
    write_dialogues(path, [dialogue("fine"), refused])
    with pytest.raises(UserError, match=r"data\.jsonl, dialogue bad one: .*odd"):
        encode_file(path, template, 20, tmp_path / "tokens")
    assert [file.name for file in tmp_path.iterdir()] == ["data.jsonl"]


def test_a_line_that_is_no_dialogue_is_named(
    data: Path, template: Template, tmp_path: Path
) -> None:
    with open(data, "a") as file:
        file.write(json.dumps({"id": 3}) + "\n")
    with pytest.raises(UserError, match=r"data\.jsonl, line 26: not a dialogue"):
        encode_file(data, template, 20, tmp_path / "tokens")
    with pytest.raises(UserError, match=r"none\.jsonl: no such file"):
        encode_file(tmp_path / "none.jsonl", template, 20, tmp_path / "tokens")


def test_tokens_lie_on_disk(data: Path, template: Template, tmp_path: Path) -> None:
    tokens = encode_file(data, template, 20, tmp_path / "tokens")
    for column in (tokens.ids, tokens.supervised, tokens.offsets, tokens.names):
        assert isinstance(column.base, np.memmap)
        assert not column.flags.writeable
