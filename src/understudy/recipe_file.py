"""A recipe's file: read, changed by --set, checked.

A mistake is answered with one line that names the file, the key and what is allowed there.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from understudy.errors import UserError
from understudy.files import read_text
from understudy.recipe import CollectSettings, Recipe, Settings

SettingsT = TypeVar("SettingsT", bound=Settings)
DESK = "desk"  # the part of a recipe's file that makes it small


def load_recipe(path: Path, changes: Sequence[str] = (), desk: bool = False) -> Recipe:
    """Read a recipe.

    Args:
        path: its file.
        changes: "a.b=value" texts that override it (value in YAML).
        desk: lay its part `desk` over it, which says what is otherwise at desk size; without, that
            part counts for nothing.

    Raises:
        UserError: the file is missing or not YAML, a key is unknown, a value is not allowed, or
            there is no part `desk` to lay over it.
    """
    return parse_recipe(read_text(path), str(path), changes, desk)


def parse_recipe(text: str, name: str, changes: Sequence[str] = (), desk: bool = False) -> Recipe:
    """The recipe in a YAML text; `name` stands for it in errors. See `load_recipe`."""
    content = read_mapping(text, name)
    small = content.pop(DESK, None)
    if desk:
        if not isinstance(small, dict):
            raise UserError(f"{name}: has no part {DESK}: for --desk; see recipes/vicuna.yaml")
        content = laid_over(content, {"name": f"{content.get('name', 'run')}-{DESK}"} | small)
    for change in changes:
        apply_change(content, change)
    recipe = settings_in(Recipe, content, name)
    check_recipe(name, recipe)
    return recipe


def laid_over(content: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """A mapping of mappings with another's values in place of its own; lists are replaced whole."""
    return content | {
        key: laid_over(content[key], value)
        if isinstance(value, dict) and isinstance(content.get(key), dict)
        else value
        for key, value in other.items()
    }


def read_mapping(text: str, name: str) -> dict[str, Any]:
    """The mapping in a YAML text; `name` stands for it in errors.

    Raises:
        UserError: it is not YAML, or no mapping.
    """
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{name}{line}: not valid YAML ({getattr(error, 'problem', '')})") from None
    if not isinstance(content, dict):
        raise UserError(f"{name}: a mapping of keys is expected; see recipes/desk.yaml")
    return content


def settings_in(kind: type[SettingsT], content: dict[str, Any], name: str) -> SettingsT:
    """The settings in a mapping; `name` stands for it in errors.

    Raises:
        UserError: a key is unknown or missing, or a value is not allowed.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{name}: {first_fault(error, kind)}") from None


def settings_from(kind: type[SettingsT], changes: list[str], **given: Any) -> SettingsT:
    """One part of a recipe from its defaults, `given` values and "key=value" texts over them."""
    for change in changes:
        apply_change(given, change)
    return settings_in(kind, given, "--set")


def check_recipe(name: str, recipe: Recipe) -> None:
    """Faults that only show when two parts of a recipe are read together.

    Raises:
        UserError: there is one; `name` stands for the recipe.
    """
    if recipe.collect and not recipe.teacher:
        raise UserError(f"{name}: collect needs a teacher; add teacher: or remove collect:")
    if recipe.ledger and re.search(r"://[^/@]*:[^/@]*@|passw", recipe.ledger):
        raise UserError(
            f"{name}: ledger: the address holds a password; put it into PGPASSWORD or ~/.pgpass"
        )
    distil = recipe.train.distil
    told = recipe.collect and recipe.collect.top_logprobs
    if distil and distil.teacher == "ledger" and not told:
        raise UserError(
            f"{name}: train.distil learns from the ledger's log-probabilities; set "
            "collect.top_logprobs, or name a model under train.distil.teacher"
        )
    tokens, mix = recipe.train.tokens, recipe.curate.mix
    if tokens is not None and (mix is None or tokens not in mix.tokens):
        raise UserError(
            f"{name}: train.tokens: {tokens} is no size of curate.mix.tokens; add it there"
        )
    if recipe.collect:
        check_collect(name, recipe.collect)
    if not recipe.collect and not recipe.curate.files:
        raise UserError(f"{name}: no data; add collect: or name files under curate.files")


def check_collect(name: str, settings: CollectSettings) -> None:
    """Faults in how a teacher is to be asked.

    Raises:
        UserError: two ways at once, or several turns and nobody who says the user's.
    """
    if settings.local and settings.self_instruct:
        raise UserError(f"{name}: collect.local and collect.self_instruct are two ways; keep one")
    if settings.turns > 1 and not settings.follow_ups:
        raise UserError(f"{name}: collect.turns above 1 needs follow_ups; name who speaks next")
    if settings.local and (settings.turns > 1 or settings.batch):
        raise UserError(f"{name}: collect.local makes pairs by rounds; remove turns and batch")


def apply_change(content: dict[str, Any], change: str) -> None:
    """Set one value, "a.b=value" with the value in YAML, in a mapping of mappings.

    Raises:
        UserError: it is written otherwise, or goes below a value.
    """
    key, equals, text = change.partition("=")
    if not equals or not key:
        raise UserError(f"--set {change}: write it as key.subkey=value")
    *parents, last = key.split(".")
    place = content
    for parent in parents:
        below = place.get(parent)
        if below is None:
            below = place[parent] = {}
        if not isinstance(below, dict):
            raise UserError(f"--set {change}: {parent} holds a value, not keys")
        place = below
    try:
        place[last] = yaml.safe_load(text)
    except yaml.YAMLError:
        raise UserError(f"--set {change}: the value is not valid YAML; quote it") from None


def first_fault(error: ValidationError, kind: type[BaseModel]) -> str:
    """One line on the first fault: the key, what is wrong, what is allowed."""
    fault = error.errors()[0]
    where = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        known = ", ".join(_keys_at(kind, fault["loc"][:-1]))
        return f"unknown key {where}; known here: {known}"
    if fault["type"] == "missing":
        return f"{where} is missing; add it"
    return f"{where}: {fault['msg']} (it says {fault['input']!r})"


def _keys_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys that are allowed at a place in a part of a recipe."""
    for part in location:
        field = model.model_fields.get(str(part))
        kinds = [field.annotation, *getattr(field.annotation, "__args__", ())] if field else []
        models = [k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)]
        if not models:
            return []
        model = models[0]
    return list(model.model_fields)
