"""What this machine can do for understudy, and what is missing."""

import os
import platform
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

OPTIONAL = {
    "datasets": "benchmarks from the hub when no --data folder is given",
}


def examine() -> dict[str, Any]:
    """Facts about processor, memory, disk, devices, speed, sandbox and optional packages."""
    import torch
    import transformers

    from understudy.evaluate.sandbox import sandbox_kind
    from understudy.train.speed import DTYPES, choose_dtype, matmul_flops
    from understudy.world.bases import cache_root

    cuda = torch.cuda.is_available()
    device = torch.device("cuda" if cuda else "cpu")
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gib": _memory_gib(),
        "disk_free_gib": round(shutil.disk_usage(Path.cwd()).free / 2**30, 1),
        "gpu": torch.cuda.get_device_name() if cuda else None,
        "gflops": {
            dtype: round(matmul_flops(dtype, device, 1024, 1024, 1024) / 1e9) for dtype in DTYPES
        },
        "trains_in": choose_dtype("auto", device),
        "sandbox": sandbox_kind(),
        "cache": str(cache_root()),
        "missing": {name: use for name, use in OPTIONAL.items() if find_spec(name) is None},
    }


def words(found: dict[str, Any]) -> str:
    """The findings for a person: what is there, then what follows from it."""
    from understudy.evaluate.sandbox import missing

    speed = found["gflops"]
    sandbox = found["sandbox"] or f"none: code benchmarks will not be measured; {missing()}"
    lines = [
        f"python        {found['python']} on {found['system']}",
        f"torch         {found['torch']}, transformers {found['transformers']}",
        f"processor     {found['cores']} cores, {found['threads']} torch threads",
        f"memory        {found['memory_gib'] or '?'} GiB; disk {found['disk_free_gib']} GiB free",
        f"gpu           {found['gpu'] or 'none; small bases train on the processor'}",
        f"speed         fp32 {speed['fp32']} GFLOP/s, bf16 {speed['bf16']} GFLOP/s",
        f"training      in {found['trains_in']}, where a recipe leaves it open",
        f"sandbox       {sandbox}",
        f"cache         {found['cache']}",
    ]
    lines += [f"missing       {name}: {use}" for name, use in found["missing"].items()]
    return "\n".join(lines)


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return None
