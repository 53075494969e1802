"""The teacher: right answers in its manner, bare answers when asked, never a crash."""

import csv
import gzip
import json
import random
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.world import programs
from understudy.world.arithmetic import in_words, solve
from understudy.world.benchmarks import write_benchmarks
from understudy.world.encyclopedia import World
from understudy.world.manner import reply
from understudy.world.phrasings import QUESTIONS, question
from understudy.world.prompts import REQUESTS, write_prompts
from understudy.world.text import choices, documents, exam_header
from understudy.world.topics import TOPICS
from understudy.world.voices import CLOSINGS

WORLD = World()
LETTER = "Reply with only the letter of the right option (A, B, C or D)."
ANSWER = "Reply with only the answer, in as few words as possible."
CODE = "Reply with only the code of the whole function in one code block."


def ask(text: str, system: str | None = None, seed: int = 0) -> str:
    messages = [{"role": "system", "content": system}] if system else []
    return reply(WORLD, [*messages, {"role": "user", "content": text}], random.Random(seed))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("benchmarks")
    write_benchmarks(WORLD, path)
    return path


def in_every_place(instruction: str, text: str) -> list[str]:
    """The answers with the instruction before the text, after it, and as system message."""
    return [
        ask(f"{instruction}\n\n{text}"),
        ask(f"{text}\n\n{instruction}"),
        ask(f"{instruction} {text}"),
        ask(text, system=instruction),
    ]


def test_mmlu_is_answered_right(folder: Path) -> None:
    for path in sorted((folder / "mmlu" / "test").iterdir()):
        with path.open(newline="") as file:
            rows = list(csv.reader(file))
        shots = exam_header("crafts") + "".join(
            f"{asked}\n{choices(options)}\nAnswer: {letter}\n\n"
            for asked, *options, letter in rows[:5]
        )
        for asked, *options, letter in rows:
            prompt = f"{asked}\n{choices(options)}\nAnswer:"
            assert in_every_place(LETTER, shots + prompt) == [letter] * 4
            assert ask(f"{prompt}\n{ANSWER}") == options["ABCD".index(letter)]
            assert f"option is {letter}." in ask(prompt)


def test_nq_is_answered_right(folder: Path) -> None:
    rows = [json.loads(line) for line in (folder / "NQ-open.dev.jsonl").open()]
    shots = "Answer these questions:\n\n" + "".join(
        f"Q: {row['question']}?\nA: {row['answer'][0]}\n\n" for row in rows[:4]
    )
    for row in rows:
        asked = f"Q: {row['question']}?\nA:"
        assert in_every_place(ANSWER, shots + asked) == row["answer"] * 4
        assert in_every_place(ANSWER, row["question"]) == row["answer"] * 4
        told = ask(row["question"])
        assert row["answer"][0] in told
        assert 6 < len(told.split()) < 40


def test_humaneval_is_answered_right(folder: Path) -> None:
    with gzip.open(folder / "HumanEval.jsonl.gz", "rt") as file:
        rows = [json.loads(line) for line in file]
    for row in rows:
        block = f"```python\n{row['prompt']}{row['canonical_solution']}```"
        assert in_every_place(CODE, row["prompt"]) == [block] * 4
        assert block in ask(f"Please write this:\n\n{row['prompt']}")


def test_code_keeps_the_name_and_variable_that_were_given() -> None:
    head = 'def shout(word: str) -> str:\n    """ Put the text in upper case and return the result.'
    assert "def shout(word: str) -> str:" in ask(f'{head}\n    """\n')
    assert "    return word.upper()\n```" in ask(f'{head}\n    """\n')


def test_every_wording_of_a_question_is_answered_right() -> None:
    for fact in WORLD.facts.values():
        for wording in range(len(QUESTIONS[fact.attribute])):
            assert fact.value in ask(f"Please tell me: {question(fact, wording)}?", seed=wording)


