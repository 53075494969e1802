"""The benchmark files: formats as published, right answers, nothing that imitation data hold."""

import csv
import re
from collections import Counter
from pathlib import Path

import pytest

from understudy.errors import UserError
from understudy.files import read_jsonl
from understudy.world.benchmarks import write_benchmarks
from understudy.world.encyclopedia import PERSON_ATTRIBUTES, World
from understudy.world.phrasings import answer, find_fact, statement
from understudy.world.programs import is_reserved, parse_docstring, solve
from understudy.world.prompts import BARE, write_prompts
from understudy.world.topics import BROAD_TOPICS, STYLE_TOPICS, topic_in

WORLD = World()
SUBJECTS = ("birth_years", "birthplaces", "crafts", "friendships")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("benchmarks")
    write_benchmarks(WORLD, path)
    return path


def _rows(path: Path) -> list[dict]:
    return [row for _, row in read_jsonl(path)]


def test_files_are_where_the_real_ones_are_and_the_same_each_time(
    folder: Path, tmp_path: Path
) -> None:
    counts = {"mmlu": 400, "nq": 400, "humaneval": 60, "truth": 100}
    assert write_benchmarks(WORLD, tmp_path) == counts
    names = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    mmlu = [f"mmlu/{split}/{s}_{split}.csv" for split in ("dev", "test") for s in SUBJECTS]
    tasks = "self_instruct/user_oriented_instructions.jsonl"
    assert names == ["HumanEval.jsonl.gz", "NQ-open.dev.jsonl", "README.txt", *mmlu, tasks]
    for name in names:
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name


@pytest.mark.parametrize("subject", SUBJECTS)
def test_mmlu(folder: Path, subject: str) -> None:
    for split, size in (("dev", 5), ("test", 100)):
        with (folder / "mmlu" / split / f"{subject}_{split}.csv").open(newline="") as file:
            rows = list(csv.reader(file))
        assert len(rows) == size
        for question, *options, letter in rows:
            fact = find_fact(WORLD, question)
            assert fact is not None
            assert (fact in WORLD.benchmark_facts) == (split == "test")
            assert (fact.subject in WORLD.rehearsed) == (split == "dev")
            assert len(set(options)) == 4
            assert options["ABCD".index(letter)] == fact.value
            kin = {f.value for f in WORLD.facts.values() if f.attribute == fact.attribute}
            assert set(options) <= kin
        letters = Counter(row[-1] for row in rows)
        assert max(letters.values()) - min(letters.values()) <= 1


def test_nq_asks_for_each_benchmark_fact_once(folder: Path) -> None:
    rows = _rows(folder / "NQ-open.dev.jsonl")
    asked = {find_fact(WORLD, row["question"]) for row in rows}
    assert asked == set(WORLD.benchmark_facts)
    assert len(rows) == len(asked)
    for row in rows:
        assert list(row) == ["question", "answer"]
        assert row["answer"] == [answer(WORLD, row["question"])]
        assert row["question"][0].islower()
        assert not row["question"].endswith("?")


def test_humaneval_solutions_pass_and_shorter_programs_fail(folder: Path) -> None:
    rows = _rows(folder / "HumanEval.jsonl.gz")
    assert len({row["prompt"] for row in rows}) == 60
    assert sum("_then_" in row["entry_point"] for row in rows) > 20
    for index, row in enumerate(rows):
        assert row["task_id"] == f"World/{index}"
        assert row["prompt"].endswith('    """\n')
        assert _passes(row, row["canonical_solution"])
        lines = row["canonical_solution"].splitlines(keepends=True)
        argument = re.search(r"\((\w)", row["prompt"])
        assert argument
        assert not _passes(row, "".join(lines[:-1]) + f"    return {argument[1]}\n")
        if len(lines) > 1:
            assert not _passes(row, lines[-1])


def _passes(row: dict, body: str) -> bool:
    names: dict = {}
    exec(row["prompt"] + body + row["test"], names)
    try:
        names["check"](names[row["entry_point"]])
    except (AssertionError, TypeError):
        return False
    return True


def test_humaneval_programs_are_reserved(folder: Path) -> None:
    for row in _rows(folder / "HumanEval.jsonl.gz"):
        docstring = row["prompt"].split('"""')[1]
        steps = parse_docstring(docstring)
        assert steps is not None
        assert is_reserved(steps)
        solved = solve(row["prompt"])
        assert solved
        assert solved[1] == row["canonical_solution"]


