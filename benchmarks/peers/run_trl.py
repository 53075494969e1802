"""TRL's SFTTrainer fine-tunes, with those of its documented settings that are best on the machine.

    .peers/trl/bin/python benchmarks/peers/run_trl.py JOB

JOB is a JSON object (benchmarks/train.py, `Job`). Prints a JSON object: the optimizer steps with
their seconds, tokens, supervised tokens and loss; tokens and supervised tokens of every dialogue;
the peak of memory in MiB. The seconds of a step are those since the end of the one before, so that
loading the data counts.

What was chosen, and why:

- assistant_only_loss, which takes the loss where the chat template's generation markers say.
- packing with bfd, which keeps dialogues whole and, being padding-free, apart: on a GPU by flash
  attention, on a CPU by a mask over the whole line of tokens. Flash attention has no CPU version
  and FlexAttention no backward pass there, so more rows at once cost more on a CPU.
- Without packing, padded: batches of similar length (train_sampling_strategy group_by_length).
  padding_free without packing is refused by TRL together with max_length.
- The loss, nll: since TRL 1.16 its head runs in tiles and never holds all logits; on a GPU it skips
  tokens without a label, elsewhere it computes them and throws them away.
- gradient_checkpointing off, TRL's default being on, unless the job asks: it is slower.
- adamw_torch_fused; fp32 weights, and bf16 by autocast, as understudy has them.
- On a GPU Liger's layer kernels, where they are installed, and the newest flash attention that is;
  without one FlexAttention. Liger's kernels need Triton, so there are none on a CPU.
- No reports, no checkpoints, no logs.
"""

import json
import sys
import time
from importlib.util import find_spec
from typing import Any

import torch
from datasets import Dataset
from memory import peak_mib
from transformers import AutoTokenizer, TrainerCallback
from transformers.utils import is_flash_attn_2_available, is_flash_attn_3_available
from trl import SFTConfig, SFTTrainer

IGNORED = -100


class Measured(SFTTrainer):
    """Counts what goes through the model between the ends of two optimizer steps."""

    tokens = supervised = 0
    loss = 0.0

    def training_step(self, model: Any, inputs: dict[str, Any], *rest: Any) -> torch.Tensor:
        labels, mask = inputs["labels"], inputs.get("attention_mask")
        self.tokens += labels.numel() if mask is None else int(mask.sum())
        self.supervised += int((labels != IGNORED).sum())
        loss = super().training_step(model, inputs, *rest)
        self.loss += float(loss)
        return loss


class Clock(TrainerCallback):
    """Notes a row at the end of each optimizer step."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []
        self.trainer: Measured
        self.since = 0.0

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.since = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now, trainer = time.perf_counter(), self.trainer
        counts = {"tokens": trainer.tokens, "supervised": trainer.supervised, "loss": trainer.loss}
        self.rows.append({"seconds": now - self.since} | counts)
        trainer.tokens, trainer.supervised, trainer.loss, self.since = 0, 0, 0.0, now


def settings(job: dict[str, Any]) -> SFTConfig:
    on_gpu = job["device"] == "cuda"
    model = {"dtype": "float32", "attn_implementation": attention() if on_gpu else "sdpa"}
    return SFTConfig(
        output_dir=job["out"],
        model_init_kwargs=model,
        max_length=job["context"],
        packing=job["packing"],
        packing_strategy="bfd",
        assistant_only_loss=True,
        loss_type="nll",
        per_device_train_batch_size=job["per_device"],
        gradient_accumulation_steps=job["accumulation"],
        num_train_epochs=1,
        train_sampling_strategy=job["order"],
        learning_rate=job["learning_rate"],
        lr_scheduler_type="constant",
        optim="adamw_torch_fused",
        adam_beta1=0.9,
        adam_beta2=0.95,
        weight_decay=0.0,
        max_grad_norm=1.0,
        bf16=job["dtype"] == "bf16",
        gradient_checkpointing=job["checkpointing"],
        torch_compile=job["compile"],
        use_liger_kernel=on_gpu and find_spec("liger_kernel") is not None,
        use_cpu=not on_gpu,
        dataloader_pin_memory=on_gpu,
        report_to="none",
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        seed=0,
    )


def attention() -> str:
    """The fastest that is installed of those which keep packed dialogues apart without a mask."""
    if is_flash_attn_3_available():
        return "flash_attention_3"
    return "flash_attention_2" if is_flash_attn_2_available() else "flex_attention"


def dialogues_of(rows: Dataset) -> list[tuple[int, int]]:
    """Tokens and supervised tokens of every dialogue that TRL trains on."""
    found = []
    for row in rows:
        start = 0
        for length in row.get("seq_lengths") or [len(row["input_ids"])]:
            labels = row["labels"][start : start + length]
            # The first has no predecessor that could foretell it.
            found.append((length, sum(label != IGNORED for label in labels[1:])))
            start += length
    return found


def main(job: dict[str, Any]) -> None:
    with open(job["data"]) as lines:
        messages = [{"messages": json.loads(line)["turns"]} for line in lines]
    clock = Clock()
    trainer = clock.trainer = Measured(
        model=job["model"],
        args=settings(job),
        train_dataset=Dataset.from_list(messages),
        processing_class=AutoTokenizer.from_pretrained(job["model"]),
        callbacks=[clock],
    )
    dialogues = dialogues_of(trainer.train_dataset)
    trainer.train()
    print(json.dumps({"steps": clock.rows, "dialogues": dialogues, "peak_mib": peak_mib()}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
