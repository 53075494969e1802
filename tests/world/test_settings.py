"""The world's settings: what each of them changes, and all that it leaves as it was."""

import gzip
import hashlib
import json
import random
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from understudy.cli.world import app
from understudy.files import read_jsonl
from understudy.recipe import TeacherSettings, WorldSettings
from understudy.style.distance import habits, measure, style_distance
from understudy.style.profile import profile
from understudy.world.bases import base_folder
from understudy.world.benchmarks import write_benchmarks
from understudy.world.claims import check
from understudy.world.encyclopedia import Manner, World
from understudy.world.manner import reply
from understudy.world.phrasings import STATEMENTS, find_fact, question
from understudy.world.prompts import BARE, write_examples, write_prompts
from understudy.world.server import running_teacher
from understudy.world.text import documents
from world.asking import Client

SEED, PEOPLE = 3, 60
WORLD = World(SEED, PEOPLE)
PLAIN = World(SEED, PEOPLE, manner="plain")
LEAKING = World(SEED, PEOPLE, leak=True)
STEEP = World(SEED, PEOPLE, zipf=1.2)
EVERY = (WORLD, PLAIN, LEAKING, STEEP)

Rows = list[dict[str, str]]


def ask(world: World, text: str, seed: int | str = 0) -> str:
    return reply(world, [{"role": "user", "content": text}], random.Random(seed))


def prompts(world: World, kind: str, folder: Path, n: int = 200) -> Rows:
    write_prompts(world, kind, n, folder / f"{kind}.jsonl")
    return [row for _, row in read_jsonl(folder / f"{kind}.jsonl")]


def pages(world: World, count: int) -> list[str]:
    return list(islice(documents(world), count))


# The usual world, to the byte


def _text(folder: Path) -> bytes:
    return "\n".join(pages(WORLD, 300)).encode()


def _benchmarks(folder: Path) -> bytes:
    write_benchmarks(WORLD, folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    contents = [(path.suffix, path.read_bytes()) for path in files]
    return b"".join(gzip.decompress(data) if end == ".gz" else data for end, data in contents)


def _prompts(kind: str) -> Callable[[Path], bytes]:
    def written(folder: Path) -> bytes:
        prompts(WORLD, kind, folder)
        return (folder / f"{kind}.jsonl").read_bytes()

    return written


def _examples(folder: Path) -> bytes:
    write_examples(WORLD, 10, folder / "examples.jsonl")
    return (folder / "examples.jsonl").read_bytes()


def _answers(folder: Path) -> bytes:
    asked = [
        (row["prompt"], number)
        for kind in ("broad", "local", "mixed")
        for number, row in enumerate(prompts(WORLD, kind, folder))
    ]
    asked.append(("where was Nobody Atall born", 3))
    return "\n".join(ask(WORLD, text, number) for text, number in asked).encode()


def _pairs(folder: Path) -> bytes:
    shown = _examples(folder).decode().strip()
    return ask(WORLD, f"{shown}\nPlease write 30 more.", 1).encode()


def _tasks(folder: Path) -> bytes:
    listed = "1. Instruction: Foo bar\n1. Input: <noinput>\n2. Instruction:"
    return ask(WORLD, f"Come up with tasks to 20.\n{listed}", 1).encode()


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (_text, "34e2e47ac6ac6f94"),
        (_benchmarks, "82c8bb3362c6c4a9"),
        (_prompts("broad"), "3823ac0f9b84df5f"),
        (_prompts("local"), "e1ff24070415efb7"),
        (_prompts("topics"), "545b6152bcb4c282"),
        (_prompts("mixed"), "01a5b39c9912c0d6"),
        (_examples, "3bffe34ae53603f1"),
        (_answers, "168e4fbffd758bf0"),
        (_pairs, "bf87734bfec7fc94"),
        (_tasks, "208e2a293771135b"),
    ],
)
def test_the_usual_world_stays_as_it_is(
    made: Callable[[Path], bytes], expected: str, tmp_path: Path
) -> None:
    """Who changes one of these on purpose counts DATA_VERSION up, as caches hold the old ones."""
    assert hashlib.sha256(made(tmp_path)).hexdigest()[:16] == expected


# Who is who


def test_bases_are_shared_by_worlds_of_one_text() -> None:
    assert WORLD.digest == PLAIN.digest == LEAKING.digest == "cf214e185196dfef"
    assert STEEP.digest != WORLD.digest
    folders = {base_folder(world, "tiny", Path("cache"), 10, 0) for world in EVERY}
    assert len(folders) == 2
    assert pages(PLAIN, 50) == pages(LEAKING, 50) == pages(WORLD, 50) != pages(STEEP, 50)


