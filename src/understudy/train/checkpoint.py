"""Checkpoints: what a killed training needs to go on as if it had not been killed.

`begun.json` fixes, before the first step, what the training is of and the number format that was
chosen; `state.pt` holds weights, optimizer and step, and is replaced whole.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from understudy.files import atomic_write, read_json, write_json


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one training.

    Attributes:
        folder: holds them and nothing else.
        identity: digest of all that the weights depend on; what another left is not taken up.
    """

    folder: Path
    identity: str

    def begin(self, dtype: str) -> str:
        """Record the beginning; returns the number format of this training's first beginning."""
        begun = self.folder / "begun.json"
        if begun.exists():
            known = read_json(begun)
            if known["identity"] == self.identity:
                return str(known["dtype"])
            shutil.rmtree(self.folder)
        write_json(begun, {"identity": self.identity, "dtype": dtype})
        return dtype

    def save(self, step: int, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Replace the state by that after `step` steps."""
        state = {"step": step, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
        with atomic_write(self.folder / "state.pt", "wb") as file:
            torch.save(state, file)

    def load(self, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> int:
        """Take up the saved state, if there is one; returns how many steps it has seen."""
        path = self.folder / "state.pt"
        if not path.exists():
            return 0
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        return int(state["step"])

    def remove(self) -> None:
        """Remove them; the training is complete."""
        shutil.rmtree(self.folder, ignore_errors=True)


def read_log(path: Path) -> list[dict[str, Any]]:
    """The whole rows of a training log; a last one that was being written is left out."""
    rows: list[dict[str, Any]] = []
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                break
    return rows
