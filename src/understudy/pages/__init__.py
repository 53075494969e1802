"""What the pages have in common: their look, their drawing, their numbers, text made showable."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from understudy.pages.words import largest, number, seconds

HERE = Path(__file__).parent


def page_environment(folder: Path) -> Environment:
    """The templates of `folder`, where everything shown is escaped and a missing value is a fault.

    Filters beside Jinja's own: number, largest (of a tally) and seconds, see `pages.words`.
    """
    environment = Environment(
        loader=FileSystemLoader([folder, HERE]),
        autoescape=True,  # everything shown may come from a model or a file
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "largest": largest, "seconds": seconds}
    return environment


def style(*more: Path) -> Markup:
    """The style sheet of every page, with further ones after it."""
    sheets = (HERE / "page.css", *more)
    return Markup("\n".join(sheet.read_text(encoding="utf-8") for sheet in sheets))