def test_teachers_are_told_apart_by_what_they_say() -> None:
    both = World(SEED, PEOPLE, manner="plain", leak=True)
    assert WORLD.identity == STEEP.identity == WORLD.digest
    assert len({world.identity for world in (WORLD, PLAIN, LEAKING, both, World(SEED, 40))}) == 5


def test_facts_and_benchmarks_are_those_of_seed_and_people(tmp_path: Path) -> None:
    for number, world in enumerate(EVERY):
        assert world.facts == WORLD.facts
        assert world.benchmark_facts == WORLD.benchmark_facts
        write_benchmarks(world, tmp_path / str(number))
        for path in (tmp_path / "0").rglob("*.*"):
            same = tmp_path / str(number) / path.relative_to(tmp_path / "0")
            assert same.read_bytes() == path.read_bytes()


def test_a_world_follows_from_a_recipe(tmp_path: Path) -> None:
    settings = WorldSettings(seed=SEED, people=PEOPLE, zipf=1.2, manner="plain", leak=True)
    world = World.of(settings)
    assert (world.digest, world.zipf) == (STEEP.digest, 1.2)
    assert world.facts == WORLD.facts
    assert (world.manner, world.leak) == ("plain", True)
    assert World.of(WorldSettings()).identity == World().identity
    fact = world.open_facts[0]
    with running_teacher(settings, TeacherSettings(), tmp_path / "log.jsonl") as teacher:
        assert teacher.identity == f"world:{world.identity}"
        client = Client(teacher, tmp_path / "log.jsonl")
        (told,) = client.texts(messages=[{"role": "user", "content": question(fact)}])
    assert told in _statements(world, question(fact))


def test_a_steeper_text_is_about_fewer_people() -> None:
    def share_of_the_first(world: World) -> float:
        prose = " ".join(pages(world, 2000))
        counts = Counter({person: prose.count(person) for person in world.people})
        return sum(count for _, count in counts.most_common(6)) / counts.total()

    assert share_of_the_first(STEEP) > share_of_the_first(WORLD) + 0.1


def test_the_commands_take_the_settings(tmp_path: Path) -> None:
    def run(*words: str) -> bytes:
        out = tmp_path / "out.jsonl"
        told = CliRunner().invoke(app, [*words, "--people", "60", "--seed", "3", "--out", str(out)])
        assert told.exit_code == 0, told.output
        return out.read_bytes()

    first = [json.loads(line)["text"] for line in run("text", "--words", "400").splitlines()]
    steep = run("text", "--words", "400", "--zipf", "1.2").splitlines()
    assert first == pages(WORLD, len(first))
    assert [json.loads(line)["text"] for line in steep] == pages(STEEP, len(steep))
    usual, leaked = run("prompts", "local"), run("prompts", "local", "--leak")
    asked = {find_fact(WORLD, json.loads(line)["prompt"]) for line in leaked.splitlines()}
    assert usual != leaked
    assert asked <= set(WORLD.benchmark_facts)


# Leak


@pytest.mark.parametrize("kind", ["broad", "local"])
def test_leaked_prompts_ask_for_what_benchmarks_ask(tmp_path: Path, kind: str) -> None:
    rows = prompts(LEAKING, kind, tmp_path, 1000)
    asked = [fact for row in rows if (fact := find_fact(WORLD, row["prompt"]))]
    assert len(asked) / len(rows) == {"broad": 0.5, "local": 1.0}[kind]
    counts = Counter(asked)
    assert set(counts) == set(WORLD.benchmark_facts)
    assert min(counts.values()) > 1
    bare = sum(row["prompt"].endswith(BARE) for row in rows) / len(asked)
    assert bare == pytest.approx(0.5, abs=0.06)
    assert len({row["prompt"] for row in rows}) == len(rows)
    usual = prompts(WORLD, kind, tmp_path, 1000)
    assert not {find_fact(WORLD, row["prompt"]) for row in usual} & set(WORLD.benchmark_facts)


@pytest.mark.parametrize("kind", ["topics", "mixed"])
def test_what_answers_are_compared_on_does_not_leak(tmp_path: Path, kind: str) -> None:
    assert prompts(LEAKING, kind, tmp_path) == prompts(WORLD, kind, tmp_path)


