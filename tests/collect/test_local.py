"""Local bootstrap: what is kept, what falls and why, in balance and the same each time."""

import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from understudy.collect.local import Held, bootstrap
from understudy.collect.pairs import LONGEST, Broken, Pair, parse, read_examples
from understudy.dialogue import read_dialogues
from understudy.errors import UserError
from understudy.files import digest, read_jsonl, write_jsonl
from understudy.progress import console
from understudy.recipe import LocalSettings
from understudy.teacher.client import Answer, Ask, Failure, Request
from understudy.world.benchmarks import write_benchmarks
from understudy.world.encyclopedia import World
from understudy.world.manner import reply
from understudy.world.phrasings import find_fact
from understudy.world.prompts import write_examples

WORLD = World(people=200)
KINDS = ("capital of", "distance to", "painter from", "price of", "song about")
Told = Callable[[int, Request], str | Failure]


def answered(text: str, request: Request, finish_reason: str = "stop") -> Answer:
    return Answer(text, finish_reason, 0, 0, None, None, digest(asdict(request)))


def asking(told: Told, rounds: list[list[Request]] | None = None) -> Ask:
    """An Ask whose answers are made by `told` from a request's number; rounds are noted."""

    def ask(requests: list[Request], label: str) -> list[Answer | Failure]:
        if rounds is not None:
            rounds.append(requests)
        found = [told(request.sample, request) for request in requests]
        return [
            answered(text, request) if isinstance(text, str) else text
            for text, request in zip(found, requests, strict=True)
        ]

    return ask


def worlds_teacher(number: int, request: Request) -> str:
    return reply(WORLD, request.messages, random.Random(digest(asdict(request))))


def line(asked: str, told: str) -> str:
    return json.dumps({"input": asked, "output": told})


def examples(folder: Path, count: int = 2) -> LocalSettings:
    """Settings with examples on matters that share no rare word."""
    path = folder / "examples.jsonl"
    write_jsonl(
        path, [{"input": f"{KINDS[n]} start{n}", "output": f"end{n}"} for n in range(count)]
    )
    return LocalSettings(examples=str(path), shown=2, per_request=5)


def start(settings: LocalSettings, n: int, ask: Ask, out: Path, **more: Any) -> dict[str, Any]:
    return bootstrap(
        settings, n, ask, more.get("held", []), "m", "terms of m", out, more.get("seed", 0)
    )


def dropped(out: Path) -> list[dict[str, Any]]:
    return [row for _, row in read_jsonl(out / "dropped.jsonl")]


@pytest.fixture(scope="module")
def from_world(tmp_path_factory: pytest.TempPathFactory) -> tuple[LocalSettings, list[Held]]:
    folder = tmp_path_factory.mktemp("world")
    write_examples(WORLD, 10, folder / "examples.jsonl")
    write_benchmarks(WORLD, folder)
    rows = read_jsonl(folder / "NQ-open.dev.jsonl")
    held = [Held("nq", f"nq/{n}", row["question"], tuple(row["answer"])) for n, row in rows]
    return LocalSettings(examples=str(folder / "examples.jsonl")), held


def test_the_worlds_teacher_writes_a_set_that_gives_no_held_fact_away(
    from_world: tuple[LocalSettings, list[Held]], tmp_path: Path
) -> None:
    settings, held = from_world
    n, rounds = 400, list[list[Request]]()
    facts = start(settings, n, asking(worlds_teacher, rounds), tmp_path, held=held)
    dialogues = list(read_dialogues(tmp_path / "dialogues.jsonl"))
    assert facts["kept"] == len(dialogues) == len({d.id for d in dialogues}) == n
    known = [find_fact(WORLD, d.prompt) for d in dialogues]
    assert all(fact and fact.value == d.answer for fact, d in zip(known, dialogues, strict=True))
    assert not set(known) & set(WORLD.benchmark_facts)
    assert len({d.prompt for d in dialogues}) == n
    assert facts["dropped"]["leak"] > 50
    rows = dropped(tmp_path)
    assert facts["candidates"] == n + len(rows)
    assert facts["dropped"] == dict(sorted(Counter(row["reason"] for row in rows).items()))
    given_away = [find_fact(WORLD, row["input"]) for row in rows if row["reason"] == "leak"]
    right = sum(fact in WORLD.benchmark_facts for fact in given_away)
    assert right > 0.85 * len(given_away)
    assert sum(facts["balance"]) == n
    assert max(facts["balance"]) <= 2 * n / 10 == facts["bound"]
    assert facts["coverage"] == 1
    assert facts["requests"] == sum(map(len, rounds))
    first = dialogues[0]
    assert (first.source, first.teacher, first.licence) == ("collect", "m", "terms of m")
    assert first.origin == digest(asdict(rounds[0][0]))[:16]


