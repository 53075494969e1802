"""The collect stage: every prompt in one of two files, the same bytes again, provenance."""

import json
from pathlib import Path
from typing import Any

import pytest

from teacher.scripted import Said, completion, scripted
from understudy.collect.stage import collect
from understudy.dialogue import Turn, read_dialogues
from understudy.errors import UserError
from understudy.files import read_jsonl
from understudy.prompts import Prompt
from understudy.recipe import CollectSettings, Prices, TeacherSettings, WorldSettings
from understudy.teacher import client
from understudy.teacher.ledger import Ledger
from understudy.world.server import running_teacher

SETTINGS = CollectSettings()


def prompt(id: str, text: str, system: str | None = None) -> Prompt:
    turns = [Turn(role="system", content=system)] if system else []
    return Prompt(id=id, messages=[*turns, Turn(role="user", content=text)])


def script(_: int, body: dict[str, Any]) -> Said:
    """Refuses "bad", breaks down at "worse", is cut short at "long", says yes to all else."""
    asked = body["messages"][-1]["content"]
    if asked in ("bad", "worse"):
        return Said(400 if asked == "bad" else 500, b"no")
    return Said(body=completion(f"Yes, {asked}.", "length" if asked == "long" else "stop"))


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MOST_WAIT_S", 0.002)


def test_every_prompt_ends_as_a_dialogue_or_a_failure(tmp_path: Path) -> None:
    prompts = [
        prompt("a", "good", system="Be kind."),
        prompt("b", "bad"),
        prompt("c", "long"),
        prompt("d", "worse"),
        prompt("e", "long"),
    ]
    out, ledger = tmp_path / "collect", tmp_path / "ledger"
    with scripted(script) as server:
        teacher = server.teacher(prices=Prices(input=1, output=10))
        facts = collect(SETTINGS, prompts, teacher, ledger, out, 0)
        first = {path.name: path.read_bytes() for path in out.iterdir()}
        assert collect(SETTINGS, prompts, teacher, ledger, out, 0) == facts
    assert {path.name: path.read_bytes() for path in out.iterdir()} == first
    cost = {"calls": 2, "prompt_tokens": 6, "completion_tokens": 4, "usd": 46e-6}
    failed = {"refused": 1, "server": 1}
    assert facts == {"asked": 5, "dialogues": 3, "failed": failed, "cost": cost}
    dialogues = list(read_dialogues(out / "dialogues.jsonl"))
    assert [(d.id, d.answer, d.cut) for d in dialogues] == [
        ("a", "Yes, good.", False),
        ("c", "Yes, long.", True),
        ("e", "Yes, long.", True),
    ]
    assert [turn.role for turn in dialogues[0].turns] == ["system", "user", "assistant"]
    with Ledger(ledger) as book:
        (key,) = book._db.execute("SELECT key FROM calls WHERE request LIKE '%good%'").fetchone()
    assert (dialogues[0].source, dialogues[0].teacher) == ("collect", "m")
    assert dialogues[0].origin == key[:16]
    assert dialogues[1].origin == dialogues[2].origin != dialogues[0].origin
    assert [row for _, row in read_jsonl(out / "failed.jsonl")] == [
        {"id": "b", "reason": "refused", "detail": "HTTP 400: no"},
        {"id": "d", "reason": "server", "detail": "HTTP 500: no"},
    ]


def test_no_answer_at_all_is_a_mistake_to_mend(tmp_path: Path) -> None:
    prompts = [prompt("a", "bad"), prompt("b", "worse")]
    with scripted(script) as server, pytest.raises(UserError) as error:
        collect(SETTINGS, prompts, server.teacher(), tmp_path / "ledger", tmp_path, 0)
    assert "none of 2 prompts" in str(error.value)
    assert "refused (HTTP 400: no)" in str(error.value)
    assert len((tmp_path / "failed.jsonl").read_text().splitlines()) == 2
    assert not (tmp_path / "dialogues.jsonl").exists()


def test_settings_reach_the_teacher(tmp_path: Path) -> None:
    settings = CollectSettings(temperature=0.3, max_tokens=7, top_logprobs=2)
    with scripted(script) as server:
        for seed in (0, 1):
            ledger = tmp_path / "ledger"
            collect(settings, [prompt("a", "good")], server.teacher(), ledger, tmp_path, seed)
    one, other = server.bodies
    assert (one["temperature"], one["max_tokens"], one["top_logprobs"]) == (0.3, 7, 2)
    assert one["seed"] != other["seed"]


def test_the_embedded_teachers_answers_do_not_depend_on_its_start(tmp_path: Path) -> None:
    prompts = [prompt(str(n), f"Give me {n} tips for weaving.") for n in range(20)]
    found = []
    for name in ("one", "other"):
        out, settings = tmp_path / name, TeacherSettings()
        with running_teacher(WorldSettings(people=20), settings, out / "log") as teacher:
            collect(SETTINGS, prompts, teacher, out / "ledger", out, 0)
        found.append((out / "dialogues.jsonl").read_text())
    assert found[0] == found[1]
    assert [json.loads(line)["id"] for line in found[0].splitlines()] == [p.id for p in prompts]
