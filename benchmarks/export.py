"""GGUF files beside the model they were made of: same tokens, perplexity, speed and memory.

For the student of each run, and for a GPT-2-shaped model that is trained here, for a minute, on the
first run's dialogues:

- Same tokens: the prompts of up to 50 held-out dialogues, as the run's template writes them, are
  completed greedily, 64 tokens at most, by transformers in fp32 and by gpt4all (llama.cpp inside)
  from the f16 file. Counted are the places at which both have the same token. After a first
  difference texts go apart, and whatever follows counts as different. For each first difference the
  gap between both tokens' logits in transformers is told: where it is near nothing, rounding
  decides. (llama.cpp rounds the activations that an f16 matrix is multiplied with to f16.)
  At least 98 % must be the same, or the script fails.
- Perplexity: of the assistant's tokens of up to 100 held-out dialogues, as the files' weights have
  it (`load_gguf`), with a 95 % bootstrap interval of its ratio to the original's. q4_0's ratio must
  be 1.02 at most, or the script fails.

Speed and memory say nothing at these sizes. They are taken of a LLaMA-shaped model with 88M random
weights, as each runtime completes prompts in a process of its own, in rounds: tokens/s of the
prompt, tokens/s of what follows the first token, the peak of the process's resident memory.

    python benchmarks/export.py RUN [RUN ...] [--rounds 3] [--threads 2]
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.utils import logging

from understudy.dialogue import read_dialogues
from understudy.evaluate.engines.local import LocalEngine
from understudy.evaluate.engines.text import Row
from understudy.export.gguf import QUANTS, write_gguf
from understudy.export.gguf_read import load_gguf
from understudy.export.quality import Losses, perplexity, ratio
from understudy.export.student import Student, student_at
from understudy.exporting import rows_of
from understudy.models import load_model, load_tokenizer

RUNNER = Path(__file__).parent / "peers" / "run_gguf.py"
PROMPTS, MOST = 50, 64
LEAST_ALIKE, MOST_LOST = 0.98, 1.02  # bounds, of same tokens and of q4_0's perplexity ratio
STEPS, BATCH, LENGTH = 300, 8, 128  # of the GPT-2-shaped model's training
SEED = 0


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+", help="folders of finished runs")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    students = [student_at(run) for run in asked.runs]
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        for student in students:
            rows = rows_of(student, student.heldout())
            report(student.name, student.model, rows, work / student.name, asked.threads)
        shaped = train_gpt2(students[0], work / "gpt2")
        rows = rows_of(students[0], students[0].heldout())
        report("GPT-2-shaped", shaped, rows, work / "gpt2-files", asked.threads)
        speed(students[0].model, work / "large", asked.rounds, asked.threads)


def report(name: str, model: Path, rows: Sequence[Row], work: Path, threads: int) -> None:
    """Print how alike a model and its files are."""
    print(f"{name} ({load_model(str(model)).num_parameters():,} parameters)")
    files = write_files(model, work)
    same_tokens(model, files["f16"], rows, work, threads)
    before = losses(LocalEngine(str(model)), rows)
    tokens = sum(count for _, count in before)
    print(f"  perplexity of {len(rows)} dialogues, {tokens} tokens: {perplexity(before):.4f}")
    for quant, file in files.items():
        after = losses(LocalEngine(str(file), loaded=load_gguf(file)), rows)
        times = ratio(before, after, SEED)
        print(
            f"    {quant:5} {perplexity(after):.4f}, × {times['value']} "
            f"[{times['low']}, {times['high']}]; {file.stat().st_size / 2**20:.2f} MiB"
        )
        if quant == "q4_0" and times["value"] > MOST_LOST:
            raise SystemExit(f"{name}: q4_0 loses more than the bound, × {MOST_LOST}")


def write_files(model: Path, folder: Path) -> dict[str, Path]:
    """A model's files by kind of quantisation."""
    files = {quant: folder / f"{quant}.gguf" for quant in QUANTS}
    for quant, file in files.items():
        write_gguf(model, file, quant, {"name": "benchmark"})
    return files


def losses(engine: LocalEngine, rows: Sequence[Row]) -> Losses:
    """Nats and tokens of each dialogue's answers."""
    read = {row: values for row, values, _ in engine.weigh(rows, "perplexity")}
    return [(-sum(read[row]), len(read[row])) for row in range(len(rows))]


