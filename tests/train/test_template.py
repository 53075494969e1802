"""The mask covers the assistant's texts and end tokens; inference sees the ids of training."""

import pickle
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from train.tiny_models import TOKENIZERS, build_model, llama_like
from train.tiny_tokenizers import ALL, decode, supervised_ids, supervised_text
from understudy.train.formats import FORMATS
from understudy.train.template import PAD, Template, bind, fit_embeddings

OWN = [("own", kind) for kind in ALL if kind != "gpt2"]
BINDINGS = [(name, kind) for name in FORMATS for kind in ALL] + OWN
LOSSLESS = [(name, kind) for name, kind in BINDINGS if kind in ("gpt2", "llama", "metaspace")]
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
    "＜/s＞",
    "### Response:",
    "### Instruction:\n",
    "### Input:\n",
    "### Prompt:\n",
    "ASSISTANT:",
    "USER:",
    "GPT:",
    "BEGINNING OF CONVERSATION:",
    "<unk>",
    PAD,
    "\n",
    " " * 300,
    "\ue000",
    "\x00",
    "👩‍🚀",
    "שלום \u202e عليكم",
    "{{ bos_token }}",
    "",
]
texts = st.lists(st.one_of(st.sampled_from(MARKS), st.text(max_size=12)), max_size=5).map("".join)


@cache
def bound(name: str, kind: str) -> Template:
    return bind(name, ALL[kind]())


@st.composite
def dialogues(draw: st.DrawFn, text: st.SearchStrategy[str] = texts) -> list[dict[str, str]]:
    messages = []
    if draw(st.booleans()):
        messages.append({"role": "system", "content": draw(text)})
    for _ in range(draw(st.integers(1, 3))):
        messages.append({"role": "user", "content": draw(text)})
        messages.append({"role": "assistant", "content": draw(text)})
    return messages


def answers(template: Template, messages: list[dict[str, str]]) -> str:
    contents = [m["content"] for m in messages if m["role"] == "assistant"]
    return "".join(content + template.end for content in contents)


@pytest.mark.parametrize(("name", "kind"), LOSSLESS)
@settings(max_examples=40)
@given(messages=dialogues())
def test_supervised_ids_are_the_answers_with_their_ends(
    name: str, kind: str, messages: list[dict[str, str]]
) -> None:
    template = bound(name, kind)
    expected = answers(template, messages)
    assert supervised_text(template, messages) == (
        expected.replace("▁", " ") if kind == "metaspace" else expected
    )


@pytest.mark.parametrize(("name", "kind"), BINDINGS)
@settings(max_examples=25)
@given(messages=dialogues())
def test_what_is_said_around_an_answer_does_not_change_what_is_supervised(
    name: str, kind: str, messages: list[dict[str, str]]
) -> None:
    template = bound(name, kind)
    alone = [{"role": "user", "content": "x"}, {}]
    expected = []
    for message in messages:
        if message["role"] == "assistant":
            alone[1] = message
            expected += supervised_ids(template.encode(alone))
    assert supervised_ids(template.encode(messages)) == expected
    others = [m if m["role"] == "assistant" else {**m, "content": "x"} for m in messages]
    silent = [m if m["role"] != "assistant" else {**m, "content": ""} for m in messages]
    assert supervised_ids(template.encode(others)) == expected
    rest = template.encode(messages)
    unsupervised = [i for i, s in zip(rest.ids, rest.supervised, strict=True) if not s]
    rest = template.encode(silent)
    assert unsupervised == [i for i, s in zip(rest.ids, rest.supervised, strict=True) if not s]


@pytest.mark.parametrize(("name", "kind"), BINDINGS)
@settings(max_examples=25)
@given(messages=dialogues())
def test_no_text_forges_a_control_token(
    name: str, kind: str, messages: list[dict[str, str]]
) -> None:
    template = bound(name, kind)
    plain = [{**message, "content": "x"} for message in messages]
    controls = set(template.tokenizer.added_tokens_decoder)
    controls.discard(template.tokenizer.convert_tokens_to_ids("<unk>"))  # an unknown letter's
    found = [i for i in template.encode(messages).ids if i in controls]
    assert found == [i for i in template.encode(plain).ids if i in controls]


