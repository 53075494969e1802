"""What docs/, README.md and CONTRIBUTING.md say can be done, and their site can be built."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from docs_build.blocks import bash_blocks, run_blocks
from docs_build.links import ROOT, faults, pages
from docs_build.reference import command_page, settings_page
from markdown_it import MarkdownIt
from mkdocs.commands.build import build
from mkdocs.config import load_config
from pydantic import BaseModel
from typer.main import get_command

from understudy.cli import app
from understudy.recipe import (
    CollectSettings,
    CurateSettings,
    EvaluateSettings,
    JudgeSettings,
    Recipe,
    TrainSettings,
)
from understudy.recipe_file import check_recipe, parse_recipe, settings_from, settings_in
from understudy.study.settings import StudySettings

LEAST: dict[str, Any] = {"base": "world:tiny", "teacher": {}, "collect": {}}
SET = {  # the settings that a command's --set changes, and what they cannot be without
    "run": (Recipe, LEAST),
    "collect": (CollectSettings, {}),
    "curate": (CurateSettings, {}),
    "train": (TrainSettings, {}),
    "evaluate": (EvaluateSettings, {}),
}
COMMAND = re.compile(r"(?:^|[\s/])understudy (?!import )(?=[a-z])(.*)")


def code(page: Path, inline: bool) -> Iterator[tuple[str, str]]:
    """A page's pieces of code, within lines or in blocks, with what their blocks are marked as."""
    for token in MarkdownIt().enable("table").parse(page.read_text("utf-8")):
        if inline:
            found = (child for child in token.children or () if child.type == "code_inline")
            yield from ((piece.content, "") for piece in found)
        elif token.type in ("fence", "code_block"):
            yield token.content, token.info


def commands(inline: bool) -> list[str]:
    """The commands of understudy in all pages, without the program's name."""
    found = set()
    for page in pages(ROOT):
        for text, mark in code(page, inline):
            if mark.startswith(("python", "yaml")):
                continue
            for line in text.replace("\\\n", " ").splitlines():
                if (command := COMMAND.search(line)) and "…" not in line:
                    found.add(command[1])
    return sorted(found)


def resolved(line: str) -> tuple[Any, Any, list[str]]:
    """The command that a line calls, its context, and the arguments of that call."""
    words = shlex.split(line.replace("[C ...]", "C"), comments=True)
    ends = [words.index(end) for end in ("|", ">", "&&") if end in words]
    words = words[: min(ends, default=None)]
    command, context = get_command(app), None
    while (below := getattr(command, "commands", None)) and words:
        assert words[0] in below, f"no command {words[0]}"
        context = typer.Context(command, parent=context, info_name=command.name)
        command = below[words.pop(0)]
    return command, context, words


@pytest.mark.parametrize("line", commands(inline=False))
def test_a_command_in_a_block_is_understood(line: str) -> None:
    command, context, words = resolved(line)
    parsed = command.make_context(command.name, [*words], parent=context)
    changes = parsed.params.get("changes") or []
    if changes and command.name in SET:
        kind, given = SET[command.name]
        settings_from(kind, list(changes), **given)


@pytest.mark.parametrize("line", commands(inline=True))
def test_a_command_within_a_line_has_its_options(line: str) -> None:
    command, _, words = resolved(line)
    known = {"--help"} | {name for param in command.params for name in param.opts}
    known |= {name for param in command.params for name in param.secondary_opts}
    assert {word for word in words if re.match("--?[a-z]", word)} <= known


def test_there_are_commands_to_try() -> None:
    assert len(commands(inline=False)) > 30
    assert len(commands(inline=True)) > 20


def recipe_blocks() -> list[tuple[str, str]]:
    """Blocks of YAML with settings, by page; those that leave something out say so by dots."""
    blocks = [
        (page.name, text)
        for page in pages(ROOT)
        for text, mark in code(page, inline=False)
        if mark == "yaml" and "..." not in text
    ]
    return [(name, text) for name, text in blocks if _is_settings(yaml.safe_load(text))]


def _is_settings(content: Any) -> bool:
    return isinstance(content, list) or content.keys() <= Recipe.model_fields.keys()


