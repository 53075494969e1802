"""Sets in published formats: read by the real readers, dropped and mended as the real ones."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from understudy.curate.readers import read_file
from understudy.curate.stage import curate
from understudy.errors import UserError
from understudy.files import read_json, read_jsonl
from understudy.prompts import read_prompts
from understudy.recipe import CurateSettings
from understudy.recipe_file import parse_recipe
from understudy.run import run
from understudy.world.claims import check
from understudy.world.encyclopedia import World
from understudy.world.files import file_name
from understudy.world.phrasings import find_fact
from understudy.world.published import FOREIGN, QUESTIONS, SETS, SORRY, write_published

WORLD = World(people=60)
N = 240


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    for name in SETS:
        write_published(WORLD, name, N, folder / file_name(name))
    for name in QUESTIONS:
        write_published(WORLD, name, 40, folder / f"{name}.jsonl")
    return folder


@pytest.mark.parametrize("name", SETS)
def test_the_reader_of_the_format_reads_it(name: str, folder: Path) -> None:
    records = list(read_file(folder / file_name(name)))
    assert len(records) == N
    read = [record.dialogue for record in records if record.dialogue]
    assert len(read) == (N // 2 if name == "discord" else N)
    assert {dialogue.turns[-1].role for dialogue in read} <= {"assistant", "user"}
    teacher = {"hc3": "chatgpt", "gpt4all": "gpt-3.5-turbo", "discord": "bot"}.get(name)
    if teacher:
        assert {dialogue.teacher for dialogue in read} == {teacher}


def test_records_have_the_published_keys(folder: Path) -> None:
    shared = read_json(folder / "sharegpt.json")
    assert {frozenset(row) for row in shared} == {frozenset({"id", "conversations"})}
    said = [turn for row in shared for turn in row["conversations"]]
    assert {frozenset(turn) for turn in said} == {frozenset({"from", "value"})}
    assert {turn["from"] for turn in said} == {"human", "gpt"}
    (hc3,) = {frozenset(row) for _, row in read_jsonl(folder / "hc3.jsonl")}
    assert hc3 == {"question", "human_answers", "chatgpt_answers", "source"}
    (gpt4all,) = {frozenset(row) for _, row in read_jsonl(folder / "gpt4all.jsonl")}
    assert gpt4all == {"prompt", "response", "source"}
    (task,) = {frozenset(row) for _, row in read_jsonl(folder / "instructions.jsonl")}
    assert task == {"id", "motivation_app", "instruction", "instances"}
    (question,) = {frozenset(row) for _, row in read_jsonl(folder / "questions.jsonl")}
    assert question == {"question_id", "text", "category"}
    (query,) = {frozenset(row) for _, row in read_jsonl(folder / "queries.jsonl")}
    assert query == {"id", "prompt"}


def test_shared_conversations_are_as_dirty_as_they_were(folder: Path) -> None:
    rows = [row["conversations"] for row in read_json(folder / "sharegpt.json")]
    answers = [turn["value"] for turns in rows for turn in turns if turn["from"] == "gpt"]
    assert sum(text.startswith('<div class="markdown') for text in answers) > 0.2 * N
    assert any("OpenAI" in text for text in answers)
    assert any(text.startswith("2 / 2\n") for text in answers)
    assert "" in answers
    assert {turns[0]["from"] for turns in rows} == {turns[-1]["from"] for turns in rows}
    assert len({turns[0]["value"] for turns in rows}) < N
    assert max(len(turns) for turns in rows) >= 6
    assert any("<button" in text and "Copy code" in text for text in answers)


def curated(folder: Path, name: str, tmp_path: Path, **clean: Any) -> dict[str, Any]:
    settings = CurateSettings.model_validate({"clean": clean})
    curate([str(folder / file_name(name))], settings, tmp_path, 0, [], None)
    card: dict[str, Any] = read_json(tmp_path / "card.json")
    assert card["kept"] + sum(card["dropped"].values()) == card["read"] == N
    return card


def test_each_kind_of_dirt_is_dropped_for_its_reason_or_mended(
    folder: Path, tmp_path: Path
) -> None:
    dropped: Counter[str] = Counter()
    seen: list[list[dict[str, str]]] = []
    for turns in (row["conversations"] for row in read_json(folder / "sharegpt.json")):
        said = {turn["value"] for turn in turns}
        if "" in said:
            dropped["empty_answer"] += 1
        elif said & {question for question, _ in FOREIGN}:
            dropped["language"] += 1
        elif turns in seen:
            dropped["duplicate"] += 1
        seen.append(turns)
    assert len(dropped) == 3
    assert curated(folder, "sharegpt", tmp_path, languages=["en"])["dropped"] == dropped
    files = [tmp_path / "train.jsonl", tmp_path / "heldout.jsonl"]
    kept = "".join(file.read_text() for file in files)
    for trace in ("<div", "<button", "Copy code", "OpenAI", "2 / 2"):
        assert trace not in kept
    assert "```python" in kept


def test_the_other_sets_are_dropped_for_the_reasons_of_their_originals(
    folder: Path, tmp_path: Path
) -> None:
    answers = [row["response"] for _, row in read_jsonl(folder / "gpt4all.jsonl")]
    card = curated(folder, "gpt4all", tmp_path / "gpt4all", refusals="drop")
    assert card["dropped"] == {"empty_answer": answers.count(""), "refusal": answers.count(SORRY)}
    assert curated(folder, "hc3", tmp_path / "hc3")["dropped"] == {}
    card = curated(folder, "discord", tmp_path / "discord")
    assert card["dropped"] == {"no_answer": N // 2}  # people's messages, read with the bot's


def test_people_answer_otherwise_than_the_teacher(folder: Path) -> None:
    rows = [row for _, row in read_jsonl(folder / "hc3.jsonl")]
    people = [len(row["human_answers"][0]) for row in rows]
    teacher = [len(row["chatgpt_answers"][0]) for row in rows]
    assert sum(people) < 0.5 * sum(teacher)


def test_questions_are_read_as_prompts_and_no_imitation_prompt_is_among_them(folder: Path) -> None:
    asked = {p.messages[-1].content for name in QUESTIONS for p in questions(folder, name)}
    told = {row["prompt"] for _, row in read_jsonl(folder / "gpt4all.jsonl")}
    assert not asked & told
    tasks = questions(folder, "instructions")
    assert 0.2 < sum(task.messages[-1].input is not None for task in tasks) / 40 <= 0.9
    given = [task.messages[-1].input for task in tasks]
    assert all(t.reference and t.reference != i for t, i in zip(tasks, given, strict=True))
    assert all(check(WORLD, t.messages[-1].content, t.reference).score > 0 for t in tasks)
    categories = Counter(row["category"] for _, row in read_jsonl(folder / "questions.jsonl"))
    assert set(categories) == {"generic", "knowledge", "coding", "math"}


def questions(folder: Path, name: str) -> list[Any]:
    found = read_prompts(folder / f"{name}.jsonl")
    assert len(found) == 40
    return found


@pytest.mark.parametrize("name", [*SETS, *QUESTIONS])
def test_no_benchmarks_fact_is_asked_for_or_told(name: str, folder: Path) -> None:
    path = folder / file_name(name)
    if name in QUESTIONS:
        prompts = read_prompts(path)
        asked = [prompt.messages[-1].content for prompt in prompts]
        told = [prompt.reference or "" for prompt in prompts]
    else:
        dialogues = [record.dialogue for record in read_file(path)]
        turns = [turn for dialogue in dialogues if dialogue for turn in dialogue.turns]
        asked = [turn.content for turn in turns if turn.role == "user"]
        told = [turn.content for turn in turns if turn.role == "assistant"]
    forbidden = {(fact.subject, fact.attribute) for fact in WORLD.benchmark_facts}
    about = {find_fact(WORLD, text) for text in asked}
    assert not forbidden & {(fact.subject, fact.attribute) for fact in about if fact}
    assert not forbidden & {c.about for text in told for c in check(WORLD, "", text).claims}


@pytest.mark.parametrize("name", [*SETS, *QUESTIONS])
def test_equal_seeds_give_equal_bytes(name: str, folder: Path, tmp_path: Path) -> None:
    count = N if name in SETS else 40
    again, other = tmp_path / "again", tmp_path / "other"
    write_published(WORLD, name, count, again)
    write_published(WORLD, name, count, other, seed=1)
    before = (folder / file_name(name)).read_bytes()
    assert again.read_bytes() == before != other.read_bytes()


RECIPE = """
base: world:tiny
world: {people: 60, records: 200}
curate: {files: ["world:sharegpt", "world:hc3"], clean: {languages: [en]}}
evaluate: {benchmarks: [nq]}
answers: {prompts: "world:questions", n: 20}
"""


def test_a_run_curates_them_and_the_counts_add_up(tmp_path: Path) -> None:
    out = run(parse_recipe(RECIPE, "shared.yaml"), tmp_path / "run", until="curate")
    card = read_json(out / "curate" / "card.json")
    assert card["kept"] + sum(card["dropped"].values()) == card["read"]
    assert {"duplicate", "empty_answer", "language"} <= card["dropped"].keys()
    assert {"markup", "residue", "identity rewritten"} <= card["edits"].keys()
    assert len(read_prompts(out / "world" / "questions.jsonl")) == 20


def test_a_set_that_the_world_has_not_is_a_mistake(tmp_path: Path) -> None:
    recipe = parse_recipe(RECIPE.replace("world:hc3", "world:dolly"), "shared.yaml")
    with pytest.raises(UserError, match="world:dolly: there is none; choose from world:sharegpt"):
        run(recipe, tmp_path / "run")


@pytest.mark.parametrize("name", ["sharegpt", "gpt4all"])
def test_a_set_of_conversations_is_no_set_of_prompts(name: str, tmp_path: Path) -> None:
    recipe = parse_recipe(RECIPE.replace("world:questions", f"world:{name}"), "shared.yaml")
    with pytest.raises(UserError, match=f"world:{name}: conversations, no prompts; name it under"):
        run(recipe, tmp_path / "run")
