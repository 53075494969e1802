"""A data set's facts as one page that needs no network and no script."""

from collections import Counter
from pathlib import Path
from typing import Any

from markupsafe import Markup

from understudy.curate.card import PAPER
from understudy.pages import page_environment, style
from understudy.pages.drawing import bars, histogram, scale
from understudy.pages.tidy import tidy
from understudy.pages.words import LARGEST, number, percent

HERE = Path(__file__).parent
SAMPLES, TURNS = 3, 6  # dialogues shown, and turns of each
# What a raw file's facts lack, and a card's may.
PARTS = ("train", "heldout", "trimmed", "edits", "binding", "duplicates", "contamination",
         "diversity", "tokens", "mix", "knowledge")  # fmt: skip
VARIETY = ("nearest_bleu", "distinct", "topics")
LENGTHS = {
    "turns": "Turns of a dialogue",
    "prompt_characters": "Prompts by their characters",
    "answer_characters": "Answers by their characters",
}


def page(name: str, found: dict[str, Any]) -> str:
    """The page.

    Args:
        name: of the data, for its title.
        found: what `inspect` says of it, with its histograms.
    """
    facts = dict.fromkeys(PARTS) | tidy(found)
    binding = facts["binding"] or {}
    diversity = dict.fromkeys(VARIETY) | (facts["diversity"] or {})
    commercial = binding.get("commercial") or "not known: licences and terms were not looked at"
    formats = Counter[str]()
    for source in facts["sources"]:
        formats.update(source["formats"])
    template = page_environment(HERE).get_template("data.html.jinja")
    return template.render(
        name=tidy(name),
        facts=facts,
        css=style(HERE / "data.css"),
        commercial=[part.strip() for part in commercial.partition(":")[::2]],
        documents=[*binding.get("licences", []), *binding.get("teachers", [])],
        diversity=diversity,
        formats=formats,
        likeness=_likeness(diversity["nearest_bleu"]),
        topics=_topics(diversity["topics"] or []),
        dropped=_dropped(facts["dropped"]),
        sources=_sources(facts["sources"]),
        lengths=_lengths(facts["histograms"]),
        samples=facts["samples"][:SAMPLES],
        most_turns=TURNS,
    )


def _likeness(nearest: dict[str, Any] | None) -> Markup | None:
    if not nearest:
        return None
    title = "Nearest-neighbour BLEU of the prompts, from 0 to 100 %"
    return scale("likeness", title, ("this set", nearest["mean"] / 100), PAPER)


def _topics(topics: list[dict[str, Any]]) -> Markup | None:
    rows = [(topic["name"], topic["share"], f"{percent(topic['share'])} %") for topic in topics]
    return bars("topics-picture", "Topics by their share of prompts", rows) if rows else None


def _dropped(reasons: dict[str, int]) -> Markup | None:
    ordered = sorted(reasons.items(), key=lambda entry: (-entry[1], entry[0]))[:LARGEST]
    rows = [(name, count, number(count)) for name, count in ordered]
    return bars("dropped-picture", "Dropped records, by reason", rows) if rows else None


def _lengths(histograms: dict[str, dict[str, int]]) -> list[tuple[str, Markup]]:
    return [
        (title, histogram(kind, title, list(histograms[kind].items())))
        for kind, title in LENGTHS.items()
    ]


def _sources(sources: list[dict[str, Any]]) -> Markup:
    ordered = sorted(sources, key=lambda source: -source["kept"])[:LARGEST]
    rows = [
        (
            source["file"],
            source["kept"],
            f"{number(source['kept'])} of {number(source['read'])} kept",
        )
        for source in ordered
    ]
    return bars("sources-picture", "Dialogues by source", rows)
