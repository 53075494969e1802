"""The mask covers the assistant's texts and end tokens; inference sees the ids of training."""

from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from train.tiny_models import TOKENIZERS, build_model, gpt2_like, llama_like
from understudy.errors import UserError
from understudy.train.template import FORMATS, PAD, Template, bind, fit_embeddings

BINDINGS = [(name, kind) for name in FORMATS for kind in TOKENIZERS] + [("own", "llama")]
MARKS = [
    "<|user|>",
    "<|system|>",
    "<|assistant|>",
    "<|end|>",
    "</s>",
    "<s>",
    "<|endoftext|>",
    "<|im_end|>",
    "<|im_start|>assistant\n",
    "<tool>",
    "### Response:\n",
    "### Instruction:\n",
    "### System:\n",
    "ASSISTANT: ",
    "SYSTEM: ",
    "USER: ",
    "<unk>",
    PAD,
    "\n",
    "  ",
    "\ue000",
    "{{ bos_token }}",
    "",
]
texts = st.lists(st.one_of(st.sampled_from(MARKS), st.text(max_size=12)), max_size=5).map("".join)


@cache
def bound(name: str, kind: str) -> Template:
    return bind(name, TOKENIZERS[kind]())


@st.composite
def dialogues(draw: st.DrawFn, text: st.SearchStrategy[str] = texts) -> list[dict[str, str]]:
    messages = []
    if draw(st.booleans()):
        messages.append({"role": "system", "content": draw(text)})
    for _ in range(draw(st.integers(1, 3))):
        messages.append({"role": "user", "content": draw(text)})
        messages.append({"role": "assistant", "content": draw(text)})
    return messages


def supervised_text(template: Template, messages: list[dict[str, str]]) -> str:
    encoded = template.encode(messages)
    assert len(encoded.ids) == len(encoded.supervised)
    ids = [i for i, s in zip(encoded.ids, encoded.supervised, strict=True) if s]
    return decode(template.tokenizer, ids)


def decode(tokenizer: PreTrainedTokenizerFast, ids: list[int]) -> str:
    return tokenizer.decode(ids, clean_up_tokenization_spaces=False)


def answers(template: Template, messages: list[dict[str, str]]) -> str:
    contents = [m["content"] for m in messages if m["role"] == "assistant"]
    return "".join(content + template.end for content in contents)


@pytest.mark.parametrize(("name", "kind"), BINDINGS)
@settings(max_examples=60, deadline=None)
@given(messages=dialogues())
def test_supervised_ids_are_the_answers_with_their_ends(
    name: str, kind: str, messages: list[dict[str, str]]
) -> None:
    template = bound(name, kind)
    assert supervised_text(template, messages) == answers(template, messages)


@pytest.mark.parametrize(("name", "kind"), BINDINGS)
@settings(max_examples=60, deadline=None)
@given(messages=dialogues())
def test_no_text_forges_a_control_token(
    name: str, kind: str, messages: list[dict[str, str]]
) -> None:
    template = bound(name, kind)
    plain = [{**message, "content": "x"} for message in messages]
    controls = template.tokenizer.added_tokens_decoder
    found = [i for i in template.encode(messages).ids if i in controls]
    assert found == [i for i in template.encode(plain).ids if i in controls]


def holds_no_mark(text: str) -> bool:
    return not any(mark in text for mark in MARKS if len(mark) > 2)


ordinary = st.text(max_size=20).filter(holds_no_mark)


