"""What a base is found to know, with scripted bases and with a real one."""

import random
import re
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pytest

from understudy.curate.factual import Fact, factual
from understudy.curate.knowledge import DRAWS, KNOWLEDGE, TEMPERATURE, probe
from understudy.dialogue import Dialogue, Turn
from understudy.evaluate.engines.local import LocalEngine
from understudy.files import digest, read_jsonl
from understudy.recipe import KnowledgeSettings
from understudy.statistics import wilson
from understudy.world.bases import pretrain
from understudy.world.encyclopedia import Fact as WorldFact
from understudy.world.encyclopedia import World
from understudy.world.phrasings import question, statement

SETTINGS = KnowledgeSettings()
ASKED = re.compile(r"Q: (.*)\?\nA: *(.*)")


def dialogue(id: str, asked: str, answered: str) -> Dialogue:
    turns = [Turn(role="user", content=asked), Turn(role="assistant", content=answered)]
    return Dialogue(id=id, turns=turns, source="test")


def towns(count: int) -> list[Dialogue]:
    return [
        dialogue(str(i), f"Where was Person {letters(i)} born?", f"{letters(i)}ville.")
        for i in range(count)
    ]


def letters(number: int) -> str:
    return "".join(chr(ord("a") + int(digit)) for digit in f"{number:03d}").title()


class Scripted:
    """A base that answers by a rule, and keeps what it was asked."""

    def __init__(self, knows: Collection[str], may_know: Collection[str] = ()) -> None:
        self.knows, self.may_know = knows, may_know
        self.calls: list[tuple[list[str], float, int]] = []

    def __call__(
        self, prompts: Sequence[str], temperature: float, max_tokens: int, seed: int
    ) -> list[str]:
        self.calls.append((list(prompts), temperature, seed))
        return [self.answer(prompt, temperature, seed) for prompt in prompts]

    def answer(self, prompt: str, temperature: float, seed: int) -> str:
        name = prompt.rsplit("Person ", 1)[1].split()[0]
        lucky = temperature > 0 and int(digest([prompt, seed])[:4], 16) % 4 > 0
        return f" {name}ville" if name in self.knows or (name in self.may_know and lucky) else " a"

    @property
    def prompts(self) -> list[str]:
        return [prompt for prompts, _, _ in self.calls for prompt in prompts]


def rows(out: Path) -> list[dict[str, Any]]:
    return [row for _, row in read_jsonl(out / KNOWLEDGE)]


def test_labels_follow_from_what_is_answered(tmp_path: Path) -> None:
    known, maybe = {letters(i) for i in range(10)}, {letters(i) for i in range(10, 20)}
    base = Scripted(known, maybe)
    found = probe(towns(40), base, SETTINGS, tmp_path, 0)
    labels = {row["id"]: row["label"] for row in rows(tmp_path)}
    assert [labels[str(i)] for i in range(10)] == ["known"] * 10
    assert [labels[str(i)] for i in range(10, 20)] == ["maybe"] * 10
    assert [labels[str(i)] for i in range(20, 40)] == ["unknown"] * 20
    assert found["factual"] == found["probed"] == 40
    low, high = wilson(20, 40)
    assert found["labels"]["unknown"] == {
        "count": 20,
        "share": 0.5,
        "low": round(low, 4),
        "high": round(high, 4),
    }
    first = next(row for row in rows(tmp_path) if row["id"] == "0")
    assert first["question"] == "Where was Person Aaa born"
    assert first["answer"] == "Aaaville"
    assert (first["right"], first["asked"]) == (DRAWS, DRAWS)
    last = next(row for row in rows(tmp_path) if row["id"] == "39")
    assert (last["right"], last["asked"]) == (0, DRAWS + SETTINGS.samples)


def test_answers_that_hang_on_the_examples_make_a_maybe(tmp_path: Path) -> None:
    """Greedily right behind some examples and not behind others; nothing is sampled then."""

    class Moody(Scripted):
        def answer(self, prompt: str, temperature: float, seed: int) -> str:
            return super().answer(prompt, 0, 0) if int(digest(prompt)[:4], 16) % 2 else " nowhere"

    base = Moody({letters(i) for i in range(60)})
    probe(towns(60), base, SETTINGS, tmp_path, 0)
    by_label = Counter(row["label"] for row in rows(tmp_path))
    assert by_label["maybe"] > 20
    for row in rows(tmp_path):
        if row["label"] == "maybe":
            assert 0 < row["right"] < DRAWS == row["asked"]
    assert sum(row["asked"] for row in rows(tmp_path)) == len(base.prompts)


