"""Speed of benchmarks, side by side in one run: understudy and lm-evaluation-harness.

Both take the same items with the same model, of a published shape and at random init, in the same
number format: MMLU with 5 examples, whose options are weighed, and Natural Questions with 3, whose
answers are generated. Every run is a process of its own, in rounds. Its seconds are those from the
questions as texts to the answers, tokenising included; imports, loading and reading are left out
for everybody. Peak memory is that of the whole process (of the GPU where there is one).

The harness (backend hf, benchmarks/peers/run_lm_eval.py) takes its own tasks, on the published
files, with each batch size that --peer-batch names. `auto` is its own search, whose trials it pays
for; it begins at --peer-max-batch, as the harness's own 64 rows of GPT-2's logits are 13 GB.

That both were asked the same and said the same is checked item by item, and printed.

The floor is printed first: what the texts begin with in common is computed once, the head runs only
where something is read, and every product goes at the speed at which this machine is seen to
multiply matrices at the start of each round. Attention counts, its softmax and all else do not.

Items of a subject share its examples, and the more of them there are, the more is gained by that:
--subjects takes whole ones, as a real run does; else --items are dealt out over all.

A model at random init seldom ends an answer, so that all run to the longest that is allowed:
--max-tokens shortens that on both sides, to what a trained model would need. --models takes trained
ones. The random models' tokenizers, byte-level or with LLaMA's ways, have up to 16,000 entries and
are trained on the texts at hand; the embedding and the head have the rows of the published one.

    sh benchmarks/peers/setup.sh             # the harness, once; if missing, understudy runs alone
    python benchmarks/evaluate.py --data DIR [--shape gpt2 llama] [--benchmark mmlu nq]
    python benchmarks/evaluate.py --data DIR --subjects anatomy nutrition --benchmark mmlu
    python benchmarks/evaluate.py --data DIR --parity [--models MODEL ...]
    python benchmarks/evaluate.py --data DIR --device cuda --dtype bf16 --peer-python python

--parity, in place of speed: small models at random init, the same after some training, and those
of --models take MMLU, Natural Questions, GSM8K, and ARC and HellaSwag with items made from others;
HumanEval's verdicts are compared on given programs. Exit status 1 if the goal is missed. DIR holds
the files as published; the default is the folder UNDERSTUDY_DATA.
"""

import argparse
import json
import os
import shutil
import sys
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import Any

from peers.evaluating import (
    MADE,
    SMALL,
    completions_of,
    link_data,
    questions_in,
    save_random,
    save_trained,
    subjects_in,
    texts_in,
)
from peers.sides import OURS, Job, Run, RunnerError, agreement, run, take
from peers.training import SHAPES
from transformers.utils import logging

from train import matmul_rate, scratch, spread
from understudy.evaluate.benchmarks import find_benchmark
from understudy.evaluate.sandbox import Trial, run_trials
from understudy.files import write_jsonl
from understudy.progress import set_quiet

HARNESS = Path(__file__).parents[1] / ".peers" / "lm_eval" / "bin" / "python"
GOALS = {"mmlu": 8.0, "nq": 3.0}  # times the harness's items/s, at its best batch size
PARITY = ("mmlu", "nq", "gsm8k", "arc_challenge", "hellaswag")

DEFAULTS: dict[str, dict[str, Any]] = {
    "cpu": {
        "shape": ["gpt2", "llama"],
        "dtype": ["fp32"],
        "peer_batch": ["auto", "1", "4"],
        "peer_max_batch": 8,
        "matmul": 1024,
    },
    "cuda": {
        "shape": ["llama-1.1b"],
        "dtype": ["bf16"],
        "peer_batch": ["auto", "16", "64"],
        "peer_max_batch": 64,
        "matmul": 8192,
    },
}


def job_of(name: str, model: str, dtype: str, data: Path, options: argparse.Namespace) -> Job:
    """The job that both sides have, apart from the harness's batch size."""
    benchmark = find_benchmark(name)
    whole = name == "mmlu" and options.subjects
    limit = None if whole else options.items
    groups = [item.group if name == "mmlu" else name for item in benchmark.items(data, limit)]
    return Job(
        benchmark=name,
        data=str(data),
        groups=groups,
        shots=benchmark.shots,
        device=options.device,
        dtype=dtype,
        max_tokens=options.max_tokens or benchmark.max_tokens,
        model=model,
        limit=limit,
        max_batch=options.peer_max_batch,
    )


# The same numbers


