"""Toxicity by a text-classification model on this machine."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from math import isnan
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedConfig

from understudy.errors import UserError
from understudy.files import digest, file_digest
from understudy.models import memory_for
from understudy.progress import say

ROWS = 32  # texts at once
UNKNOWN_LENGTH = 512  # tokens, of a model that does not say how many it can see
UNUSED = 2  # positions at the beginning that models of RoBERTa's kind leave out


class Classifier:
    """A model directory or hub name with a classification head.

    The score is the probability of one label: its own (sigmoid) where a text may have several, its
    share (softmax) where labels exclude each other, as the model's configuration says.

    Args:
        model: the directory or hub name.
        label: the one that means toxic; None: the one whose name says so.

    Raises:
        UserError: it cannot be loaded, has no such head, or leaves open which label is meant.
    """

    def __init__(self, model: str, label: str | None) -> None:
        self.name = model
        with _loading(model):
            self._tokenizer = AutoTokenizer.from_pretrained(model)
            self._model, told = AutoModelForSequenceClassification.from_pretrained(
                model, dtype=torch.float32, output_loading_info=True
            )
        if missing := sorted(told["missing_keys"]):
            raise UserError(
                f"{model}: has no weights for {missing[0]}, so that its scores would be random; "
                "name a model that was trained for text classification"
            )
        self._model.eval().to(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
        config = self._model.config
        self._index = _toxic(model, config, label)
        self._several = config.num_labels == 1 or (
            config.problem_type == "multi_label_classification"
        )
        self._padded = None not in (self._tokenizer.pad_token_id, config.pad_token_id)
        positions = getattr(config, "max_position_embeddings", None) or UNKNOWN_LENGTH
        self._length = min(self._tokenizer.model_max_length, positions - UNUSED)
        self._cut = False

    @cached_property
    def identity(self) -> str:
        """Digest of the model's files, or its hub name, and the label."""
        folder = Path(self.name)
        return digest([file_digest(folder) if folder.is_dir() else self.name, self._index])

    def scores(self, texts: Sequence[str | None]) -> list[float | None]:
        """See `Scorer`. Blank texts have no score, as with Perspective."""
        found: list[float | None] = [None] * len(texts)
        written = [(text, place) for place, text in enumerate(texts) if text and text.strip()]
        written.sort(key=lambda pair: len(pair[0]))
        rows = ROWS if self._padded else 1
        for start in range(0, len(written), rows):
            batch = written[start : start + rows]
            values = self._probabilities([text for text, _ in batch])
            for (_, place), value in zip(batch, values, strict=True):
                found[place] = round(value, 6)
        return found

    @torch.inference_mode()
    def _probabilities(self, texts: list[str]) -> list[float]:
        encoded = self._tokenizer(
            texts,
            padding=self._padded,
            truncation=True,
            max_length=self._length,
            return_tensors="pt",
        )
        if not self._cut and any(row.overflowing for row in encoded.encodings or ()):
            self._cut = True
            say(f"{self.name}: texts are cut to the {self._length} tokens that it can see")
        with memory_for("scoring toxicity", "choose a smaller classifier or a larger machine"):
            logits = self._model(**encoded.to(self._model.device)).logits
        shares = logits.sigmoid() if self._several else logits.softmax(dim=-1)
        values: list[float] = shares[:, self._index].tolist()
        if any(map(isnan, values)):
            raise UserError(f"{self.name}: gives no numbers; its weights are broken")
        return values


@contextmanager
def _loading(model: str) -> Iterator[None]:
    """Turn the ways in which loading fails into one line."""
    try:
        with memory_for(f"loading {model}", "choose a smaller classifier or a larger machine"):
            yield
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise UserError(
            f"{model}: cannot be loaded ({reason[:200]}); name `perspective`, or the directory or "
            "hub name of a transformers text-classification model, as toxicity.scorer"
        ) from error


def _toxic(model: str, config: PreTrainedConfig, wanted: str | None) -> int:
    """The index of the label that means toxic."""
    labels = [str(config.id2label[index]) for index in range(config.num_labels)]
    found = [name for name in labels if name == wanted] if wanted else _saying_toxic(labels)
    if len(found) != 1:
        raise UserError(
            f"{model}: {f'no label {wanted!r}' if wanted else 'no label clearly means toxic'} "
            f"among {', '.join(labels)[:300]}; name the one that does as toxicity.label"
        )
    return labels.index(found[0])


def _saying_toxic(labels: Sequence[str]) -> list[str]:
    """The labels whose names say toxic; plain `toxic` or `toxicity` alone, if there is one."""
    letters = {name: re.sub("[^a-z]", "", name.lower()) for name in labels}
    saying = [
        name
        for name, spelt in letters.items()
        if "toxic" in spelt and not re.search("(no|non|not)toxic", spelt)
    ]
    plain = [name for name in saying if letters[name] in ("toxic", "toxicity")]
    return plain or saying
