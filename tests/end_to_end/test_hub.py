"""A recipe may name a set on the hub; a stand-in for the loader is all that is had here."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from understudy.files import read_json
from understudy.recipe_file import parse_recipe
from understudy.run import run

RECIPE = """
base: world:tiny
curate: {files: [hub:some/set:train]}
answers: {prompts: hub:some/prompts}
evaluate: {benchmarks: []}
"""


def test_a_recipe_reads_a_set_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(name: str, *_: object, **options: object) -> list[dict[str, str]]:
        assert (name, options.get("split")) == ("some/set", "train")
        return [{"instruction": f"Say {n}.", "output": f"It is {n}."} for n in range(30)]

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    run(parse_recipe(RECIPE, "hub.yaml"), tmp_path, until="curate")
    card = read_json(tmp_path / "curate" / "card.json")
    assert card["read"] == card["kept"] == 30
