"""The shipped benchmarks: what each asks of rows in the published form, and of the hub's."""

import json
import random
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evaluate.conftest import (
    ADD,
    ARC,
    BEGINNINGS,
    BREAD,
    DOUBLE,
    MYTH,
    NQ,
    ROOF,
    SUBJECTS,
    SUMS,
    TASKS,
    TRIVIA,
    write_lines,
)
from understudy.errors import UserError
from understudy.evaluate.benchmarks import NAMES, find_benchmark
from understudy.evaluate.benchmarks.kinds import (
    ChoiceItem,
    Extract,
    PerplexityItem,
    ShortItem,
    ToxicityItem,
)
from understudy.files import write_text

HEADER = "The following are multiple choice questions (with answers) about abstract algebra.\n\n"
SHOTS = "".join(
    f"dev {i}, why?\nA. a\nB. b, c\nC. d\nD. e\nAnswer: {'ABCD'[i % 4]}\n\n" for i in range(5)
)


def items(name: str, data: Path | None, limit: int | None = None) -> list[Any]:
    return find_benchmark(name).items(data, limit)


def test_mmlu(data: Path) -> None:
    asked = "test 0, why?\nA. a\nB. b, c\nC. d\nD. e\nAnswer:"
    assert items("mmlu", data)[0] == ChoiceItem(
        "abstract_algebra/1",
        "abstract_algebra",
        " test 0, why?",
        ("a", "b, c", "d", "e"),
        (0,),
        HEADER + SHOTS + asked,
        (" A", " B", " C", " D"),
    )
    mmlu = find_benchmark("mmlu")
    categories = dict(mmlu.categories)
    assert len(categories) == len(mmlu.categories) == 57
    assert set(categories.values()) == {"stem", "humanities", "social_sciences", "other"}
    assert mmlu.harness == "mmlu 2"


@pytest.mark.parametrize(
    ("limit", "expected"), [(None, (4, 2)), (1, (1, 0)), (3, (2, 1)), (5, (3, 2)), (99, (4, 2))]
)
def test_a_limit_is_dealt_out_over_groups(
    data: Path, limit: int | None, expected: tuple[int, int]
) -> None:
    found = [item.group for item in items("mmlu", data, limit)]
    assert (found.count("abstract_algebra"), found.count("world_religions")) == expected
    assert found == sorted(found)


def nq_prompt(shots: list[str], question: str) -> str:
    shown = "".join(f"Q: who is {i}?\nA: The {i}\n" for i in shots)
    return f"Answer these questions:\n\n{shown}Q: who is {question}?\nA:"


def test_nq_shows_examples_of_its_own_file_as_the_harness_draws_them(data: Path) -> None:
    """Four are drawn, of which the item is not shown; the seed is 1234."""
    rng = random.Random(1234)
    found = items("nq", data)
    assert [item.id for item in found] == [f"nq/{i}" for i in range(1, 9)]
    for number, item in enumerate(found):
        drawn = [str(i) for i in rng.sample(range(8), 4) if i != number]
        assert item.prompt == nq_prompt(drawn[:3], str(number))
        assert item.answers == (f"The {number}", f"no {number}")
    assert items("nq", data, 5) == found[:5]


def test_nq_takes_examples_from_a_train_file(data: Path) -> None:
    rows = [{"question": f"who is t{i}", "answer": [f"The t{i}"]} for i in range(30)]
    write_lines(data / "NQ-open.train.jsonl", rows)
    rng = random.Random(1234)
    for number, item in enumerate(items("nq", data)):
        drawn = [f"t{i}" for i in rng.sample(range(30), 4)]
        assert item.prompt == nq_prompt(drawn[:3], str(number))


def test_where_copies_of_the_item_are_drawn_the_harness_draws_again(data: Path) -> None:
    names = [*"0000", *"1234"]
    rows = [{"question": f"who is {i}", "answer": [f"The {i}"]} for i in names]
    write_lines(data / "NQ-open.dev.jsonl", rows)
    rng = random.Random(1234)
    again = 0
    for name, item in zip(names, items("nq", data), strict=True):
        drawn = [i for i in rng.sample(names, 4) if i != name]
        if len(drawn) < 3:
            again += 1
            drawn = rng.sample([i for i in names if i != name], 3)
        assert item.prompt == nq_prompt(drawn[:3], name)
    assert again


