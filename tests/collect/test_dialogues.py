"""Dialogues: every prompt in one of two files, in order; turns, samples, budgets, restarts."""

import json
import tracemalloc
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from teacher.scripted import Said, Scripted, completion, scripted
from understudy.collect.dialogues import PromptFile, converse, requests
from understudy.collect.follow_ups import FollowUps, by_teacher
from understudy.dialogue import Dialogue, Turn, read_dialogues
from understudy.errors import UserError
from understudy.files import read_jsonl, write_jsonl
from understudy.prompts import Prompt
from understudy.recipe import BudgetSettings, CollectSettings, Prices
from understudy.teacher import caller, client
from understudy.teacher.client import ask
from understudy.teacher.ledger import Ledger

SETTINGS = CollectSettings()
PRICES = Prices(input=1, output=10)


def prompt(id: str, text: str, system: str | None = None) -> Prompt:
    turns = [Turn(role="system", content=system)] if system else []
    return Prompt(id=id, messages=[*turns, Turn(role="user", content=text)])


def script(_: int, body: dict[str, Any]) -> Said:
    """Refuses what ends in "bad", breaks down at "worse", is cut at "long", else says yes."""
    asked = body["messages"][-1]["content"] if "messages" in body else body["prompt"]
    if asked.endswith(("bad", "worse")):
        return Said(400 if asked.endswith("bad") else 500, b"no")
    if "messages" not in body:
        usage = {"prompt_tokens": 3, "completion_tokens": 2}
        choice = {"text": f"Yes, {asked}.", "finish_reason": "stop"}
        return Said(body=json.dumps({"choices": [choice], "usage": usage}).encode())
    return Said(body=completion(f"Yes, {asked}.", "length" if asked.endswith("long") else "stop"))


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller, "MOST_WAIT_S", 0.002)


@pytest.fixture
def server() -> Iterator[Scripted]:
    with scripted(script) as running:
        yield running


def collected(out: Path) -> list[Dialogue]:
    return list(read_dialogues(out / "dialogues.jsonl"))


def dropped(out: Path) -> list[tuple[str, str]]:
    return [(row["id"], row["reason"]) for _, row in read_jsonl(out / "dropped.jsonl")]


def said(dialogue: Dialogue) -> list[str]:
    return [f"{turn.role[0]}: {turn.content}" for turn in dialogue.turns]


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir()}


# One turn


def test_every_prompt_ends_as_a_dialogue_or_among_the_dropped(
    tmp_path: Path, server: Scripted
) -> None:
    prompts = [
        prompt("a", "good", system="Be kind."),
        prompt("b", "bad"),
        prompt("c", "long"),
        prompt("d", "worse"),
        prompt("e", "long"),
    ]
    out, account = tmp_path / "collect", server.account(tmp_path / "ledger", prices=PRICES)
    facts = converse(SETTINGS, prompts, account, out, 0)
    first = contents(out)
    assert converse(SETTINGS, prompts, account, out, 0) == facts
    assert contents(out) == first
    cost = {"calls": 2, "prompt_tokens": 6, "completion_tokens": 4, "usd": 46e-6}
    reasons = {"refused": 1, "server": 1}
    assert facts == {"asked": 5, "dialogues": 3, "dropped": reasons, "cost": cost}
    dialogues = collected(out)
    assert [(d.id, d.answer, d.cut) for d in dialogues] == [
        ("a", "Yes, good.", False),
        ("c", "Yes, long.", True),
        ("e", "Yes, long.", True),
    ]
    assert said(dialogues[0]) == ["s: Be kind.", "u: good", "a: Yes, good."]
    with Ledger(tmp_path / "ledger") as ledger:
        (key,) = [call.key for call in ledger.calls() if "good" in call.request]
    assert (dialogues[0].source, dialogues[0].teacher) == ("collect", "m")
    assert dialogues[0].origin == key[:16]
    assert dialogues[1].origin == dialogues[2].origin != dialogues[0].origin
    assert [row for _, row in read_jsonl(out / "dropped.jsonl")] == [
        {"id": "b", "reason": "refused", "detail": "HTTP 400: no"},
        {"id": "d", "reason": "server", "detail": "HTTP 500: no"},
    ]


def test_no_answer_at_all_is_a_mistake_to_mend(tmp_path: Path, server: Scripted) -> None:
    prompts = [prompt("a", "bad"), prompt("b", "worse")]
    with pytest.raises(UserError) as error:
        converse(SETTINGS, prompts, server.account(tmp_path / "ledger"), tmp_path, 0)
    assert "none of 2 prompts" in str(error.value)
    assert "refused (HTTP 400: no)" in str(error.value)
    assert dropped(tmp_path) == [("a", "refused"), ("b", "server")]
    assert not (tmp_path / "dialogues.jsonl").exists()


