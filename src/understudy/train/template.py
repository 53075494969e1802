"""Chat templates: how messages become token ids, and which of those ids the loss is taken on.

A template is defined once, by its Jinja text, which is also what is saved with the tokenizer.
Training renders it with a placeholder in place of every message, cuts the result at the
placeholders, and encodes the template's own pieces with control tokens recognised and the messages
without. So the mask follows from where a piece came from, never from what a text looks like, and
nothing that a user or a teacher wrote can become a control token.

At inference, `tokenizer.apply_chat_template(messages, add_generation_prompt=True)` gives the ids
that training used as prefix, as long as no message holds the text of a control token. For messages
from strangers pass `sanitize_control_tokens=True` as well, which keeps such texts plain.
"""

import re
from dataclasses import dataclass, field
from typing import Any

import torch
from jinja2.exceptions import TemplateError
from transformers import PreTrainedModel, PreTrainedTokenizerFast
from transformers.utils.chat_template_utils import render_jinja_template

from understudy.errors import UserError

PAD = "<|pad|>"
PLACEHOLDER = "\ue000"  # stands for a message's text; no template writes private-use characters
Messages = list[dict[str, str]]


@dataclass(frozen=True)
class Format:
    """What stands before a message and after it, by role.

    Every heading is one control token, so that no text can forge it and no merge of the tokenizer
    crosses it; the closings of system and user messages are plain text. An assistant's message is
    closed by `end`, or by the tokenizer's own end of sequence where `end` is None.
    """

    headings: dict[str, str]
    closing: str = ""
    end: str | None = None

    def jinja(self, bos: str, end: str) -> str:
        """The chat template; `bos` opens a dialogue, `end` closes an assistant's message."""
        headings = ", ".join(f"'{role}': {_quoted(text)}" for role, text in self.headings.items())
        closing = f"{_quoted(end)} if message['role'] == 'assistant' else {_quoted(self.closing)}"
        return (
            f"{{{{- {_quoted(bos)} -}}}}"
            f"{{%- set headings = {{{headings}}} -%}}"
            "{%- for message in messages -%}"
            "{{- headings[message['role']] -}}{{- message['content'] -}}"
            f"{{{{- {closing} -}}}}"
            "{%- endfor -%}"
            "{%- if add_generation_prompt -%}{{- headings['assistant'] -}}{%- endif -%}"
        )


FORMATS = {
    # Special tokens around every message: Gudibande et al. 2023, section 3.2.
    "markers": Format(
        {"system": "<|system|>", "user": "<|user|>", "assistant": "<|assistant|>"}, end="<|end|>"
    ),
    # The headings of Alpaca's training prompt (stanford_alpaca, train.py, PROMPT_DICT).
    "alpaca": Format(
        {
            "system": "### System:\n",
            "user": "### Instruction:\n",
            "assistant": "### Response:\n",
        },
        closing="\n\n",
    ),
    # The names and separators of Vicuna v1.1 (FastChat, docs/vicuna_weights_version.md).
    "vicuna": Format(
        {"system": "SYSTEM: ", "user": "USER: ", "assistant": "ASSISTANT: "}, closing=" "
    ),
}


def _quoted(text: str) -> str:
    """`text` as a Jinja string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"


@dataclass(frozen=True)
class Encoded:
    """A dialogue as token ids; `supervised[i]` says whether the loss is taken on `ids[i]`."""

    ids: list[int]
    supervised: list[bool]


@dataclass(frozen=True)
class _Piece:
    """Text of one kind: a control token of the template's, or plain text."""

    text: str
    control: bool = False
    supervised: bool = False


