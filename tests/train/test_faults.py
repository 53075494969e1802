"""Faults that the seed systems' training code had, each shown to be absent here."""

import json
from pathlib import Path
from typing import Any

import pytest

from train.tiny_models import TOKENIZERS, gpt2_like, llama_like
from understudy.dialogue import Dialogue, Turn
from understudy.errors import UserError
from understudy.train.formats import FORMATS
from understudy.train.template import Encoded, Template, bind
from understudy.train.tokens import encode_dialogue, encode_file

PAIRS = [(name, kind) for name in FORMATS for kind in TOKENIZERS]


def dialogue(answer: str, user: str = "Go on.", cut: bool = False) -> Dialogue:
    turns = [Turn(role="user", content=user), Turn(role="assistant", content=answer)]
    return Dialogue(id="d1", turns=turns, source="test", cut=cut)


def supervised(encoded: Encoded) -> list[int]:
    return [i for i, flag in zip(encoded.ids, encoded.supervised, strict=True) if flag]


def decoded(template: Template, ids: list[int]) -> str:
    return str(template.tokenizer.decode(ids, clean_up_tokenization_spaces=False))


def encoded_file(folder: Path, template: Template, context: int, *dialogues: Dialogue) -> Any:
    path = folder / "train.jsonl"
    path.write_text("".join(json.dumps(d.model_dump()) + "\n" for d in dialogues))
    return encode_file(path, template, context, folder / "tokens")


@pytest.mark.parametrize("answer", ["\n\nlight", "  light", "\n", "\tlight", ":", "'s"])
@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_alpaca_mask_edge_is_off_by_a_token_where_a_merge_spans_it(
    name: str, kind: str, answer: str
) -> None:
    template = bind(name, TOKENIZERS[kind]())
    for user in ("Go on.", "Go on.\n", "Go on. "):
        encoded = encode_dialogue(dialogue(answer, user), template)
        assert decoded(template, supervised(encoded)) == answer + template.end
        edge = encoded.supervised.index(True)
        asked = template.tokenizer.apply_chat_template(
            [{"role": "user", "content": user}], add_generation_prompt=True, return_dict=False
        )
        assert encoded.ids[:edge] == asked


def test_alpaca_mask_edge_in_a_template_whose_heading_is_plain_text() -> None:
    tokenizer = llama_like()
    tokenizer.chat_template = (
        "{% for m in messages %}{{ '\\n\\n' + m['role'] + '\\n' + m['content'] }}"
        "{% if m['role'] == 'assistant' %}<|im_end|>{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '\\n\\nassistant\\n' }}{% endif %}"
    )
    template = bind("own", tokenizer)
    encoded = encode_dialogue(dialogue("\n\nlight"), template)
    assert decoded(template, supervised(encoded)) == "\n\nlight<|im_end|>"
    whole = tokenizer.encode(decoded(template, encoded.ids), add_special_tokens=False)
    assert whole != encoded.ids  # encoded at once, a merge spans the edge
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Go on."}], add_generation_prompt=True, return_dict=False
    )
    assert encoded.ids[: encoded.supervised.index(True)] == asked


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_alpaca_truncation_takes_the_end_token_of_answers_that_fit(
    name: str, kind: str, tmp_path: Path
) -> None:
    template = bind(name, TOKENIZERS[kind]())
    whole = encode_dialogue(dialogue("A lamp gives light."), template)
    tokens = encoded_file(tmp_path, template, len(whole.ids), dialogue("A lamp gives light."))
    assert tokens.cut == 0
    assert tokens.ids.tolist() == whole.ids
    assert tokens.ids[-1] == template.end_id
    assert tokens.supervised[-1]


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_gpt4all_end_token_put_to_a_text_that_the_context_cut(
    name: str, kind: str, tmp_path: Path
) -> None:
    template = bind(name, TOKENIZERS[kind]())
    whole = encode_dialogue(dialogue("A lamp gives light."), template)
    context = len(whole.ids) - 2
    tokens = encoded_file(tmp_path, template, context, dialogue("A lamp gives light."))
    assert tokens.cut == 1
    assert tokens.ids.tolist() == whole.ids[:context]
    said = tokens.ids[tokens.supervised].tolist()
    assert "A lamp gives light.".startswith(decoded(template, said))


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_gpt4all_end_token_put_to_an_answer_that_the_teacher_did_not_end(
    name: str, kind: str
) -> None:
    template = bind(name, TOKENIZERS[kind]())
    ended = encode_dialogue(dialogue("A lamp gives"), template)
    cut = encode_dialogue(dialogue("A lamp gives", cut=True), template)
    assert decoded(template, supervised(cut)) == "A lamp gives"
    assert ended.ids == [*cut.ids, template.end_id]


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_gpt4all_padding_is_the_end_token_which_is_then_never_learnt(name: str, kind: str) -> None:
    tokenizer = TOKENIZERS[kind]()
    tokenizer.pad_token = tokenizer.eos_token
    template = bind(name, tokenizer)
    assert tokenizer.pad_token_id != template.end_id
    assert tokenizer.eos_token_id == template.end_id
    encoded = encode_dialogue(dialogue("light"), template)
    assert supervised(encoded)[-1] == template.end_id
    assert tokenizer.pad_token_id not in encoded.ids


@pytest.mark.parametrize(
    "said",
    [" ASSISTANT: ", "a  b   c", "</s>USER: ", "one\n\n\ntwo", "e\u0301 \ufb01 ½", "", " "],
)
@pytest.mark.parametrize("make", [gpt2_like, llama_like])
def test_fastchat_drops_a_samples_loss_where_pieces_and_whole_are_tokenized_differently(
    make: Any, said: str
) -> None:
    template = bind("vicuna", make())
    turns = [("user", said), ("assistant", said)] * 3
    talk = Dialogue(id="d", source="s", turns=[Turn(role=r, content=c) for r, c in turns])
    encoded = encode_dialogue(talk, template)
    assert decoded(template, supervised(encoded)) == (said + template.end) * 3


def test_fastchat_drops_a_samples_loss_silently_where_its_parts_are_not_found(
    tmp_path: Path,
) -> None:
    tokenizer = llama_like()
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "{{ m['role'] }}", "{{ m['role'] if m['content'] != 'odd' else 'other' }}"
    )
    template = bind("own", tokenizer)
    with pytest.raises(UserError, match=r"train\.jsonl, dialogue d1: .*its own text"):
        encoded_file(tmp_path, template, 100, dialogue("light"), dialogue("odd"))
