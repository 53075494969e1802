"""Speed of the sandbox: trials a second, side by side in one run with no sandbox at all.

The trials are HumanEval's own solutions with their tests, as many at a time as there are
processors. The floor starts an unconfined `python -c` for each, with program and test in one text:
what a harness pays that takes no care and starts a process a program. Each kind of sandbox that
works here runs all 164 trials through `run_trials`, start included; then the floor; and again, in
rounds. A contestant's figure counts only if all of its trials pass.

    python benchmarks/sandbox.py DATA [--rounds 3]    # DATA holds HumanEval.jsonl.gz
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from understudy.evaluate import sandbox
from understudy.evaluate.sandbox import Trial, run_trials
from understudy.evaluate.sandbox.kinds import KINDS
from understudy.files import read_jsonl
from understudy.progress import set_quiet

GOAL = 20  # trials a second on two processors


def main() -> None:
    """Run the rounds and print a line a contestant."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    set_quiet(True)
    trials = [
        Trial(r["prompt"] + r["canonical_solution"], r["prompt"], r["test"], r["entry_point"])
        for _, r in read_jsonl(options.data / "HumanEval.jsonl.gz")
    ]
    contestants: dict[str, Callable[[Sequence[Trial]], int]] = {
        kind: confined(kind) for kind in KINDS if sandbox._holds(kind)
    }
    contestants["no sandbox"] = unconfined
    speeds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(options.rounds):
        for name, run in contestants.items():
            begun = time.perf_counter()
            passed = run(trials)
            speeds[name].append(len(trials) / (time.perf_counter() - begun))
            if passed < len(trials):
                sys.exit(f"{name}: {len(trials) - passed} of the solutions did not pass")
    print(f"{len(trials)} trials, {os.cpu_count()} at a time; the goal is {GOAL} a second")
    for name, each in speeds.items():
        print(f"{name:12}  {median(each):6.1f} trials/s  ({min(each):.1f} to {max(each):.1f})")


def confined(kind: str) -> Callable[[Sequence[Trial]], int]:
    """How many trials pass in that kind of sandbox."""

    def run(trials: Sequence[Trial]) -> int:
        sandbox.sandbox_kind = lambda: kind
        return sum(outcome.passed for _, outcome in run_trials(trials, kind))

    return run


def unconfined(trials: Sequence[Trial]) -> int:
    """How many trials pass in a bare process each."""

    def run(trial: Trial) -> bool:
        text = f"{trial.program}\n{trial.test}\ncheck({trial.entry_point})"
        return subprocess.run([sys.executable, "-s", "-S", "-P", "-c", text]).returncode == 0

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return sum(pool.map(run, trials))


if __name__ == "__main__":
    main()
