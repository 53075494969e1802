"""Cleaning: small steps that mend a dialogue, and the faults for which it is dropped.

The order: characters first, because every later step matches texts; then markup, whose tags and
entities would hide them; then what a site's buttons left. Only then is it known which turns are
blank, so roles and faults come next. Refusals and identity are judged on the words of the teacher,
language on the words of both, before placeholders for private data stand among them. Splitting
is last, because it counts the tokens that will be trained on.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from understudy.curate.clean.characters import mended_characters
from understudy.curate.clean.identity import leak, rewritten
from understudy.curate.clean.language import Languages
from understudy.curate.clean.long import Splitter
from understudy.curate.clean.markup import without_markup
from understudy.curate.clean.private import masked
from understudy.curate.clean.refusals import refusal
from understudy.curate.clean.residue import without_residue
from understudy.curate.clean.roles import fault, trim
from understudy.dialogue import Dialogue
from understudy.recipe import CleanSettings

__all__ = ["Cleaned", "Cleaner", "fault", "trim"]

QUOTED = 80  # characters of an answer that a detail quotes


@dataclass(frozen=True)
class Cleaned:
    """What became of a dialogue.

    Attributes:
        parts: itself, mended; several where it was split, none where it is dropped.
        reason: the code of the fault for which it is dropped.
        detail: that fault in words.
        edits: what was mended, by step.
        tokens: tokens of each part, all turns; empty where no tokenizer counts them.
        left_out: single pairs of question and answer that are longer than the context.
    """

    parts: list[Dialogue]
    reason: str | None = None
    detail: str = ""
    edits: Counter[str] = field(default_factory=Counter)
    tokens: list[int] = field(default_factory=list)
    left_out: list[Dialogue] = field(default_factory=list)


class Cleaner:
    """Cleans dialogues, one at a time, as the settings say.

    Args:
        settings: the recipe's.
        context: tokens that a dialogue may have; needs a tokenizer.
        tokenizer: a folder or hub name.

    Raises:
        UserError: the tokenizer cannot be loaded.
    """

    def __init__(
        self, settings: CleanSettings, context: int | None = None, tokenizer: str | None = None
    ) -> None:
        self.settings = settings
        self._languages = Languages(settings.languages) if settings.languages else None
        self._splitter = Splitter(tokenizer, context) if tokenizer else None

    def clean(self, dialogue: Dialogue) -> Cleaned:
        """Mend the dialogue, or say why it is dropped."""
        edits: Counter[str] = Counter()
        mended = _with_texts(dialogue, self._mended(_texts(dialogue), edits))
        dialogue = trim(mended)
        if dialogue is not mended:
            edits["trimmed"] += 1
        why = fault(dialogue) or self._unwanted(dialogue)
        if why:
            return Cleaned([], *why)
        dialogue = _with_texts(dialogue, self._reworded(dialogue, edits))
        return self._split(dialogue, edits)

    def _mended(self, texts: list[str], edits: Counter[str]) -> list[str]:
        """The texts without broken characters, markup and residue."""
        if self.settings.characters:
            texts = _each(mended_characters, texts, "characters", edits)
        if self.settings.markup:
            mended = without_markup(texts)
            edits.update(step for _, step in mended if step)
            texts = [text for text, _ in mended]
        if self.settings.residue:
            texts = _each(without_residue, texts, "residue", edits)
        return texts

    def _unwanted(self, dialogue: Dialogue) -> tuple[str, str] | None:
        """Reason code and detail where the dialogue says what the settings do not want."""
        settings = self.settings
        for number, turn in enumerate(dialogue.turns, start=1):
            if turn.role != "assistant":
                continue
            if settings.refusals == "drop" and (words := refusal(turn.content)):
                return "refusal", f"turn {number} says {words[:QUOTED]!r}"
            words = leak(turn.content) if settings.identity != "keep" else None
            if words and (settings.identity == "drop" or rewritten(turn.content, "") is None):
                return "identity", f"turn {number} says {words[:QUOTED]!r}"
        if self._languages:
            other = self._languages.other([t.content for t in dialogue.turns if t.role != "system"])
            if other:
                return "language", f"{other[0]}, with a probability of {other[1]:.2f}"
        return None

    def _reworded(self, dialogue: Dialogue, edits: Counter[str]) -> list[str]:
        """The texts with the student's name and placeholders for private data."""
        texts = _texts(dialogue)
        if self.settings.identity == "rewrite":
            for place, turn in enumerate(dialogue.turns):
                if turn.role == "assistant" and leak(turn.content):
                    texts[place] = rewritten(turn.content, self.settings.name) or turn.content
                    edits["identity rewritten"] += 1
        if self.settings.private == "mask":
            texts, counts = masked(texts)
            edits.update({f"masked {kind}": count for kind, count in counts.items()})
        return texts

    def _split(self, dialogue: Dialogue, edits: Counter[str]) -> Cleaned:
        if self._splitter is None:
            return Cleaned([dialogue], edits=edits)
        split = self._splitter.split(dialogue)
        if not split.parts:
            return Cleaned([], "over_long", f"every pair is longer than {self._splitter.context}")
        if len(split.parts) > 1:
            edits["split"] += 1
        if split.left_out:
            edits["over_long pair"] += len(split.left_out)
        return Cleaned(split.parts, edits=edits, tokens=split.tokens, left_out=split.left_out)


def _texts(dialogue: Dialogue) -> list[str]:
    return [turn.content for turn in dialogue.turns]


def _with_texts(dialogue: Dialogue, texts: list[str]) -> Dialogue:
    """The dialogue with these texts in its turns; itself where they are its own."""
    if texts == _texts(dialogue):
        return dialogue
    turns = [turn.saying(text) for turn, text in zip(dialogue.turns, texts, strict=True)]
    return dialogue.model_copy(update={"turns": turns})


def _each(
    step: Callable[[str], str], texts: list[str], name: str, edits: Counter[str]
) -> list[str]:
    """The step's result on each text, with a count of those that it changed."""
    done = [step(text) for text in texts]
    if done != texts:
        edits[name] += sum(a != b for a, b in zip(texts, done, strict=True))
    return done
