"""Self-Instruct: what is kept, what falls and why, in balance, and the same each time."""

import json
import random
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.collect import self_instruct_filter as filters
from understudy.collect.rouge import NearDuplicates
from understudy.collect.self_instruct import FRUITLESS, MOST_AT_ONCE, self_instruct
from understudy.collect.self_instruct_filter import Filter, flaw
from understudy.collect.self_instruct_tasks import (
    LONGEST,
    OWN_SEEDS,
    Malformed,
    Task,
    read_completion,
    read_seeds,
    request_text,
)
from understudy.errors import UserError
from understudy.files import digest, read_jsonl, write_jsonl
from understudy.progress import console
from understudy.prompts import read_prompts
from understudy.recipe import SelfInstructSettings, TeacherSettings, WorldSettings
from understudy.teacher.client import Account, Answer, Ask, Failure, Request, ask
from understudy.world.encyclopedia import World
from understudy.world.manner import reply
from understudy.world.server import running_teacher

WORLD = World(people=200)
SETTINGS = SelfInstructSettings()
FILES = ("prompts.jsonl", "candidates_dropped.jsonl", "yield.jsonl")
Told = Callable[[Request], str | Failure]


def asking(told: Told, rounds: list[list[Request]] | None = None, reason: str = "stop") -> Ask:
    """An Ask whose answers `told` makes; the rounds of requests are noted."""

    def ask_told(requests: list[Request], label: str) -> list[Answer | Failure]:
        if rounds is not None:
            rounds.append(requests)
        found = [(told(request), digest(asdict(request))) for request in requests]
        return [
            Answer(said, reason, 0, 0, None, None, key) if isinstance(said, str) else said
            for said, key in found
        ]

    return ask_told


def paid(account: Account) -> Ask:
    return lambda requests, label: ask(account, requests, label)


def worlds_teacher(request: Request) -> str:
    return reply(WORLD, request.messages, random.Random(digest(asdict(request))))


def rows(path: Path) -> list[Any]:
    return [row for _, row in read_jsonl(path)]


def fresh(number: int) -> str:
    """An instruction that shares few words with any other."""
    return " ".join(f"w{number}x{i}" for i in range(5))


def listed(*tasks: Task, first: int = 4) -> str:
    return "\n".join(task.item(number) for number, task in enumerate(tasks, start=first))


# The requests


def test_each_request_shows_seeds_that_its_number_draws(tmp_path: Path) -> None:
    rounds: list[list[Request]] = []
    self_instruct(SETTINGS, 200, asking(worlds_teacher, rounds), tmp_path, 0)
    requests = [request for one in rounds for request in one]
    assert [request.sample for request in requests] == list(range(len(requests)))
    seeds = read_seeds(OWN_SEEDS)
    shown = set()
    for request in requests:
        (message,) = request.messages
        items = read_completion(message["content"].split("\n###\n", 1)[1], cut=False)
        tasks = [item for item in items if isinstance(item, Task)]
        assert [task in seeds for task in tasks] == [True] * 3
        shown |= set(tasks)
        assert "from task 4 to task 20" in message["content"]
        assert (request.temperature, request.max_tokens) == (1.0, 3072)
        assert request.stop == ("21. Instruction:",)
    assert len(shown) > 30

    others: list[list[Request]] = []
    self_instruct(SETTINGS, 200, asking(worlds_teacher, others), tmp_path, 1)
    assert others[0][0].messages != rounds[0][0].messages


def test_rounds_grow_with_what_is_missing_and_are_bounded(tmp_path: Path) -> None:
    rounds: list[list[Request]] = []

    def told(request: Request) -> str:
        return listed(Task(fresh(request.sample)))  # one a request, not seventeen

    self_instruct(SETTINGS, 300, asking(told, rounds), tmp_path, 0)
    sizes = [len(one) for one in rounds]
    assert sizes[0] == 18  # 300 / 17
    assert max(sizes) == MOST_AT_ONCE
    assert sum(sizes) == 300


# What comes back


def test_items_are_read_in_alpacas_form() -> None:
    text = (
        "###\n4. Instruction: Say hello.\n4. Input: <noinput>\n"
        "###\r\n5.Instruction: Repeat it\nline by line.\n\n  5. Input: one\n  two\n\n###\n"
    )
    assert read_completion(text, cut=False) == [
        Task("Say hello."),
        Task("Repeat it\nline by line.", "one\n  two"),
    ]
    begun = "4. Instruction: a\n4. Input: <NOINPUT>\n### 5. Instruction: b\n5. Input: ### c"
    assert read_completion(begun, cut=False) == [Task("a"), Task("b", "### c")]
    assert Task("a").prompt == "a"
    assert Task("a", "b").prompt == "a\n\nb"


