"""Whether understudy asks what lm-evaluation-harness asks, character by character, item by item.

MMLU, Natural Questions, GSM8K and HumanEval are read from the published files in the folder
UNDERSTUDY_DATA; ARC, HellaSwag, TruthfulQA and TriviaQA from small files of our own in the form in
which they are published. The harness's own tasks (benchmarks/peers/run_harness_prompts.py) get the
same rows in the shape that the hub has them, made here and not by understudy's readers. Contexts,
continuations, right answers of generating tasks, and stop texts are compared.

    sh benchmarks/peers/setup.sh
    UNDERSTUDY_DATA=... python benchmarks/prompts.py
"""

import csv
import gzip
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from understudy.evaluate.benchmarks import find_benchmark
from understudy.evaluate.benchmarks.kinds import ChoiceItem, CodeItem, ShortItem

HERE = Path(__file__).parent
PEER = HERE.parent / ".peers/lm_eval/bin/python"


@dataclass(frozen=True)
class Job:
    """A benchmark of ours, its data, and the harness's task with the hub's rows."""

    benchmark: str
    data: Path
    yaml: str
    splits: dict[str, list[dict[str, Any]]]
    group: str | None = None
    changes: dict[str, Any] = field(default_factory=dict)


def main() -> None:
    data = Path(os.environ["UNDERSTUDY_DATA"])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        jobs = [*published(data, folder), *small(folder / "small")]
        theirs = ask_harness(jobs, folder)
        counts: dict[str, list[int]] = {}
        different = []
        for number, job in enumerate(jobs):
            for our, their in zip(asked(job), theirs[number], strict=True):
                alike_of = counts.setdefault(job.benchmark, [0, 0])
                alike_of[0] += our == their
                alike_of[1] += 1
                if our != their:
                    different.append(f"{job.benchmark}:\n  {our}\n  {their}")
    for benchmark, (alike, total) in counts.items():
        print(f"{benchmark}: {alike} of {total} items alike")
    if different:
        sys.exit(f"the first difference, ours and the harness's, is in {different[0]}")


def asked(job: Job) -> list[list[Any]]:
    """[context, continuations or what is right, stop texts], as the harness's side writes them."""
    benchmark = find_benchmark(job.benchmark)
    rows: list[list[Any]] = []
    for item in benchmark.items(job.data, None):
        if job.group and item.group != job.group:
            continue
        match item:
            case ChoiceItem():
                rows.append([item.prompt, list(item.continuations)])
            case ShortItem():
                rows.append([item.prompt, list(item.answers)])
            case CodeItem():
                rows.append([item.prompt, [f"{item.test}\ncheck({item.entry_point})"]])
        rows[-1].append(list(benchmark.stop))
    return rows


