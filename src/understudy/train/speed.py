"""How fast this machine multiplies matrices, and how much of that a training makes use of."""

import time

import torch
from torch import nn
from transformers import PreTrainedModel

from understudy.train.data import Batch

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


def training_flops(body: nn.Module, layers: int, hidden: int) -> tuple[int, int]:
    """Floating-point operations of training: a token's, and a token's for each token it attends to.

    6 a parameter and 12 a layer and hidden unit for each attended token (Chowdhery et al. 2022,
    PaLM, appendix B). Embeddings are looked up, not multiplied, and do not count.
    """
    tables = {id(m.weight) for m in body.modules() if isinstance(m, nn.Embedding)}
    weights = sum(p.numel() for p in body.parameters() if id(p) not in tables)
    return 6 * weights, 12 * layers * hidden


class Meter:
    """Tokens a second, and the share of the machine's matmul speed that training makes use of."""

    def __init__(self, model: PreTrainedModel, dtype: str, device: torch.device) -> None:
        config = model.config.get_text_config()
        body = getattr(model, model.base_model_prefix)
        self._token, self._attended = training_flops(
            body, config.num_hidden_layers, config.hidden_size
        )
        self._supervised = 6 * model.get_output_embeddings().weight.numel()
        self._peak = matmul_flops(dtype, device, 1024, 1024, 1024)

    def read(self, batches: list[Batch], tokens: int, seconds: float) -> dict[str, float]:
        """Speed of a step that took `seconds` for `tokens` tokens."""
        work = 0.0
        for batch in batches:
            length = batch.ids.shape[1]
            positions = batch.positions if batch.positions is not None else torch.arange(length)
            attended = float(positions.float().mean()) + 1
            work += batch.ids.numel() * (self._token + self._attended * attended)
            work += len(batch.targets) * self._supervised
        return {
            "seconds": seconds,
            "tokens_per_s": tokens / seconds,
            "mfu": work / seconds / self._peak,
        }