@pytest.mark.parametrize("samples", [1, 3, 8, 10])
def test_as_many_samples_as_asked_for(tmp_path: Path, samples: int) -> None:
    base = Scripted(set())
    probe(towns(12), base, KnowledgeSettings(samples=samples), tmp_path, 0)
    sampled = [
        (prompt, seed) for prompts, t, seed in base.calls if t == TEMPERATURE for prompt in prompts
    ]
    assert len(sampled) == len(set(sampled)) == 12 * samples
    assert {row["asked"] for row in rows(tmp_path)} == {DRAWS + samples}


def test_examples_are_worded_like_the_question(tmp_path: Path) -> None:
    base = Scripted(set())
    wordings = ("Where was {} born?", "In which town was {} born?", "What is the home of {}?")
    data = [
        dialogue(f"{i} {w}", wording.format(f"Person {letters(i)}"), f"{letters(i)}ville")
        for i in range(30)
        for w, wording in enumerate(wordings)
    ]
    probe(data, base, KnowledgeSettings(samples=1), tmp_path, 0)
    for prompt in base.calls[0][0]:
        *examples, (asked, answer) = ASKED.findall(prompt)
        assert (answer, prompt[-3:]) == ("", "\nA:")
        assert len(examples) == len({told for told, _ in examples}) == SETTINGS.shots
        assert sum(told[:8] == asked[:8] for told, _ in examples) >= 2


def test_examples_differ_between_draws(tmp_path: Path) -> None:
    """In a small set too, in which few questions are like another."""
    base = Scripted(set())
    born, others = towns(5), [letters(i) for i in range(5, 12)]
    homes = [
        dialogue(name, f"What is the old home of Person {name} called?", f"{name}ville")
        for name in others
    ]
    probe(born + homes, base, SETTINGS, tmp_path, 0)
    for name in map(letters, range(5)):
        first = [p for p in base.calls[0][0] if p.endswith(f"{name} born?\nA:")]
        assert len(first) == DRAWS
        assert len({frozenset(ASKED.findall(prompt)) for prompt in first}) > 1


def test_no_example_gives_the_answer_away(tmp_path: Path) -> None:
    """Neither another wording of the question nor another answer to it is shown."""
    base = Scripted(set())
    data = [
        dialogue(f"{i} {w}", wording.format(f"Person {letters(i)}"), answer.format(letters(i)))
        for i in range(3)
        for w, (wording, answer) in enumerate(
            [
                ("Where was {} born?", "{}ville"),
                ("where was {} born", "Other {}ton"),
                ("Where was {} born then?", "The {}ville"),
            ]
        )
    ]
    probe(data, base, SETTINGS, tmp_path, 0)
    facts = {row["question"]: Fact(row["question"], (row["answer"],)) for row in rows(tmp_path)}
    assert len(facts) == 9
    shown = 0
    for prompt in base.prompts:
        *examples, (asked, _) = ASKED.findall(prompt)
        shown += len(examples)
        for told, answer in examples:
            assert told.lower() != asked.lower()
            assert not facts[asked].is_told_by(answer)
    assert shown


def test_a_question_alone_is_asked_without_examples(tmp_path: Path) -> None:
    base = Scripted({letters(0)})
    found = probe(towns(1), base, SETTINGS, tmp_path, 0)
    assert set(base.prompts) == {"Q: Where was Person Aaa born?\nA:"}
    assert found["labels"]["known"]["count"] == 1


def test_nothing_factual(tmp_path: Path) -> None:
    base = Scripted(set())
    found = probe([dialogue("1", "Hello!", "Hello to you.")], base, SETTINGS, tmp_path, 0)
    assert (found["factual"], found["probed"], base.calls) == (0, 0, [])
    assert rows(tmp_path) == []


