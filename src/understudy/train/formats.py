"""The prompt formats of the seed systems, each as the Jinja text that goes with the tokenizer.

The headings and separators are the originals'; their preambles are not here: a preamble is the
dialogue's system message, and stands where the original has it. A heading is one control token, so
that no text can forge it and no merge of the tokenizer crosses it, and the separators around it are
plain text. So a prompt that is written out in the original's form, and encoded as any text is,
gives the ids that training used as prefix.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tokenizers import AddedToken

JOIN = "\n\n"  # stands between an instruction and its input where a message holds both


@dataclass(frozen=True)
class Format:
    """What stands before a message and after it, by role.

    Attributes:
        before: text before a message.
        after: text after a system or user message.
        controls: the parts of all these texts that are control tokens, the assistant's last.
        opening: text at the start of a dialogue.
        input: what takes the place of JOIN between an instruction and its input, if anything does.
        end: closes an assistant's message; None: the tokenizer's own end of sequence.
        trims: white space behind the assistant's heading counts as part of the heading. The
            originals' own scripts disagree on it; all of their forms give the same ids, and an
            answer's first token is its own.
    """

    before: Mapping[str, str]
    after: Mapping[str, str]
    controls: tuple[str, ...]
    opening: str = ""
    input: str | None = None
    end: str | None = None
    trims: bool = True

    def tokens(self) -> list[AddedToken]:
        """The format's control tokens, `end` excepted."""
        return [
            AddedToken(text, rstrip=self.trims and text == self.controls[-1], normalized=False)
            for text in self.controls
        ]

    def jinja(self, bos: str, end: str, space: str) -> str:
        """The chat template.

        A user message may have `input`, which is the end of its content: what the instruction is
        about.

        Args:
            bos: opens a dialogue.
            end: closes an assistant's message.
            space: stands before a system message that opens the dialogue.
        """
        # Without the space that its token takes for its own: other runtimes do not let it.
        heading = self.before["assistant"].rstrip()
        start = _quoted(bos + self.opening)
        if space and not self.opening and not self.before["system"]:
            start += (
                f" + ({_quoted(space)} if messages and messages[0]['role'] == 'system' else '')"
            )
        content = "message['content']"
        if self.input is not None:
            tail = f"{_quoted(JOIN)} + message['input']"
            content = (
                f"(message['content'][:-(({tail}) | length)] + {_quoted(self.input)}"
                " + message['input'])"
                f" if message['input'] and message['content'].endswith({tail}) else {content}"
            )
        return (
            f"{{%- set before = {_mapping({**self.before, 'assistant': heading})} -%}}"
            f"{{%- set after = {_mapping({**self.after, 'assistant': end})} -%}}"
            f"{{{{- {start} -}}}}"
            "{%- for message in messages -%}"
            "{%- if message['role'] not in before -%}"
            "{{- raise_exception('a message has another role than system, user and assistant') -}}"
            "{%- endif -%}"
            "{{- before[message['role']] -}}"
            f"{{{{- {content} -}}}}"
            "{{- after[message['role']] -}}"
            "{%- endfor -%}"
            f"{{%- if add_generation_prompt -%}}{{{{- {_quoted(heading)} -}}}}{{%- endif -%}}"
        )


FORMATS = {
    # Special tokens around every message: Gudibande et al. 2023, section 3.2.
    "markers": Format(
        before={"system": "<|system|>", "user": "<|user|>", "assistant": "<|assistant|>"},
        after={"system": "", "user": ""},
        controls=("<|system|>", "<|user|>", "<|assistant|>"),
        end="<|end|>",
        trims=False,
    ),
    # stanford_alpaca, train.py, PROMPT_DICT, with and without input.
    "alpaca": Format(
        before={"system": "", "user": "### Instruction:\n", "assistant": "### Response:"},
        after={"system": "\n\n", "user": "\n\n"},
        controls=("### Instruction:\n", "### Input:\n", "### Response:"),
        input="\n\n### Input:\n",
    ),
    # Version 1.1: FastChat, docs/vicuna_weights_version.md.
    "vicuna": Format(
        before={"system": "", "user": "USER: ", "assistant": "ASSISTANT: "},
        after={"system": " ", "user": " "},
        controls=("USER:", "ASSISTANT:"),
    ),
    # EasyLM, docs/koala.md. Koala has no preamble; a system message follows the opening.
    "koala": Format(
        before={"system": "", "user": "USER: ", "assistant": "GPT:"},
        after={"system": " ", "user": " "},
        controls=("BEGINNING OF CONVERSATION:", "USER:", "GPT:"),
        opening="BEGINNING OF CONVERSATION: ",
    ),
    # nomic-ai/gpt4all, April 2023; in training a line break joins a prompt and its response
    # (data.py).
    "gpt4all": Format(
        before={"system": "", "user": "### Prompt:\n", "assistant": "### Response:\n"},
        after={"system": "\n", "user": "\n"},
        controls=("### Prompt:\n", "### Response:"),
    ),
}


def _quoted(text: str) -> str:
    """`text` as a Jinja string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"


def _mapping(texts: Mapping[str, str]) -> str:
    """`texts` as a Jinja dictionary."""
    return "{" + ", ".join(f"'{key}': {_quoted(text)}" for key, text in texts.items()) + "}"
