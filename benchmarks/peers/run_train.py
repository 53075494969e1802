"""understudy fine-tunes, as its train stage does.

    python benchmarks/peers/run_train.py JOB

JOB is a JSON object (benchmarks/train.py, `Job`). Prints a JSON object: the optimizer steps with
their seconds, tokens, supervised tokens and loss, as the stage logs them; tokens and supervised
tokens of every dialogue; the peak of memory in MiB.
"""

import json
import sys
from pathlib import Path
from typing import Any

from memory import peak_mib

from understudy.dialogue import read_dialogues
from understudy.models import load_tokenizer
from understudy.progress import set_quiet
from understudy.recipe import TrainSettings
from understudy.train.stage import train
from understudy.train.template import bind


def settings(job: dict[str, Any]) -> TrainSettings:
    return TrainSettings(
        template="own",
        context=job["context"],
        packing=job["packing"],
        batch_tokens=job["batch_tokens"],
        batch_dialogues=job["batch_dialogues"],
        micro_batch_tokens=job["micro_batch_tokens"],
        learning_rate=job["learning_rate"],
        schedule="constant",
        warmup=0.0,
        weight_decay=0.0,
        clip=1.0,
        dtype=job["dtype"],
        gradient_checkpointing=job["checkpointing"],
        compile=job["compile"],
        checkpoint_every_s=1e9,
    )


def dialogues_of(job: dict[str, Any]) -> list[tuple[int, int]]:
    """Tokens and supervised tokens of every dialogue that the stage trains on."""
    template = bind("own", load_tokenizer(job["model"]))
    encoded = [template.encode(one.messages()) for one in read_dialogues(Path(job["data"]))]
    return [(len(one.ids), sum(one.supervised[1:])) for one in encoded]


def main(job: dict[str, Any]) -> None:
    out = Path(job["out"])
    train(job["model"], Path(job["data"]), None, settings(job), out, seed=job["seed"])
    peak = peak_mib()
    logged = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    steps = [row for row in logged if "loss" in row]
    print(json.dumps({"steps": steps, "dialogues": dialogues_of(job), "peak_mib": peak}))


if __name__ == "__main__":
    set_quiet(True)
    main(json.loads(sys.argv[1]))
