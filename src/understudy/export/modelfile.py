"""A Modelfile: how Ollama runs a student's GGUF file, in the student's own chat format.

A chat template is any program, a Go template another. What both can say is text around messages, so
that is what a chat template is taken for; whether it is no more than that is found out by rendering
dialogues in both ways.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jinja2.exceptions import TemplateError
from transformers import PreTrainedTokenizerBase

from understudy.dialogue import Dialogue

PLACEHOLDER = "\ue000"  # stands for a message's text; no template writes private-use characters
TRIALS = ("user", "user assistant user", "user assistant user assistant user")
QUOTES = '"""'  # around a text in a Modelfile; nothing in it can be escaped
WITHOUT_TEMPLATE = """\
# No TEMPLATE: this model's chat template is more than text around messages. Ollama then takes the
# one of its own templates that is most like the chat template in the GGUF file, and if none is
# like it, gives the model the bare prompt."""

Messages = Sequence[dict[str, str]]


@dataclass(frozen=True)
class ChatFormat:
    """Text around messages.

    Attributes:
        opening: stands before a user's message that opens a dialogue.
        before: text before a message, by role; without a system role, the template has none.
        after: text after it.
        prompt: text after the last message, that asks for an answer.
    """

    opening: str
    before: dict[str, str]
    after: dict[str, str]
    prompt: str

    def render(self, messages: Messages) -> str:
        """The dialogue up to where an answer begins."""
        opened = messages[0]["role"] == "user"
        texts = (self.before[m["role"]] + m["content"] + self.after[m["role"]] for m in messages)
        return self.opening * opened + "".join(texts) + self.prompt


def chat_format(tokenizer: PreTrainedTokenizerBase) -> ChatFormat | None:
    """A tokenizer's chat template as text around messages; None where it is anything more.

    The opening token that the tokenizer puts before every text is left out, as llama.cpp puts it
    there as well.
    """
    if not tokenizer.chat_template:
        return None
    alone, talk = _around(tokenizer, "user"), _around(tokenizer, "user assistant user")
    if alone is None or talk is None:
        return None
    system = _around(tokenizer, "system user")
    questions = [alone[0], talk[2], *(system or ())[1:2]]
    user = _reversed(_common([_reversed(text) for text in questions]))
    said = _common([talk[1], alone[1]])
    before = {"user": user, "assistant": talk[1].removeprefix(said)}
    after = {"user": said, "assistant": talk[2].removesuffix(user)}
    if system:
        before["system"], after["system"] = system[0], system[1].removesuffix(user)
    found = ChatFormat(alone[0].removesuffix(user), before, after, alone[1].removeprefix(said))
    trials = [*TRIALS, *(f"system {roles}" for roles in TRIALS if system)]
    return found if all(_equal(found, tokenizer, roles.split()) for roles in trials) else None


def modelfile(
    file: str, tokenizer: PreTrainedTokenizerBase, system: str | None, licence: str
) -> str:
    """The text of a Modelfile, as Ollama's docs/modelfile.md has it.

    Args:
        file: the GGUF file's name, in the same folder.
        tokenizer: the student's.
        system: the system message that all its dialogues began with, if they did.
        licence: what binds it, in words.
    """
    found = chat_format(tokenizer)
    template = _block("TEMPLATE", go_template(found)) if found else None
    parts: list[str | None] = [f"FROM ./{file}", template or WITHOUT_TEMPLATE]
    if tokenizer.eos_token:
        parts.append(f'PARAMETER stop "{tokenizer.eos_token}"')
    parts += [_block("SYSTEM", system) if system else None, _block("LICENSE", licence)]
    return "\n\n".join(filter(None, parts)) + "\n"


def go_template(found: ChatFormat) -> str:
    """A format as Ollama's templates say it (ollama/ollama, template/template.go)."""

    def around(role: str) -> str:
        return f"{_text(found.before[role])}{{{{ $m.Content }}}}{_text(found.after[role])}"

    opening = f"{{{{ if eq $i 0 }}}}{_text(found.opening)}{{{{ end }}}}" if found.opening else ""
    cases = {role: around(role) for role in found.before}
    cases["user"] = opening + cases["user"]
    text = "{{ range $i, $m := .Messages }}"
    for place, (role, case) in enumerate(cases.items()):
        text += f'{{{{ {"else " * (place > 0)}if eq $m.Role "{role}" }}}}{case}'
    return text + "{{ end }}{{ end }}" + _text(found.prompt)


def shared_system(dialogues: Sequence[Dialogue]) -> str | None:
    """The system message that all of some dialogues begin with, if there is one."""
    openings = {one.turns[0].content if one.turns[0].role == "system" else "" for one in dialogues}
    return (openings.pop() or None) if len(openings) == 1 else None


def _around(tokenizer: PreTrainedTokenizerBase, roles: str) -> list[str] | None:
    """A template's text before, between and after messages; None where it does not take them."""
    named = roles.split()
    try:
        text = _rendered(tokenizer, [{"role": role, "content": PLACEHOLDER} for role in named])
    except TemplateError:
        return None
    parts = text.split(PLACEHOLDER)
    return parts if len(parts) == len(named) + 1 else None


def _rendered(tokenizer: PreTrainedTokenizerBase, messages: Messages) -> str:
    text: Any = tokenizer.apply_chat_template(
        list(messages), tokenize=False, add_generation_prompt=True
    )
    bos = tokenizer.bos_token
    opens = bool(bos) and tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]
    return str(text).removeprefix(bos) if opens else str(text)


def _equal(found: ChatFormat, tokenizer: PreTrainedTokenizerBase, roles: Sequence[str]) -> bool:
    messages = [
        {"role": role, "content": f"The {role}'s\nmessage {place}."}
        for place, role in enumerate(roles)
    ]
    try:
        return found.render(messages) == _rendered(tokenizer, messages)
    except TemplateError:
        return False


def _common(texts: Sequence[str]) -> str:
    """What all texts begin with."""
    return os.path.commonprefix(texts)  # noqa: RUF071 - these are no paths


def _reversed(text: str) -> str:
    return text[::-1]


def _text(text: str) -> str:
    """Text that a Go template writes as it is."""
    return text.replace("{{", '{{ "{{" }}')


def _block(name: str, text: str) -> str | None:
    """An instruction of a Modelfile; None where the text would close its quotes."""
    if QUOTES in text or text.endswith('"'):
        return None
    return f"{name} {QUOTES}{text}{QUOTES}"