def same_tokens(model: Path, file: Path, rows: Sequence[Row], work: Path, threads: int) -> None:
    """Print how many tokens of greedy answers are the same."""
    tokenizer, loaded = load_tokenizer(str(model)), load_model(str(model))
    starts = [row.ids[: row.reads[0][0] + 1] for row in rows]
    room = loaded.config.max_position_embeddings - MOST
    prompts = [tokenizer.decode(ids) for ids in starts if len(ids) <= room][:PROMPTS]
    plain, other = (complete(path, prompts, work, threads)["answers"] for path in (model, file))
    alike = total = read = 0
    gaps = []
    for one, two in zip(plain, other, strict=True):
        read += one["asked"] == two["asked"]
        both = list(zip(one["told"], two["told"], strict=False))
        alike += sum(left == right for left, right in both)
        total += max(len(one["told"]), len(two["told"]))
        if one["told"] != two["told"]:
            gaps.append(gap(loaded, one["asked"], one["told"], two["told"]))
    print(f"  {len(prompts)} prompts, {read} of them the same tokens to both")
    print(f"  greedy: {alike} of {total} tokens the same ({100 * alike / total:.2f} %)")
    if alike < LEAST_ALIKE * total:
        raise SystemExit(f"{model}: fewer tokens are the same than the bound, {LEAST_ALIKE:.0%}")
    if gaps:
        told = ", ".join(f"{one:.2g}" for one in sorted(gaps))
        print(f"    {len(gaps)} answers differ; gaps of logits where they begin to: {told}")


@torch.inference_mode()
def gap(model: PreTrainedModel, asked: list[int], one: list[int], two: list[int]) -> float:
    """By how much a model prefers its own token to another's where two answers begin to differ.

    An answer that ends early differs by the end token.
    """
    end = model.generation_config.eos_token_id
    one, two = [*one, end], [*two, end]
    place = next(place for place in range(min(len(one), len(two))) if one[place] != two[place])
    logits = model(torch.tensor([asked + one[:place]])).logits[0, -1]
    return float(logits[one[place]] - logits[two[place]])


def complete(model: Path, prompts: Sequence[str], work: Path, threads: int) -> dict[str, Any]:
    """What a runtime answers, in a process of its own (see peers/run_gguf.py)."""
    work.mkdir(parents=True, exist_ok=True)
    (work / "prompts.json").write_text(json.dumps(prompts))
    command = [RUNNER, model, work / "prompts.json", MOST, threads]
    done = subprocess.run(
        [sys.executable, *map(str, command)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def build(config: PreTrainedConfig, folder: Path, like: Path) -> PreTrainedModel:
    """A random model with another's tokenizer."""
    torch.manual_seed(SEED)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    load_tokenizer(str(like)).save_pretrained(folder)
    return model


def vocabulary(model: Path) -> dict[str, Any]:
    """The part of a config that another's tokenizer decides."""
    tokenizer = load_tokenizer(str(model))
    names = ("bos_token_id", "eos_token_id", "pad_token_id")
    return {"vocab_size": len(tokenizer)} | {name: getattr(tokenizer, name) for name in names}


def train_gpt2(student: Student, folder: Path) -> Path:
    """A GPT-2-shaped model that has learnt a little of a run's dialogues, so that it prefers."""
    assert student.run is not None
    rows = rows_of(student, list(read_dialogues(student.run / "curate" / "train.jsonl")))
    ids = torch.tensor([token for row in rows for token in row.ids])
    config = GPT2Config(n_embd=128, n_layer=4, n_head=4, n_positions=256)
    config.update(vocabulary(student.model))
    model = build(config, folder, student.model).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(STEPS):
        starts = torch.randint(len(ids) - LENGTH, (BATCH,)).tolist()
        batch = torch.stack([ids[start : start + LENGTH] for start in starts])
        model(input_ids=batch, labels=batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    return folder


def speed(like: Path, folder: Path, rounds: int, threads: int) -> None:
    """Print speed and memory of every runtime on one large model."""
    config = LlamaConfig(
        hidden_size=768, intermediate_size=2048, num_hidden_layers=12, num_attention_heads=12
    )
    config.update(vocabulary(like))
    model = build(config, folder, like)
    model.save_pretrained(folder)
    print(f"LLaMA-shaped, {model.num_parameters():,} random weights, {threads} threads")
    tokenizer = load_tokenizer(str(like))
    prompts = [tokenizer.decode(torch.randint(2, 1000, (100,)).tolist()) for _ in range(5)]
    sides = {"transformers fp32": folder, **write_files(folder, folder / "files")}
    found = defaultdict(list)
    for _ in range(rounds):
        for side, path in sides.items():
            found[side].append(complete(path, prompts, folder, threads))
    for side, path in sides.items():
        rows = [row for one in found[side] for row in one["answers"] if "others" in row]
        read = median(len(row["asked"]) / row["first_s"] for row in rows)
        told = median(row["others"] / row["others_s"] for row in rows)
        peak = median(one["peak_mib"] for one in found[side])
        size = sum(
            file.stat().st_size for file in ([path] if path.is_file() else path.glob("*.s*"))
        )
        print(
            f"  {side:18} {size / 2**20:7.1f} MiB of weights; prompt {read:6.0f} tokens/s, "
            f"answer {told:6.1f} tokens/s; peak {peak:6.0f} MiB"
        )


if __name__ == "__main__":
    main()
