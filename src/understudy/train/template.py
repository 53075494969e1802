"""Chat templates: how messages become token ids, and which of those ids the loss is taken on.

Every piece of a dialogue is known as the template's own or a message's before it is encoded: the
template's pieces are encoded with control tokens recognised and the messages without. So the mask
follows from where a piece came from, never from what a text looks like, and nothing that a user or
a teacher wrote can become a control token.

At inference, `tokenizer.apply_chat_template(messages, add_generation_prompt=True)` gives the ids
that training used as prefix, as long as no message holds the text of a control token, and no
earlier answer begins with white space where the format's heading takes that for its own. For
messages from strangers pass `sanitize_control_tokens=True` as well, which keeps control tokens'
texts plain.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from understudy.errors import UserError
from understudy.train.formats import FORMATS, JOIN, Format
from understudy.train.own import MEND, PLACEHOLDER, Messages, OwnTemplate, Shown, render
from understudy.train.plain import PlainTokenizer

PAD = "<|pad|>"


@dataclass(frozen=True)
class Encoded:
    """A dialogue as token ids; `supervised[i]` says whether the loss is taken on `ids[i]`."""

    ids: list[int]
    supervised: list[bool]


@dataclass(frozen=True)
class Piece:
    """Text of one kind: a control token of the template's, or plain text."""

    text: str
    control: bool = False
    supervised: bool = False


