"""The card of an imitation set, in the form of the Hub's dataset cards, made of card.json.

The template is `card.md.jinja`. Whatever a record, a file's name or a model had a say in is escaped
where it is written: every text that an expression of the template yields becomes plain words of
markdown, unless it is marked as markdown already.
"""

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, Template
from markupsafe import Markup

from understudy.curate.terms import licence_name, on_the_hub
from understudy.pages.tidy import tidy
from understudy.pages.words import largest
from understudy.prompts import HUB

# The mean over user queries of their BLEU with the most similar other query: Gudibande et al.,
# "The False Promise of Imitating Proprietary LLMs", 2023, section 3.
PAPER = {"ShareGPT-Mix": 0.08, "Super-NaturalInstructions": 0.61}

HERE = Path(__file__).parent
LONGEST_NAME = 120  # characters of a name in a line or a cell
LONGEST_WORDS = 1000  # characters of a sentence
LONGEST_TURN = 800  # characters of a turn in a sample
SAMPLES, TURNS = 5, 6  # dialogues shown, and turns of each
MOST = 60  # entries of a tally
NOT_MEASURED = "not measured"
_SIZES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B")
_MEANING = re.compile(r"([\\`*_\[\]<>|~#&!@$^{}])|(?<=:)(//)|(?<=www)(\.)")
_REPOSITORY = re.compile(r"[\w.-]{1,96}(/[\w.-]{1,96})?")
_ADDRESS = re.compile(r"https://[\w./#-]{1,200}")
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
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=False,  # markdown, not HTML: `finalize` escapes
        finalize=_written,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": _count,
        "percent": _percent,
        "fenced": _fenced,
        "words": lambda text: inline(text, LONGEST_WORDS),
        "largest": largest,
        "markdown": Markup,
        "address": _address,
    }
    return environment.get_template("card.md.jinja")


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


# How values are written


def _written(value: Any) -> Any:
    """What an expression of the template yields, safe in a line, a cell or a heading."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return inline(value)
    return value


def inline(text: str, longest: int = LONGEST_NAME) -> Markup:
    """Text in which nothing means anything to markdown or HTML, on one line and bounded."""
    line = " ".join(tidy(text[: 2 * longest]).split())
    if len(line) > longest:
        line = line[:longest] + "…"
    return Markup(_MEANING.sub(r"\\\g<0>", line))


def _fenced(text: str) -> Markup:
    """Text in a code block whose fence no run of backticks in the text can close."""
    shown = tidy(text[:LONGEST_TURN])
    if len(text) > LONGEST_TURN:
        shown += f" … [{len(text) - LONGEST_TURN:,} more characters]"
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    fence = "`" * max(3, longest + 1)
    return Markup(f"{fence}text\n{shown}\n{fence}")


def _address(address: Any) -> str:
    """A link where it is one of ours; a dash where there is none."""
    return Markup(f"<{address}>") if _ADDRESS.fullmatch(str(address)) else "–"


def _count(value: Any) -> str:
    """A number for people; what is not there was not measured."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return NOT_MEASURED
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def _percent(share: Any, digits: int = 1) -> str:
    if isinstance(share, bool) or not isinstance(share, int | float):
        return NOT_MEASURED
    return f"{100 * share:.{digits}f} %"