@pytest.mark.parametrize(
    "item",
    [
        "Sure, here are the tasks:",
        "4. Instruction: no input follows",
        "4. Input: no instruction\n4. Input: precedes",
        "4. Instruction: a\n4. Input: b\n4. Output: c",
        "4. Instruction: a\n4. Input: b\n5. Instruction: c\n5. Input: d",
        "Instruction: a\nInput: b",
    ],
)
def test_other_items_are_malformed(item: str) -> None:
    good = "\n###\n7. Instruction: a\n7. Input: b"
    assert read_completion(item + good, cut=False) == [Malformed("form", item), Task("a", "b")]


def test_the_last_item_of_a_cut_completion_falls() -> None:
    text = listed(Task("one"), Task("two"))
    assert read_completion(text, cut=True) == [Task("one"), Malformed("cut", text[-39:])]
    assert read_completion(text + "\n###\n", cut=True) == [Task("one"), Task("two")]
    long = listed(Task("one"), Task("x" * LONGEST))
    first, last = read_completion(long, cut=False)
    assert first == Task("one")
    assert isinstance(last, Malformed)
    assert last.reason == "cut"
    assert len(last.text) < 1000


PIECES = ["###", "\n", "1. ", "4. Instruction:", "4. Input:", "<noinput>", " ", "\ud800", "x", "\r"]


@settings(max_examples=300)
@given(st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=8))), st.booleans())
def test_any_completion_can_be_read_and_judged(pieces: list[str], cut: bool) -> None:
    judge = Filter(["Say it again in other words."], 0.7)
    for item in read_completion("".join(pieces), cut):
        if isinstance(item, Task):
            judge.judge(item)
            assert judge.judge(item) is not None  # a flaw, or by now a repeat
            json.dumps(item.prompt, ensure_ascii=False).encode()


@given(st.lists(st.tuples(st.text("ab #\n.é"), st.text("ab <>\n5"))))
def test_written_items_are_read_back(pairs: list[tuple[str, str]]) -> None:
    tasks = [Task(f"Do {one.strip()}.", other.strip()) for one, other in pairs]
    tasks = [task for task in tasks if "###" not in task.instruction]
    assert read_completion(listed(*tasks), cut=False) == tasks


# The filters


@pytest.mark.parametrize(
    ("instruction", "reason"),
    [
        ("", "too_short"),
        ("Explain this now", "too_short"),
        ("Explain all of this", None),
        (" ".join(["word"] * 150), None),
        (" ".join(["word"] * 151), "too_long"),
        ("Describe what the images show here", "unsuitable_word"),
        ("Say which Music fits a wedding", "unsuitable_word"),
        ("Sort these profiles of musicians graphically", None),
        ("Write a program that sorts numbers", "program"),
        ("Write a programme for the fair", "program"),
        ("Please write a program for me", None),
        ("- Name three rivers in Asia", "odd_start"),
        ('"Name three rivers in Asia"', "odd_start"),
        ("Écrivez trois phrases sur Paris", "odd_start"),
        ("3 rivers in Asia, please", None),
    ],
)
def test_published_filters(instruction: str, reason: str | None) -> None:
    assert flaw(Task(instruction)) == reason


def test_huge_inputs_fall() -> None:
    assert flaw(Task("Say this again in French", "x" * filters.MOST_CHARACTERS)) == "too_long"


def test_near_duplicates_of_seeds_and_of_kept_tasks_fall() -> None:
    judge = Filter(["Name the three longest rivers in Asia."], 0.7)
    verdict = judge.judge(Task("Name the three longest rivers in Africa."))
    assert verdict is not None
    assert verdict.reason == "near_duplicate"
    assert verdict.near == (pytest.approx(6 / 7), "Name the three longest rivers in Asia.")
    assert judge.judge(Task("Which birds stay here in winter?")) is None
    assert judge.judge(Task("Which birds stay here in winter, then?")) is not None
    assert judge.judge(Task("What is a short poem?")) is None