@pytest.mark.parametrize(("name", "kind"), BINDINGS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_inference_gives_the_ids_of_training(name: str, kind: str, data: st.DataObject) -> None:
    template = bound(name, kind)
    text = ordinary.map(str.strip) if name == "own" else ordinary
    messages = data.draw(dialogues(text))
    encoded = template.encode(messages)
    whole = template.tokenizer.apply_chat_template(messages, return_dict=False)
    assert whole[: len(encoded.ids)] == encoded.ids
    for turn, message in enumerate(messages):
        if message["role"] == "assistant":
            prefix = template.tokenizer.apply_chat_template(
                messages[:turn], add_generation_prompt=True, return_dict=False
            )
            assert encoded.ids[: len(prefix)] == prefix
            assert not encoded.supervised[len(prefix) - 1]
            assert encoded.supervised[len(prefix)]


@pytest.mark.parametrize(("name", "kind"), BINDINGS)
def test_sanitized_inference_keeps_marks_plain(name: str, kind: str) -> None:
    template = bound(name, kind)
    forged = "x" + "".join(template.tokenizer.added_tokens_encoder)
    messages = [{"role": "user", "content": forged}]
    ids = template.tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, sanitize_control_tokens=True, return_dict=False
    )
    plain = template.tokenizer.apply_chat_template(
        [{"role": "user", "content": "x"}], add_generation_prompt=True, return_dict=False
    )
    special = {i for i, token in template.tokenizer.added_tokens_decoder.items() if token.special}
    assert [i for i in ids if i in special] == [i for i in plain if i in special]


def test_the_formats_read_as_published() -> None:
    messages = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi"},
        {"role": "user", "content": "Bye"},
    ]
    expected = {
        "markers": "<s><|user|>Hello<|assistant|>Hi<|end|><|user|>Bye<|assistant|>",
        "alpaca": "<s>### Instruction:\nHello\n\n### Response:\nHi</s>"
        "### Instruction:\nBye\n\n### Response:\n",
        "vicuna": "<s>USER: Hello ASSISTANT: Hi</s>USER: Bye ASSISTANT: ",
    }
    for name, text in expected.items():
        tokenizer = bound(name, "llama").tokenizer
        shown = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        assert shown == text


def test_only_the_answers_end_is_supervised_and_not_what_follows_it() -> None:
    template = bound("own", "llama")
    encoded = template.encode(
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    )
    assert decode(template.tokenizer, encoded.ids[-2:]) == "<|im_end|>\n"
    assert encoded.supervised[-2:] == [True, False]


def test_padding_is_not_the_end_and_the_end_stops_generation() -> None:
    for name, kind in BINDINGS:
        template = bound(name, kind)
        assert template.tokenizer.pad_token_id != template.end_id
        assert template.tokenizer.eos_token_id == template.end_id


def test_a_template_that_trims_is_matched_with_trimmed_text() -> None:
    tokenizer = llama_like()
    tokenizer.chat_template = tokenizer.chat_template.replace("['content']", "['content'] | trim")
    template = bind("own", tokenizer)
    messages = [{"role": "user", "content": " a "}, {"role": "assistant", "content": "\n b "}]
    assert supervised_text(template, messages) == "b<|im_end|>"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("['content']", "['content'] | upper"), "changes the text"),
        (("<|im_end|>", ""), "without an end token"),
        (("{% for m in messages %}", "{% for m in messages[:1] %}"), "drops or repeats"),
        (("{% for", "{{ raise_exception('no system') }}{% for"), "refuses a dialogue"),
    ],
)
def test_a_template_that_cannot_be_masked_is_refused(change: tuple[str, str], words: str) -> None:
    tokenizer = llama_like()
    tokenizer.chat_template = tokenizer.chat_template.replace(*change)
    with pytest.raises(UserError, match=words):
        bind("own", tokenizer).encode(
            [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
        )


def test_own_needs_a_chat_template() -> None:
    with pytest.raises(UserError, match="no chat template"):
        bind("own", gpt2_like())


def test_new_embeddings_are_the_mean_of_the_old(architecture: str) -> None:
    tokenizer = TOKENIZERS[architecture]()
    model = build_model(architecture, len(tokenizer))
    before = model.get_input_embeddings().weight.clone()
    template = bind("markers", tokenizer)
    fit_embeddings(model, template)
    after = model.get_input_embeddings().weight
    assert len(template.added) >= 4
    assert len(after) == len(tokenizer) == len(before) + len(template.added)
    torch.testing.assert_close(after[: len(before)], before)
    torch.testing.assert_close(
        after[template.added], before.mean(0).expand(len(template.added), -1)
    )
    head = model.get_output_embeddings().weight
    torch.testing.assert_close(head[template.added[0]], head[: len(before)].mean(0))
    assert model.generation_config.eos_token_id == template.end_id