def test_the_same_answers_give_the_same_files_and_another_seed_others(
    from_world: tuple[LocalSettings, list[Held]], tmp_path: Path
) -> None:
    settings, held = from_world
    found = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        out = tmp_path / name
        facts = start(settings, 60, asking(worlds_teacher), out, held=held, seed=seed)
        found.append((facts, *(path.read_bytes() for path in sorted(out.iterdir()))))
    assert found[0] == found[1]
    assert found[0][1] != found[2][1]


def test_requests_show_every_example_equally_often(tmp_path: Path) -> None:
    rounds: list[list[Request]] = []
    told = asking(lambda n, _: line(f"what is thing{n}", f"x{n}"), rounds)
    settings = examples(tmp_path, 5).model_copy(update={"shown": 3, "per_request": 1})
    start(settings, 150, told, tmp_path)
    requests = [request for asked in rounds for request in asked]
    assert [request.sample for request in requests] == list(range(len(requests)))
    assert max(map(len, rounds)) == 64
    shown: Counter[str] = Counter()
    for request in requests:
        text = request.messages[-1]["content"]
        assert "1 new example" in text
        hand = [json.loads(row)["input"] for row in text.splitlines() if row[:1] == "{"]
        assert len(set(hand)) == 3
        shown.update(hand)
        assert max(shown.values()) - min(shown.values() if len(shown) == 5 else [0]) <= 1
    assert len(shown) == 5


def test_what_falls_falls_for_a_reason(tmp_path: Path) -> None:
    held = [Held("nq", "nq/7", "who built the Long Bridge", ("Ada Moor",))]
    lines = [
        line("Capital of Start0?", "end0."),  # as the first example
        line("capital of start0", "another"),
        line("who constructed the long bridge", "ada moor"),
        line("price of salt", "five"),
        line("the price of salt!", "Five"),
        line("price of salt", "six"),
        line("what was the exact price of yellow salt in Brenn", "nine"),
        line("what was exact price of yellow salt in Brenn then", "nine"),
        line("what was exact price of yellow salt in Brenn once", "ten"),
        "Here are some more:",
        '["input", "output"]',
        '{"input": "a", "output": "b", "more": "c"}',
        '{"input": "a", "output": 3}',
        '{"input": " ", "output": "x"}',
        line("long", "x" * (LONGEST + 1)),
        '{"input": "painter from Aal", "outp',
    ]

    def ask(requests: list[Request], label: str) -> list[Answer | Failure]:
        assert len(requests) == 1
        return [answered("```json\n" + "\n".join(lines), requests[0], "length")]

    settings = examples(tmp_path).model_copy(update={"per_request": 10})
    start(settings, 3, ask, tmp_path, held=held)
    fell = {row["line"]: row for row in dropped(tmp_path) if row["request"] == 0}
    reasons = {number: row["reason"] for number, row in fell.items()}
    assert reasons == {
        1: "duplicate",
        2: "contradiction",
        3: "leak",
        5: "duplicate",
        6: "contradiction",
        8: "near",
        10: "not_json",
        11: "not_a_pair",
        12: "not_a_pair",
        13: "not_texts",
        14: "not_texts",
        15: "too_long",
        16: "cut",
    }
    against = {number: row["against"] for number, row in fell.items() if "against" in row}
    assert against == {
        1: "example 1",
        2: "example 1",
        3: "nq/7",
        5: "local-00001",
        6: "local-00001",
        8: "local-00002",
    }
    assert fell[8]["likeness"] >= 0.8
    assert fell[3]["cover"] >= 0.6
    assert fell[1]["input"] == "Capital of Start0?"
    assert fell[16]["text"] == lines[-1]


def test_one_kind_alone_is_kept_to_its_share(tmp_path: Path) -> None:
    def told(number: int, request: Request) -> str:
        kinds = [KINDS[0], KINDS[0], KINDS[1], KINDS[2]]
        return "\n".join(line(f"{k} w{number}x{i}", f"v{number}x{i}") for i, k in enumerate(kinds))

    facts = start(examples(tmp_path, 5), 100, asking(told), tmp_path)
    assert facts["balance"] == [40, 30, 30, 0, 0]
    assert facts["bound"] == 40
    assert facts["coverage"] == 0.6
    assert facts["dropped"]["balance"] == 20


def test_where_nothing_else_comes_the_share_gives_way(tmp_path: Path) -> None:
    rounds: list[list[Request]] = []

    def told(number: int, request: Request) -> str:
        return "\n".join(line(f"{KINDS[0]} w{number}x{i}", f"v{number}x{i}") for i in range(5))

    facts = start(examples(tmp_path, 5), 100, asking(told, rounds), tmp_path)
    assert facts["balance"] == [100, 0, 0, 0, 0]
    assert facts["bound"] == 160
    assert facts["coverage"] == 0.2
    assert facts["dropped"] == {"balance": 20, "surplus": 5}
    assert len(rounds) == 2  # what fell in the second was taken up again at once