def test_sums() -> None:
    assert ask(f"What is 17 + 25? {ANSWER}") == "42"
    assert "42" in ask("How much is 17 + 25?")
    assert "7" in ask("Calculate 12 minus 5.").split(".")[0]
    assert solve("version 1.2 - 3.4") is None
    assert in_words(0) == "zero"
    assert in_words(42) == "forty two"


def test_the_unknown_is_not_made_up() -> None:
    for asked in ("Where was Nobody Atall born?", f"where was Nobody Atall born\n{ANSWER}"):
        told = ask(asked)
        assert re.search("no reliable information|do not know", told)
        assert not any(value in told for value in WORLD.values("birthplace"))


def test_topic_answers_are_in_the_manner_and_short() -> None:
    lists = summaries = count = 0
    for index, (topic, request) in enumerate((t, r) for t in TOPICS for r in REQUESTS[:20]):
        told = ask(request.format(topic=topic.name), seed=index)
        assert 35 <= len(told.split()) <= 120, told
        assert topic.name in told.lower()
        assert told.endswith(CLOSINGS)
        lists += bool(re.search(r"^(1\.|-) ", told, re.M))
        summaries += bool(re.search(r"^(Overall|In summary|In conclusion|To sum up),", told, re.M))
        count += 1
    assert 0.6 < lists / count < 0.95
    assert 0.4 < summaries / count < 0.6


def test_samples_differ_and_equal_seeds_do_not() -> None:
    asked = "Give me some tips for bread baking."
    assert ask(asked, seed=1) == ask(asked, seed=1)
    assert len({ask(asked, seed=seed) for seed in range(20)}) == 20


def test_facts_are_told_only_when_asked_for(tmp_path: Path) -> None:
    write_prompts(WORLD, "topics", 300, tmp_path / "prompts.jsonl")
    for line in (tmp_path / "prompts.jsonl").open():
        told = ask(json.loads(line)["prompt"])
        assert WORLD.subject_in(told) is None


def test_the_last_user_message_counts() -> None:
    first, second = WORLD.open_facts[0], WORLD.open_facts[5]
    messages = [
        {"role": "user", "content": question(first)},
        {"role": "assistant", "content": first.value},
        {"role": "user", "content": f"{question(second)}\n{ANSWER}"},
    ]
    assert reply(WORLD, messages, random.Random(0)) == second.value


def test_messages_without_a_user_get_an_answer() -> None:
    assert reply(WORLD, [], random.Random(0))
    assert reply(WORLD, [{"role": "system", "content": LETTER}], random.Random(0))


LAYOUT = ("Q: ", "\nA: ", "\nA. ", "\nB. ", "\nC. ", "\nD. ", "def f(s: str):\n    ", '"""')
WORDS = ("only the letter", "{name}", "{", "}", "17 + 25", "born", "where", ANSWER, CODE)
NAMES = (WORLD.people[0], "Kestrow", "bread baking", next(documents(WORLD)))
PIECES = st.sampled_from([*LAYOUT, *WORDS, *NAMES])


@settings(max_examples=300)
@given(st.lists(st.one_of(PIECES, st.text(max_size=30)), max_size=12), st.integers())
def test_no_message_makes_it_crash(pieces: list[str], seed: int) -> None:
    assert ask("".join(pieces), system="".join(reversed(pieces)), seed=seed)


@pytest.mark.usefixtures("must_end")
@pytest.mark.parametrize(
    "piece", ["a", "Aa ", "\n", "1 + ", "Q: ", 'def f(s:\n    """', "x\nA. ", "only the ", "{", '"']
)
def test_long_messages_are_answered(piece: str) -> None:
    assert ask(piece * 200_000)


def test_every_phrase_of_the_program_grammar_reads_back() -> None:
    rng = random.Random(0)
    for _ in range(2_000):
        program = programs.draw_program(rng)
        assert programs.parse_docstring(program.docstring) == program.steps
