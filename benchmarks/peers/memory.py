"""The peak of a run's memory, for every runner that has torch."""

import re
from pathlib import Path

import torch


def peak_mib() -> float:
    """Of this process since it began, or of its GPU's memory."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024
