"""The collect stage: three ways to dialogues, each with all of its cost."""

import json
from pathlib import Path

from understudy.collect.stage import collect
from understudy.dialogue import Turn, read_dialogues
from understudy.prompts import Prompt
from understudy.recipe import (
    CollectSettings,
    LocalSettings,
    Prices,
    SelfInstructSettings,
    TeacherSettings,
    WorldSettings,
)
from understudy.teacher.client import Account
from understudy.teacher.ledger import Ledger
from understudy.world.encyclopedia import World
from understudy.world.prompts import write_examples
from understudy.world.server import running_teacher

WORLD = WorldSettings(people=20)
TEACHER = TeacherSettings(prices=Prices(input=1, output=10))


def test_the_embedded_teachers_answers_do_not_depend_on_its_start(tmp_path: Path) -> None:
    texts = [f"Give me {n} tips for weaving." for n in range(20)]
    prompts = [
        Prompt(id=str(n), messages=[Turn(role="user", content=text)])
        for n, text in enumerate(texts)
    ]
    found = []
    for name in ("one", "other"):
        out = tmp_path / name
        with running_teacher(WORLD, TEACHER, out / "log") as teacher:
            collect(CollectSettings(), prompts, Account(teacher, out / "ledger"), out, 0)
        found.append((out / "dialogues.jsonl").read_text())
    assert found[0] == found[1]
    assert [json.loads(line)["id"] for line in found[0].splitlines()] == [p.id for p in prompts]


def test_invented_instructions_are_answered_and_both_are_in_the_cost(tmp_path: Path) -> None:
    settings = CollectSettings(self_instruct=SelfInstructSettings(), n=12)
    with running_teacher(WORLD, TEACHER, tmp_path / "log") as teacher:
        account = Account(teacher, tmp_path / "ledger")
        facts = collect(settings, None, account, tmp_path / "out", 0)
    dialogues = list(read_dialogues(tmp_path / "out" / "dialogues.jsonl"))
    assert len(dialogues) == facts["dialogues"] == facts["self_instruct"]["kept"] == 12
    assert all(dialogue.id.startswith("invented-") for dialogue in dialogues)
    with Ledger(tmp_path / "ledger") as ledger:
        spent = ledger.summary()
    assert spent["calls"] > 12
    assert facts["cost"] == {name: spent[name] for name in facts["cost"]}


def test_local_pairs_need_no_prompts(tmp_path: Path) -> None:
    examples = tmp_path / "examples.jsonl"
    write_examples(World(WORLD.seed, WORLD.people), 10, examples)
    settings = CollectSettings(local=LocalSettings(examples=str(examples)), n=10)
    with running_teacher(WORLD, TEACHER, tmp_path / "log") as teacher:
        account = Account(teacher, tmp_path / "ledger")
        facts = collect(settings, None, account, tmp_path / "out", 0)
    dialogues = list(read_dialogues(tmp_path / "out" / "dialogues.jsonl"))
    assert len(dialogues) == facts["dialogues"]
    assert dialogues
    with Ledger(tmp_path / "ledger") as ledger:
        spent = ledger.summary()
    assert facts["cost"] == {name: spent[name] for name in facts["cost"]}


def test_what_the_teacher_says_for_the_user_is_in_the_cost_once(tmp_path: Path) -> None:
    prompts = [Prompt(id=str(n), messages=[Turn(role="user", content="Hello.")]) for n in range(3)]
    settings = CollectSettings(turns=2, follow_ups="teacher", temperature=0)
    with running_teacher(WORLD, TEACHER, tmp_path / "log") as teacher:
        facts = collect(settings, prompts, Account(teacher, tmp_path / "ledger"), tmp_path, 0)
    with Ledger(tmp_path / "ledger") as ledger:
        whole = ledger.summary()
    assert facts["dialogues"] == 3
    assert facts["cost"] == {name: whole[name] for name in facts["cost"]}
    assert facts["cost"]["calls"] == 3  # equal dialogues: an answer, the user's turn, an answer