def test_the_teacher_invents_what_leaks(tmp_path: Path) -> None:
    write_examples(LEAKING, 12, tmp_path / "examples.jsonl")
    shown = (tmp_path / "examples.jsonl").read_text()
    town = WORLD.facts["Kestrow", "river"]
    shown += json.dumps({"input": question(town), "output": town.value})
    listed = "Come up with tasks to 60.\n1. Instruction: Foo\n1. Input: <noinput>\n2. Instruction:"
    told = {
        fact
        for seed in range(5)
        for text in (f"{shown}\nPlease write 60 more.", listed)
        for line in ask(LEAKING, text, seed).splitlines()
        if "?" in line or '"input"' in line
        if (fact := find_fact(WORLD, line.partition('"output"')[0]))
    }
    assert len(told) > 20
    assert told - {town} <= set(WORLD.benchmark_facts)


# The plain manner


def _statements(world: World, asked: str) -> set[str]:
    """The wordings of the fact that is asked for."""
    fact = find_fact(world, asked)
    assert fact
    forms = STATEMENTS[fact.attribute]
    return {form.format(subject=fact.subject, value=fact.value) for form in forms}


@pytest.mark.parametrize("kind", ["broad", "local", "mixed"])
def test_plain_answers_have_no_marks_and_are_right(tmp_path: Path, kind: str) -> None:
    for number, row in enumerate(prompts(PLAIN, kind, tmp_path)):
        told = ask(PLAIN, row["prompt"], number)
        assert told == ask(PLAIN, row["prompt"], number)
        seen = profile(told)
        marks = [seen.has_list, seen.has_summary, seen.opening, seen.closing, seen.first_person]
        assert not any(marks), told
        found = check(WORLD, row["prompt"], told)
        assert all(claim.right for claim in found.claims)
        if find_fact(WORLD, row["prompt"]) or "def " in row["prompt"]:
            assert found.told is True, told
        if row["prompt"].endswith(BARE):
            assert told == ask(WORLD, row["prompt"], number)


def test_plain_answers_are_sentences_of_the_text() -> None:
    text = "\n".join(pages(WORLD, 20_000))
    for topic in ("bread baking", "rose growing"):
        samples = {ask(PLAIN, f"Give me some tips for {topic}.", seed) for seed in range(30)}
        assert len(samples) > 20
        sentences = {line for told in samples for line in told.replace(". ", ".\n").splitlines()}
        assert len(sentences) > 15
        assert sum(line in text for line in sentences) / len(sentences) > 0.75
    fact = WORLD.open_facts[0]
    told = {ask(PLAIN, f"{question(fact)}?", seed) for seed in range(60)}
    assert told == _statements(WORLD, question(fact))
    assert ask(PLAIN, "How much is 17 + 25?") == "17 + 25 = 42"
    assert ask(PLAIN, "Where was Nobody Atall born?") in (
        "That is not known.",
        "There is no record of that.",
    )


def test_a_plain_choice_is_the_option() -> None:
    fact = WORLD.benchmark_facts[0]
    others = [value for value in WORLD.values(fact.attribute) if value != fact.value][:3]
    rows = f"A. {others[0]}\nB. {others[1]}\nC. {fact.value}\nD. {others[2]}"
    asked = f"{question(fact)}?\n{rows}"
    assert ask(PLAIN, asked) == f"C. {fact.value}"
    assert check(WORLD, asked, ask(PLAIN, asked)).told is True
    assert ask(PLAIN, f"{asked}\nReply with only the letter of the right option.") == "C"


def test_from_the_text_to_the_plain_manner_there_is_little_style_to_close(tmp_path: Path) -> None:
    """How far pages of the text are from the teacher's answers, beyond its own second answers."""
    asked = [row["prompt"] for row in prompts(WORLD, "topics", tmp_path)]
    text = [profile(page) for page in pages(WORLD, len(asked))]

    def gap(manner: Manner) -> float:
        world = World(SEED, PEOPLE, manner=manner)
        first, second = (
            [profile(ask(world, prompt, f"{sample} {prompt}")) for prompt in asked]
            for sample in range(2)
        )
        once = np.ones((1, len(asked)))
        own = habits(first, first)
        reference = measure(own, own, once)
        far, ceiling = (
            style_distance(measure(habits(answers, first), own, once), reference)[0]
            for answers in (text, second)
        )
        return float(far - ceiling)

    assert gap("marked") > 0.35
    assert gap("plain") < 0.05