def ask_harness(jobs: list[Job], folder: Path) -> dict[int, list[Any]]:
    """The same of the harness's tasks, by the number of the job."""
    described = []
    for number, job in enumerate(jobs):
        files = {}
        for split, rows in job.splits.items():
            path = folder / f"{number}-{split}.jsonl"
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
            files[split] = str(path)
        described.append({"yaml": job.yaml, "files": files, "changes": job.changes})
    (folder / "jobs.json").write_text(json.dumps(described))
    command = [PEER, HERE / "peers/run_harness_prompts.py", folder / "jobs.json", folder / "out"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    found: dict[int, list[Any]] = {number: [] for number in range(len(jobs))}
    with open(folder / "out") as file:
        for line in file:
            number, *row = json.loads(line)
            found[number].append(row)
    return found


# Published files


def published(data: Path, folder: Path) -> list[Job]:
    return [*mmlu(data), *nq(data, folder), gsm8k(data), humaneval(data)]


def mmlu(data: Path) -> list[Job]:
    def rows(path: Path) -> list[dict[str, Any]]:
        with open(path, newline="") as file:
            return [
                {"question": q, "choices": options, "answer": "ABCD".index(letter)}
                for q, *options, letter in csv.reader(file)
            ]

    subjects = [p.name.removesuffix("_test.csv") for p in sorted(data.glob("mmlu/test/*.csv"))]
    return [
        Job(
            "mmlu",
            data,
            f"mmlu/default/mmlu_{subject}.yaml",
            {
                split: rows(data / f"mmlu/{split}/{subject}_{split}.csv")
                for split in ("dev", "test")
            },
            subject,
            {"num_fewshot": 5},
        )
        for subject in subjects
    ]


def nq(data: Path, folder: Path) -> list[Job]:
    dev = lines(data / "NQ-open.dev.jsonl")
    path = "nq_open/nq_open.yaml"
    changes = {"num_fewshot": 3}
    # Without a train file, examples come from the dev file.
    alone = Job("nq", data, path, {"validation": dev}, None, changes | {"training_split": None})
    # The published train file is not at hand: the dev file's second half serves as one.
    split = folder / "nq"
    split.mkdir()
    train = dev[len(dev) // 2 :]
    write(split / "NQ-open.dev.jsonl", dev)
    write(split / "NQ-open.train.jsonl", train)
    return [alone, Job("nq", split, path, {"validation": dev, "train": train}, None, changes)]


def gsm8k(data: Path) -> Job:
    splits = {
        "test": lines(data / "gsm8k/test.jsonl"),
        "train": lines(data / "gsm8k/train.jsonl.gz"),
    }
    return Job("gsm8k", data, "gsm8k/gsm8k.yaml", splits)


def humaneval(data: Path) -> Job:
    splits = {"test": lines(data / "HumanEval.jsonl.gz")}
    return Job("humaneval", data, "humaneval/humaneval.yaml", splits)


# Small files of our own, in the published form


def small(folder: Path) -> list[Job]:
    return [*arc(folder), hellaswag(folder), *truthfulqa(folder), *triviaqa(folder)]


def arc(folder: Path) -> Iterable[Job]:
    texts = ["a bee", "an oak, felled", "  a stone ", 'wind\'s "push"', "rain\nor snow"]
    for name in ("Easy", "Challenge"):
        rows = []
        for number in range(12):
            labels = ("ABCD", "1234", "ABC", "ABCDE")[number % 4]
            own = [f"{text} {number}" for text in texts[: len(labels)]]
            options = [{"text": t, "label": a} for t, a in zip(own, labels, strict=True)]
            question = {"stem": f"Which of these is number {number}? ", "choices": options}
            key = labels[number % len(labels)]
            rows.append({"id": f"Own_{number}", "question": question, "answerKey": key})
        write(folder / f"ARC-{name}/ARC-{name}-Test.jsonl", rows)
        hub = [
            {
                "id": row["id"],
                "question": row["question"]["stem"],
                "choices": {
                    key: [option[key] for option in row["question"]["choices"]]
                    for key in ("text", "label")
                },
                "answerKey": row["answerKey"],
            }
            for row in rows
        ]
        path = f"arc/arc_{name.lower()}.yaml"
        changes = {"training_split": None, "validation_split": None}
        yield Job(f"arc_{name.lower()}", folder, path, {"test": hub}, None, changes)


def hellaswag(folder: Path) -> Job:
    rows = [
        {
            "ind": number,
            "activity_label": ("Roofing", "How to  bake [bread]")[number % 2],
            "ctx_a": (
                "A man sits on a roof.",
                "[header] How to bake [title] Mix it. [step] Take  flour   and water. ",
            )[number % 2],
            "ctx_b": ("he", "", "the OTHER man", "él")[number % 4],
            "ctx": "",
            "split": "val",
            "split_type": "indomain",
            "label": number % 4,
            "endings": [
                "lifts a tile.",
                " [substeps] Let it rest [title] for  an hour.",
                f"sings {number} songs.  ",
                "sleeps [sic",
            ],
            "source_id": f"own~{number}",
        }
        for number in range(12)
    ]
    write(folder / "hellaswag_val.jsonl", rows)
    hub = [row | {"label": str(row["label"])} for row in rows]
    changes = {"training_split": None}
    return Job("hellaswag", folder, "hellaswag/hellaswag.yaml", {"validation": hub}, None, changes)


def truthfulqa(folder: Path) -> Iterable[Job]:
    def targets(number: int, right: int) -> dict[str, int]:
        return {f"Answer {place} of {number}, it's so.": int(place < right) for place in range(4)}

    rows = [
        {
            "question": f"Is it true that {number} is odd?",
            "mc1_targets": targets(number, 1),
            "mc2_targets": targets(number, 1 + number % 3),
        }
        for number in range(12)
    ]
    (folder / "mc_task.json").write_text(json.dumps(rows))
    hub = [
        {
            key: {"choices": list(value), "labels": list(value.values())}
            if isinstance(value, dict)
            else value
            for key, value in row.items()
        }
        for row in rows
    ]
    for number in (1, 2):
        path = f"truthfulqa/truthfulqa_mc{number}.yaml"
        yield Job(f"truthfulqa_mc{number}", folder, path, {"validation": hub})


def triviaqa(folder: Path) -> Iterable[Job]:
    def row(number: int) -> dict[str, Any]:
        aliases = [f" The {number} ", f"No. {number}", 'it\'s "it"']
        answer = {"Aliases": aliases, "NormalizedAliases": [], "Value": aliases[0]}
        return {
            "Question": f" Which one is {number}? ",
            "QuestionId": f"q{number}",
            "Answer": answer,
        }

    def hub(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            {
                "question": row["Question"].strip(),
                "question_id": row["QuestionId"],
                "answer": {"aliases": [alias.strip() for alias in row["Answer"]["Aliases"]]},
            }
            for row in rows
        ]

    # Both files hold some of the questions; the harness then may draw copies of the item itself.
    web, wikipedia = [row(n) for n in range(14)], [row(n % 3) for n in range(8)]
    train = [row(n) for n in range(40)]
    for name, more in (("dev", {}), ("train", {"train": train})):
        qa = folder / name / "triviaqa-rc/qa"
        qa.mkdir(parents=True)
        (qa / "web-dev.json").write_text(json.dumps({"Data": web, "Version": 1.0}))
        (qa / "wikipedia-dev.json").write_text(json.dumps({"Data": wikipedia}))
        changes: dict[str, Any] = {"num_fewshot": 5}
        splits = {"validation": hub(web + wikipedia)}
        if more:
            (qa / "web-train.json").write_text(json.dumps({"Data": train}))
            splits["train"] = hub(train)
        else:
            changes["training_split"] = None
        yield Job("triviaqa", folder / name, "triviaqa/default.yaml", splits, None, changes)


def lines(path: Path) -> list[dict[str, Any]]:
    open_it: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
    with open_it(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    main()