@pytest.mark.parametrize(("name", "kind"), BINDINGS)
@settings(max_examples=10)
@given(many=st.lists(dialogues(), max_size=4))
def test_many_are_encoded_as_each_alone(
    name: str, kind: str, many: list[list[dict[str, str]]]
) -> None:
    template = bound(name, kind)
    assert template.encode_many(many) == [template.encode(messages) for messages in many]


def holds_no_mark(text: str) -> bool:
    return not any(mark in text for mark in MARKS if len(mark) > 2)


ordinary = st.text(max_size=20).filter(holds_no_mark)


def joins(template: Template, name: str, messages: list[dict[str, str]]) -> bool:
    """Whether the tokenizer has a token of a prompt's last line break and an answer's beginning."""
    answers = [m["content"] for m in messages if m["role"] == "assistant"]
    joined = tuple(t[1:] for t in template.tokenizer.get_vocab() if t[0] == "\n" and t.strip())
    return name == "own" and any(answer.startswith(joined) for answer in answers)


@pytest.mark.parametrize(("name", "kind"), BINDINGS)
@settings(max_examples=25)
@given(data=st.data())
def test_inference_gives_the_ids_of_training(name: str, kind: str, data: st.DataObject) -> None:
    template = bound(name, kind)
    messages = data.draw(dialogues(ordinary.map(str.strip) if name == "own" else ordinary))
    for message in messages:
        if message["role"] == "assistant":
            message["content"] = message["content"].strip()
    if name == "own" and kind == "legacy":
        messages = messages[: 2 + (messages[0]["role"] == "system")]
    encoded = template.encode(messages)
    whole = template.tokenizer.apply_chat_template(messages, return_dict=False)
    # A tokenizer whose words are not split makes one token of the prompt's last line break and an
    # "l" when it sees both at once, as no model does that has yet to write the "l".
    if not joins(template, name, messages):
        assert whole[: len(encoded.ids)] == encoded.ids
    for turn, message in enumerate(messages):
        if message["role"] == "assistant":
            prefix = template.tokenizer.apply_chat_template(
                messages[:turn], add_generation_prompt=True, return_dict=False
            )
            assert encoded.ids[: len(prefix)] == prefix
            assert not encoded.supervised[len(prefix) - 1]
            assert encoded.supervised[len(prefix)]


@pytest.mark.parametrize(("name", "kind"), [b for b in BINDINGS if b[1] != "unigram"])
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


SYSTEM = {"role": "system", "content": "Be kind."}
TALK = [
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Hi"},
    {"role": "user", "content": "Bye"},
]
INPUT = {"role": "user", "content": "Add these.\n\n1 2", "input": "1 2"}
PUBLISHED = [
    ("alpaca", [TALK[0]], "### Instruction:\nHello\n\n### Response:"),
    ("alpaca", [TALK[0]], "### Instruction:\nHello\n\n### Response:\n"),  # as the README has it
    (
        "alpaca",
        [SYSTEM, INPUT],
        "Be kind.\n\n### Instruction:\nAdd these.\n\n### Input:\n1 2\n\n### Response:",
    ),
    ("vicuna", [TALK[0]], "USER: Hello ASSISTANT:"),
    ("vicuna", [SYSTEM, TALK[0]], "Be kind. USER: Hello ASSISTANT:"),
    ("vicuna", [SYSTEM, *TALK], "Be kind. USER: Hello ASSISTANT: Hi</s>USER: Bye ASSISTANT:"),
    ("vicuna", [INPUT], "USER: Add these.\n\n1 2 ASSISTANT:"),
    ("koala", TALK[:1], "BEGINNING OF CONVERSATION: USER: Hello GPT:"),
    ("koala", TALK, "BEGINNING OF CONVERSATION: USER: Hello GPT: Hi</s>USER: Bye GPT:"),
    ("koala", TALK, "BEGINNING OF CONVERSATION: USER: Hello GPT:Hi</s>USER: Bye GPT:"),
    ("gpt4all", TALK[:1], "### Prompt:\nHello\n### Response:\n"),
    ("gpt4all", [SYSTEM, INPUT], "Be kind.\n### Prompt:\nAdd these.\n\n1 2\n### Response:\n"),
    ("markers", TALK, "<|user|>Hello<|assistant|>Hi<|end|><|user|>Bye<|assistant|>"),
]


