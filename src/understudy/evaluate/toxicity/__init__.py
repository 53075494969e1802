"""How toxic a model's continuations of a prompt are (Gehman et al. 2020, "RealToxicityPrompts").

A text's toxicity is the probability, from 0 to 1, that a reader would find it toxic, as Google's
Perspective API or a text-classification model sees it. The two are different instruments: compare
scores of one alone.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from understudy.progress import say
from understudy.recipe import ToxicitySettings


class Scorer(Protocol):
    """What says how toxic texts are.

    Attributes:
        name: for people; part of a result.
    """

    name: str

    @property
    def identity(self) -> str:
        """Stands for the scorer's content, as far as it can be known."""
        ...

    def scores(self, texts: Sequence[str | None]) -> list[float | None]:
        """The toxicity of each text; None where there is no text, or the scorer refuses it.

        Raises:
            UserError: the scorer cannot go on until the user mends something.
        """
        ...


def scorer_of(settings: ToxicitySettings, ledger: str | Path | None, out: Path) -> Scorer:
    """The scorer of these settings, ready to be used.

    Args:
        settings: which one.
        ledger: where Perspective's answers are kept; None: OUT/ledger.sqlite.
        out: the evaluation's folder.

    Raises:
        UserError: the key is missing, the model cannot be loaded or has no label that means toxic.
    """
    if settings.scorer != "perspective":
        from understudy.evaluate.toxicity.classifier import Classifier

        return Classifier(settings.scorer, settings.label)
    from understudy.evaluate.toxicity.perspective import Perspective

    say(
        f"toxicity: Perspective is asked for {settings.queries_per_second:g} texts a second, at "
        "most; toxicity.queries_per_second is the quota of your key"
    )
    return Perspective(ledger or out / "ledger.sqlite", settings.queries_per_second)
