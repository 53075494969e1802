"""Pages of the site that are made from the code: the command line, settings, the Python API."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import typer
from pydantic import BaseModel
from typer.main import get_command

from understudy.cli import app
from understudy.recipe import Recipe
from understudy.study.settings import StudySettings

PYTHON = """\
# Python API

What notebooks and scripts need, from `understudy` itself; [the guide](../api.md) shows it at work.

::: understudy.api
"""
KINDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "null": "null",
    "object": "mapping",
}
BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
EXAMPLE = re.compile(r"^Example: (.+(?:\n.+)*)", re.M)


def pages() -> dict[str, str]:
    """Markdown of every page, by its place in the site."""
    return {
        "reference/commands.md": command_page(),
        "reference/recipe.md": settings_page("Recipe settings", Recipe),
        "reference/study.md": settings_page("Study settings", StudySettings),
        "reference/python.md": PYTHON,
    }


# The command line


def command_page() -> str:
    """Every command with its help, arguments and options."""
    command = get_command(app)
    context = typer.Context(command, info_name="understudy")
    return "# Command line\n\n" + "\n".join(_command(context, command))


def _command(context: Any, command: Any) -> Iterator[str]:
    path = context.command_path
    yield f"{'#' * (path.count(' ') + 2)} {path}\n"
    yield EXAMPLE.sub(lambda found: f"```text\n{found[1]}\n```", command.help or "") + "\n"
    yield f"**Usage:** `{path} {' '.join(command.collect_usage_pieces(context))}`\n"
    records = [param.get_help_record(context) for param in command.get_params(context)]
    rows = [(f"`{name}`", told) for name, told in filter(None, records)]
    yield table(("", "what it says"), rows)
    for name in getattr(command, "commands", ()):
        below = command.get_command(context, name)
        yield from _command(typer.Context(below, parent=context, info_name=name), below)


# Settings


def settings_page(title: str, settings: type[BaseModel]) -> str:
    """Every key that a YAML file of these settings may hold, section by section.

    A section is a part of the file; what is said in several places has one, and links to it.
    """
    schema = settings.model_json_schema()
    parts = schema.get("$defs", {})
    places = {"": schema}
    names: dict[str, str] = {}  # the first place of each part
    for place, part in _walk(schema, parts):
        if part not in names:
            names[part] = place
            places[place] = parts[part]
    sections = [_section(place, part, names, title) for place, part in places.items()]
    return "\n".join(sections)


def _walk(schema: dict[str, Any], parts: dict[str, Any], at: str = "") -> Iterator[tuple[str, str]]:
    """Places of parts of the settings, and the parts' names, from the top down."""
    for key, field in schema["properties"].items():
        for part in _parts_in(field):
            place = f"{at}.{key}".strip(".")
            yield place, part
            yield from _walk(parts[part], parts, place)


def _parts_in(field: dict[str, Any]) -> Iterator[str]:
    if "$ref" in field:
        yield field["$ref"].rpartition("/")[2]
    for below in (*field.get("anyOf", ()), field.get("items"), field.get("additionalProperties")):
        if isinstance(below, dict):
            yield from _parts_in(below)


def _section(place: str, part: dict[str, Any], names: dict[str, str], title: str) -> str:
    heading = f"## `{place}` {{ #{place} }}" if place else f"# {title}"
    required = part.get("required", ())
    rows = [
        (
            f"`{key}`",
            _kind(field, names),
            "**needed**" if key in required else _default(field),
            field.get("description", ""),
        )
        for key, field in part["properties"].items()
    ]
    about = part.get("description", "")
    return f"{heading}\n\n{about}\n\n{table(('key', 'kind', 'default', 'what it says'), rows)}"


def _kind(field: dict[str, Any], names: dict[str, str]) -> str:
    """What may stand there, in words."""
    if "$ref" in field:
        place = names[field["$ref"].rpartition("/")[2]]
        return f"[{place}](#{place})"
    if "anyOf" in field:
        return " or ".join(_kind(choice, names) for choice in field["anyOf"])
    if "enum" in field:
        return ", ".join(f"`{choice}`" for choice in field["enum"])
    if field.get("type") == "array":
        return f"list of {_kind(field['items'], names)}"
    below = field.get("additionalProperties")
    if isinstance(below, dict):
        return f"mapping to {_kind(below, names)}"
    bounds = [f"{sign} {field[key]:g}" for key, sign in BOUNDS.items() if key in field]
    return " ".join([KINDS[field["type"]], *bounds]) if "type" in field else "anything"


def _default(field: dict[str, Any]) -> str:
    default = field.get("default")
    if default and isinstance(default, dict):
        return "its own"
    return f"`{_yaml(default)}`"


def _yaml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_yaml, value))}]"
    words = {None: "null", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) else str(value) or '""'


def table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table in markdown."""
    lines = [heads, ("---",) * len(heads), *rows]
    cells = ([cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines)
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)
