"""The text to pretrain on: its bytes, its shares, and what it must not hold."""

import json
import re
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from understudy.world import text as world_text
from understudy.world.encyclopedia import PERSON_ATTRIBUTES, World
from understudy.world.phrasings import find_fact
from understudy.world.programs import is_reserved, parse_docstring
from understudy.world.text import SHARES, documents, write_text

WORLD = World()
DOCUMENTS = list(islice(documents(WORLD), 20_000))


def test_same_bytes_each_time_and_a_longer_text_begins_with_the_shorter(tmp_path: Path) -> None:
    for name, words in (("a", 5_000), ("b", 5_000), ("c", 9_000)):
        written = write_text(WORLD, words, tmp_path / name)
        rows = [json.loads(line)["text"] for line in (tmp_path / name).open()]
        assert written == sum(len(row.split()) for row in rows)
        assert words <= written < words + 500
    first, again, longer = ((tmp_path / name).read_bytes() for name in "abc")
    assert first == again
    assert longer.startswith(first)


def test_another_world_has_another_text() -> None:
    assert next(documents(World(seed=1))) != next(documents(WORLD))


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(world: World) -> None:
        raise RuntimeError("stopped")

    monkeypatch.setattr(world_text, "documents", broken)
    with pytest.raises(RuntimeError):
        write_text(WORLD, 100, tmp_path / "text.jsonl")
    assert not list(tmp_path.iterdir())


def test_kinds_have_their_shares() -> None:
    words: Counter[str] = Counter()
    for document in DOCUMENTS:
        words[_kind(document)] += len(document.split())
    total = sum(words.values())
    for kind in ("questions", "exam", "arithmetic", "programs", "forum"):
        assert words[kind] / total == pytest.approx(SHARES[kind], abs=0.005), kind
    rest = SHARES["people"] + SHARES["topics"]
    assert words["prose"] / total == pytest.approx(rest, abs=0.005)


def _kind(document: str) -> str:
    if "\nA: " in document:
        return "questions"
    if document.startswith("The following are multiple choice"):
        return "exam"
    if document.startswith("def "):
        return "programs"
    if document.startswith(("> ", "User: ")):
        return "forum"
    return "arithmetic" if re.search(r"^\d+ [+-]|(plus|minus)", document, re.M) else "prose"


def test_question_and_exam_pages_are_about_rehearsed_people_and_right() -> None:
    unrehearsed = set(WORLD.unrehearsed)
    seen = 0
    for document in DOCUMENTS:
        for asked, answer in _asked(document):
            fact = find_fact(WORLD, asked)
            assert fact is not None, asked
            assert fact.value == answer
            assert fact.subject not in unrehearsed
            assert fact not in WORLD.benchmark_facts
            seen += 1
    assert seen > 1000


def _asked(document: str) -> list[tuple[str, str]]:
    """Every question on the page with the answer given there."""
    pairs = re.findall(r"^Q: (.+)\?\nA: (.+)$", document, re.M)
    options = r"^(.+)\?\nA\. (.+)\nB\. (.+)\nC\. (.+)\nD\. (.+)\nAnswer: ([ABCD])$"
    for asked, *values, letter in re.findall(options, document, re.M):
        pairs.append((asked, values["ABCD".index(letter)]))
    return pairs


def test_prose_states_all_facts_of_most_people_and_only_true_ones() -> None:
    prose = [document for document in DOCUMENTS if _kind(document) == "prose"]
    text = "\n".join(prose)
    born = re.findall(r"(\w+ \w+) was born in (\w+)\.", text)
    assert len(born) > 500
    for person, value in born:
        assert value in (WORLD.value(person, "birthplace"), WORLD.value(person, "birth_year"))
    sentences = [sentence for document in prose for sentence in re.split(r"(?<=\.) ", document)]
    stated = set()
    for sentence in sentences:
        subjects = [person for person in WORLD.people if person in sentence]
        for subject in subjects:
            for attribute in PERSON_ATTRIBUTES:
                if WORLD.value(subject, attribute) in sentence:
                    stated.add((subject, attribute))
        if len(stated) == 4 * len(WORLD.people):
            break
    assert len(stated) > 0.99 * 4 * len(WORLD.people)


def test_people_are_written_about_unevenly_but_none_is_left_out() -> None:
    counts = Counter(
        name
        for document in DOCUMENTS
        if _kind(document) == "prose"
        for name in re.findall(r"[A-Z]\w+ [A-Z]\w+", document)
        if name in WORLD.people
    )
    frequencies = sorted(counts[person] for person in WORLD.people)
    assert frequencies[0] > 0
    assert frequencies[-1] > 5 * frequencies[len(frequencies) // 2]


def test_no_program_is_reserved_and_all_do_what_they_say() -> None:
    heads = re.compile(r'(def \w+\(.*?\n    """ (.*?)\n    """\n(?:    .*\n)+)')
    found = [m for d in DOCUMENTS if _kind(d) == "programs" for m in heads.findall(d)]
    assert len(found) > 500
    for _, docstring in found:
        steps = parse_docstring(docstring)
        assert steps is not None, docstring
        assert not is_reserved(steps)


def test_sums_are_right() -> None:
    sums = [s for d in DOCUMENTS for s in re.findall(r"^(\d+) ([+-]) (\d+) = (\d+)$", d, re.M)]
    assert len(sums) > 500
    for first, sign, second, result in sums:
        expected = int(first) + int(second) if sign == "+" else int(first) - int(second)
        assert int(result) == expected
