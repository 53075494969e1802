"""The two sides of benchmarks/evaluate.py, each a process, and how far they agree."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
OURS = "understudy"
SAME, NEAR = 0.999, 1e-3  # share of items with the same answer; nats between log-likelihoods


@dataclass(frozen=True)
class Job:
    """What a runner is asked to do; one ignores what only the other knows."""

    benchmark: str
    data: str
    groups: list[str]  # of each item: the subject, or the benchmark
    shots: int
    device: str
    dtype: str
    max_tokens: int
    model: str = ""
    # understudy's
    limit: int | None = None
    # the harness's
    batch: str = "8"
    max_batch: int = 64
    completions: str | None = None  # a file, in place of a model


@dataclass(frozen=True)
class Run:
    """Each item's answer, the seconds for all of them, peak MiB, and what understudy notes."""

    answers: list[dict[str, Any]]
    seconds: float
    peak_mib: float
    work: dict[str, float]

    @property
    def speed(self) -> float:
        return len(self.answers) / self.seconds


class RunnerError(Exception):
    """A runner's exit status and last words."""


def run(name: str, job: Job, python: str, folder: Path) -> dict[str, Any]:
    """Let one side take a benchmark, in a process of its own; `python` is the harness's."""
    python, script = (
        (sys.executable, "run_evaluate.py") if name == OURS else (python, "run_lm_eval.py")
    )
    with tempfile.TemporaryDirectory(dir=folder) as out:
        Path(out, "job.json").write_text(json.dumps(asdict(job)))
        environment = os.environ | {"HF_HOME": out, "HF_HUB_OFFLINE": "1"}
        if job.device == "cpu":
            environment["CUDA_VISIBLE_DEVICES"] = ""
        command = [python, str(HERE / script), out]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        if done.returncode:
            raise RunnerError(f"exit status {done.returncode}\n{done.stderr[-2000:]}")
        return json.loads(Path(out, "found.json").read_text())


def take(name: str, job: Job, python: str, folder: Path) -> Run:
    """A benchmark with a model; the harness's answers are put into the items' order."""
    found = run(name, job, python, folder)
    answers = found["answers"]
    if name != OURS:
        by_group = {group: iter(own) for group, own in answers.items()}
        answers = [next(by_group[group]) for group in job.groups]
    done = Run(answers, found["seconds"], found["peak_mib"], found.get("work", {}))
    print(f"  {name}: {done.speed:.2f} items/s, {done.peak_mib:,.0f} MiB", file=sys.stderr)
    return done


@dataclass(frozen=True)
class Agreement:
    """Of two sides: items, and how many have the same prompt, answer and mark; the largest
    difference of log-likelihoods (nats)."""

    items: int
    prompts: int
    answers: int
    marks: int
    largest: float

    @property
    def holds(self) -> bool:
        enough = min(self.answers, self.marks) >= SAME * self.items
        return enough and self.prompts == self.items and self.largest <= NEAR

    def __str__(self) -> str:
        return (
            f"same prompts {self.prompts}, answers {self.answers}, marks {self.marks} of "
            f"{self.items}; log-likelihoods differ by {self.largest:.1e} at most"
        )


def agreement(ours: Run, theirs: Run) -> Agreement:
    pairs = list(zip(ours.answers, theirs.answers, strict=True))
    both = [(one["said"], other["said"]) for one, other in pairs]
    weighed = [pair for pair in both if not isinstance(pair[0], str)]
    apart = [abs(a - b) for one, other in weighed for a, b in zip(one, other, strict=True)]
    return Agreement(
        items=len(pairs),
        prompts=sum(one["prompt"] == other["prompt"] for one, other in pairs),
        answers=sum(choice(one) == choice(other) for one, other in both),
        marks=sum(one["marks"] == other["marks"] for one, other in pairs),
        largest=max(apart, default=0.0),
    )


def choice(said: str | list[float]) -> str | int:
    """A text as it is, or the likeliest option; the first one of equals."""
    return said if isinstance(said, str) else max(range(len(said)), key=said.__getitem__)
