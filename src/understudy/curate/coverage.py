"""How well a set's prompts cover those that a student will be asked, by sentence embeddings.

Each target's nearest prompt of the set is found by the cosine of embeddings: the mean over a text's
tokens of a local model's last hidden states, of length 1 (as Reimers and Gurevych, "Sentence-BERT",
2019, pool by default). What a cosine means depends on the model, so figures of two models cannot be
compared. Models that want an instruction before the text get none.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from understudy.errors import UserError
from understudy.progress import progress

Embeddings = NDArray[np.float32]

LONGEST = 4_000  # characters of a text that are tokenized
TOKENS = 256  # of a text that are embedded, at most
BATCH = 32
CHUNK = 512  # targets that are compared at a time
ABOVE = (0.5, 0.6, 0.7)
QUANTILES = (5, 25, 50, 75, 95)  # percent
LEAST = 5  # targets shown that are covered least
SHOWN = 200  # characters of a text that is shown


def coverage(prompts: Sequence[str], targets: Sequence[str], embedder: str) -> dict[str, Any]:
    """How near to each target the nearest of the prompts is.

    Args:
        prompts: the set's, or a sample of them, which makes coverage look worse than it is.
        targets: the prompts to be covered, one at least.
        embedder: a folder with a model and its tokenizer as transformers saves them.

    Returns:
        `mean`, `quantiles` and `above` (share of targets over a threshold) of the cosines, and
        `least`: the targets with the lowest.

    Raises:
        UserError: the folder holds no model that embeds text.
    """
    with _embedding(embedder):
        embed = _Embedder(Path(embedder))
        ours = embed(prompts, "embedding prompts")
        theirs = embed(targets, "embedding targets")
    chunks = range(0, len(targets), CHUNK)
    cosines = [theirs[start : start + CHUNK] @ ours.T for start in chunks]
    cosine = np.concatenate([part.max(axis=1) for part in cosines])
    nearest = np.concatenate([part.argmax(axis=1) for part in cosines])
    return {
        "embedder": "/".join(Path(embedder).parts[-2:]),
        "targets": len(targets),
        "prompts": len(prompts),
        "mean": round(float(cosine.mean()), 4),
        "quantiles": {
            f"p{percent}": round(float(np.percentile(cosine, percent)), 4) for percent in QUANTILES
        },
        "above": {str(bound): round(float((cosine > bound).mean()), 4) for bound in ABOVE},
        "least": [
            {
                "target": targets[at][:SHOWN],
                "nearest": prompts[nearest[at]][:SHOWN],
                "cosine": round(float(cosine[at]), 4),
            }
            for at in np.argsort(cosine, kind="stable")[:LEAST]
        ],
    }


@contextmanager
def _embedding(folder: str) -> Iterator[None]:
    """Turn whatever a folder's files lead transformers to raise into one line."""
    if not Path(folder).is_dir():
        raise UserError(f"{folder}: no such folder; name a local sentence-embedding model's")
    try:
        yield
    except Exception as error:
        reason = (str(error).strip() or repr(error)).splitlines()[0][:200]
        raise UserError(
            f"{folder}: does not embed text ({reason}); name a folder with an encoder such as BERT "
            "and its tokenizer"
        ) from error


class _Embedder:
    """A model that turns texts into vectors of length 1."""

    def __init__(self, folder: Path) -> None:
        import torch
        from transformers import AutoModel, AutoTokenizer

        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = AutoModel.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
        self.model = model.eval().to(self.device)
        limits = (TOKENS, self.tokenizer.model_max_length, model.config.max_position_embeddings)
        self.tokens = min(limits)

    def __call__(self, texts: Sequence[str], label: str) -> Embeddings:
        """Texts × dimensions."""
        import torch

        order = sorted(range(len(texts)), key=lambda at: len(texts[at]))  # little padding
        found = np.zeros((len(texts), self.model.config.hidden_size), dtype=np.float32)
        with progress(label, len(texts)) as task, torch.inference_mode():
            for start in range(0, len(order), BATCH):
                some = order[start : start + BATCH]
                inputs = self.tokenizer(
                    [texts[at][:LONGEST] for at in some],
                    padding=True,
                    truncation=True,
                    max_length=self.tokens,
                    return_tensors="pt",
                ).to(self.device)
                states = self.model(**inputs).last_hidden_state
                mask = inputs["attention_mask"].unsqueeze(-1)
                mean = (states * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
                found[some] = torch.nn.functional.normalize(mean, dim=-1).cpu().numpy()
                task.advance(len(some))
        return found
