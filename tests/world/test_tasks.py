"""The teacher goes on with a list of tasks: the wanted ones, of its world, some of them bad."""

import random
import re
from collections import Counter

import pytest

from understudy.world import programs
from understudy.world.encyclopedia import World
from understudy.world.manner import reply
from understudy.world.phrasings import find_fact
from understudy.world.programs import is_reserved, parse_docstring
from understudy.world.tasks import BAD_SHARE, MOST_TASKS, STRAY_MARKS, TOO_SHORT, UNSUITABLE
from understudy.world.tasks import continued as go_on
from understudy.world.topics import BROAD_TOPICS, STYLE_TOPICS

WORLD = World(people=200)
SHOWN = """Invent tasks.

###
1. Instruction: Explain the tides.
1. Input: <noinput>
###
2. Instruction: Name the years in which the text says something, from 1900 to 1950.
2. Input: It lasted from 1914 to 1918.
###

Go on with the list from task 3 to task {0}."""
ITEM = re.compile(r"###\n(\d+)\. Instruction: (.+?)(?:\n\1\. Input: (.+?))?(?=\n###|\Z)", re.S)
TOPICS = tuple(topic.name for topic in BROAD_TOPICS)


def items(wanted: int, seed: int = 0) -> list[tuple[str, str, str]]:
    told = reply(WORLD, [{"role": "user", "content": SHOWN.format(wanted)}], random.Random(seed))
    found = [match.groups(default="") for match in ITEM.finditer(told)]
    assert "\n".join(match[0] for match in ITEM.finditer(told)) == told
    return found  # type: ignore[return-value]


def test_the_list_goes_on_to_the_wanted_number() -> None:
    for wanted in (3, 20, 60):
        assert [int(number) for number, _, _ in items(wanted)] == list(range(3, wanted + 1))
    assert len(items(9999)) == MOST_TASKS


def test_equal_draws_give_equal_lists_and_others_do_not() -> None:
    assert items(20, seed=1) == items(20, seed=1)
    assert len({str(items(20, seed=seed)) for seed in range(10)}) == 10


def test_other_wordings_of_the_wish_are_understood() -> None:
    for wish in ("Continue the list up to 5.", "Write more, until task 5!", "Go on through item 5"):
        asked = SHOWN.split("Go on")[0] + wish
        told = go_on(WORLD, asked, random.Random(0))
        assert told is not None
        assert [number for number, _, _ in ITEM.findall(told)] == ["3", "4", "5"]


@pytest.mark.parametrize(
    "asked",
    [
        "",
        "Go on with the list from task 4 to task 20.",
        "1. Instruction: Explain the tides.\n1. Input: <noinput>",
        "1. Instruction: Explain the tides.\n\nGo on to 20.",
        "1. Input: <noinput>\n\nGo on to 20.",
        SHOWN.format(2),  # nothing is missing
    ],
)
def test_anything_else_is_no_such_request(asked: str) -> None:
    assert go_on(WORLD, asked, random.Random(0)) is None
    assert "Instruction:" not in reply(
        WORLD, [{"role": "user", "content": asked}], random.Random(0)
    )


def drawn() -> list[tuple[str, str]]:
    return [(task, given) for seed in range(20) for _, task, given in items(102, seed)]


def test_tasks_are_of_this_world_and_some_have_an_input() -> None:
    tasks = drawn()
    assert len(tasks) == 2000
    kinds = Counter[str]()
    for task, given in tasks:
        kinds["topic"] += any(topic in task for topic in TOPICS)
        kinds["fact"] += WORLD.subject_in(task) is not None
        kinds["program"] += programs.solve(task) is not None
        kinds["sum"] += bool(re.search(r"\d+ [+-] \d+", task))
        kinds["input"] += given not in ("<noinput>", "")
        assert given in ("<noinput>", "") or any(topic in task for topic in TOPICS)
    assert kinds["topic"] > 1200
    assert 100 < kinds["fact"] < 300
    assert 70 < kinds["program"] < 200
    assert 40 < kinds["sum"] < 150
    assert 300 < kinds["input"] < 600


def test_a_share_is_bad_in_each_of_the_usual_ways() -> None:
    bad = Counter[str]()
    lists = [items(102, seed) for seed in range(20)]
    for tasks in lists:
        earlier = [task for _, task, _ in tasks]
        bad["repeated"] += len(earlier) - len(set(earlier) | set(TOO_SHORT))
    for _, task, given in [item for tasks in lists for item in tasks]:
        bad["short"] += task in TOO_SHORT
        bad["unsuitable"] += task.startswith(tuple(text.split("{")[0] for text in UNSUITABLE))
        bad["stray"] += task.startswith(STRAY_MARKS)
        bad["please"] += task.endswith(", please.")
        bad["form"] += given == ""
    assert min(bad.values()) > 10
    assert 0.8 * BAD_SHARE < bad.total() / 2000 < 1.4 * BAD_SHARE  # some are bad in two ways


def test_no_benchmark_fact_no_reserved_program_no_style_topic_is_asked() -> None:
    benchmark = set(WORLD.benchmark_facts)
    style = [topic.name for topic in STYLE_TOPICS]
    asked = 0
    for task, given in drawn():
        if fact := find_fact(WORLD, task):
            asked += 1
            assert fact not in benchmark
        if match := re.search('""" (.*?)\n', task):
            steps = parse_docstring(match[1])
            assert steps
            assert not is_reserved(steps)
        assert not any(
            name in f"{task} {given}" and not any(name in topic for topic in TOPICS)
            for name in style
        )
    assert asked > 50