def test_everything_that_falls_is_accounted_for(tmp_path: Path) -> None:
    seed = read_seeds(OWN_SEEDS)[0]
    said = [
        "Sure!\n" + listed(Task(fresh(0), "some matter"), Task("Too short"), seed),
        Failure("refused", "HTTP 400"),
        listed(Task(fresh(0)), Task(fresh(1)), Task("Draw a graph of it all"), Task(fresh(2))),
        Failure("refused", "HTTP 400"),
    ]
    rounds: list[list[Request]] = []
    told = asking(lambda request: said[request.sample], rounds)
    few = SelfInstructSettings(per_request=4)
    facts = self_instruct(few, 2, told, tmp_path, 0)
    assert [len(one) for one in rounds] == [2, 2]
    dropped = {
        "enough": 1,
        "form": 1,
        "near_duplicate": 2,
        "too_short": 1,
        "unsuitable_word": 1,
    }
    assert facts == {
        "requests": 4,
        "candidates": 8,
        "wanted": 2,
        "kept": 2,
        "dropped": dropped,
        "failed": {"refused": 2},
        "yield": 0.375,
    }
    assert rows(tmp_path / "prompts.jsonl") == [
        {
            "id": "invented-00000",
            "prompt": f"{fresh(0)}\n\nsome matter",
            "instruction": fresh(0),
            "input": "some matter",
        },
        {"id": "invented-00001", "prompt": fresh(1), "instruction": fresh(1), "input": ""},
    ]
    fell = rows(tmp_path / "candidates_dropped.jsonl")
    assert fell[0] == {"request": 0, "reason": "form", "text": "Sure!"}
    assert fell[2] == {
        "request": 0,
        "reason": "near_duplicate",
        "instruction": seed.instruction,
        "input": seed.input,
        "nearest": seed.instruction,
        "score": 1.0,
    }
    assert [(row["request"], row["reason"]) for row in fell[3:]] == [
        (2, "near_duplicate"),
        (2, "unsuitable_word"),
        (2, "enough"),
    ]
    answered = [row for row in rows(tmp_path / "yield.jsonl") if "failed" not in row]
    assert [(row["asked"], row["parsed"], row["kept"]) for row in answered] == [
        (1, 3, 1),
        (1, 4, 1),
    ]
    assert answered[0]["dropped"] == {"form": 1, "near_duplicate": 1, "too_short": 1}
    assert rows(tmp_path / "yield.jsonl")[1] == {"request": 1, "failed": "refused"}


def test_a_cut_completion_loses_its_last_task(tmp_path: Path) -> None:
    told = asking(lambda r: listed(Task(fresh(r.sample)), Task(fresh(-r.sample))), reason="length")
    facts = self_instruct(SETTINGS, 3, told, tmp_path, 0)
    assert facts["kept"] == 3
    assert facts["dropped"]["cut"] == facts["requests"]


# Ends


def test_it_stops_when_nothing_new_comes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words: list[str] = []
    monkeypatch.setattr(console, "print", lambda text, **_: words.append(text))
    rounds: list[list[Request]] = []
    told = asking(lambda _: listed(Task(fresh(0))), rounds)
    facts = self_instruct(SETTINGS, 5, told, tmp_path, 0)
    assert (facts["kept"], facts["wanted"]) == (1, 5)
    assert len(rounds) == 1 + FRUITLESS
    assert "1 of 5 tasks after 1 requests; yield 100% of 1" in words[0]
    assert "stopped at 1 of 5" in words[-1]
    assert "near_duplicate" in words[-1]
    assert len(rows(tmp_path / "prompts.jsonl")) == 1


def test_nothing_at_all_is_a_mistake_to_mend(tmp_path: Path) -> None:
    for told, word in (
        ("I cannot help with that.", "form"),
        ("", "no item in any answer"),
        (Failure("budget", "max_calls"), "request failed: budget"),
    ):
        with pytest.raises(UserError, match="none of") as error:
            self_instruct(SETTINGS, 5, asking(lambda _, told=told: told), tmp_path, 0)
        assert word in str(error.value)
        assert rows(tmp_path / "yield.jsonl")


# Seeds


