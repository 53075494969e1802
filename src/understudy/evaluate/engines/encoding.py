"""A text model's prompts in tokens: raw texts as lm-evaluation-harness encodes them, and chats."""

from collections.abc import Sequence
from functools import partial
from itertools import takewhile
from typing import Any, Protocol

from jinja2.exceptions import TemplateError
from transformers import PreTrainedTokenizerBase

from understudy.errors import UserError
from understudy.evaluate.benchmarks.kinds import PerplexityItem

ENCODED = 1000  # texts at once


class Encoding(Protocol):
    """What an engine with a tokenizer encodes.

    Attributes:
        name: of the model, for people.
        tokenizer: the model's.
    """

    name: str
    tokenizer: PreTrainedTokenizerBase

    def encode(self, text: str) -> list[int]:
        """Token ids of a text as the harness encodes it: the tokenizer's defaults decide on special
        tokens, and a text that brings its opening token gets no second one. None at all would give
        a model nothing to go on from: an empty text becomes the token that opens, or ends, one."""
        return self.encode_all([text])[0]

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        """See `encode`; of many texts, of which some may be the same."""
        found: list[list[int]] = []
        for start in range(0, len(texts), ENCODED):
            some = texts[start : start + ENCODED]
            tokens = self._tokens(some)
            found += [tokens[text] or self._opening for text in some]
        return found

    def encode_pairs(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[list[int], list[int]]]:
        """Token ids of contexts and continuations, cut from the encoding of both together.

        Spaces at a context's end are counted to the continuation.
        """
        found = []
        for place in range(0, len(pairs), ENCODED):
            some = [(one.rstrip(), one + other) for one, other in pairs[place : place + ENCODED]]
            tokens = self._tokens([text for both in some for text in both])
            found += [
                (tokens[start] or self._opening, tokens[whole][len(tokens[start]) :])
                for start, whole in some
            ]
        return found

    def encode_chat(self, messages: list[dict[str, str]], strangers: bool = False) -> list[int]:
        """Token ids of a chat up to where the answer begins.

        With the model's chat template; a model without one is shown a plain dialogue.

        Args:
            messages: system, user and assistant.
            strangers: control tokens in the messages' texts become plain text.
        """
        if not self.tokenizer.chat_template:
            return self.encode(_plain_dialogue(messages))
        return in_template(
            self.name, self.tokenizer, messages, strangers, add_generation_prompt=True
        )

    def encode_answered(self, item: PerplexityItem) -> tuple[list[int], list[int]]:
        """Token ids of a task in a chat up to where the answer begins, and of the answer.

        What closes the answer is left out. Control tokens in the texts become plain text.
        """
        task = {"role": "user", "content": item.task}
        if not self.tokenizer.chat_template:
            return self.encode_pairs([(_plain_dialogue([task]), f" {item.answer}")])[0]
        task |= {"input": item.input} if item.input else {}
        answer = {"role": "assistant", "content": item.answer}
        shown = partial(in_template, self.name, self.tokenizer, strangers=True)
        start = shown([task], add_generation_prompt=True)
        whole = shown([task, answer], continue_final_message=True)
        shared = takewhile(lambda pair: pair[0] == pair[1], zip(start, whole, strict=False))
        border = len(list(shared))  # a token across it is the answer's
        return whole[:border], whole[border:]

    def _tokens(self, texts: Sequence[str]) -> dict[str, list[int]]:
        """Token ids by text, each text encoded once."""
        opening = self.tokenizer.bos_token
        opened: dict[bool, list[str]] = {True: [], False: []}
        for text in dict.fromkeys(texts):
            opened[bool(opening and text.startswith(opening))].append(text)
        found: dict[str, list[int]] = {}
        for has_opening, some in opened.items():
            if some:
                ids = self.tokenizer(
                    some, add_special_tokens=not has_opening, return_attention_mask=False
                ).input_ids
                found |= zip(some, ids, strict=True)
        return found

    @property
    def _opening(self) -> list[int]:
        known = (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id, 0)
        return [next(token for token in known if token is not None)]

    def _decode_after(self, prompt: list[int], ids: list[int]) -> str:
        """The text that `ids` add to a prompt's."""
        before = str(self.tokenizer.decode(prompt, skip_special_tokens=True))
        return str(self.tokenizer.decode(prompt + ids, skip_special_tokens=True))[len(before) :]


def in_template(
    name: str,
    tokenizer: PreTrainedTokenizerBase,
    messages: list[dict[str, str]],
    strangers: bool,
    **options: Any,
) -> list[int]:
    """Token ids of a chat in a model's own template.

    Args:
        name: of the model, for people.
        tokenizer: has a chat template.
        messages: system, user and assistant.
        strangers: control tokens in the messages' texts become plain text.
        options: of `apply_chat_template`.

    Raises:
        UserError: the template refuses the messages.
    """
    try:
        return tokenizer.apply_chat_template(
            messages, sanitize_control_tokens=strangers, return_dict=False, **options
        )
    except (TemplateError, ValueError) as error:  # the latter where an answer is not found
        raise UserError(
            f"{name}: its chat template refuses a prompt ({str(error)[:200]}); "
            "choose other prompts or another model"
        ) from error


def _plain_dialogue(messages: Sequence[dict[str, str]]) -> str:
    """A chat for a model without a template, up to where the answer begins."""
    lines = [f"{message['role'].title()}: {message['content']}" for message in messages]
    return "\n".join([*lines, "Assistant:"])