def parity(options: argparse.Namespace, folder: Path, data: Path) -> dict[str, Any]:
    """Every benchmark with every model, and HumanEval's verdicts on given programs."""
    made = folder / "made"
    link_data(data, subjects_in(data), made)
    for path, make in MADE.items():
        if not (made / path).exists():
            write_jsonl(made / path, make(data, options.items))
    found: dict[str, Any] = {"holds": True, "agreements": {}}
    models = saved(list(SMALL), options, folder, data)
    for name in SMALL:
        place = folder / f"trained {name}"
        save_trained(folder / name, questions_in(data), place)
        models[place.name] = str(place)
    for model, path in models.items():
        for name in options.benchmark or PARITY:
            job = job_of(name, path, "fp32", made, options)
            sides = [take(side, job, options.peer_python, folder) for side in (OURS, "lm-eval")]
            agreed = agreement(*sides)
            print(f"{model}, {name}, {len(set(job.groups))} groups: {agreed}")
            found["agreements"][f"{model}, {name}"] = asdict(agreed)
            found["holds"] &= agreed.holds
    found["verdicts"] = verdicts(options, folder, data)
    found["holds"] &= all(ours == theirs for ours, theirs in found["verdicts"].values())
    print("parity holds" if found["holds"] else "parity is missed")
    return found


def verdicts(options: argparse.Namespace, folder: Path, data: Path) -> dict[str, list[list[bool]]]:
    """By sort of program: which of them pass, on both sides."""
    sorts = completions_of(data, options.items)
    (file := folder / "completions.json").write_text(json.dumps(sorts))
    count = len(next(iter(sorts.values())))
    groups = ["humaneval"] * count
    job = Job("humaneval", str(data), groups, 0, "cpu", "fp32", 1, completions=str(file))
    theirs = run("lm-eval", job, options.peer_python, folder)
    found = {}
    for sort, completions in sorts.items():
        passed = [answer["marks"]["pass@1"] for answer in theirs[sort]["humaneval"]]
        found[sort] = [judged(data, completions), passed]
        same = sum(one == other for one, other in zip(*found[sort], strict=True))
        print(
            f"humaneval, a program that {sort}: understudy passes {sum(found[sort][0])} and the "
            f"harness {sum(passed)} of {count}; same verdicts {same}"
        )
    return found


def judged(data: Path, completions: list[str]) -> list[bool]:
    """Which completions of HumanEval's problems pass in understudy's sandbox."""
    items = find_benchmark("humaneval").items(data, len(completions))
    trials = [
        Trial(item.prompt + completion, item.prompt, item.test, item.entry_point)
        for item, completion in zip(items, completions, strict=True)
    ]
    ended = dict(run_trials(trials, "humaneval"))
    return [ended[index].passed for index in range(len(trials))]


# Speed


def speed(options: argparse.Namespace, folder: Path, data: Path) -> list[dict[str, Any]]:
    chosen = folder / "chosen"
    link_data(data, options.subjects or subjects_in(data), chosen)
    return [
        compare(
            f"{model}, {name}, {dtype}",
            job_of(name, place, dtype, chosen, options),
            options,
            folder,
        )
        for model, place in saved(options.shape, options, folder, data).items()
        for dtype in options.dtype
        for name in options.benchmark or GOALS
    ]