class Cutter:
    """Cuts a template's own text into control tokens and plain text."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        tokens = sorted(
            tokenizer.added_tokens_decoder.values(), key=lambda token: -len(token.content)
        )
        self._special = {token.content for token in tokens if token.special}
        self._pattern = re.compile(
            "|".join(
                r"\s*" * token.lstrip + f"({re.escape(token.content)})" + r"\s*" * token.rstrip
                for token in tokens
                if token.special or not token.content.isspace()
            )
            or "(?!)"
        )

    def cut(self, own: str) -> list[Piece]:
        """The pieces of `own`, none of which is empty."""
        pieces, position = [], 0
        for match in self._pattern.finditer(own):
            token = match[match.lastindex or 0]
            pieces += [Piece(own[position : match.start()]), Piece(token, control=True)]
            position = match.end()
        pieces.append(Piece(own[position:]))
        return [piece for piece in pieces if piece.text]

    def end(self, closing: str) -> str | None:
        """The control token that `closing` begins with, white space aside."""
        for piece in self.cut(closing):
            if piece.control or piece.text.strip():
                return piece.text if piece.control else None
        return None

    def is_heading(self, text: str) -> bool:
        """Whether `text` holds more than white space and tokens that are not special (<think>)."""
        return any(
            piece.text in self._special if piece.control else piece.text.strip()
            for piece in self.cut(text)
        )


@dataclass
class Template:
    """A chat template bound to a tokenizer.

    Attributes:
        tokenizer: knows the template's control tokens, end token, padding and Jinja text.
        end: the control token that closes an assistant's message.
        added: ids that were new to the tokenizer: `fit_embeddings` initialises their embeddings,
            and what trains few weights must train these.
        format: the published format; None is a model's own template.
    """

    tokenizer: PreTrainedTokenizerFast
    end: str
    added: list[int]
    format: Format | None = None
    _cutter: Cutter = field(init=False, repr=False)
    _own: OwnTemplate = field(init=False, repr=False)
    _plain: PlainTokenizer = field(init=False, repr=False)
    _ids: dict[str, int] = field(init=False, repr=False)
    _cuts: dict[tuple[str, bool, bool], list[Piece]] = field(init=False, repr=False)
    _frames: dict[tuple[tuple[str, bool], ...], list[str]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._cutter = Cutter(self.tokenizer)
        self._own = OwnTemplate(self.tokenizer, self._cutter.is_heading)
        self._plain = PlainTokenizer(self.tokenizer)
        self._ids = {token.content: id for id, token in self.tokenizer.added_tokens_decoder.items()}
        self._cuts, self._frames = {}, {}

    @property
    def end_id(self) -> int:
        """The id of the token that closes an assistant's message."""
        return self._ids[self.end]

    def encode(self, messages: Messages) -> Encoded:
        """Token ids of a whole dialogue, supervised on the assistant's texts and end tokens.

        A user message's `input`, if it has one, is the end of its content.

        Raises:
            UserError: a model's own template refuses the messages, cannot be cut exactly or closes
                an answer without an end token.
        """
        return self.encode_many([messages])[0]

    def encode_many(self, dialogues: Sequence[Messages]) -> list[Encoded]:
        """As `encode` gives for each, in one call of the tokenizer, which may use many threads.

        Raises:
            UserError: as `encode`, without saying which dialogue it was.
        """
        cut = [self._pieces(messages) for messages in dialogues]
        texts: list[str] = []
        opening: list[bool] = []
        for pieces in cut:
            for place, piece in enumerate(pieces):
                if not piece.control:
                    texts.append(piece.text)
                    opening.append(place == 0)
                if _continues(pieces, place):
                    texts.append(pieces[place - 1].text + piece.text)
                    opening.append(place == 1)
        encoded = iter(self._plain.encode(texts, opening))
        done = []
        for pieces in cut:
            ids: list[int] = []
            supervised: list[bool] = []
            before: list[int] = []
            for place, piece in enumerate(pieces):
                new = [self._ids[piece.text]] if piece.control else next(encoded)
                if _continues(pieces, place):
                    whole = next(encoded)
                    new = whole[len(before) :] if whole[: len(before)] == before else new
                ids += new
                supervised += [piece.supervised] * len(new)
                before = new
            done.append(Encoded(ids, supervised))
        return done

    def _pieces(self, messages: Messages) -> list[Piece]:
        """The dialogue, cut where messages meet the template's own text; neighbours are joined."""
        shown, answers = self._shown(messages)
        pieces = list(self._cut(shown.own[0]))
        for place, content in enumerate(shown.contents):
            answer = answers[place]
            pieces += self._cut(shown.leads[place], supervised=True)
            pieces.append(Piece(content, supervised=answer))
            pieces += self._cut(shown.own[place + 1], closing=answer)
        return _joined(pieces)

    def _shown(self, messages: Messages) -> tuple[Shown, list[bool]]:
        """The dialogue's parts, and which of them are answers."""
        answers = [message["role"] == "assistant" for message in messages]
        if self.format is None:
            plain = [{"role": m["role"], "content": m["content"]} for m in messages]
            return self._own.show(plain), answers
        roles, contents, kinds = [], [], []
        for message, answer in zip(messages, answers, strict=True):
            parts = self._parts(message)
            roles.append((message["role"], len(parts) > 1))
            contents += parts
            kinds += [answer] * len(parts)
        own = self._frame(tuple(roles))
        return Shown(own, [""] * len(contents), contents), kinds

    def _parts(self, message: dict[str, str]) -> list[str]:
        """A message's text; in two where the format shows an input under a heading of its own."""
        content, tail = message["content"], JOIN + message.get("input", "")
        if self.format and self.format.input and message.get("input") and content.endswith(tail):
            return [content[: -len(tail)], message["input"]]
        return [content]

    def _frame(self, roles: tuple[tuple[str, bool], ...]) -> list[str]:
        """A published format's own text around messages of these roles, with inputs or without.

        It does not depend on what the messages say, and is rendered once.
        """
        if roles not in self._frames:
            marked = [
                {"role": role, "content": PLACEHOLDER + JOIN + PLACEHOLDER, "input": PLACEHOLDER}
                if parted
                else {"role": role, "content": PLACEHOLDER}
                for role, parted in roles
            ]
            self._frames[roles] = render(self.tokenizer, marked).split(PLACEHOLDER)
        return self._frames[roles]

    def _cut(self, own: str, closing: bool = False, supervised: bool = False) -> list[Piece]:
        """Pieces of the template's own text.

        Args:
            own: the text.
            closing: it follows an answer, and is supervised up to its end token.
            supervised: all of it is.
        """
        key = own, closing, supervised
        if key not in self._cuts:
            pieces = self._cutter.cut(own)
            if closing and self._cutter.end(own) != self.end:
                raise UserError(
                    f"the model's chat template does not close an answer with {self.end!r}; {MEND}"
                )
            until = pieces.index(Piece(self.end, control=True)) if closing else -1
            self._cuts[key] = [
                Piece(piece.text, piece.control, supervised or place <= until)
                for place, piece in enumerate(pieces)
            ]
        return self._cuts[key]


