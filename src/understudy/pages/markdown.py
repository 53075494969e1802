"""Cards in markdown, made of texts that a record, a file's name or a model had a say in.

Every text that an expression of a template yields becomes plain words of markdown, unless it is
marked as markdown already.
"""

import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from understudy.pages.tidy import tidy
from understudy.pages.words import largest

LONGEST_NAME = 120  # characters of a name in a line or a cell
LONGEST_WORDS = 1000  # characters of a sentence
LONGEST_TEXT = 800  # characters of a text in a block
NOT_MEASURED = "not measured"
_MEANING = re.compile(r"([\\`*_\[\]<>|~#&!@$^{}])|(?<=:)(//)|(?<=www)(\.)")
_ADDRESS = re.compile(r"https://[\w./#-]{1,200}")


def markdown_environment(folder: Path) -> Environment:
    """The templates of `folder`, in which whatever is shown is escaped.

    Filters beside Jinja's own: count and percent (of numbers; what is none was not measured),
    largest (of a tally, see `pages.words`), words (a sentence rather than a name), fenced (a block
    of text), address (a link, or a dash) and markdown (as it is).
    """
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=False,  # markdown, not HTML: `finalize` escapes
        finalize=_written,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": count,
        "percent": percent,
        "fenced": fenced,
        "words": lambda text: inline(text, LONGEST_WORDS),
        "largest": largest,
        "markdown": Markup,
        "address": address,
    }
    return environment


def _written(value: Any) -> Any:
    """What an expression of a template yields, safe in a line, a cell or a heading."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return inline(value)
    return value


def inline(text: str, longest: int = LONGEST_NAME) -> Markup:
    """Text in which nothing means anything to markdown or HTML, on one line and bounded."""
    line = " ".join(tidy(text[: 2 * longest]).split())
    if len(line) > longest:
        line = line[:longest] + "…"
    return Markup(_MEANING.sub(r"\\\g<0>", line))


def fenced(text: str, kind: str = "text", longest: int = LONGEST_TEXT) -> Markup:
    """Text in a code block whose fence no run of backticks in the text can close."""
    shown = tidy(text[:longest])
    if len(text) > longest:
        shown += f" … [{len(text) - longest:,} more characters]"
    run = max((len(run) for run in re.findall("`+", shown)), default=0)
    fence = "`" * max(3, run + 1)
    return Markup(f"{fence}{kind}\n{shown}\n{fence}")


def address(address: Any) -> str:
    """A link where it is one of ours; a dash where there is none."""
    return Markup(f"<{address}>") if _ADDRESS.fullmatch(str(address)) else "–"


def count(value: Any) -> str:
    """A number for people; what is not there was not measured."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return NOT_MEASURED
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def percent(share: Any, digits: int = 1) -> str:
    """A share in hundredths; what is not there was not measured."""
    if isinstance(share, bool) or not isinstance(share, int | float):
        return NOT_MEASURED
    return f"{100 * share:.{digits}f} %"
