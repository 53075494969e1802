"""Prices of known teachers; what the table does not have is unknown, and never guessed."""

from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

import yaml

from understudy.recipe import Prices, TeacherSettings


def prices_of(settings: TeacherSettings) -> tuple[Prices | None, str]:
    """A teacher's prices and where they come from, in words."""
    if settings.prices:
        return settings.prices, "the recipe's prices"
    table = _table()
    known = table["hosts"].get(urlsplit(settings.base_url).hostname or "", {})
    if settings.model not in known:
        return None, f"no price of {settings.model} is known; add teacher.prices"
    return Prices(**known[settings.model]), f"list prices as of {table['as_of']}"


@cache
def _table() -> dict[str, Any]:
    text = (files("understudy.teacher") / "prices.yaml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text))