def _continues(pieces: Sequence[Piece], place: int) -> bool:
    """Whether an answer follows plain text of the template's, as "assistant\\n" in ChatML.

    The prompt's ids are those of the prompt alone, as they will be at inference. The answer's are
    what the whole text has beyond them, or, where a merge spans the border, those of the answer
    alone.
    """
    piece, last = pieces[place], pieces[place - 1]
    return place > 0 and piece.supervised and not (piece.control or last.control)


def _joined(pieces: Sequence[Piece]) -> list[Piece]:
    """Neighbouring plain pieces as one, so that they are encoded as the whole text would be.

    The border of supervised text stays.
    """
    joined: list[Piece] = []
    for piece in pieces:
        last = joined[-1] if joined else None
        if not piece.text:
            continue
        if last and not (last.control or piece.control) and last.supervised == piece.supervised:
            joined[-1] = Piece(last.text + piece.text, supervised=piece.supervised)
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
    known = tokenizer.get_vocab().keys()
    chosen = FORMATS.get(name)
    if chosen is None:
        end = _own_end(tokenizer)
    else:
        end = chosen.end or tokenizer.eos_token or "</s>"
        tokenizer.add_special_tokens(
            {"extra_special_tokens": [*chosen.tokens(), end]},
            replace_extra_special_tokens=False,
        )
        bos, space = _opening(tokenizer)
        tokenizer.chat_template = chosen.jinja(bos, end, space)
    tokenizer.eos_token = end
    if tokenizer.pad_token is None or tokenizer.pad_token == end:
        tokenizer.add_special_tokens({"pad_token": PAD})
    added = sorted(id for token, id in tokenizer.get_vocab().items() if token not in known)
    return Template(tokenizer, end, added, chosen)


def _own_end(tokenizer: PreTrainedTokenizerFast) -> str:
    """The control token with which the tokenizer's own chat template closes an answer."""
    if not tokenizer.chat_template:
        raise UserError("template own: the base's tokenizer has no chat template; " + MEND)
    cutter = Cutter(tokenizer)
    probe = [{"role": "user", "content": "question"}, {"role": "assistant", "content": "answer"}]
    end = cutter.end(OwnTemplate(tokenizer, cutter.is_heading).show(probe).own[-1])
    if end is None:
        raise UserError(
            f"template own: the base's chat template closes an answer without an end token; {MEND}"
        )
    return end


def _opening(tokenizer: PreTrainedTokenizerFast) -> tuple[str, str]:
    """What the tokenizer puts before a text: its opening token, and a space if it has one too."""
    text = tokenizer("a")["input_ids"]
    bos = tokenizer.bos_token
    if bos is None or text[:1] != [tokenizer.bos_token_id]:
        return "", ""
    as_is, spaced = (
        tokenizer(bos + shown, add_special_tokens=False)["input_ids"] for shown in ("a", " a")
    )
    return bos, " " if text == spaced != as_is else ""


def fit_embeddings(model: PreTrainedModel, template: Template) -> None:
    """Make room for the template's new tokens; their embeddings start as the mean of the others.

    The mean keeps a new token's logit unremarkable until it has been trained (Hewitt 2021,
    "Initializing New Word Embeddings for Pretrained Language Models"). Rows that belong to no token
    (tables are often padded) do not count, and serve for new tokens.
    """
    ids = template.tokenizer.get_vocab().values()
    if max(ids) >= model.get_input_embeddings().weight.shape[0]:
        model.resize_token_embeddings(max(ids) + 1, mean_resizing=False)
    inputs, head = model.get_input_embeddings(), model.get_output_embeddings()
    tables: list[Any] = [inputs.weight, getattr(head, "bias", None)]
    if head.weight is not inputs.weight:
        tables.append(head.weight)
    with torch.no_grad():
        for table in tables:
            if table is not None:
                old = torch.zeros(len(table), dtype=table.dtype, device=table.device)
                old[list(set(ids) - set(template.added))] = 1
                table[template.added] = (old @ table) / old.sum()
    for config in (model.config, model.generation_config):
        config.eos_token_id = template.end_id
        config.pad_token_id = template.tokenizer.pad_token_id
