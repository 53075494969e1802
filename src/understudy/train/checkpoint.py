"""Checkpoints: what a killed training needs to go on as if it had not been killed.

`begun.json` fixes, before the first step, what the training is of and the number format that was
chosen. `step-N/` holds the trained weights and the optimizer's state after N steps and appears
whole or not at all; `best/` the weights of least held-out loss. Both are written in shards by
torch.distributed.checkpoint, so that any number of processes can take up what any other left.
"""

import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.tensor import DTensor

from understudy.errors import UserError
from understudy.files import read_json, write_json, writing
from understudy.train.ranks import Ranks


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one training.

    Attributes:
        folder: holds them and nothing else.
        identity: digest of all that the weights depend on; what another left is not taken up.
        ranks: who trains.
        keep: how many of the latest stay.
    """

    folder: Path
    identity: str
    ranks: Ranks
    keep: int = 1

    def begin(self, facts: dict[str, Any]) -> dict[str, Any]:
        """Record the beginning; returns the facts of this training's first beginning."""
        begun = self.folder / "begun.json"
        with self.ranks.first_alone():
            if begun.exists():
                known = read_json(begun)
                if known["identity"] == self.identity:
                    return dict(known)
                shutil.rmtree(self.folder)
            write_json(begun, {"identity": self.identity} | facts)
        return {"identity": self.identity} | facts

    def save(self, step: int, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Write the state after `step` steps; older ones than the kept go."""
        self._write(self.folder / f"step-{step}", _state(model, optimizer))
        if self.ranks.first:
            for old in list(self.steps())[: -self.keep]:
                shutil.rmtree(self.folder / f"step-{old}")

    def load(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
        """Take up the latest state, if there is one; returns how many steps it has seen."""
        steps = list(self.steps())
        if not steps:
            return 0
        _start(optimizer)
        self._read(self.folder / f"step-{steps[-1]}", _state(model, optimizer))
        return steps[-1]

    def load_weights(self, model: nn.Module) -> int:
        """Take up the latest state's weights alone; returns how many steps they have seen.

        Raises:
            UserError: there is no state.
        """
        steps = list(self.steps())
        if not steps:
            raise UserError(f"{self.folder}: holds no checkpoint yet; let the training go on")
        self._read(self.folder / f"step-{steps[-1]}", {"model": weights(model)})
        return steps[-1]

    def save_best(self, model: nn.Module) -> None:
        """Keep the weights as the best so far."""
        self._write(self.folder / "best", {"model": weights(model)})

    def load_best(self, model: nn.Module) -> None:
        """Take up the best weights."""
        self._read(self.folder / "best", {"model": weights(model)})

    def steps(self) -> Iterator[int]:
        """The steps of which there is a state, in order."""
        found = (path.name.removeprefix("step-") for path in self.folder.glob("step-*"))
        yield from sorted(int(name) for name in found if name.isdigit())

    def remove(self) -> None:
        """Remove them; the training is complete."""
        if self.ranks.first:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _write(self, folder: Path, state: dict[str, Any]) -> None:
        part = folder.with_name(f".{folder.name}.part")
        if self.ranks.first:
            shutil.rmtree(part, ignore_errors=True)
        self.ranks.wait()
        with writing(folder), _unwrapped():
            dcp.save(state, checkpoint_id=part, no_dist=self.ranks.count == 1)
        self.ranks.wait()
        if self.ranks.first:
            shutil.rmtree(folder, ignore_errors=True)
            part.rename(folder)
        self.ranks.wait()

    def _read(self, folder: Path, state: dict[str, Any]) -> None:
        try:
            with _unwrapped():
                dcp.load(state, checkpoint_id=folder, no_dist=self.ranks.count == 1)
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(
                f"{folder}: the checkpoint cannot be used ({reason}); remove {folder.parent}"
            ) from error


def weights(model: nn.Module) -> dict[str, Tensor]:
    """The trained parameters by name, tied ones once."""
    return {n: p.detach() for n, p in model.named_parameters() if p.requires_grad}


def gathered(model: nn.Module, ranks: Ranks) -> dict[str, Tensor]:
    """The trained parameters by name, whole and in main memory, for the first process.

    All take part; to the others it gives nothing.
    """
    state = {}
    for name, weight in weights(model).items():
        whole = weight.full_tensor() if isinstance(weight, DTensor) else weight
        if ranks.first:
            state[name] = whole.cpu()
    return state


def load_weights(model: nn.Module, state: dict[str, Tensor]) -> None:
    """Put what `gathered` gave into a model that is not sharded."""
    for name, weight in weights(model).items():
        weight.copy_(state[name])


def _state(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The tensors that a training goes on from; what is loaded into them is in place."""
    moments = {str(number): one for number, one in optimizer.state_dict()["state"].items()}
    return {"model": weights(model), "optimizer": moments}


def _start(optimizer: torch.optim.Optimizer) -> None:
    """Make the optimizer's state, for a checkpoint to be read into; weights stay, at rate 0."""
    for group in optimizer.param_groups:
        group["lr"] = 0.0
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad()


@contextmanager
def _unwrapped() -> Iterator[None]:
    """Let out what went wrong from the exception that torch's checkpointing puts around it.

    And keep back its warning that there is but one process.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "torch.distributed is disabled")
            yield
    except CheckpointException as error:
        raise next(iter(error.failures.values()))[0] from error
