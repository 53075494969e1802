"""Dialogues as a model's own chat template shows them, cut where messages meet the template's text.

A template is any program, so nothing in its output can be found by looking. It is rendered with a
placeholder in place of every message, which gives its own text around them; then with the messages,
which must give just that text with the messages between. Where it does not, the template rewrites
messages (trims them, takes reasoning out), and each is rendered alone among placeholders, which
gives what became of it. Whatever cannot be put together again in this way is refused.

Generation markers in a template ({% generation %}) are not needed for that, and not used: they tell
where answers are in the text, not in the tokens, and some leave the end token out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jinja2.exceptions import TemplateError
from transformers import PreTrainedTokenizerFast
from transformers.utils.chat_template_utils import render_jinja_template

from understudy.errors import UserError

PLACEHOLDER = "\ue000"  # stands for a message's text; no template writes private-use characters
MEND = "choose another template: markers, alpaca, vicuna, koala or gpt4all"
Messages = Sequence[dict[str, str]]


@dataclass(frozen=True)
class Shown:
    """A dialogue's parts in the order of their text: own, lead, content, own, lead, ..., own.

    Attributes:
        own: the template's text before each message, and after the last.
        leads: the template's text that an answer begins with, as it follows the generation prompt;
            "" before other messages.
        contents: the messages' texts.
    """

    own: list[str]
    leads: list[str]
    contents: list[str]

    @property
    def text(self) -> str:
        """The whole dialogue."""
        parts = zip(self.own, self.leads, self.contents, strict=False)
        return "".join(own + lead + content for own, lead, content in parts) + self.own[-1]


class OwnTemplate:
    """A tokenizer's own chat template."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerFast, is_heading: Callable[[str], bool]
    ) -> None:
        """Take the template of `tokenizer`; `is_heading` tells a heading from a lead."""
        self._tokenizer = tokenizer
        self._is_heading = is_heading
        self._frames: dict[tuple[str, ...], Shown] = {}

    def show(self, messages: Messages) -> Shown:
        """The messages in the template.

        Raises:
            UserError: the template refuses the messages, drops or repeats some, or writes one of
                them so that where it begins and ends is not certain.
        """
        roles = tuple(message["role"] for message in messages)
        if roles not in self._frames:
            self._frames[roles] = self._frame(roles)
        shown = replace(self._frames[roles], contents=[m["content"] for m in messages])
        text = render(self._tokenizer, messages)
        if shown.text != text:
            self._frames[roles] = self._frame(roles)  # a template may tell the date
            shown = self._rewritten(messages, self._frames[roles])
            if shown.text != text:
                raise UserError(
                    "the model's chat template changes a message by what is in another; " + MEND
                )
        return shown

    def _frame(self, roles: Sequence[str]) -> Shown:
        """The template's own text around messages of these roles, with placeholders in them."""
        marked = [{"role": role, "content": PLACEHOLDER} for role in roles]
        own = render(self._tokenizer, marked).split(PLACEHOLDER)
        if len(own) != len(roles) + 1:
            raise UserError("the model's chat template drops or repeats messages; " + MEND)
        leads = [""] * len(roles)
        for place, role in enumerate(roles):
            prompt = self._prompt(marked[:place]) if role == "assistant" else None
            if prompt is not None and own[place].startswith(prompt):
                lead = own[place].removeprefix(prompt)
                if not self._is_heading(lead):
                    own[place], leads[place] = prompt, lead
        return Shown(own, leads, [PLACEHOLDER] * len(roles))

    def _prompt(self, marked: Messages) -> str | None:
        """The template's text between the last of the messages and an answer to be written.

        None where the template refuses to ask for one.
        """
        try:
            text = render(self._tokenizer, marked, add_generation_prompt=True)
        except UserError:
            return None
        return text.split(PLACEHOLDER)[-1]

    def _rewritten(self, messages: Messages, frame: Shown) -> Shown:
        """The messages as the template writes them, each taken among placeholders."""
        marked = [{"role": message["role"], "content": PLACEHOLDER} for message in messages]
        leads, contents = [], []
        for place, message in enumerate(messages):
            text = render(self._tokenizer, [*marked[:place], message, *marked[place + 1 :]])
            before = Shown(frame.own[: place + 1], frame.leads[:place], frame.contents[:place]).text
            rest = slice(place + 1, None)
            after = Shown(frame.own[rest], frame.leads[rest], frame.contents[rest]).text
            lead = frame.leads[place] if text.startswith(before + frame.leads[place]) else ""
            start, end = len(before + lead), len(text) - len(after)
            if not (text.startswith(before) and text.endswith(after) and start <= end):
                raise UserError(
                    f"the model's chat template changes its own text around message {place + 1} "
                    "by what is in it; " + MEND
                )
            leads.append(lead)
            contents.append(text[start:end])
        return Shown(frame.own, leads, contents)


def render(tokenizer: PreTrainedTokenizerFast, messages: Messages, **options: Any) -> str:
    """The text of a dialogue in the tokenizer's chat template.

    Raises:
        UserError: the template refuses the messages.
    """
    try:
        texts, _ = render_jinja_template(
            conversations=[list(messages)],
            chat_template=tokenizer.get_chat_template(),
            **tokenizer.special_tokens_map,
            **options,
        )
    except TemplateError as error:
        raise UserError(
            f"the model's chat template refuses a dialogue ({str(error)[:200]}); {MEND}"
        ) from None
    return str(texts[0])