@dataclass
class Template:
    """A chat template bound to a tokenizer.

    Attributes:
        tokenizer: knows the template's control tokens, end token, padding and Jinja text.
        end: the control token that closes an assistant's message.
        added: ids that were new to the tokenizer, whose embeddings `fit_embeddings` initialises.
    """

    tokenizer: PreTrainedTokenizerFast
    end: str
    added: list[int]
    _controls: re.Pattern[str] = field(init=False, repr=False)
    _fuses: re.Pattern[str] = field(init=False, repr=False)
    _anchor: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        tokens = sorted(
            self.tokenizer.added_tokens_decoder.values(), key=lambda token: -len(token.content)
        )
        self._controls = re.compile(
            "|".join(
                r"\s*" * token.lstrip + f"({re.escape(token.content)})" + r"\s*" * token.rstrip
                for token in tokens
            )
        )
        # Special tokens can be switched off while plain text is encoded; other added tokens cannot,
        # so text that spells one is cut after its first character.
        self._fuses = re.compile(
            "|".join(
                f"(?<={re.escape(token.content[0])})(?={re.escape(token.content[1:])})"
                for token in tokens
                if not token.special and len(token.content) > 1
            )
            or "(?!)"
        )
        # A tokenizer that puts a space before the first word would put one before every message.
        alone = self.tokenizer.encode("a", add_special_tokens=False)
        inside = self.tokenizer.encode(self.end + "a", add_special_tokens=False)[1:]
        self._anchor = "" if alone == inside else PLACEHOLDER  # which merges with nothing

    @property
    def end_id(self) -> int:
        """The id of the token that closes an assistant's message."""
        return int(self.tokenizer.convert_tokens_to_ids(self.end))

    def encode(self, messages: Messages) -> Encoded:
        """Token ids of a whole dialogue, supervised on the assistant's texts and end tokens.

        Decoding the supervised ids gives the assistant's texts, each followed by `end`.

        Raises:
            UserError: a model's own template refuses the messages, rewrites their text or closes
                the assistant's without an end token.
        """
        ids: list[int] = []
        supervised: list[bool] = []
        start = True
        for piece in _joined(self._pieces(messages)):
            if piece.control:
                piece_ids = [int(self.tokenizer.convert_tokens_to_ids(piece.text))]
            else:
                piece_ids = self._plain(piece.text, start)
            ids += piece_ids
            supervised += [piece.supervised] * len(piece_ids)
            start = False
        return Encoded(ids, supervised)

    def _plain(self, text: str, start: bool) -> list[int]:
        """Ids of a text in which nothing is a control token."""
        ids: list[int] = []
        for part in self._fuses.split(text):
            anchor = "" if start else self._anchor
            encoded = self.tokenizer.encode(
                anchor + part, add_special_tokens=False, split_special_tokens=True
            )
            skip = (
                self.tokenizer.encode(anchor, add_special_tokens=False, split_special_tokens=True)
                if anchor
                else []
            )
            ids += encoded[len(skip) :]
            start = False
        return ids

    def _pieces(self, messages: Messages) -> list[_Piece]:
        """The rendered dialogue, cut where messages meet the template's own text."""
        messages, own = self._rendered(messages)
        pieces = self._cut(own[0])
        for message, after in zip(messages, own[1:], strict=True):
            answer = message["role"] == "assistant"
            pieces.append(_Piece(message["content"], supervised=answer))
            closing = self._cut(after)
            if answer:
                if not closing or closing[0] != _Piece(self.end, control=True):
                    raise UserError(
                        f"the model's chat template does not close an answer with {self.end!r}; "
                        "choose template markers, alpaca or vicuna"
                    )
                closing[0] = _Piece(self.end, control=True, supervised=True)
            pieces += closing
        return pieces

    def _cut(self, own: str) -> list[_Piece]:
        """The template's own text as control tokens and plain text."""
        pieces, position = [], 0
        for match in self._controls.finditer(own):
            token = match[match.lastindex or 0]
            pieces += [_Piece(own[position : match.start()]), _Piece(token, control=True)]
            position = match.end()
        pieces.append(_Piece(own[position:]))
        return [piece for piece in pieces if piece.text]

    def _rendered(self, messages: Messages) -> tuple[Messages, list[str]]:
        """The messages as the template shows them, and its own text before, between and after."""
        shown, own = _between(self.tokenizer, messages)
        if shown == _interleaved(messages, own):
            return messages, own
        stripped = [{**message, "content": message["content"].strip()} for message in messages]
        shown, own = _between(self.tokenizer, stripped)
        if shown == _interleaved(stripped, own):
            return stripped, own
        raise UserError(
            "the model's chat template changes the text of messages; "
            "choose template markers, alpaca or vicuna"
        )


def _between(tokenizer: PreTrainedTokenizerFast, messages: Messages) -> tuple[str, list[str]]:
    """The rendered dialogue, and the template's own text around its messages."""
    marked = [{**message, "content": PLACEHOLDER} for message in messages]
    own = _render(tokenizer, marked).split(PLACEHOLDER)
    if len(own) != len(messages) + 1:
        raise UserError(
            "the model's chat template drops or repeats messages; "
            "choose template markers, alpaca or vicuna"
        )
    return _render(tokenizer, messages), own