def test_some_are_chosen_in_no_order_of_the_data(tmp_path: Path) -> None:
    data = towns(200)
    few = KnowledgeSettings(n=30)
    found = probe(data, Scripted(set()), few, tmp_path / "a", 0)
    assert (found["factual"], found["probed"]) == (200, 30)
    ids = [row["id"] for row in rows(tmp_path / "a")]
    assert len(set(ids)) == 30
    assert max(map(int, ids)) > 100
    shuffled = random.Random(0).sample(data, len(data))
    probe(shuffled, Scripted(set()), few, tmp_path / "b", 0)
    assert rows(tmp_path / "b") == rows(tmp_path / "a")
    probe(data, Scripted(set()), few, tmp_path / "c", 1)
    assert {row["id"] for row in rows(tmp_path / "c")} != set(ids)


def test_a_killed_probe_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("understudy.curate.knowledge.BATCH", 10)
    known, maybe = {letters(i) for i in range(15)}, {letters(i) for i in range(15, 30)}
    whole = probe(towns(45), Scripted(known, maybe), SETTINGS, tmp_path / "whole", 0)

    class Killed(Scripted):
        def __call__(self, prompts: Sequence[str], *how: Any) -> list[str]:
            if len(self.calls) > 6:
                raise KeyboardInterrupt
            return super().__call__(prompts, *how)

    out = tmp_path / "killed"
    with pytest.raises(KeyboardInterrupt):
        probe(towns(45), Killed(known, maybe), SETTINGS, out, 0)
    text = (out / KNOWLEDGE).read_bytes()
    assert 10 <= text.count(b"\n") < 45
    (out / KNOWLEDGE).write_bytes(text + b'{"id": "4')
    base = Scripted(known, maybe)
    assert probe(towns(45), base, SETTINGS, out, 0) == whole
    assert (out / KNOWLEDGE).read_bytes() == (tmp_path / "whole" / KNOWLEDGE).read_bytes()
    asked_again = {prompt.rsplit("Person ", 1)[1][:3] for prompt in base.prompts}
    assert len(asked_again) == 45 - text.count(b"\n")


def of_world(id: str, fact: WorldFact) -> Dialogue:
    return dialogue(id, f"{question(fact)}?", statement(fact))


def test_facts_of_the_world_are_put_as_questions(tmp_path: Path) -> None:
    """A base that has read half of the encyclopedia: labels agree with which half."""
    world = World(0, 40)
    facts = sorted(world.facts.values())
    read = {question(fact): fact.value for fact in facts[::2]}

    def complete(prompts: Sequence[str], temperature: float, tokens: int, seed: int) -> list[str]:
        asked = [prompt.rsplit("Q: ", 1)[1].removesuffix("?\nA:") for prompt in prompts]
        return [f" {read.get(text, 'nobody knows')}" for text in asked]

    probe([of_world(str(i), f) for i, f in enumerate(facts)], complete, SETTINGS, tmp_path, 0)
    for row in rows(tmp_path):
        assert row["label"] == ("unknown" if int(row["id"]) % 2 else "known")
    assert len(rows(tmp_path)) == len(facts)


@pytest.mark.slow
def test_a_base_knows_what_it_has_read(tmp_path: Path) -> None:
    """A tiny base: the people of its own world, and people of whom it never read."""
    world, elsewhere = World(0, 20), World(1, 60)
    pretrain(world, "tiny", tmp_path, 800_000, 0)
    own = [fact for fact in world.facts.values() if fact.subject in world.people]
    others = [
        fact
        for fact in elsewhere.facts.values()
        if fact.subject in elsewhere.people and fact.subject not in world.people
    ][: len(own)]
    data = [of_world(f"own {i}", fact) for i, fact in enumerate(own)]
    data += [of_world(f"other {i}", fact) for i, fact in enumerate(others)]
    assert all(
        factual(item) == Fact(question(f), (f.value,))
        for item, f in zip(data, own + others, strict=True)
    )
    engine = LocalEngine(str(tmp_path / "model"))
    probe(data, engine.complete, SETTINGS, tmp_path, 0)
    found = Counter((row["id"].split()[0], row["label"]) for row in rows(tmp_path))
    told = {who: found[who, "known"] + found[who, "maybe"] for who in ("own", "other")}
    assert found["own", "known"] >= 2
    assert told["own"] >= 15
    # A craft, of which there are few, may be guessed.
    assert found["other", "known"] <= 0.2 * found["own", "known"]
    assert told["other"] <= 0.2 * told["own"]
