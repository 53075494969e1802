"""Judges from a file, and their kin."""

from pathlib import Path

import pytest

from understudy.errors import UserError
from understudy.judge.judges import check_judges, own_model, read_judges
from understudy.recipe import JudgeSettings, Prices


def test_judges_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "judges.yaml"
    path.write_text(
        "- {model: a, base_url: 'https://one/v1', prices: {input: 1, output: 2}}\n"
        "- {model: b, protocol: checking, top_logprobs: 5}\n"
    )
    assert read_judges(path) == [
        JudgeSettings(model="a", base_url="https://one/v1", prices=Prices(input=1, output=2)),
        JudgeSettings(model="b", protocol="checking", top_logprobs=5),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model: a", "not a list of judges"),
        ("[]", "not a list of judges"),
        ("- {model: a", "not valid YAML"),
        ("- model: a\n- protocol: kind", "judge 2: protocol: "),
        ("- a", "judge 1: judge: "),
        ("- modle: a", "judge 1: modle: "),
    ],
)
def test_a_wrong_file_is_named(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "judges.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as raised:
        read_judges(path)
    assert str(raised.value).startswith(str(path))
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("gpt-4", "teacher"),
        ("gpt-4o-mini", "teacher"),
        ("chatgpt-latest", "teacher"),
        ("vicuna-13b", "student"),
        ("Llama-3-70B", "base"),
        ("claude-3", None),
        ("4", None),
    ],
)
def test_a_judge_s_own_model(name: str, own: str | None) -> None:
    called = {"teacher": "openai/gpt-4", "base": "meta-llama/Llama-2-7b", "student": "vicuna"}
    assert own_model(name, ["base", "student", "teacher"], called) == own
    assert own_model("gpt-4", ["gpt-3.5", "gpt-4"], {}) == "gpt-4"


def test_a_judge_is_reached_by_chat() -> None:
    with pytest.raises(UserError, match="judge m: judges are asked by chat"):
        check_judges([JudgeSettings(model="m", api="completions")])