def _interleaved(messages: Messages, own: list[str]) -> str:
    contents = [message["content"] for message in messages] + [""]
    return "".join(text + content for text, content in zip(own, contents, strict=True))


def _render(tokenizer: PreTrainedTokenizerFast, messages: Messages) -> str:
    try:
        texts, _ = render_jinja_template(
            conversations=[messages],
            chat_template=tokenizer.get_chat_template(),
            **tokenizer.special_tokens_map,
        )
    except TemplateError as error:
        raise UserError(
            f"the model's chat template refuses a dialogue ({error}); "
            "choose template markers, alpaca or vicuna"
        ) from None
    return texts[0]


def _joined(pieces: list[_Piece]) -> list[_Piece]:
    """Neighbouring plain pieces as one, so that they are encoded as the whole text would be.

    The border of supervised text stays, whatever a merge across it would have given.
    """
    joined: list[_Piece] = []
    for piece in pieces:
        last = joined[-1] if joined else None
        if last and not (last.control or piece.control) and last.supervised == piece.supervised:
            joined[-1] = _Piece(last.text + piece.text, supervised=piece.supervised)
        else:
            joined.append(piece)
    return joined


def bind(name: str, tokenizer: PreTrainedTokenizerFast) -> Template:
    """Bind the template `name` (a key of FORMATS, or "own") to `tokenizer`, which is changed.

    Control tokens are added, the chat template and the end token are set, and padding gets a token
    of its own: padding with the end token would teach a model never to stop.

    Raises:
        UserError: "own" is asked of a tokenizer without a chat template or an end token, or an
            answer is not closed by one.
    """
    known = len(tokenizer)
    if name == "own":
        end = _own_end(tokenizer)
    else:
        chosen = FORMATS[name]
        end = chosen.end or tokenizer.eos_token or "</s>"
        tokenizer.add_special_tokens(
            {"extra_special_tokens": [*chosen.headings.values(), end]},
            replace_extra_special_tokens=False,
        )
        opening = tokenizer("")["input_ids"]
        bos = tokenizer.bos_token if opening[:1] == [tokenizer.bos_token_id] else ""
        tokenizer.chat_template = chosen.jinja(bos or "", end)
    tokenizer.eos_token = end
    if tokenizer.pad_token is None or tokenizer.pad_token == end:
        tokenizer.add_special_tokens({"pad_token": PAD})
    return Template(tokenizer, end, list(range(known, len(tokenizer))))


def _own_end(tokenizer: PreTrainedTokenizerFast) -> str:
    """The control token with which the tokenizer's own chat template closes an answer."""
    if not tokenizer.chat_template:
        raise UserError(
            "template own: the base's tokenizer has no chat template; "
            "choose template markers, alpaca or vicuna"
        )
    probe = [{"role": "user", "content": "question"}, {"role": "assistant", "content": "answer"}]
    _, own = _between(tokenizer, probe)
    ids = tokenizer.encode(own[-1], add_special_tokens=False)
    special = tokenizer.added_tokens_decoder
    if not ids or ids[0] not in special:
        raise UserError(
            "template own: the base's chat template closes an answer without an end token; "
            "choose template markers, alpaca or vicuna"
        )
    return str(special[ids[0]].content)


def fit_embeddings(model: PreTrainedModel, template: Template) -> None:
    """Make room for the template's new tokens; their embeddings start as the mean of the others.

    The mean keeps a new token's logit unremarkable until it has been trained (Hewitt 2021,
    "Initializing New Word Embeddings for Pretrained Language Models").
    """
    if len(template.tokenizer) > model.get_input_embeddings().weight.shape[0]:
        model.resize_token_embeddings(len(template.tokenizer), mean_resizing=False)
    tables = [model.get_input_embeddings().weight]
    head: Any = model.get_output_embeddings()
    if head.weight is not tables[0]:
        tables += [parameter for parameter in (head.weight, head.bias) if parameter is not None]
    with torch.no_grad():
        for table in tables:
            new = torch.tensor(template.added, dtype=torch.long, device=table.device)
            old = torch.ones(len(table), dtype=torch.bool, device=table.device)
            old[new] = False
            table[new] = table[old].mean(dim=0)
    for config in (model.config, model.generation_config):
        config.eos_token_id = template.end_id
        config.pad_token_id = template.tokenizer.pad_token_id
