"""Every family's tokenizer under every template: the ids of inference, and the mask."""

import copy
from functools import cache

import pytest
import torch

from families.families import (
    BINDINGS,
    CHATTING,
    FAMILIES,
    model_of,
    tokenizer_of,
)
from train.tiny_tokenizers import supervised_ids
from understudy.errors import UserError
from understudy.train.template import Template, bind, fit_embeddings

SYSTEM = {"role": "system", "content": "Be kind."}
TALK = [
    {"role": "user", "content": "What does a lamp do?"},
    {"role": "assistant", "content": "A lamp gives light.\n\n  It is 1984; naïve café 👩‍🚀."},
    {"role": "user", "content": "Go on, user: 3 + 4?"},
    {"role": "assistant", "content": "The keeper writes."},
]
ANSWERS = [message["content"] for message in TALK if message["role"] == "assistant"]


@cache
def bound(name: str, template: str) -> Template:
    return bind(template, copy.deepcopy(tokenizer_of(name)))


def dialogues(name: str, template: str) -> list[list[dict[str, str]]]:
    systems = [[]] if template == "own" and not FAMILIES[name].system else [[], [SYSTEM]]
    return [[*system, *TALK] for system in systems]


@pytest.mark.parametrize(("name", "template"), BINDINGS)
def test_training_and_inference_have_the_same_ids(name: str, template: str) -> None:
    chosen = bound(name, template)
    for messages in dialogues(name, template):
        encoded = chosen.encode(messages)
        assert chosen.tokenizer.apply_chat_template(messages, return_dict=False) == encoded.ids
        starts = [
            place
            for place, (one, before) in enumerate(
                zip(encoded.supervised, [False, *encoded.supervised], strict=False)
            )
            if one and not before
        ]
        prompts = [
            chosen.tokenizer.apply_chat_template(
                messages[:turn], add_generation_prompt=True, return_dict=False
            )
            for turn, message in enumerate(messages)
            if message["role"] == "assistant"
        ]
        assert prompts[0] == encoded.ids[: starts[0]]
        if FAMILIES[name].last is None or template != "own":  # else the last answer differs
            assert prompts == [encoded.ids[:start] for start in starts]


@pytest.mark.parametrize(("name", "template"), BINDINGS)
def test_the_mask_is_the_answers_with_their_ends(name: str, template: str) -> None:
    chosen, family = bound(name, template), FAMILIES[name]
    forms = ["{}", "{}"]
    if template == "own" and family.answer:
        forms = [family.answer, family.last or family.answer]
    wanted = [form.format(answer) for form, answer in zip(forms, ANSWERS, strict=True)]
    for messages in dialogues(name, template):
        ids = supervised_ids(chosen.encode(messages))
        assert ids[-1] == chosen.end_id
        assert ids.count(chosen.end_id) == 2
        border = ids.index(chosen.end_id)
        for own, text in zip((ids[:border], ids[border + 1 : -1]), wanted, strict=True):
            found = chosen.tokenizer.decode(own, clean_up_tokenization_spaces=False)
            # Decoders of LLaMA's kind take a first space off.
            assert found in (text, text.removeprefix(" ")), (found, text)


@pytest.mark.parametrize(("name", "template"), BINDINGS)
def test_added_tokens_get_rows_and_padding_never_ends(name: str, template: str) -> None:
    chosen, model = bound(name, template), model_of(name)
    before = model.get_input_embeddings().weight.clone()
    known = len(tokenizer_of(name))
    fit_embeddings(model, chosen)
    inputs, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    assert len(inputs) == len(head) >= len(chosen.tokenizer)
    assert chosen.added == list(range(known, len(chosen.tokenizer)))
    assert torch.equal(inputs[:known], before[:known])
    mean = before[:known].mean(0).expand(len(chosen.added), -1)
    torch.testing.assert_close(inputs[chosen.added], mean)
    assert (head is inputs) == model.config.tie_word_embeddings
    assert chosen.tokenizer.pad_token_id not in (None, chosen.end_id)
    assert model.generation_config.pad_token_id == chosen.tokenizer.pad_token_id
    assert model.generation_config.eos_token_id == chosen.end_id


def test_own_is_refused_where_a_base_has_no_template_or_no_system_role() -> None:
    for name in FAMILIES.keys() - set(CHATTING):
        with pytest.raises(UserError, match="has no chat template; choose another template"):
            bound(name, "own")
    with pytest.raises(UserError, match=r"refuses a dialogue \(no system role\)"):
        bound("gemma-2", "own").encode([SYSTEM, *TALK])