def compare(title: str, job: Job, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Speed and memory, the harness with each of its batch sizes; a size that fails is left out."""
    jobs = {OURS: job} | {f"lm-eval {b}": replace(job, batch=b) for b in options.peer_batch}
    runs: dict[str, list[Run]] = {name: [] for name in jobs}
    floors = []
    for number in range(options.rounds):
        print(f"{title}, round {number + 1}", file=sys.stderr)
        rate = matmul_rate(job.dtype, options)
        for name, its in jobs.items():
            try:
                runs[name].append(take(name, its, options.peer_python, folder))
            except RunnerError as failed:
                if name == OURS:
                    raise
                print(f"  {name}: {failed}", file=sys.stderr)
        floors.append(len(job.groups) * rate / runs[OURS][0].work["flops"])
        if number == 0:
            say_work(title, job, runs[OURS][0], floors[0], rate)
    whole = {name: done for name, done in runs.items() if len(done) == options.rounds}
    say_table(whole, floors)
    agreements = {
        name: agreement(whole[OURS][0], done[0]) for name, done in whole.items() if name != OURS
    }
    for name, agreed in agreements.items():
        print(f"{name}: {agreed}")
    if agreements:
        say_best(whole, GOALS.get(job.benchmark))
    return {
        "title": title,
        "items": len(job.groups),
        "work": whole[OURS][0].work,
        "floor_items_per_s": floors,
        "items_per_s": {name: [one.speed for one in done] for name, done in whole.items()},
        "peak_mib": {name: [one.peak_mib for one in done] for name, done in whole.items()},
        "agreements": {name: asdict(agreed) for name, agreed in agreements.items()},
    }


def say_work(title: str, job: Job, done: Run, floor: float, rate: float) -> None:
    work, sizes = done.work, Counter(job.groups)
    written = f", {work['written']:,} written" if work["written"] else ""
    print(
        f"\n{title}: {len(job.groups)} items in {len(sizes)} groups of {min(sizes.values())} to "
        f"{max(sizes.values())}; {work['asked']:,} tokens, {work['distinct']:,} of them distinct"
        f"{written}\nfloor {floor:,.2f} items/s: {work['flops'] / 1e12:,.2f} TFLOP, at "
        f"{rate / 1e9:,.0f} GFLOP/s of matrix products"
    )


def say_table(runs: dict[str, list[Run]], floors: list[float]) -> None:
    """Medians and ranges over the rounds; shares and ratios are of the same round."""
    titles = ("items/s", "of floor", "peak MiB", "understudy's speed", "and peak")
    print(f"{'':16}" + "".join(f"{title:>24}" for title in titles))
    for name, done in runs.items():
        pairs = list(zip(runs[OURS], done, strict=True))
        columns = [
            ([one.speed for one in done], ",.2f"),
            ([one.speed / floor for one, floor in zip(done, floors, strict=True)], ".2f"),
            ([one.peak_mib for one in done], ",.0f"),
        ]
        if name != OURS:
            columns.append(([ours.speed / one.speed for ours, one in pairs], ".2f"))
            columns.append(([ours.peak_mib / one.peak_mib for ours, one in pairs], ".2f"))
        print(f"{name:16}" + "".join(f"{spread(*column):>24}" for column in columns))


def say_best(runs: dict[str, list[Run]], goal: float | None) -> None:
    """Against the harness at its fastest."""
    speeds = {name: median(one.speed for one in done) for name, done in runs.items()}
    peaks = {name: median(one.peak_mib for one in done) for name, done in runs.items()}
    best = max(speeds.keys() - {OURS}, key=speeds.__getitem__)
    aim = f" (goal {goal:g})" if goal else ""
    print(
        f"{speeds[OURS] / speeds[best]:.2f} times the speed of {best}{aim}, "
        f"{peaks[OURS] / peaks[best]:.2f} of its peak (goal 1)"
    )


# All of it


def saved(
    shapes: list[str], options: argparse.Namespace, folder: Path, data: Path
) -> dict[str, str]:
    """Folders of models by name: of the shapes at random init, and given ones."""
    texts = list(texts_in(data)) if shapes else []
    for shape in shapes:
        save_random(shape, texts, options.device, folder / shape)
    return {shape: str(folder / shape) for shape in shapes} | {
        name: name for name in options.models
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=os.environ.get("UNDERSTUDY_DATA"))
    parser.add_argument("--parity", action="store_true", help="the same numbers, not speed")
    parser.add_argument("--device", choices=DEFAULTS, default="cpu")
    parser.add_argument("--shape", nargs="*", choices=SHAPES, help="at random init")
    parser.add_argument(
        "--models", nargs="*", default=[], help="trained ones' directories; without --shape, alone"
    )
    parser.add_argument("--benchmark", nargs="+", choices=PARITY)
    parser.add_argument("--items", type=int, default=400, help="of a benchmark")
    parser.add_argument("--subjects", nargs="+", help="MMLU's, whole; else --items over all")
    parser.add_argument("--dtype", nargs="+", choices=("fp32", "bf16"))
    parser.add_argument("--max-tokens", type=int, help="longest generated answer")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--peer-batch", nargs="*", help="none: understudy alone")
    parser.add_argument("--peer-max-batch", type=int, help="where the harness's auto begins")
    parser.add_argument("--peer-python", default=str(HARNESS), help="one that has lm_eval")
    parser.add_argument("--json", type=Path, help="a file for the results")
    options = parser.parse_args()
    if options.models and options.shape is None:
        options.shape = []
    for name, value in DEFAULTS[options.device].items():
        if getattr(options, name, None) is None:
            setattr(options, name, value)
    return options


def main() -> None:
    options = parse()
    logging.disable_progress_bar()
    set_quiet(True)
    if options.data is None:
        print("no published files: name their folder with --data, or in UNDERSTUDY_DATA")
        return
    if not shutil.which(options.peer_python):
        print("lm-evaluation-harness: not installed; run: sh benchmarks/peers/setup.sh")
        if options.parity:
            return
        options.peer_batch = []
    measure = parity if options.parity else speed
    with scratch() as folder:
        found = measure(options, folder, options.data)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2))
    if options.parity and not found["holds"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