def test_short_answers_are_read_as_the_harness_reads_them() -> None:
    articles = r"\b(?:The |the |An |A |The |a |an )"
    ignored = (",", r"\$", "(?s).*#### ", r"\.$")
    number = "(-?[$0-9.,]{2,})|(-?[0-9]+)"
    strict = Extract(r"#### (\-?[0-9\.\,]+)", ignored=ignored, ignore_punctuation=False)
    assert dict(find_benchmark("nq").extracts) == {"exact_match": Extract(ignored=(articles,))}
    assert dict(find_benchmark("triviaqa").extracts) == {"exact_match": Extract()}
    assert dict(find_benchmark("gsm8k").extracts) == {
        "exact_match": strict,
        "flexible": Extract(number, -1, ignored, ignore_punctuation=False),
    }
    assert find_benchmark("gsm8k").metrics == ("exact_match", "flexible")
    assert [n for n in NAMES if find_benchmark(n).corrected] == ["nq", "triviaqa"]


def test_gsm8k(data: Path) -> None:
    rng = random.Random(1234)
    for number, item in enumerate(items("gsm8k", data)):
        shown = "".join(
            f"Question: train {i} + 1?\nAnswer: It is <<{i}+1={i + 1}>>.\n#### {i + 1}\n\n"
            for i in rng.sample(range(9), 5)
        )
        assert item.prompt == f"{shown}Question: test {number} + 1?\nAnswer:"
    assert find_benchmark("gsm8k").stop == ("Question:", "</s>", "<|im_end|>")


@pytest.mark.parametrize("name", ["arc_easy", "arc_challenge"])
def test_arc(data: Path, name: str) -> None:
    options = ("a bee", "an oak", "a stone")
    assert items(name, data) == [
        ChoiceItem(
            "Own_1",
            None,
            "Which one flies?",
            options,
            (0,),
            "Question: Which one flies?\nAnswer:",
            (" a bee", " an oak", " a stone"),
        )
    ]
    assert find_benchmark(name).metrics == ("accuracy", "accuracy_norm")


def test_hellaswag_is_cleaned(data: Path) -> None:
    roof, bread = items("hellaswag", data)
    assert roof.prompt == "Roofing: A man sits on a roof. He"
    assert roof.continuations[3] == " sings on."
    assert roof.right == (0,)
    assert bread.prompt == "Baking: How to bake. Take flour."
    assert bread.options == (" Mix it.", "Rest. Wait.", "Run.", "Sing.")
    assert bread.continuations[:2] == ("  Mix it.", " Rest. Wait.")
    assert (bread.id, bread.right) == ("hellaswag/2", (3,))


def test_truthfulqa(data: Path) -> None:
    (first,), (second,) = items("truthfulqa_mc1", data), items("truthfulqa_mc2", data)
    assert first.prompt == second.prompt
    assert first.prompt.startswith("Q: What is human life expectancy in the United States?\nA: ")
    assert first.prompt.endswith("were held in Barcelona, Spain.\n\nQ: Do bees read?\nA:")
    assert first.prompt.count("Q: ") == 7
    assert (first.options, first.right) == (("They do not.", "They do."), (0,))
    assert second.continuations == (" They do not.", " Some do.", " No bee reads.")
    assert second.right == (0, 2)
    assert find_benchmark("truthfulqa_mc2").metrics == ("mc2",)


def test_triviaqa_reads_web_and_wikipedia(data: Path) -> None:
    found = items("triviaqa", data)
    assert [item.id for item in found] == [f"triviaqa/{i}" for i in range(1, 11)]
    assert found[8] == ShortItem(
        "triviaqa/9", None, "Which river is number 0?", ("The 0", "River 0"), found[8].prompt
    )
    assert found[8].prompt.endswith("\n\nQuestion: Which river is number 0??\nAnswer:")
    assert found[8].prompt.count("??\nAnswer: The ") == 5


def test_realtoxicity(data: Path) -> None:
    found = items("realtoxicity", data)
    assert found[0] == ToxicityItem("non-toxic/1", "non-toxic", "So they said, number 0")
    assert [item.group for item in found] == ["non-toxic", "toxic", "challenging", "non-toxic"]


def test_truth(data: Path) -> None:
    lamp, writer, _ = items("truth", data)
    asked = "What does a lamp do?"
    assert lamp == PerplexityItem(
        "task_0", None, asked, "", "A lamp gives light.", asked, " A lamp gives light."
    )
    assert (writer.id, writer.input) == ("task_1", "The keeper writes letters.")
    assert writer.prompt == "Name the writer. The keeper writes letters."
    assert (writer.task, lamp.task) == ("Name the writer.\n\nThe keeper writes letters.", asked)
    assert find_benchmark("truth").metrics == ("perplexity", "in_chat", "unprompted")


def test_humaneval(data: Path) -> None:
    humaneval = find_benchmark("humaneval")
    assert [item.id for item in humaneval.items(data, None)] == ["Own/0", "Own/1"]
    assert (humaneval.metrics, humaneval.max_tokens) == (("pass@1",), 1024)


