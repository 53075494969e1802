"""A recipe at desk size is the same recipe with its part `desk` laid over it."""

from pathlib import Path

import pytest

from understudy.errors import UserError
from understudy.recipe_file import laid_over, load_recipe

FULL = """
name: mine
base: some/llama
teacher: {base_url: "https://api.example.com/v1", model: large, api_key_env: KEY}
collect: {prompts: prompts.jsonl, n: 50000, batch: true}
curate: {files: [shared.json], clean: {refusals: drop, languages: [en]}}
train: {epochs: 3, batch_dialogues: 128}
judges:
  - {base_url: "https://api.example.com/v1", model: judge}
"""
DESK = """
desk:
  base: world:tiny
  teacher: {base_url: world, model: world-teacher, api_key_env: null}
  collect: {prompts: world:broad, n: 100, batch: false}
  curate: {files: [], clean: {languages: null}}
  train: {batch_dialogues: null}
  judges: [{model: world-hurried}, {model: world-checking, protocol: checking}]
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(FULL + DESK, encoding="utf-8")
    return path


def test_without_desk_its_part_counts_for_nothing(recipe: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain.yaml"
    plain.write_text(FULL, encoding="utf-8")
    assert load_recipe(recipe) == load_recipe(plain)


def test_desk_is_laid_over_key_by_key_and_lists_are_replaced(recipe: Path) -> None:
    small = load_recipe(recipe, desk=True)
    assert small.name == "mine-desk"
    assert small.base == "world:tiny"
    assert small.teacher is not None
    assert (small.teacher.model, small.teacher.api_key_env) == ("world-teacher", None)
    assert small.collect is not None
    assert (small.collect.prompts, small.collect.n, small.collect.batch) == (
        "world:broad",
        100,
        False,
    )
    assert small.curate.files == []
    assert (small.curate.clean.refusals, small.curate.clean.languages) == ("drop", None)
    assert (small.train.epochs, small.train.batch_dialogues) == (3, None)
    assert [judge.model for judge in small.judges] == ["world-hurried", "world-checking"]


def test_changes_come_last(recipe: Path) -> None:
    small = load_recipe(recipe, ["train.epochs=5", "collect.n=7"], desk=True)
    assert small.train.epochs == 5
    assert small.collect is not None
    assert small.collect.n == 7


def test_neither_mapping_is_changed() -> None:
    one, other = {"a": {"b": 1}, "c": 2}, {"a": {"d": 3}}
    assert laid_over(one, other) == {"a": {"b": 1, "d": 3}, "c": 2}
    assert (one, other) == ({"a": {"b": 1}, "c": 2}, {"a": {"d": 3}})


@pytest.mark.parametrize("text", [FULL, FULL + "desk: small\n"])
def test_a_recipe_without_such_a_part_says_so(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"mine\.yaml: has no part desk: for --desk"):
        load_recipe(path, desk=True)


def test_a_mistake_in_it_is_told(recipe: Path) -> None:
    recipe.write_text(recipe.read_text() + "  trian: {}\n", encoding="utf-8")
    with pytest.raises(UserError, match="unknown key trian"):
        load_recipe(recipe, desk=True)
