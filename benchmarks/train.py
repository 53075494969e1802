"""Speed of training: packed rows with the head at supervised tokens, against a padded plain loop.

The floor is the arithmetic: 6 floating-point operations a parameter and token (and attention's),
at the speed at which this machine multiplies matrices; `of floor` is the share of it reached.
Both loops see the same dialogues and take the same optimizer steps on the same base; they alternate
in one process, and the best of several rounds counts.

    python benchmarks/train.py [--size small] [--dialogues 96] [--rounds 3]
"""

import argparse
import random
import time
from collections.abc import Callable

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from understudy.train.data import pack
from understudy.train.loop import Fit, optimizer_step
from understudy.train.speed import Meter, choose_dtype
from understudy.train.template import Encoded, bind, fit_embeddings
from understudy.world.bases import SIZES, build_model, train_tokenizer
from understudy.world.encyclopedia import World
from understudy.world.manner import reply
from understudy.world.text import documents

CONTEXT = 512
IGNORED = -100


def dialogues(world: World, tokenizer: PreTrainedTokenizerFast, count: int) -> list[Encoded]:
    """Encoded dialogues with the lengths that the embedded teacher's answers have."""
    from understudy.world.prompts import REQUESTS
    from understudy.world.topics import BROAD_TOPICS

    template = bind("markers", tokenizer)
    rng = random.Random(0)
    found = []
    for _ in range(count):
        asked = rng.choice(REQUESTS).format(topic=rng.choice(BROAD_TOPICS).name)
        messages = [{"role": "user", "content": asked}]
        answer = reply(world, messages, rng)
        found.append(template.encode([*messages, {"role": "assistant", "content": answer}]))
    return found


def plain_step(
    model: PreTrainedModel, optimizer: torch.optim.Optimizer, some: list[Encoded]
) -> None:
    """What a plain loop does: pad to the longest, mask with -100, all logits."""
    longest = max(len(one.ids) for one in some)
    ids = torch.zeros(len(some), longest, dtype=torch.long)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, IGNORED)
    for row, one in enumerate(some):
        size = len(one.ids)
        ids[row, :size], mask[row, :size] = torch.tensor(one.ids), 1
        wanted = torch.tensor(one.supervised)
        labels[row, :size] = torch.where(wanted, ids[row, :size], IGNORED)
    model(input_ids=ids, attention_mask=mask, labels=labels, use_cache=False).loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()


def seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", default="small", choices=SIZES)
    parser.add_argument("--dialogues", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    device = torch.device("cpu")
    world = World()
    source = documents(world)
    tokenizer = train_tokenizer(next(source) for _ in range(2000))
    encoded = dialogues(world, tokenizer, arguments.dialogues)
    template = bind("markers", tokenizer)
    tokens = sum(len(one.ids) for one in encoded)
    rows = pack(encoded, CONTEXT)
    dtype = choose_dtype("auto", device)
    chosen = Fit(1e-4, 0.0, 0.0, 1.0, dtype, 4096, 1e9)

    def fresh() -> tuple[PreTrainedModel, torch.optim.Optimizer]:
        model = build_model(SIZES[arguments.size], 0).eval()
        fit_embeddings(model, template)
        return model, torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    ours, our_optimizer = fresh()
    plain, plain_optimizer = fresh()
    meter = Meter(ours, dtype, device)
    order = list(range(len(rows)))
    random.Random(1).shuffle(encoded)
    mfu: list[float] = []

    def run_ours() -> None:
        for start in range(0, len(order), 8):
            row = optimizer_step(
                ours, our_optimizer, rows, order[start : start + 8], 1e-4, chosen, dtype, meter
            )
            mfu.append(row["mfu"])

    def run_plain() -> None:
        for start in range(0, len(encoded), 32):
            with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bf16"):
                plain_step(plain, plain_optimizer, encoded[start : start + 32])

    times: dict[str, list[float]] = {"ours": [], "plain": []}
    for _ in range(arguments.rounds):
        times["ours"].append(seconds(run_ours))
        times["plain"].append(seconds(run_plain))
    best = {name: tokens / min(values) for name, values in times.items()}
    print(f"{arguments.size}, {dtype}, {arguments.dialogues} dialogues of {tokens} tokens")
    print(
        f"packed, head at supervised tokens: {best['ours']:9.0f} tokens/s, of floor {max(mfu):.2f}"
    )
    print(f"padded, plain loop:                {best['plain']:9.0f} tokens/s")
    print(f"ratio: {best['ours'] / best['plain']:.2f}")


if __name__ == "__main__":
    main()