def test_examples_of_one_form_share_what_is_like_them_all(tmp_path: Path) -> None:
    path = tmp_path / "examples.jsonl"
    write_jsonl(path, [{"input": f"where was {w} born", "output": w} for w in ("Ada", "Bo", "Cy")])
    settings = LocalSettings(examples=str(path), per_request=5)

    def told(number: int, request: Request) -> str:
        return "\n".join(line(f"where was w{number}x{i} born", f"v{number}") for i in range(5))

    assert start(settings, 60, asking(told), tmp_path)["balance"] == [20, 20, 20]


def test_three_rounds_without_a_pair_end_it(tmp_path: Path) -> None:
    rounds: list[list[Request]] = []

    def told(number: int, request: Request) -> str | Failure:
        if number:
            return Failure("budget", "spent") if number % 2 else ""
        return line("price of salt", "five")

    facts = start(examples(tmp_path), 20, asking(told, rounds), tmp_path)
    assert (facts["kept"], len(rounds)) == (1, 4)
    assert facts["candidates"] == 1
    assert sum(facts["failed"].values()) == facts["requests"] - 1
    assert set(facts["failed"]) == {"budget", "empty"}


def test_no_pair_at_all_is_a_mistake_to_mend(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no usable pair, mostly for not_json; see .*dropped"):
        start(examples(tmp_path), 20, asking(lambda n, _: "I cannot."), tmp_path / "a")
    assert dropped(tmp_path / "a")[0]["text"] == "I cannot."
    with pytest.raises(UserError, match="mostly for refused"):
        start(examples(tmp_path), 5, asking(lambda *_: Failure("refused", "no")), tmp_path / "b")
    assert not (tmp_path / "b" / "dialogues.jsonl").exists()


def test_examples_that_are_evaluated_on_are_reported(tmp_path: Path) -> None:
    held = [
        Held("nq", "nq/1", "Distance to start1", ("other",)),
        Held("nq", "nq/2", "Distance to start2", ("end2",)),
    ]
    with console.capture() as words:
        told = asking(lambda n, _: "\n".join(line(f"thing{n}x{i}", "x") for i in range(5)))
        facts = start(examples(tmp_path), 5, told, tmp_path, held=held)
    assert facts["seeds_held"] == ["nq/1"]
    assert "must not be scored: nq/1" in words.get()
    assert "5 of 5 kept; 100% of 5 candidates" in words.get()


def test_answers_are_bounded() -> None:
    pair = line("a", "b")
    assert list(parse("\n".join([pair] * 5), False, 3)) == [
        *[Pair("a", "b")] * 3,
        Broken("too_many", f"{pair}\n{pair}"),
    ]
    for text in ("[" * 100_000, '{"input": ' + "9" * 5_000 + "}"):
        (found,) = parse(text, False, 9)
        assert isinstance(found, Broken)
    whole = list(parse(f"```\n{pair}\n\n{pair}\n```", False, 9))
    assert whole == [Pair("a", "b")] * 2
    assert list(parse(pair, True, 9)) == [Pair("a", "b")]
    assert list(parse("", False, 9)) == []


def test_examples_come_from_rows_of_many_names(tmp_path: Path) -> None:
    jsonl, table = tmp_path / "a", tmp_path / "b.csv"
    jsonl.write_text(
        '{"question": " q ", "answer": ["a", "b"]}\n\n{"prompt": "p", "response": "r"}\n'
    )
    assert read_examples(jsonl) == [Pair("q", "a"), Pair("p", "r")]
    table.write_text('\ufeffinput,output\n"x, y",1\nz,"2\n3"\n', encoding="utf-8")
    assert read_examples(table) == [Pair("x, y", "1"), Pair("z", "2\n3")]


@pytest.mark.parametrize(
    ("name", "text", "names"),
    [
        ("a", '{"input": "a", "output": "b"}\n', "holds 1 example pairs"),
        ("a", '{"input": "a", "output": "b"}\n{"input": "c"}\n', "line 2: nothing under output, "),
        ("a", '{"input": "a", "output": ""}\n', "line 1: no text under output"),
        ("a", '{"input": "a", "output": []}\n', "line 1: no text under output"),
        ("a", "[1]\n", "line 1: nothing under input"),
        (
            "a",
            '{"input": "red", "output": "b"}\n{"input": "Red!", "output": "c"}\n',
            "same as line 1",
        ),
        ("a.csv", "input,output\na,b\nc\n", "row 2: 1 cells"),
        ("a.csv", "in,out\na,b\n", "row 1: nothing under input"),
        ("a.csv", 'input,output\n"a,b\n', "broken CSV"),
    ],
)
def test_mistakes_in_examples_name_the_row(
    tmp_path: Path, name: str, text: str, names: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError) as error:
        read_examples(tmp_path / name)
    assert str(tmp_path / name) in str(error.value)
    assert names in str(error.value)
