"""What a study's file may say, and how its mistakes are told."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from understudy.errors import UserError
from understudy.study.settings import StudySettings, as_yaml, load_study

STUDY: dict[str, Any] = {
    "name": "mine",
    "run": {
        "teacher": {"base_url": "world"},
        "collect": {"n": 100},
        "curate": {"heldout": 0.2, "heldout_max": 30},
        "answers": {"prompts": "world:mixed"},
        "evaluate": {"benchmarks": ["nq", "mmlu"]},
    },
    "bases": ["world:tiny", {"base": "models/Llama-7B/", "parameters": 7.0e9}],
    "kinds": {
        "broad": {},
        "local": {
            "task": ["nq"],
            "amounts": [10, 20],
            "collect": {"n": 40, "prompts": "world:local"},
            "curate": {"heldout_max": 5},
        },
    },
    "amounts": [100, 1000],
}


def load(folder: Path, *changes: str, **parts: Any) -> StudySettings:
    file = folder / "mine.yaml"
    content = {key: value for key, value in (STUDY | parts).items() if value is not None}
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return load_study(file, list(changes))


def test_bases_are_names_or_mappings(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert settings.base_names == ["tiny", "Llama-7B"]
    assert [base.parameters for base in settings.bases] == [None, 7e9]


def test_a_kind_changes_the_recipe(tmp_path: Path) -> None:
    settings = load(tmp_path)
    broad, local = (settings.recipe_of(kind, "tiny") for kind in ("broad", "local"))
    assert (settings.broad, settings.local) == (["broad"], ["local"])
    assert broad.collect is not None
    assert local.collect is not None
    assert (broad.collect.n, broad.collect.prompts) == (100, "world:broad")
    assert (local.collect.n, local.collect.prompts) == (40, "world:local")
    assert (broad.curate.heldout, broad.curate.heldout_max) == (0.2, 30)
    assert (local.curate.heldout, local.curate.heldout_max) == (0.2, 5)
    assert broad.curate.mix is not None
    assert local.curate.mix is not None
    assert (broad.curate.mix.tokens, local.curate.mix.tokens) == ([100, 1000], [10, 20])
    assert settings.recipe_of("local", "Llama-7B").base == "models/Llama-7B/"
    assert settings.recipe.name == "mine"


def test_changes_reach_every_depth(tmp_path: Path) -> None:
    settings = load(tmp_path, "run.collect.n=7", "kinds.local.amounts=[5]", "seeds=[4, 2]")
    assert settings.recipe.collect is not None
    assert settings.recipe.collect.n == 7
    assert settings.amounts_of("local") == [5]
    assert settings.seeds == [4, 2]


def test_written_out_it_reads_back_as_the_same(tmp_path: Path) -> None:
    # What the first kind changes stays its own.
    kinds = {"a": STUDY["kinds"]["local"], "broad": {}}
    for settings in (load(tmp_path), load(tmp_path, kinds=kinds)):
        file = tmp_path / "written.yaml"
        file.write_text(as_yaml(settings), encoding="utf-8")
        again = load_study(file)
        for kind in settings.kinds:
            for base in settings.base_names:
                assert again.recipe_of(kind, base) == settings.recipe_of(kind, base)
        unwritten = {"run"}  # without the defaults
        assert again.model_dump(exclude=unwritten) == settings.model_dump(exclude=unwritten)


def test_weights_of_a_mix_are_kept(tmp_path: Path) -> None:
    curate = {"mix": {"tokens": [1], "weights": {"a.jsonl": 2}}}
    settings = load(tmp_path, run=STUDY["run"] | {"curate": curate})
    mix = settings.recipe.curate.mix
    assert mix is not None
    assert (mix.tokens, mix.weights) == ([100, 1000], {"a.jsonl": 2})


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"amounts": [100, 100]}, "amounts of broad: [100, 100] do not rise"),
        ({"amounts": []}, "amounts: List should have at least 1 item"),
        ({"seeds": [1, 1]}, "seeds: one is there twice"),
        ({"bases": ["world:tiny", "a/tiny"]}, "bases: two are called tiny"),
        ({"bases": []}, "bases: List should have at least 1 item"),
        ({"kinds": {"../x": {}}}, "kinds: '../x' names folders"),
        ({"kinds": {"local": {"task": ["gsm8k"]}}}, "kinds.local.task: gsm8k is not in"),
        ({"kinds": {"broad": {"colect": {}}}}, "unknown key kinds.broad.colect"),
        ({"rule": {"base": "large"}}, "rule.base: no base is called large; there are tiny"),
        ({"advice": {"base": "large"}}, "advice.base: no base is called large"),
        ({"hardware": {"flops": 0}}, "hardware.flops: Input should be greater than 0"),
        ({"run": STUDY["run"] | {"base": "world:tiny"}}, "run.base: the study says it"),
        ({"run": STUDY["run"] | {"name": "x"}}, "run.name: the study says it"),
        ({"run": {"collect": {"n": 1}, "curate": {}}}, "collect needs a teacher"),
        ({"run": {"curate": {"files": ["a.jsonl"]}}}, "run.teacher is missing"),
        ({"run": STUDY["run"] | {"evalute": {}}}, "unknown key evalute"),
        ({"run": STUDY["run"] | {"curate": 5}}, "curate: "),
        ({"run": STUDY["run"] | {"answers": {"prompts": "heldout"}}}, "run.answers.prompts"),
        ({"run": None}, "run is missing"),
        ({"bases": [".."]}, "bases: '..' names a folder"),
        ({"bases": ["world:"]}, "bases: '' names a folder"),
        (
            {"rule": {"candidates": [{"learning_rat": 1}]}},
            "rule.candidates: unknown key train.lear",
        ),
        ({"rule": {"amount": 77}}, "rule.amount: no kind has 77"),
        ({"seeds": [-1]}, "seeds.0: Input should be greater than or equal to 0"),
    ],
)
def test_a_mistake_is_told_in_a_line(tmp_path: Path, parts: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError) as error:
        load(tmp_path, **parts)
    message = str(error.value)
    assert told in message
    assert message.startswith(str(tmp_path / "mine.yaml"))
    assert "\n" not in message
