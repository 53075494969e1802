"""Several processes at one training, each with a device: who is who, and weights in shards.

`torchrun` starts them and says through the environment who they are. Weights, gradients and the
optimizer's state are sharded by torch's FSDP2 (fully_shard), one layer a group; each process takes
its share of a step's dialogues.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from transformers import PreTrainedModel

from understudy.progress import set_quiet

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Ranks:
    """The processes of a training.

    Attributes:
        rank: this one's number, from 0.
        count: how many there are.
        device: this one's.
    """

    rank: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the one that speaks and writes."""
        return self.rank == 0

    def sums(self, *values: float) -> list[float]:
        """Each value summed over all processes."""
        if self.count == 1:
            return list(values)
        together = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(together)
        return together.tolist()

    def wait(self) -> None:
        """Go on when all have come here."""
        if self.count > 1:
            dist.barrier()

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """The first does the block before the others do, who end quietly if it fails."""
        if not self.first and not self.sums(0)[0]:
            sys.exit(2)
        done = False
        try:
            yield
            done = True
        finally:
            if self.first:
                self.sums(done)


def alone() -> Ranks:
    """This process as the only one, with the device that is its own."""
    if not torch.cuda.is_available():
        return Ranks(0, 1, CPU)
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    torch.cuda.set_device(device)
    return Ranks(0, 1, device)


@contextmanager
def joined() -> Iterator[Ranks]:
    """The processes of this training: those that torchrun started, or this one alone."""
    count, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
    one = alone()
    if count == 1:
        yield one
        return
    dist.init_process_group("nccl" if one.device.type == "cuda" else "gloo")
    try:
        if rank:
            set_quiet(True)
        yield Ranks(rank, count, one.device)
    finally:
        dist.destroy_process_group()


def shard(trainee: nn.Module, model: PreTrainedModel, dtype: str) -> None:
    """Shard the weights of `trainee`, whose layers are in `model`, over all processes.

    With bf16, weights travel and are multiplied in it; the shards and the sums of gradients stay
    fp32.
    """
    policy = MixedPrecisionPolicy()
    if dtype == "bf16":
        policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    for layer in layers(model):
        fully_shard(layer, mp_policy=policy)
    fully_shard(trainee, mp_policy=policy)


def layers(model: PreTrainedModel) -> Iterator[nn.Module]:
    """The model's layers, first to last."""
    count = model.config.get_text_config().num_hidden_layers
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            yield from module


def shares(runs: list[list[int]], ranks: Ranks) -> list[list[int]]:
    """This process's part of a step's micro-batches, as many for each process.

    Runs are split until they can be dealt evenly; where rows do not suffice, some get an empty one,
    with which a process only keeps step.
    """
    runs = sorted(runs, key=len, reverse=True)
    while len(runs) % ranks.count:
        longest = runs.pop(0)
        half = (len(longest) + 1) // 2
        runs += [longest[:half], longest[half:]]
        runs.sort(key=len, reverse=True)
    return runs[ranks.rank :: ranks.count]