@pytest.mark.parametrize(("page", "text"), recipe_blocks())
def test_settings_in_a_block_are_allowed(page: str, text: str) -> None:
    content = yaml.safe_load(text)
    if isinstance(content, list):
        for judge in content:
            settings_in(JudgeSettings, judge, page)
    else:
        check_recipe(page, settings_in(Recipe, LEAST | content, page))


def test_readmes_recipe_is_among_them() -> None:
    assert "README.md" in {page for page, _ in recipe_blocks()}


def test_the_tours_recipe_is_one() -> None:
    tour = "\n".join(bash_blocks(ROOT / "docs" / "tour.md"))
    recipe = re.search(r"cat > mine\.yaml <<'END'\n(.+?)^END$", tour, re.M | re.S)
    assert recipe
    parse_recipe(recipe[1], "docs/tour.md")


def test_every_link_leads_somewhere() -> None:
    assert faults(ROOT) == []


def test_faults_of_links_are_found(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("[a](docs/a.md#so-do-i-1) ![b](docs/b.png)\n")
    (tmp_path / "CONTRIBUTING.md").write_text("[c](docs/a.md#nothing)\n\n[d](http://example.org)\n")
    text = "# So, do `I`\n\n## So do I\n\n[e](https://localhost/x) [f](#so-do-i) [g](g.md)\n"
    (tmp_path / "docs" / "a.md").write_text(text)
    assert faults(tmp_path) == [
        "README.md, line 1: docs/b.png is not there",
        "CONTRIBUTING.md, line 1: docs/a.md#nothing has no such heading",
        "CONTRIBUTING.md, line 3: http://example.org is no https address of a host",
        "docs/a.md, line 5: https://localhost/x is no https address of a host",
        "docs/a.md, line 5: g.md is not there",
    ]


def test_blocks_are_run_by_one_shell_until_one_fails(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```bash\nword=spoken\n```\n\n```console\necho shown > shown\n```\n\n"
        "```bash\necho $word > first; test -f examples/people.csv\nfalse | cat\n```\n\n"
        "```bash\ntouch second\n```\n"
    )
    folder = tmp_path / "folder"
    folder.mkdir()
    assert run_blocks(page, folder) == 1
    assert {path.name for path in folder.iterdir()} == {"examples", "first"}
    assert (folder / "first").read_text() == "spoken\n"


def test_the_reference_has_every_command_with_its_options() -> None:
    page = command_page()
    asked = [get_command(app)]
    while asked:
        command: Any = asked.pop()
        asked += getattr(command, "commands", {}).values()
        options = [param for param in command.params if param.param_type_name == "option"]
        assert re.search(rf"^#+ understudy .*\b{command.name}$|^## understudy$", page, re.M)
        assert all(name in page for option in options for name in option.opts)


@pytest.mark.parametrize("settings", [Recipe, StudySettings])
def test_the_reference_has_every_setting(settings: type[BaseModel]) -> None:
    page = settings_page("Settings", settings)
    schema = settings.model_json_schema()
    parts = [schema, *schema["$defs"].values()]
    assert page.count("\n#") == len(parts) - 1
    for part in parts:
        for key, field in part["properties"].items():
            told = field.get("description", "").replace("|", "\\|")
            assert re.search(rf"^\| `{key}` \|.*\| {re.escape(told)} \|$", page, re.M), key
    assert len(re.findall(r"^\| `", page, re.M)) == sum(len(part["properties"]) for part in parts)


def test_the_site_builds_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    build(load_config(str(ROOT / "mkdocs.yml"), strict=True, site_dir=str(tmp_path)))
    for recipe in (ROOT / "recipes").rglob("*.yaml"):
        page = tmp_path / recipe.relative_to(ROOT).with_suffix(".html")
        assert "base" in page.read_text("utf-8")
    assert "run_recipe" in (tmp_path / "reference" / "python.html").read_text("utf-8")
    loads = r"""<(?:script|img|link|iframe)\b[^>]*\b(?:src|href)=["']?((?:https?:)?//[^"' >]+)"""
    for page in tmp_path.rglob("*.html"):
        assert re.findall(loads, page.read_text("utf-8")) == [], page
