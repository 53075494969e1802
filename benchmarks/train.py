"""Speed of training, side by side in one run: understudy and TRL's SFTTrainer.

Both fine-tune the same model, of a published shape and at random init, on the same dialogues, once
over all of them, in as many optimizer steps. Both take the loss on the assistant's tokens alone;
that they mean the same tokens is checked, dialogue by dialogue. understudy is its whole train
stage; TRL has the settings that are best of those it documents (benchmarks/peers/run_trl.py says
which, and why). Each run is a process of its own, in rounds. The first two steps, in which memory
is first touched, do not count; tokens/s are the tokens of dialogues, no filling, in the others, by
their seconds. Peak memory is that of the whole process (of the GPU where there is one).

The floor is printed first: training takes 6 floating-point operations a token and weight, where the
embeddings are looked up and the head is a weight, at the speed at which this machine is seen to
multiply matrices at the start of each round. `of floor` is a run's share of that. `of needed` is
the same with the head at supervised tokens alone, which is all that the loss needs. Neither counts
attention.

The models' tokenizer is a byte-level BPE of up to 16,000 entries trained on the texts at hand; the
embedding and the head have the rows of the published vocabulary, of which those beyond it cost the
same and are never wanted. Alpaca: the dialogues of alpaca_en_demo.json in the folder
UNDERSTUDY_DATA. ShareGPT-like: turns drawn to the moments that were published of ShareGPT, filled
with the words of real answers one after the other, and cut between turns into dialogues that fit
the context, as Vicuna's were. Without the folder both have drawn lengths and invented words.

    sh benchmarks/peers/setup.sh          # TRL, once; if it is missing, understudy runs alone
    python benchmarks/train.py [--shape gpt2 llama] [--data alpaca sharegpt] [--dtype fp32 bf16]
    python benchmarks/train.py --rounds 1 --trl packed:1 packed:2 padded:4 padded:8+checkpointing
    python benchmarks/train.py --curves   # losses of the same steps, unpacked, in fp32
    python benchmarks/train.py --device cuda   # not yet run: no GPU was at hand

The default takes about half an hour on two cores, most of it TRL's. A way of TRL's is `packed` or
`padded`, the rows or dialogues a forward pass, and what is switched on: `+checkpointing`,
`+compile`. On a CPU the default is `packed:1`, the others are there to be tried. With --device cuda
the shapes are LLaMA's of 1.1B and 7B, the latter with checkpointing on both sides, the context is
2,048 and Liger's kernels and flash attention are TRL's where they are installed.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import cycle
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import torch
from peers.training import (
    LENGTHS,
    SEED,
    SHAPES,
    choose,
    drawn,
    invented,
    read_real,
    save_model,
    train_tokenizer,
)
from transformers.utils import logging

from understudy.dialogue import Dialogue, write_dialogues
from understudy.train.data import Schedule
from understudy.train.speed import matmul_flops

HERE = Path(__file__).parent
PEERS = HERE.parent / ".peers"
TRL = PEERS / "trl" / "bin" / "python"
GOALS = {
    ("cpu", "fp32"): "2.5 times TRL's tokens/s, half its peak",
    ("cpu", "bf16"): "6 times TRL's tokens/s, half its peak",
    ("cuda", "fp32"): "0.60 of the needed work",
    ("cuda", "bf16"): "0.60 of the needed work",
}
WARM = 2  # steps that are not timed
CURVE_STEPS, CURVE_DIALOGUES = 10, 4  # the latter a step, at most
Counts = list[tuple[int, int]]  # tokens and supervised tokens of dialogues

DEFAULTS: dict[str, dict[str, Any]] = {
    "cpu": {
        "shape": ["gpt2", "llama"],
        "dtype": ["fp32", "bf16"],
        "context": 1024,
        "steps": 4,
        "step_rows": 2,
        "matmul": 1024,
    },
    "cuda": {
        "shape": ["llama-1.1b", "llama-7b"],
        "dtype": ["bf16"],
        "context": 2048,
        "steps": 6,
        "step_rows": 16,
        "matmul": 8192,
    },
}


@dataclass(frozen=True)
class Job:
    """What a runner in benchmarks/peers is asked to do; one ignores what only the other knows."""

    model: str
    data: str
    out: str
    device: str
    dtype: str
    context: int
    packing: bool = True
    checkpointing: bool = False
    compile: bool = False
    learning_rate: float = 1e-4
    seed: int = SEED
    # understudy's
    batch_tokens: int = 1
    batch_dialogues: int | None = None
    micro_batch_tokens: int = 1
    # TRL's
    per_device: int = 1
    accumulation: int = 1
    order: str = "random"


@dataclass(frozen=True)
class Run:
    """Steps with their seconds, tokens, supervised tokens and loss; the dialogues; peak MiB."""

    steps: list[dict[str, float]]
    dialogues: Counts
    peak_mib: float

    def tokens_per_s(self) -> float:
        counted = self.steps[WARM:]
        return sum(row["tokens"] for row in counted) / sum(row["seconds"] for row in counted)

    def total(self, key: str) -> float:
        return sum(row[key] for row in self.steps)


def run(name: str, job: Job) -> Run:
    """Let one contestant train, in a process of its own."""
    out = Path(tempfile.mkdtemp(dir=job.out))
    python, script = (
        (TRL, "run_trl.py") if name != "understudy" else (sys.executable, "run_train.py")
    )
    command = [
        str(python),
        str(HERE / "peers" / script),
        json.dumps(asdict(replace(job, out=str(out)))),
    ]
    environment = os.environ | {"HF_HOME": str(out), "HF_HUB_OFFLINE": "1"}
    if job.device == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = ""
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
    finally:
        shutil.rmtree(out)  # with the student that understudy saves
    if done.returncode:
        raise SystemExit(f"{name}: exit status {done.returncode}\n{done.stderr[-2000:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    dialogues = sorted((size, supervised) for size, supervised in found["dialogues"])
    return Run(found["steps"], dialogues, found["peak_mib"])


def check(name: str, done: Run, steps: int, counts: Counts) -> None:
    """See that a contestant trained on all dialogues, on the same tokens of them, in all steps."""
    if done.dialogues != sorted(counts):
        raise SystemExit(f"{name}: trains on other tokens than understudy's template has")
    wanted = (steps, *(sum(column) for column in zip(*counts, strict=True)))
    got = (len(done.steps), done.total("tokens"), done.total("supervised"))
    if got != wanted:
        raise SystemExit(f"{name}: {got} steps, tokens and supervised tokens, {wanted} wanted")


def way_of_trl(way: str, job: Job, dialogues: int, options: argparse.Namespace) -> Job:
    """TRL's job: packed or padded, rows or dialogues a forward pass, what is switched on."""
    kind, *switches = way.split("+")
    kind, _, size = kind.partition(":")
    packed, per_device = kind == "packed", int(size)
    in_all = options.steps * options.step_rows if packed else dialogues
    accumulation = -(-in_all // (options.steps * per_device))
    return replace(
        job,
        packing=packed,
        per_device=per_device,
        accumulation=accumulation,
        order="random" if packed else "group_by_length",
        checkpointing=job.checkpointing or "checkpointing" in switches,
        compile="compile" in switches,
    )


def matmul_rate(dtype: str, options: argparse.Namespace) -> float:
    """Floating-point operations a second of large matrix products, just now."""
    side = options.matmul
    rate = matmul_flops(dtype, torch.device(options.device), side, side, side)
    if options.device == "cuda":
        torch.cuda.empty_cache()
    return rate


def spread(values: Sequence[float], form: str) -> str:
    """The median and the range."""
    return f"{median(values):{form}} ({min(values):{form}}-{max(values):{form}})"


@dataclass(frozen=True)
class Model:
    """A saved one, and the weights of its body (embeddings aside) and of its head."""

    name: str
    folder: Path
    body: int
    head: int


def compare(model: Model, data: str, job: Job, counts: Counts, options: argparse.Namespace) -> None:
    """Speed and memory in every number format, each with its floor."""
    share = sum(supervised for _, supervised in counts) / sum(size for size, _ in counts)
    for dtype in options.dtype:
        jobs = {"understudy": replace(job, dtype=dtype)}
        for way in options.trl:
            jobs[f"TRL {way}"] = way_of_trl(way, jobs["understudy"], len(counts), options)
        runs_of: dict[str, list[Run]] = {name: [] for name in jobs}
        floors, needed = [], []
        for number in range(options.rounds):
            rate = matmul_rate(dtype, options)
            floors.append(rate / (6 * (model.body + model.head)))
            needed.append(rate / (6 * (model.body + share * model.head)))
            if number == 0:
                print(
                    f"\n{model.name}, {data}, {dtype}: floor {floors[0]:,.0f} tokens/s, "
                    f"{needed[0]:,.0f} with the head at supervised tokens alone, at "
                    f"{rate / 1e9:,.0f} GFLOP/s of matrix products"
                )
            for name, its in jobs.items():
                runs_of[name].append(done := run(name, its))
                check(name, done, options.steps, counts)
        say_table(runs_of, floors, needed)
        print(f"goal: {GOALS[options.device, dtype]}")


def say_table(runs_of: dict[str, list[Run]], floors: list[float], needed: list[float]) -> None:
    """Medians and ranges over the rounds; shares and ratios are of the same round."""
    titles = ("tokens/s", "of floor", "of needed", "peak MiB", "understudy's speed", "and peak")
    print(f"{'':28}" + "".join(f"{title:>22}" for title in titles))
    ours = runs_of["understudy"]
    for name, done in runs_of.items():
        speeds = [one.tokens_per_s() for one in done]
        cells = [
            spread(speeds, ",.0f"),
            spread([speed / least for speed, least in zip(speeds, floors, strict=True)], ".2f"),
            spread([speed / least for speed, least in zip(speeds, needed, strict=True)], ".2f"),
            spread([one.peak_mib for one in done], ",.0f"),
        ]
        if name != "understudy":
            pairs = list(zip(ours, done, strict=True))
            ratios = [our.tokens_per_s() / one.tokens_per_s() for our, one in pairs]
            cells.append(spread(ratios, ".2f"))
            cells.append(spread([our.peak_mib / one.peak_mib for our, one in pairs], ".2f"))
        print(f"{name:28}" + "".join(f"{cell:>22}" for cell in cells))


def say_curves(dialogues: list[Dialogue], job: Job, counts: Counts, with_trl: bool) -> None:
    """Losses of the same steps, TRL reading the dialogues in the order in which understudy does.

    TRL takes them one by one. If the losses agree, its step's is the mean over all of the step's
    supervised tokens, as understudy's is, and not a mean of the dialogues' means.
    """
    each = min(CURVE_DIALOGUES, len(dialogues) // CURVE_STEPS)
    count = each * CURVE_STEPS
    write_dialogues(Path(job.data), dialogues[:count])
    schedule = Schedule(count, each, 1.0, SEED)
    order = [index for step in range(schedule.steps) for index in schedule.indices(step)]
    ordered = Path(job.data).with_name("ordered.jsonl")
    write_dialogues(ordered, (dialogues[index] for index in order))
    ours = replace(job, packing=False, batch_dialogues=each)
    jobs = {"understudy": ours}
    if with_trl:
        jobs["TRL"] = replace(ours, data=str(ordered), order="sequential", accumulation=each)
    runs = {name: run(name, its) for name, its in jobs.items()}
    for name, done in runs.items():
        check(name, done, CURVE_STEPS, counts[:count])
        print(f"{name:24}" + " ".join(f"{row['loss']:8.4f}" for row in done.steps))
    if with_trl:
        pairs = zip(*(done.steps for done in runs.values()), strict=True)
        largest = max(abs(one["loss"] - other["loss"]) for one, other in pairs)
        print(f"largest difference {largest:.1e}, to be at most 1e-3")


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder on the repository's disk; the system's own temporary one may be in memory."""
    PEERS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=PEERS) as folder:
        yield Path(folder)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", choices=DEFAULTS, default="cpu")
    parser.add_argument("--shape", nargs="+", choices=SHAPES)
    parser.add_argument("--data", nargs="+", choices=LENGTHS, default=list(LENGTHS))
    parser.add_argument("--dtype", nargs="+", choices=("fp32", "bf16"))
    parser.add_argument("--context", type=int)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument(
        "--steps", type=int, help="optimizer steps, of which the first two are not timed"
    )
    parser.add_argument("--step-rows", type=int, help="rows as long as the context, in a step")
    parser.add_argument("--micro-batch-tokens", type=int, help="understudy's, a forward pass")
    parser.add_argument("--trl", nargs="*", metavar="WAY", help="TRL's; none: understudy alone")
    parser.add_argument("--curves", action="store_true", help="losses in place of speed")
    parser.add_argument("--folder", type=Path, default=os.environ.get("UNDERSTUDY_DATA"))
    options = parser.parse_args()
    for name, value in DEFAULTS[options.device].items():
        if getattr(options, name, None) is None:
            setattr(options, name, value)
    if options.curves:
        options.steps = CURVE_STEPS
    if not TRL.exists():
        print("TRL: not installed; run: sh benchmarks/peers/setup.sh")
        options.trl = []
    return options


def main() -> None:
    options = parse()
    logging.disable_progress_bar()
    real, texts = [], invented(random.Random(SEED))
    if options.folder:
        real, texts = read_real(options.folder)
        random.Random(SEED).shuffle(real)
    tokenizer = train_tokenizer([turn.content for turns in real for turn in turns] + texts)
    print(f"tokenizer of {len(tokenizer):,} entries; {'real' if real else 'invented'} texts")
    context, rows = options.context, options.steps * options.step_rows
    chosen_ways = options.trl
    for name in options.shape:
        shape = SHAPES[name]
        if chosen_ways is None:
            options.trl = [f"packed:{max(1, shape.micro_batch_tokens // context)}"]
        with scratch() as folder:
            weights = save_model(shape, context, tokenizer, options.device, folder / "model")
            model = Model(name, folder / "model", *weights)
            for data in options.data:
                lengths = LENGTHS[data]
                is_real = bool(real) and data == "alpaca"
                source = cycle(real) if is_real else drawn(lengths, texts, tokenizer, context)
                dialogues, counts = choose(source, tokenizer, rows, context)
                job = Job(
                    model=str(model.folder),
                    data=str(folder / f"{data}.jsonl"),
                    out=str(folder),
                    device=options.device,
                    dtype="fp32",
                    context=context,
                    checkpointing=shape.checkpointing,
                    batch_tokens=round(sum(size for size, _ in counts) / options.steps),
                    micro_batch_tokens=options.micro_batch_tokens or shape.micro_batch_tokens,
                )
                say_data(name, data, counts, options.steps)
                if options.curves:
                    say_curves(dialogues, job, counts, bool(options.trl))
                else:
                    write_dialogues(Path(job.data), dialogues)
                    compare(model, data, job, counts, options)


def say_data(shape: str, data: str, counts: Counts, steps: int) -> None:
    sizes, supervised = zip(*counts, strict=True)
    quartiles = "/".join(f"{quartile:.0f}" for quartile in quantiles(sizes))
    print(
        f"\n{shape}, {data}: {len(sizes)} dialogues of {sum(sizes):,} tokens (quartiles "
        f"{quartiles}), {sum(supervised) / sum(sizes):.0%} supervised; {steps} steps"
    )


if __name__ == "__main__":
    main()
