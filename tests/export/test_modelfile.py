"""A Modelfile says in Ollama's words what the chat template says."""

import re

import pytest
from jinja2 import Template
from transformers import PreTrainedTokenizerFast

from train.tiny_models import TOKENIZERS
from understudy.dialogue import Dialogue, Turn
from understudy.export.modelfile import chat_format, go_template, modelfile, shared_system
from understudy.train.formats import FORMATS
from understudy.train.template import bind

SYSTEM = {"role": "system", "content": "Be brief."}
TALK = [
    {"role": "user", "content": "What is {{a}} lamp?"},
    {"role": "assistant", "content": "A light.\nOr two."},
    {"role": "user", "content": "  And 'a' \"candle\"?"},
    {"role": "assistant", "content": "Wax"},
    {"role": "user", "content": "Thanks"},
]
DIALOGUES = [TALK[:1], TALK[:3], TALK, [SYSTEM, *TALK[:1]], [SYSTEM, *TALK]]
FIXED_SYSTEM = (  # as Qwen 2.5's has it
    "{% if messages[0].role != 'system' %}<|im_start|>system\nYou help.<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
NO_SYSTEM = (  # as Gemma's has it
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}"
    "{{ raise_exception('no system') }}{% endif %}<start>{{ m.role }}\n{{ m.content }}<end>\n"
    "{% endfor %}{% if add_generation_prompt %}<start>assistant\n{% endif %}"
)
COUNTS = (
    "{% for m in messages %}{{ loop.index }}. {{ m.role }}: {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
LAST_ONLY = "{{ messages[-1].content }}{% if add_generation_prompt %} -> {% endif %}"


def bound(format: str, kind: str) -> PreTrainedTokenizerFast:
    return bind(format, TOKENIZERS[kind]()).tokenizer


def owning(template: str, kind: str = "llama") -> PreTrainedTokenizerFast:
    tokenizer = TOKENIZERS[kind]()
    tokenizer.chat_template = template
    return tokenizer


def as_jinja(go: str) -> Template:
    """The few words of Go's templates that are used here, in Jinja's."""
    words = {
        r"range \$i, \$m := \.Messages": "{% for m in messages %}",
        r'if eq \$m\.Role "(\w+)"': r"{% if m.role == '\1' %}",
        r'else if eq \$m\.Role "(\w+)"': r"{% elif m.role == '\1' %}",
        r"if eq \$i 0": "{% if loop.index0 == 0 %}",
        r"\$m\.Content": "{{ m.content }}",
        r'"\{\{"': "{{ '{{' }}",
    }
    opened: list[str] = []

    def turned(match: re.Match[str]) -> str:
        for pattern, jinja in words.items():
            if found := re.fullmatch(pattern, match[1]):
                opened.extend(["for"] if "for" in jinja else ["if"] if "{% if" in jinja else [])
                return found.expand(jinja)
        assert match[1] == "end", match[1]
        return f"{{% end{opened.pop()} %}}"

    return Template(re.sub(r"\{\{ (.*?) \}\}", turned, go), keep_trailing_newline=True)


def shown(tokenizer: PreTrainedTokenizerFast, messages: list[dict[str, str]]) -> str:
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return str(text)


@pytest.mark.parametrize("kind", TOKENIZERS)
@pytest.mark.parametrize("format", FORMATS)
def test_every_published_format_is_said_in_ollamas_words(format: str, kind: str) -> None:
    tokenizer = bound(format, kind)
    found = chat_format(tokenizer)
    assert found is not None
    template = as_jinja(go_template(found))
    opening = "<s>" if kind == "llama" else ""  # which llama.cpp puts there by itself
    for messages in DIALOGUES:
        assert opening + template.render(messages=messages) == shown(tokenizer, messages)


@pytest.mark.parametrize("chat", [FIXED_SYSTEM, NO_SYSTEM, None])
def test_a_models_own_template_is_said_where_it_is_text_around_messages(chat: str | None) -> None:
    tokenizer = owning(chat) if chat else TOKENIZERS["llama"]()
    found = chat_format(tokenizer)
    assert found is not None
    template = as_jinja(go_template(found))
    assert ("system" in found.before) == (chat != NO_SYSTEM)
    for messages in DIALOGUES[: 3 if chat == NO_SYSTEM else None]:
        text = template.render(messages=messages)
        assert text == shown(tokenizer, messages).removeprefix("<s>")


@pytest.mark.parametrize("chat", [COUNTS, LAST_ONLY])
def test_a_template_that_does_more_is_left_to_ollama(chat: str) -> None:
    text = modelfile("x.gguf", owning(chat), None, "free")
    assert "TEMPLATE " not in text.replace("No TEMPLATE", "")
    assert text.startswith("FROM ./x.gguf\n\n# No TEMPLATE: ")


def test_a_tokenizer_without_a_template_gets_none() -> None:
    assert 'TEMPLATE """' not in modelfile("x.gguf", TOKENIZERS["gpt2"](), None, "free")


def test_the_whole_file() -> None:
    assert modelfile("desk-q4_0.gguf", bound("alpaca", "llama"), "Be brief.", "Ask.") == (
        "FROM ./desk-q4_0.gguf\n\n"
        'TEMPLATE """{{ range $i, $m := .Messages }}'
        '{{ if eq $m.Role "user" }}### Instruction:\n{{ $m.Content }}\n\n### Response:'
        '{{ else if eq $m.Role "assistant" }}{{ $m.Content }}</s>'
        '{{ else if eq $m.Role "system" }}{{ $m.Content }}\n\n{{ end }}{{ end }}"""\n\n'
        'PARAMETER stop "</s>"\n\n'
        'SYSTEM """Be brief."""\n\n'
        'LICENSE """Ask."""\n'
    )


def test_nothing_closes_a_texts_quotes() -> None:
    evil = 'x"""\nFROM evil'
    text = modelfile("x.gguf", bound("markers", "gpt2"), evil, evil)
    assert "evil" not in text
    assert "SYSTEM" not in modelfile("x.gguf", bound("markers", "gpt2"), 'ends in "', "free")


def test_a_system_message_is_the_students_where_all_dialogues_have_it() -> None:
    def talk(*turns: dict[str, str]) -> Dialogue:
        return Dialogue(id="1", source="test", turns=[Turn.model_validate(one) for one in turns])

    with_system, without = talk(SYSTEM, *TALK[:2]), talk(*TALK[:2])
    assert shared_system([with_system, with_system]) == "Be brief."
    assert shared_system([with_system, without]) is None
    assert shared_system([without]) is shared_system([]) is None
