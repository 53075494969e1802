"""What binds a student, in words: the licence of its base, those of its data, its teacher's terms.

The most restrictive of them is what counts. It is no legal advice, and what is not known is never a
permission.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import hf_hub_download, metadata_load

from understudy.progress import say

# As card.json of a set has it; the first counts the most.
COMMERCIAL = ("barred", "not known", "not barred by what is known")
CARD = "README.md"


@dataclass(frozen=True)
class Binding:
    """What binds a student.

    Attributes:
        base: the licence of its base, by the Hub's name; None where it is not known.
        on_the_hub: whether the Hub has that name.
        terms: what it asks: "of", "asks", "commercial", "document", "version" as `curate.terms`
            has them.
        data: what binds the imitation set, as card.json has it; empty where it is not known.
    """

    base: str | None
    on_the_hub: bool
    terms: dict[str, Any]
    data: dict[str, Any]

    @property
    def commercial(self) -> tuple[str, str]:
        """Which of COMMERCIAL holds for commercial use, and the reasons."""
        barred, unknown, free = COMMERCIAL
        base = {"barred": barred, "free": free}.get(self.terms["commercial"], unknown)
        data, _, why = str(self.data.get("commercial") or "").partition(": ")
        if data not in COMMERCIAL:
            data, why = unknown, "the data, of which nothing is known"
        worst = min(base, data, key=COMMERCIAL.index)
        said = [(base, f"the base ({self.terms['asks']})"), (data, why)]
        reasons = [why for word, why in said if word == worst != free]
        return worst, "; ".join(reasons)

    @property
    def statement(self) -> str:
        """The same in a line, for files that hold a licence's text."""
        word, reasons = self.commercial
        named = self.base or "unknown; ask whoever made it"
        told = f" ({reasons})" if reasons else ""
        return (
            f"Licence of the base: {named}. Commercial use: {word}{told}. The card beside this "
            "file names every document. No legal advice."
        )

    def front_matter(self) -> dict[str, str]:
        """The one licence of base and data that nothing else restricts, by the Hub's keys."""
        own = {name for one in self.data.get("licences") or [] for name in one["names"]}
        if self.base is None:
            return {"license": "unknown"}
        if self.commercial[0] == COMMERCIAL[-1] and self.on_the_hub and own <= {self.base}:
            return {"license": self.base}
        return {"license": "other", "license_name": "several-see-the-card"}


def licence_of(model: str) -> str | None:
    """The licence that a model's card names, by the Hub's name; None where it is not known.

    Args:
        model: a directory or hub name.
    """
    try:
        card = Path(model) / CARD if Path(model).is_dir() else _fetched(model)
        found = metadata_load(card) or {}
    except (OSError, ValueError, yaml.YAMLError):  # not there, not to be reached, or not a card
        return None
    name = found.get("license")
    if name == "other":  # Llama's and others have names of their own
        name = found.get("license_name")
    return name if isinstance(name, str) and name != "unknown" else None


def _fetched(model: str) -> Path:
    say(f"  looking up the licence of {model}")
    return Path(hf_hub_download(model, CARD))
