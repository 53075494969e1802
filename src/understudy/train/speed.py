"""How fast this machine multiplies matrices, and how much of that a training makes use of."""

import ctypes
import sys
import time
from itertools import pairwise

import torch
from torch import nn
from transformers import PreTrainedModel

from understudy.train.data import Batch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def matmul_flops(dtype: str, device: torch.device, rows: int, inner: int, columns: int) -> float:
    """Floating-point operations a second of a (rows, inner) x (inner, columns) product, at best."""
    left = torch.ones(rows, inner, dtype=DTYPES[dtype], device=device)
    right = torch.ones(inner, columns, dtype=DTYPES[dtype], device=device)
    best = float("inf")
    for _ in range(6):
        start = time.perf_counter()
        product = left @ right
        product[0, 0].item()  # waits for the device
        best = min(best, time.perf_counter() - start)
    return 2.0 * rows * inner * columns / best


def choose_dtype(wish: str, device: torch.device) -> str:
    """`wish`, or for "auto" bf16 where the device has instructions for it, else fp32.

    What the device has decides and not a measurement, so that a machine under load trains in the
    same numbers as an idle one.
    """
    if wish != "auto":
        return wish
    if device.type == "cuda":
        has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        has_bf16 = any(on for name, on in torch.cpu.get_capabilities().items() if "bf16" in name)
    return "bf16" if has_bf16 else "fp32"


def weight_flops(body: nn.Module) -> int:
    """Floating-point operations that training takes for a token in the weights of `body`.

    2 a weight forward, 2 back to the inputs, and 2 for the gradient of a weight that is trained
    (Chowdhery et al. 2022, PaLM, appendix B). Embeddings are looked up, not multiplied.
    """
    tables = {id(m.weight) for m in body.modules() if isinstance(m, nn.Embedding)}
    counted = [p for p in body.parameters() if id(p) not in tables]
    return sum((6 if p.requires_grad else 4) * p.numel() for p in counted)


def attention_flops(layers: int, hidden: int) -> int:
    """What training takes for a token in attention, for each token that it attends to.

    2 products of 2 a hidden unit, forward and twice backward (as above).
    """
    return 12 * layers * hidden


def keep_freed_memory() -> None:
    """Have this process keep most main memory that is freed, for the next step.

    The C library hands freed memory back to the system, which hands it out again in zeroed pages,
    one fault each; a tenth of a step and more goes there. Blocks from 32 MiB on, the largest size
    that glibc can be told, still go back, so that none of them lies unused between others.
    Elsewhere than with glibc, nothing is changed.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        mallopt(M_MMAP_THRESHOLD, 2**25)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


class Meter:
    """Tokens a second, and the share of the machine's matmul speed that training makes use of.

    Args:
        model: what is trained.
        dtype: number format of the forward pass.
        device: where.
        ranks: how many devices work together.
    """

    def __init__(
        self, model: PreTrainedModel, dtype: str, device: torch.device, ranks: int
    ) -> None:
        config = model.config.get_text_config()
        head = model.get_output_embeddings().weight
        self._token = weight_flops(getattr(model, model.base_model_prefix))
        self._attended = attention_flops(config.num_hidden_layers, config.hidden_size)
        self._supervised = (6 if head.requires_grad else 4) * head.numel()
        size = 1024 if device.type == "cpu" else 8192
        self._peak = matmul_flops(dtype, device, size, size, size) * ranks

    def work(self, batches: list[Batch]) -> float:
        """Floating-point operations that a step on these batches cannot do without."""
        total = 0.0
        for batch in batches:
            lengths = [end - start for start, end in pairwise(batch.starts)]
            attended = sum(length * (length + 1) / 2 for length in lengths)
            total += len(batch.ids) * self._token + attended * self._attended
            total += len(batch.targets) * self._supervised
        return total

    def read(self, work: float, tokens: int, seconds: float) -> dict[str, float]:
        """Speed of a step of `work` operations that took `seconds` for `tokens` tokens."""
        return {
            "seconds": seconds,
            "tokens_per_s": tokens / seconds,
            "mfu": work / seconds / self._peak,
        }