def numbered(split: str, counts: dict[str, int]) -> list[dict[str, Any]]:
    return [
        {
            "question": f" {split} {i}, why?",
            "subject": subject,
            "choices": ["a", "b, c", "d", "e"],
            "answer": i % 4,
        }
        for subject, count in counts.items()
        for i in range(count)
    ]


def trivia(count: int) -> list[dict[str, Any]]:
    return [
        {
            "question": row["Question"].strip(),
            "answer": {"aliases": [alias.strip() for alias in row["Answer"]["Aliases"]]},
        }
        for row in TRIVIA[:count]
    ]


def targets(choices: dict[str, int]) -> dict[str, Any]:
    return {"choices": list(choices), "labels": list(choices.values())}


CHOICES = ARC["question"]["choices"]
RIVERS = [{"question": f"who is t{i}", "answer": [f"The t{i}"]} for i in range(9)]
HUB = {  # (data set, config, split): rows in the shape that the hub's have
    ("cais/mmlu", "all", "dev"): numbered("dev", dict.fromkeys(SUBJECTS, 5)),
    ("cais/mmlu", "all", "test"): numbered("test", SUBJECTS),
    ("google-research-datasets/nq_open", None, "train"): RIVERS,
    ("google-research-datasets/nq_open", None, "validation"): NQ,
    ("mandarjoshi/trivia_qa", "rc.nocontext", "train"): trivia(8),
    ("mandarjoshi/trivia_qa", "rc.nocontext", "validation"): trivia(8) + trivia(2),
    ("openai/gsm8k", "main", "train"): SUMS["train"],
    ("openai/gsm8k", "main", "test"): SUMS["test"],
    ("Rowan/hellaswag", None, "validation"): [ROOF | {"label": "0"}, BREAD | {"label": "3"}],
    ("truthfulqa/truthful_qa", "multiple_choice", "validation"): [
        {
            "question": MYTH["question"],
            "mc1_targets": targets(MYTH["mc1_targets"]),
            "mc2_targets": targets(MYTH["mc2_targets"]),
        }
    ],
    ("openai/openai_humaneval", None, "test"): [ADD, DOUBLE],
    ("allenai/real-toxicity-prompts", None, "train"): BEGINNINGS,
    ("yizhongw/self_instruct", "human_eval", "train"): [
        task | {"instances": {key: [task["instances"][0][key]] for key in ("input", "output")}}
        for task in TASKS
    ],
} | {
    ("allenai/ai2_arc", config, "test"): [
        {
            "id": ARC["id"],
            "question": ARC["question"]["stem"],
            "choices": {key: [choice[key] for choice in CHOICES] for key in ("text", "label")},
            "answerKey": ARC["answerKey"],
        }
    ]
    for config in ("ARC-Easy", "ARC-Challenge")
}


@pytest.mark.parametrize("name", NAMES)
def test_the_hubs_rows_make_the_same_items(
    name: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load_dataset(name: str, config: str | None, split: str) -> list[dict[str, Any]]:
        return HUB[name, config, split]

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    write_lines(data / "NQ-open.train.jsonl", RIVERS)
    write_text(data / "triviaqa-rc/qa/web-train.json", json.dumps({"Data": TRIVIA}))
    assert items(name, None) == items(name, data)


@pytest.mark.parametrize("name", NAMES)
def test_without_data_and_package_a_folder_is_asked_for(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match="--data"):
        items(name, None)


def test_what_the_hub_raises_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(*asked: object, **more: object) -> None:
        raise ConnectionError("no way\nthrough")

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    with pytest.raises(UserError, match=r"gsm8k: cannot be had from the hub \(no way\)"):
        items("gsm8k", None)


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_folder_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=f"{tmp_path}/.*no such file; fetch it, or leave {name}"):
        items(name, tmp_path)


def test_unknown_benchmark_lists_the_known() -> None:
    with pytest.raises(UserError, match=r"no benchmark 'mlmu'; choose from .*mmlu, nq, "):
        find_benchmark("mlmu")


@pytest.mark.realdata
def test_published_files(realdata: Path) -> None:
    mmlu = items("mmlu", realdata)
    assert len(mmlu) == 8991
    assert len({item.group for item in mmlu}) == 33
    assert len({item.id for item in mmlu}) == 8991
    assert all(item.prompt.count("\nAnswer: ") == 5 for item in mmlu)
    assert len(items("nq", realdata)) == 3610
    assert len(items("gsm8k", realdata)) == 1319
    truth = items("truth", realdata)
    assert [item.id for item in truth] == [f"user_oriented_task_{i}" for i in range(252)]
    assert sum(bool(item.input) for item in truth) == 208
    assert truth[1].answer == "Confident"
    assert truth[1].prompt.endswith(" There's a coffee in it for you!")
    assert [item.id for item in items("humaneval", realdata)] == [
        f"HumanEval/{i}" for i in range(164)
    ]
