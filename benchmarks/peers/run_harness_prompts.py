"""What lm-evaluation-harness asks: the context and continuations of every item of its tasks.

    .peers/lm_eval/bin/python benchmarks/peers/run_harness_prompts.py JOBS OUT

JOBS is a JSON list of objects: `yaml`, the harness's own task file below lm_eval/tasks; `files`,
JSON lines for each split in the shape that the hub has them; `changes` to the task, such as
num_fewshot. The task is the harness's: a temporary file includes its YAML and changes only where
the data are. Contexts are made as its evaluator makes them. OUT gets a line for each item: [number
of the job, context, continuations, stop texts]; for tasks that generate, "continuations" are the
answers that they take as right.
"""

import json
import os
import re
import sys
import tempfile
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
os.environ |= {"TQDM_DISABLE": "1", "LMEVAL_LOG_LEVEL": "ERROR"}

import lm_eval
import yaml
from lm_eval.defaults import DEFAULT_OTHER_SEED
from lm_eval.tasks import TaskManager

TASKS = Path(lm_eval.__file__).parent / "tasks"
KEPT = ("output_type", "test_split", "doc_to_text", "doc_to_target", "generation_kwargs")


def main(jobs: list[dict], out: Path) -> None:
    with tempfile.TemporaryDirectory() as folder, out.open("w") as file:
        for number, job in enumerate(jobs):
            path = Path(folder) / f"job{number}" / "task.yaml"
            path.parent.mkdir()
            path.write_text(yaml.safe_dump(task_of(job, f"job{number}")))
            manager = TaskManager(include_defaults=False, include_path=str(path.parent))
            (task,) = manager.load([f"job{number}"])["tasks"].values()
            task.set_fewshot_seed(seed=DEFAULT_OTHER_SEED)
            task.build_all_requests()
            for row in rows(task):
                file.write(json.dumps([number, *row]) + "\n")


def task_of(job: dict, name: str) -> dict:
    source = TASKS / job["yaml"]
    content: dict = {"include": str(source)}
    if "!function utils.build_predictions" in source.read_text():
        # HumanEval's module fetches a metric from the hub when it is imported; without it.
        plain = yaml.safe_load(re.sub(r"!function (\S+)", r"\1", source.read_text()))
        content = {key: plain[key] for key in KEPT}
    return content | {
        "task": name,
        "dataset_path": "json",
        "dataset_name": None,
        "dataset_kwargs": {"data_files": job["files"]},
        **job["changes"],
    }


def rows(task) -> list[list]:
    found: dict[int, list] = {}
    for instance in task.instances:
        context, other = instance.args[:2]
        if isinstance(other, str):
            found.setdefault(instance.doc_id, [context, [], []])[1].append(other)
        else:
            target = task.doc_to_target(instance.doc)
            answers = target if isinstance(target, list) else [target]
            found[instance.doc_id] = [context, answers, other["until"]]
    return [found[place] for place in sorted(found)]


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
