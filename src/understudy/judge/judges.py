"""Who judges: judges read from a file, told apart, and the models that are their own kin."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import yaml

from understudy.errors import UserError
from understudy.files import read_text, validated
from understudy.recipe import JudgeSettings

_FAMILY = re.compile(r"(?:.*/)?(?:chat)?([a-z]*)")


def read_judges(path: Path) -> list[JudgeSettings]:
    """The judges of a YAML file: a list of what a recipe has under `judges`.

    Raises:
        UserError: the file is missing, is no such list, or a judge has an unknown key or value.
    """
    try:
        rows = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML ({getattr(error, 'problem', '')})") from None
    if not isinstance(rows, list) or not rows:
        raise UserError(f"{path}: not a list of judges; write `- model: NAME` and its base_url")
    return [
        validated(JudgeSettings, row, f"{path}, judge {number}", whole="judge")
        for number, row in enumerate(rows, start=1)
    ]


def check_judges(judges: Sequence[JudgeSettings]) -> None:
    """Find mistakes in who is to judge, before anybody is asked.

    Raises:
        UserError: two have one name and protocol, by which they are told apart, or one is not
            reached by chat, which a repair needs.
    """
    for settings in judges:
        if settings.api != "chat":
            raise UserError(f"judge {settings.model}: judges are asked by chat; remove api")
    named = Counter((settings.model, settings.protocol) for settings in judges)
    if twice := [" ".join(name) for name, count in named.items() if count > 1]:
        raise UserError(f"judge: {twice[0]} is there twice; change its model or its protocol")


def own_model(judge: str, models: Iterable[str], called: Mapping[str, str]) -> str | None:
    """The model whose answers are a judge's own: of its name, or else of its family.

    Names of one family begin with the same word, an owner before "/" and "chat" aside: gpt-4 and
    ChatGPT; llama-2-7b and meta-llama/Llama-3.
    """
    names = {model: called.get(model, model) for model in models}
    same = (model for model, name in names.items() if name == judge)
    kin = (model for model, name in names.items() if _family(name) == _family(judge) != "")
    return next(same, next(kin, None))


def _family(name: str) -> str:
    found = _FAMILY.match(name.lower())
    return found[1] if found else ""