def test_our_own_seeds_are_varied_and_pass_the_filters() -> None:
    seeds = read_seeds(OWN_SEEDS)
    assert len(seeds) >= 60
    assert 0.35 < sum(bool(task.input) for task in seeds) / len(seeds) < 0.5
    pool = NearDuplicates(0.7)
    for task, row in zip(seeds, rows(OWN_SEEDS), strict=True):
        assert flaw(task) is None
        assert pool.nearest(task.instruction) is None
        pool.add(task.instruction)
        assert read_completion(task.item(1), cut=False) == [task]
        assert row.keys() == {"id", "name", "instruction", "instances", "is_classification"}
        assert row["instances"][0]["output"]
    assert len({row[key] for row in rows(OWN_SEEDS) for key in ("id", "name")}) == 2 * len(seeds)


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ("text", "not an object"),
        ({"instances": [{"input": "a"}]}, "no text under instruction"),
        ({"instruction": " ", "instances": [{"input": "a"}]}, "no text under instruction"),
        ({"instruction": "a"}, "instances[0].input"),
        ({"instruction": "a", "instances": []}, "instances[0].input"),
        ({"instruction": "a", "instances": [{"input": 3}]}, "instances[0].input"),
    ],
)
def test_malformed_seeds_are_named(tmp_path: Path, row: Any, word: str) -> None:
    good = {"instruction": "a", "instances": [{"input": "", "output": "b"}], "name": "x"}
    path = tmp_path / "seeds.jsonl"
    write_jsonl(path, [good, row])
    with pytest.raises(UserError) as error:
        read_seeds(path)
    assert str(error.value).startswith(f"{path}, line 2: ")
    assert word in str(error.value)


def test_too_few_seeds_or_places_are_named(tmp_path: Path) -> None:
    path = tmp_path / "seeds.jsonl"
    never = asking(lambda _: pytest.fail("asked"))
    write_jsonl(path, [{"instruction": "a", "instances": [{"input": ""}]}])
    with pytest.raises(UserError, match=r"holds 1 seed tasks.* shows 3"):
        self_instruct(SelfInstructSettings(seeds=str(path)), 5, never, tmp_path, 0)
    with pytest.raises(UserError, match="per_request is 3"):
        self_instruct(SelfInstructSettings(per_request=3), 5, never, tmp_path, 0)
    path.write_text("")
    with pytest.raises(UserError, match="holds no seed task"):
        read_seeds(path)


@pytest.mark.realdata
def test_published_seeds_are_read(realdata: Path, tmp_path: Path) -> None:
    path = realdata / "self_instruct" / "seed_tasks.jsonl"
    seeds = read_seeds(path)
    assert len(seeds) == 175
    for task in seeds:
        assert read_completion(task.item(1), cut=False) == [task]
    published = SelfInstructSettings(seeds=str(path))
    facts = self_instruct(published, 20, asking(worlds_teacher), tmp_path, 0)
    assert facts["kept"] == 20


# The whole


def test_equal_answers_give_equal_bytes(tmp_path: Path) -> None:
    facts = []
    for name in ("one", "other"):
        facts.append(self_instruct(SETTINGS, 60, asking(worlds_teacher), tmp_path / name, 7))
    assert facts[0] == facts[1]
    for name in FILES:
        one, other = (tmp_path / folder / name for folder in ("one", "other"))
        assert one.read_bytes() == other.read_bytes()
    kept, fell = rows(tmp_path / "one" / FILES[0]), rows(tmp_path / "one" / FILES[1])
    requests = rows(tmp_path / "one" / FILES[2])
    assert facts[0]["candidates"] == len(kept) + len(fell)
    assert sum(row["kept"] for row in requests) == len(kept)
    assert sum(sum(row["dropped"].values()) for row in requests) == len(fell)
    pool = NearDuplicates(0.7)
    for text in [task.instruction for task in read_seeds(OWN_SEEDS)] + [
        row["instruction"] for row in kept
    ]:
        assert pool.nearest(text) is None
        pool.add(text)


def test_a_real_call_a_ledger_and_a_second_start_that_asks_nothing(tmp_path: Path) -> None:
    found, log = [], tmp_path / "log.jsonl"
    with running_teacher(WorldSettings(people=200), TeacherSettings(), log) as teacher:
        account = Account(teacher, tmp_path / "ledger.sqlite")
        for name in ("one", "other"):
            found.append(self_instruct(SETTINGS, 60, paid(account), tmp_path / name, 0))
            served = len(rows(log))
            assert served == found[0]["requests"]
    assert found[0] == found[1]
    assert found[0]["kept"] == 60
    assert [(tmp_path / "one" / name).read_bytes() for name in FILES] == [
        (tmp_path / "other" / name).read_bytes() for name in FILES
    ]
    prompts = read_prompts(tmp_path / "one" / "prompts.jsonl")
    assert len(prompts) == 60
    assert any("\n\n" in prompt.messages[0].content for prompt in prompts)
    assert all("call" in row for row in rows(tmp_path / "one" / "yield.jsonl"))


def test_the_request_is_put_in_words() -> None:
    text = request_text([Task("Say {it}.", "a {b}"), Task("And now?")], 9)
    assert "###\n1. Instruction: Say {it}.\n1. Input: a {b}\n###\n2. Instruction: And now?" in text
    assert "from task 3 to task 9" in text