def test_settings_reach_the_teacher(tmp_path: Path, server: Scripted) -> None:
    settings = CollectSettings(temperature=0.3, max_tokens=7, top_logprobs=2)
    for seed in (0, 1):
        account = server.account(tmp_path / "ledger")
        converse(settings, [prompt("a", "good")], account, tmp_path, seed)
    one, other = server.bodies
    assert (one["temperature"], one["max_tokens"], one["top_logprobs"]) == (0.3, 7, 2)
    assert one["seed"] != other["seed"]


def test_a_system_prompt_goes_before_prompts_that_have_none(
    tmp_path: Path, server: Scripted
) -> None:
    settings = CollectSettings(system="Be brief.")
    prompts = [prompt("a", "good"), prompt("b", "fine", system="Be kind.")]
    converse(settings, prompts, server.account(tmp_path / "ledger"), tmp_path, 0)
    assert [said(dialogue)[0] for dialogue in collected(tmp_path)] == [
        "s: Be brief.",
        "s: Be kind.",
    ]
    systems = {body["messages"][0]["content"] for body in server.bodies}
    assert systems == {"Be brief.", "Be kind."}


def test_samples_are_asked_apart_and_named_apart(tmp_path: Path, server: Scripted) -> None:
    settings, prompts = CollectSettings(samples=3), [prompt("a", "good"), prompt("b", "bad")]
    facts = converse(settings, prompts, server.account(tmp_path / "ledger"), tmp_path, 0)
    assert [d.id for d in collected(tmp_path)] == ["a#0", "a#1", "a#2"]
    assert dropped(tmp_path) == [(f"b#{n}", "refused") for n in range(3)]
    assert (facts["asked"], facts["dialogues"], facts["dropped"]) == (6, 3, {"refused": 3})
    assert len({body["seed"] for body in server.bodies}) == 3
    assert len({dialogue.origin for dialogue in collected(tmp_path)}) == 3


def test_the_older_interface_gives_the_same_dialogues(tmp_path: Path, server: Scripted) -> None:
    account = server.account(tmp_path / "ledger", api="completions")
    prompts = [prompt("a", "good"), prompt("b", "fine", system="Be kind.")]
    converse(SETTINGS, prompts, account, tmp_path, 0)
    asked = {body["prompt"] for body in server.bodies}
    assert asked == {"good", "Be kind.\n\nfine"}
    assert said(collected(tmp_path)[0]) == ["u: good", "a: Yes, good."]
    several = CollectSettings(turns=2, follow_ups="x")
    with pytest.raises(UserError, match="ask prompts of one turn"):
        converse(several, prompts, account, tmp_path, 0, always("more"))


def test_what_the_budget_leaves_out_is_dropped_and_asked_by_a_later_start(
    tmp_path: Path, server: Scripted
) -> None:
    prompts = [prompt(str(n), f"good {n}") for n in range(20)]
    small = server.account(tmp_path / "ledger", BudgetSettings(max_calls=7))
    facts = converse(SETTINGS, prompts, small, tmp_path, 0)
    assert (facts["dialogues"], facts["dropped"]) == (7, {"budget": 13})
    assert {reason for _, reason in dropped(tmp_path)} == {"budget"}
    ids = [d.id for d in collected(tmp_path)] + [id for id, _ in dropped(tmp_path)]
    assert sorted(ids, key=int) == [p.id for p in prompts]
    facts = converse(SETTINGS, prompts, server.account(tmp_path / "ledger"), tmp_path, 0)
    assert [d.id for d in collected(tmp_path)] == [p.id for p in prompts]
    assert (facts["dropped"], facts["cost"]["calls"], len(server.bodies)) == ({}, 20, 20)


# Several turns


def always(text: str | None) -> FollowUps:
    return lambda dialogues: [text and f"{text} {len(d.turns)}" for d in dialogues]


def test_turns_go_on_from_the_answers(tmp_path: Path, server: Scripted) -> None:
    settings, account = (
        CollectSettings(turns=3, follow_ups="x"),
        server.account(tmp_path / "ledger"),
    )
    prompts = [prompt("a", "good"), prompt("b", "bad"), prompt("c", "fine", system="Be kind.")]
    out = tmp_path / "out"
    facts = converse(settings, prompts, account, out, 0, always("And"))
    one, other = collected(out)
    assert said(one)[:4] == ["u: good", "a: Yes, good.", "u: And 2", "a: Yes, And 2."]
    assert said(one)[4:] == ["u: And 4", "a: Yes, And 4."]
    assert said(other)[:3] == ["s: Be kind.", "u: fine", "a: Yes, fine."]
    assert len(other.turns) == 7
    assert facts["cost"]["calls"] == 6
    assert (facts["asked"], facts["dialogues"], facts["dropped"]) == (3, 2, {"refused": 1})
    first, served = contents(out), len(server.bodies)
    assert set(first) == {"dialogues.jsonl", "dropped.jsonl"}
    assert converse(settings, prompts, account, out, 0, always("And")) == facts
    assert contents(out) == first
    assert len(server.bodies) == served + 1  # only the refused one is asked again


