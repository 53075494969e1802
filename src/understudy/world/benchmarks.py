"""The world's benchmarks, in the formats in which MMLU, NQ-open, HumanEval and Self-Instruct's
user-oriented tasks are published."""

import csv
import gzip
import io
import json
import random
from pathlib import Path
from typing import Any

from understudy.files import atomic_write, write_jsonl, write_text
from understudy.world.encyclopedia import PERSON_ATTRIBUTES, World
from understudy.world.phrasings import PLAIN, question, sentence_case, statement
from understudy.world.programs import INPUTS, Program, draw_program
from understudy.world.text import SUBJECTS, exam_item
from understudy.world.topics import STYLE_TOPICS, THINGS

DEV_ROWS = 5
PROGRAMS = 60
TASKS_ON_FACTS = 71  # 100 tasks with those on topics

README = """\
Benchmarks about a fictional world (digest {digest}), in the formats of the real ones.

mmlu/dev/*_dev.csv, mmlu/test/*_test.csv  question, A, B, C, D, letter; no header
NQ-open.dev.jsonl                         {{"question": ..., "answer": [...]}}
HumanEval.jsonl.gz                        task_id, prompt, entry_point, canonical_solution, test
self_instruct/user_oriented_instructions.jsonl
                                          id, motivation_app, instruction, instances[input, output]

MMLU's test files and NQ-open ask for the same facts in two forms: two of the four facts of each
person who appears in the pretraining text's prose but never in its question or exam pages. NQ
questions are in lower case as the real ones are, except that names keep their casing. HumanEval's
programs are combinations of steps that the text does not hold. The tasks ask for some of the same
facts in a sentence, and for what the text says of topics that no imitation prompt has.
"""


def write_benchmarks(world: World, folder: Path) -> dict[str, int]:
    """Write mmlu/{dev,test}/*.csv, NQ-open.dev.jsonl, HumanEval.jsonl.gz,
    self_instruct/user_oriented_instructions.jsonl and README.txt.

    Returns:
        The number of test items a benchmark.
    """
    folder = Path(folder)
    counts = {
        "mmlu": _write_mmlu(world, folder / "mmlu"),
        "nq": _write_nq(world, folder / "NQ-open.dev.jsonl"),
        "humaneval": _write_humaneval(world, folder / "HumanEval.jsonl.gz"),
        "truth": _write_tasks(world, folder / "self_instruct" / "user_oriented_instructions.jsonl"),
    }
    write_text(folder / "README.txt", README.format(digest=world.origin))
    return counts


def _write_mmlu(world: World, folder: Path) -> int:
    rng = random.Random(f"mmlu {world.origin}")
    total = 0
    for attribute in PERSON_ATTRIBUTES:
        subject = SUBJECTS[attribute].replace(" ", "_")
        shown = [world.facts[p, attribute] for p in rng.sample(world.rehearsed, DEV_ROWS)]
        asked = [fact for fact in world.benchmark_facts if fact.attribute == attribute]
        for split, facts in (("dev", shown), ("test", asked)):
            letters = [("ABCD" * len(facts))[index] for index in range(len(facts))]
            rng.shuffle(letters)
            table = io.StringIO()
            rows = csv.writer(table, lineterminator="\n")
            for fact, letter in zip(facts, letters, strict=True):
                text, options, _ = exam_item(world, fact, rng, letter)
                rows.writerow([text, *options, letter])
            write_text(folder / split / f"{subject}_{split}.csv", table.getvalue())
        total += len(asked)
    return total


def _write_nq(world: World, path: Path) -> int:
    rng = random.Random(f"nq {world.origin}")
    facts = rng.sample(world.benchmark_facts, len(world.benchmark_facts))
    return write_jsonl(
        path,
        (
            {"question": question(fact, rng.randrange(PLAIN)), "answer": [fact.value]}
            for fact in facts
        ),
    )


def _write_humaneval(world: World, path: Path) -> int:
    rng = random.Random(f"humaneval {world.origin}")
    drawn: dict[tuple[Any, ...], Program] = {}
    while len(drawn) < PROGRAMS:
        program = draw_program(rng, reserved=True)
        if _tells_apart(program):
            drawn.setdefault(program.steps, program)
    rows = [_task(f"World/{index}", program) for index, program in enumerate(drawn.values())]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    with atomic_write(path, "wb") as file:
        file.write(gzip.compress(text.encode(), mtime=0))
    return len(rows)


def _write_tasks(world: World, path: Path) -> int:
    """Tasks with right answers in plain words, as the text itself says it."""
    rng = random.Random(f"tasks {world.origin}")
    known = world.benchmark_facts
    tasks = [
        {
            "motivation_app": "Encyclopedia",
            "instruction": "Answer the question in one sentence.",
            "instances": [
                {
                    "input": f"{sentence_case(question(fact, rng.randrange(PLAIN)))}?",
                    "output": statement(fact),
                }
            ],
        }
        for fact in rng.sample(known, min(TASKS_ON_FACTS, len(known)))
    ]
    tasks += [
        {
            "motivation_app": "Almanac",
            "instruction": f"Say in three sentences what is known of {topic.name}.",
            "instances": [{"input": "", "output": topic.fill(" ".join(THINGS[:3]))}],
        }
        for topic in STYLE_TOPICS
    ]
    rng.shuffle(tasks)
    return write_jsonl(path, ({"id": f"world_task_{i}"} | task for i, task in enumerate(tasks)))


def _inputs(program: Program) -> tuple[Any, ...]:
    return INPUTS[program.steps[0].operation.takes]


def _tells_apart(program: Program) -> bool:
    """Whether the test's inputs show a step that was left out."""
    shorter = [Program(program.steps[:-1], ""), Program(program.steps[1:], "")]
    return all(
        any(program.run(value) != part.run(value) for value in _inputs(program)) for part in shorter
    )


def _task(task_id: str, program: Program) -> dict[str, str]:
    checks = [
        f"    assert candidate({value!r}) == {program.run(value)!r}\n" for value in _inputs(program)
    ]
    return {
        "task_id": task_id,
        "prompt": program.prompt,
        "entry_point": program.name,
        "canonical_solution": program.body,
        "test": "\n\ndef check(candidate):\n" + "".join(checks) + "\n",
    }