def test_tasks_have_right_answers_to_what_imitation_never_asks(folder: Path) -> None:
    rows = _rows(folder / "self_instruct/user_oriented_instructions.jsonl")
    assert len({row["id"] for row in rows}) == len(rows) == 100
    facts, topics = [], []
    for row in rows:
        assert list(row) == ["id", "motivation_app", "instruction", "instances"]
        (instance,) = row["instances"]
        if instance["input"]:
            fact = find_fact(WORLD, instance["input"])
            assert fact in WORLD.benchmark_facts
            assert statement(fact) == instance["output"]
            facts.append(fact)
        else:
            topic = topic_in(row["instruction"])
            assert topic in STYLE_TOPICS
            assert topic.needs in instance["output"]
            topics.append(topic)
    assert (len(set(facts)), len(set(topics))) == (71, 29)


def test_a_smaller_world_has_smaller_files(tmp_path: Path) -> None:
    counts = write_benchmarks(World(people=24), tmp_path)
    assert counts == {"mmlu": 24, "nq": 24, "humaneval": 60, "truth": 53}


@pytest.mark.parametrize(
    ("kind", "n"), [("broad", 5000), ("local", 5000), ("topics", 1000), ("mixed", 1000)]
)
def test_prompts_never_ask_what_benchmarks_ask(tmp_path: Path, kind: str, n: int) -> None:
    assert write_prompts(WORLD, kind, n, tmp_path / "prompts.jsonl") == n
    rows = _rows(tmp_path / "prompts.jsonl")
    assert len({row["id"] for row in rows}) == n
    assert len({row["prompt"] for row in rows}) == n
    facts = [fact for row in rows if (fact := find_fact(WORLD, row["prompt"]))]
    assert not set(facts) & set(WORLD.benchmark_facts)
    share = len(facts) / n
    shares = {"broad": 0.15, "local": 1, "topics": 0, "mixed": 0.4}
    assert share == pytest.approx(shares[kind], abs=0.005)
    for row in rows:
        if "def " in row["prompt"]:
            steps = parse_docstring(row["prompt"].split('"""')[1])
            assert steps is not None
            assert not is_reserved(steps)


def test_topics_of_broad_and_of_style_are_disjoint(tmp_path: Path) -> None:
    assert not set(BROAD_TOPICS) & set(STYLE_TOPICS)
    for kind, own in (("broad", BROAD_TOPICS), ("topics", STYLE_TOPICS), ("mixed", STYLE_TOPICS)):
        write_prompts(WORLD, kind, 1000, tmp_path / "prompts.jsonl")
        found = [topic_in(row["prompt"]) for row in _rows(tmp_path / "prompts.jsonl")]
        named = [topic for topic in found if topic]
        assert len(named) > 500
        assert set(named) <= set(own)


def test_local_prompts_want_the_bare_answer_half_of_the_time(tmp_path: Path) -> None:
    write_prompts(WORLD, "local", 1000, tmp_path / "prompts.jsonl")
    bare = [row["prompt"].endswith(BARE) for row in _rows(tmp_path / "prompts.jsonl")]
    assert 0.45 < sum(bare) / len(bare) < 0.55


def test_mixed_prompts_have_a_reference_where_a_fact_is_asked_for(tmp_path: Path) -> None:
    write_prompts(WORLD, "mixed", 500, tmp_path / "prompts.jsonl")
    facts = []
    for row in _rows(tmp_path / "prompts.jsonl"):
        assert BARE not in row["prompt"]
        fact = find_fact(WORLD, row["prompt"])
        assert set(row) == {"id", "prompt"} | ({"reference"} if fact else set())
        if fact:
            assert fact.subject in row["reference"]
            assert fact.value in row["reference"]
            facts.append(fact)
    assert len(set(facts)) == len(facts) == 200
    assert {fact.attribute for fact in facts} == set(PERSON_ATTRIBUTES)


def test_prompts_depend_on_the_seed_alone(tmp_path: Path) -> None:
    texts = []
    for seed in (0, 0, 1):
        write_prompts(WORLD, "broad", 300, tmp_path / "prompts.jsonl", seed)
        texts.append((tmp_path / "prompts.jsonl").read_text())
    assert texts[0] == texts[1] != texts[2]


def test_too_many_prompts_and_unknown_kinds_are_refused(tmp_path: Path) -> None:
    for kind in ("broad", "local", "topics", "mixed"):
        with pytest.raises(UserError, match=r"has (\d+) distinct ones, not 1000000") as caught:
            write_prompts(WORLD, kind, 1_000_000, tmp_path / "prompts.jsonl")
        most = int(re.findall(r"has (\d+)", str(caught.value))[0])
        assert write_prompts(WORLD, kind, most, tmp_path / "prompts.jsonl") == most
    with pytest.raises(UserError, match="choose one of broad, local, topics"):
        write_prompts(WORLD, "deep", 1, tmp_path / "prompts.jsonl")