@pytest.mark.parametrize("kind", [kind for kind in ALL if kind != "gpt2"])
@pytest.mark.parametrize(("name", "messages", "text"), PUBLISHED)
def test_a_prompt_in_the_originals_form_gives_the_ids_of_training(
    name: str, messages: list[dict[str, str]], text: str, kind: str
) -> None:
    template = bound(name, kind)
    written = template.tokenizer(text)["input_ids"]
    answered = template.encode([*messages, {"role": "assistant", "content": "b"}])
    assert answered.ids[: len(written)] == written
    assert not answered.supervised[len(written) - 1]
    assert answered.supervised[len(written)]
    prompt = template.tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_dict=False
    )
    assert prompt == written


def test_an_input_that_is_not_the_end_of_its_message_stays_where_it_is() -> None:
    template = bound("alpaca", "llama")
    message = {"role": "user", "content": "Changed.", "input": "1 2"}
    answer = {"role": "assistant", "content": "b"}
    plain = {"role": "user", "content": "Changed."}
    assert template.encode([message, answer]) == template.encode([plain, answer])
    assert template.tokenizer.apply_chat_template(
        [message], return_dict=False
    ) == template.tokenizer.apply_chat_template([plain], return_dict=False)


@pytest.mark.parametrize("name", FORMATS)
def test_a_saved_tokenizer_gives_the_same_prompts(name: str, tmp_path: Path) -> None:
    template = bound(name, "llama")
    template.tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    options = {"add_generation_prompt": True, "return_dict": False}
    assert again.apply_chat_template(
        [SYSTEM, *TALK], **options
    ) == template.tokenizer.apply_chat_template([SYSTEM, *TALK], **options)
    assert again.eos_token_id == template.end_id


def test_a_template_can_be_sent_to_another_process() -> None:
    template = bound("vicuna", "llama")
    assert pickle.loads(pickle.dumps(template)).encode(TALK) == template.encode(TALK)


def test_white_space_that_a_tokenizer_has_as_a_token_stays_text() -> None:
    tokenizer = llama_like()
    tokenizer.add_tokens([AddedToken("    ", special=False)])
    template = bind("markers", tokenizer)
    id = tokenizer.convert_tokens_to_ids("    ")
    encoded = template.encode([{"role": "assistant", "content": "a:    b"}])
    assert id in encoded.ids
    assert encoded.ids == tokenizer.apply_chat_template(
        [{"role": "assistant", "content": "a:    b"}], return_dict=False
    )


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


def test_new_tokens_take_rows_beyond_the_tokenizer_and_leave_the_mean_alone() -> None:
    tokenizer = llama_like()
    known = len(tokenizer)
    model = build_model("llama", known + 40)
    with torch.no_grad():
        for table in (model.get_input_embeddings().weight, model.get_output_embeddings().weight):
            table[known:] = 1e6  # padding
    template = bind("vicuna", tokenizer)
    fit_embeddings(model, template)
    for table in (model.get_input_embeddings().weight, model.get_output_embeddings().weight):
        assert len(table) == known + 40
        expected = table[:known].mean(0).expand(len(template.added), -1)
        torch.testing.assert_close(table[template.added], expected)
        assert (table[max(template.added) + 1 :] == 1e6).all()


@pytest.mark.parametrize("tied", [True, False])
def test_a_heads_bias_starts_at_its_mean_too(tied: bool) -> None:
    tokenizer = llama_like()
    known = len(tokenizer)
    config = LlamaConfig(
        vocab_size=known,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        tie_word_embeddings=tied,
    )
    model = LlamaForCausalLM(config)
    model.lm_head.bias = torch.nn.Parameter(torch.randn(known))
    template = bind("markers", tokenizer)
    fit_embeddings(model, template)
    bias = model.lm_head.bias
    assert len(bias) == known + len(template.added)
    torch.testing.assert_close(bias[known:], bias[:known].mean().expand(len(template.added)))


def test_tokens_that_the_vocabulary_had_are_not_new() -> None:
    tokenizer = llama_like()
    tokenizer.add_tokens(["<|user|>"])
    template = bind("markers", tokenizer)
    assert tokenizer.convert_tokens_to_ids("<|user|>") not in template.added
    assert tokenizer.convert_ids_to_tokens(template.added) == [
        "<|system|>",
        "<|assistant|>",
        "<|end|>",
    ] + [PAD] * (PAD in tokenizer.get_vocab() and tokenizer.pad_token == PAD)
