"""The card of an imitation set, in the form of the Hub's dataset cards, made of card.json.

The template is `card.md.jinja`; what it shows is escaped, see `pages.markdown`.
"""

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Template
from markupsafe import Markup

from understudy.curate.terms import licence_name, on_the_hub
from understudy.pages.markdown import markdown_environment
from understudy.prompts import HUB

# The mean over user queries of their BLEU with the most similar other query: Gudibande et al.,
# "The False Promise of Imitating Proprietary LLMs", 2023, section 3.
PAPER = {"ShareGPT-Mix": 0.08, "Super-NaturalInstructions": 0.61}

HERE = Path(__file__).parent
SAMPLES, TURNS = 5, 6  # dialogues shown, and turns of each
MOST = 60  # entries of a tally
_SIZES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B")
_REPOSITORY = re.compile(r"[\w.-]{1,96}(/[\w.-]{1,96})?")
_LANGUAGE = re.compile(r"[a-z]{2,3}")


def card_markdown(card: dict[str, Any]) -> str:
    """card.md of a set: YAML front matter that the Hub reads, then words and tables for people.

    Args:
        card: the content of card.json. What it lacks, or has as None, is said to be not measured.
    """
    binding = card.get("binding") or {}
    commercial = binding.get("commercial") or "not known: licences and terms were not looked at"
    return _template().render(
        card=card,
        binding=binding,
        commercial=[part.strip() for part in commercial.partition(":")[::2]],
        front=Markup(yaml.safe_dump(front_matter(card), sort_keys=False, allow_unicode=True)),
        paper=PAPER,
        samples=(card.get("samples") or [])[:SAMPLES],
        most=MOST,
        most_turns=TURNS,
    )


@cache
def _template() -> Template:
    return markdown_environment(HERE).get_template("card.md.jinja")


def front_matter(card: dict[str, Any]) -> dict[str, Any]:
    """The card's metadata, by the Hub's names (huggingface/hub-docs, datasetcard.md)."""
    found: dict[str, Any] = {}
    languages = [code for code in card.get("languages") or () if _LANGUAGE.fullmatch(code)]
    if languages:
        found["language"] = languages
    found |= _licence(card.get("licences") or {})
    found["size_categories"] = [_size(card.get("train", 0) + card.get("heldout", 0))]
    found["task_categories"] = ["text-generation"]
    found["tags"] = ["imitation", "conversational", "synthetic", "understudy"]
    files = [source["file"].removeprefix(HUB) for source in card.get("sources") or []
             if source["file"].startswith(HUB)]  # fmt: skip
    repositories = [name.partition(":")[0] for name in files]
    if named := [name for name in repositories if _REPOSITORY.fullmatch(name)]:
        found["source_datasets"] = named
    found["configs"] = _configs(card)
    return found


def _licence(licences: dict[str, int]) -> dict[str, str]:
    """The one licence of all dialogues, where there is one that the Hub knows."""
    names = {licence_name(name) for name in licences}
    if names <= {"unknown"}:
        return {"license": "unknown"}
    if len(names) == 1 and on_the_hub(name := names.pop()):
        return {"license": name}
    return {"license": "other", "license_name": "several-see-the-card"}


def _size(dialogues: int) -> str:
    powers = enumerate(_SIZES, start=3)
    return next((name for power, name in powers if dialogues < 10**power), "1B<n<10B")


def _configs(card: dict[str, Any]) -> list[dict[str, Any]]:
    """The set and its subsets of other sizes, as the Hub's loader finds them."""
    sides = [side for side in ("train", "heldout") if card.get(side)]
    files = [{"split": side, "path": f"{side}.jsonl"} for side in sides]
    subsets = [part for part in card.get("mix") or [] if part["file"] != "train.jsonl"]
    return [
        {"config_name": "default", "data_files": files},
        *(
            {
                "config_name": f"{part['tokens']}-tokens",
                "data_files": [{"split": "train", "path": part["file"]}],
            }
            for part in subsets
        ),
    ]