def test_prompts_that_bring_a_history_go_on_too(tmp_path: Path, server: Scripted) -> None:
    told = [("user", "Hello"), ("assistant", "Hi."), ("user", "good")]
    turns = [Turn(role=role, content=text) for role, text in told]  # type: ignore[arg-type]
    prompts = [Prompt(id="a", messages=turns), prompt("b", "fine")]
    settings = CollectSettings(turns=3, follow_ups="x")
    account = server.account(tmp_path / "ledger")
    converse(settings, prompts, account, tmp_path, 0, always("And"))
    assert [len(dialogue.turns) for dialogue in collected(tmp_path)] == [8, 6]


@pytest.mark.parametrize("samples", [1, 2])
def test_a_dialogue_ends_where_an_answer_fails_or_is_cut_or_nobody_goes_on(
    tmp_path: Path, server: Scripted, samples: int
) -> None:
    plan = {"a": ["x", "y"], "b": ["bad", "y"], "c": ["long", "y"], "d": [None], "f": ["x", "bad"]}

    def follow(dialogues: list[Dialogue]) -> list[str | None]:
        return [plan[d.id[0]][len(d.turns) // 2 - 1] for d in dialogues]

    prompts = [prompt(id, f"{id} good") for id in "abcd"]
    prompts += [prompt("e", "e long"), prompt("f", "f good")]
    settings = CollectSettings(turns=3, follow_ups="x", samples=samples)
    facts = converse(settings, prompts, server.account(tmp_path / "ledger"), tmp_path, 0, follow)
    found = [(d.id[0], len(d.turns), d.cut) for d in collected(tmp_path)[::samples]]
    assert found == [
        ("a", 6, False),
        ("b", 2, False),
        ("c", 4, True),
        ("d", 2, False),
        ("e", 2, True),
        ("f", 4, False),
    ]
    assert all(d.turns[-1].role == "assistant" for d in collected(tmp_path))
    assert (facts["asked"], facts["dialogues"]) == (6 * samples, 6 * samples)
    assert dropped(tmp_path) == []


def test_a_budget_that_ends_in_the_second_turn_keeps_the_first(
    tmp_path: Path, server: Scripted
) -> None:
    prompts = [prompt(str(n), f"good {n}") for n in range(6)]
    settings = CollectSettings(turns=2, follow_ups="x")
    small = server.account(tmp_path / "ledger", BudgetSettings(max_calls=8))
    converse(settings, prompts, small, tmp_path, 0, always("And"))
    assert sorted(len(d.turns) for d in collected(tmp_path)) == [2, 2, 2, 2, 4, 4]
    account = server.account(tmp_path / "ledger")
    converse(settings, prompts, account, tmp_path, 0, always("And"))
    assert [len(d.turns) for d in collected(tmp_path)] == [4] * 6
    assert len(server.bodies) == 12


def test_the_teacher_itself_may_speak_for_the_user(tmp_path: Path, server: Scripted) -> None:
    account = server.account(tmp_path / "ledger")
    settings = CollectSettings(turns=2, follow_ups="teacher")
    prompts = [prompt("a", "good"), prompt("b", "fine")]
    converse(settings, prompts, account, tmp_path, 0, by_teacher(partial(ask, account), 0))
    for dialogue in collected(tmp_path):
        roles = [turn.role for turn in dialogue.turns]
        assert roles == ["user", "assistant", "user", "assistant"]
        assert dialogue.turns[2].content.startswith("Yes, You are shown a conversation")
    assert len(server.bodies) == 6
    converse(settings, prompts, account, tmp_path, 0, by_teacher(partial(ask, account), 0))
    assert len(server.bodies) == 6


# Files


def test_a_prompt_file_is_read_anew_each_time_and_must_hold_one(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "p.jsonl", [{"text": f"Prompt {n}"} for n in range(5)])
    file = PromptFile(tmp_path / "p.jsonl", "text", 3)
    assert [p.id for p in file] == [p.id for p in file] == ["1", "2", "3"]
    settings = CollectSettings(samples=2)
    assert [r.sample for r in requests(settings, file, 0)] == [0, 1] * 3
    (tmp_path / "empty.txt").write_text("\n\n")
    with pytest.raises(UserError, match=r"empty.txt: holds no prompt"):
        list(PromptFile(tmp_path / "empty.txt"))


def test_memory_does_not_grow_with_the_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "LOOKED_UP", 20)
    long = completion("word " * 20_000)  # 100 kB each, 30 MB in all
    write_jsonl(tmp_path / "p.jsonl", [{"prompt": f"Prompt {n}"} for n in range(300)])
    with scripted(lambda *_: Said(body=long)) as server:
        account = server.account(tmp_path / "ledger")
        converse(SETTINGS, PromptFile(tmp_path / "p.jsonl", n=2), account, tmp_path, 0)
        tracemalloc.start()
        try:
            converse(SETTINGS, PromptFile(tmp_path / "p.jsonl"), account, tmp_path, 0)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert len(collected(tmp_path)) == 300
    assert peak < 12_000_000
