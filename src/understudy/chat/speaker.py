"""A model that answers in a talk, and sees each answer heard as it comes."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from transformers import GenerationConfig, PreTrainedTokenizerBase, StoppingCriteria

from understudy.evaluate.engines.generate import end_ids
from understudy.evaluate.engines.local import LocalEngine
from understudy.models import memory_for

Messages = list[dict[str, str]]
Hear = Callable[[str], bool]  # is given an answer's text so far; whether it should go on


class Speaker(Protocol):
    """A model in a talk.

    Attributes:
        context: tokens that it can see.
        stops: texts that end an answer, beside the model's own end token.
    """

    context: int
    stops: tuple[str, ...]

    def encode(self, messages: Messages) -> list[int]:
        """Token ids of a dialogue up to where the answer begins. What users and models wrote is
        plain text there, whatever it spells.

        Raises:
            UserError: the model's chat template refuses the messages.
        """
        ...

    def write(self, ids: list[int], most: int, temperature: float, seed: int, hear: Hear) -> bool:
        """Write an answer; whether it came to its end by itself.

        Args:
            ids: what `encode` gave; there is room for `most` tokens after them.
            most: tokens of the answer.
            temperature: 0 takes the likeliest token.
            seed: of what is drawn.
            hear: is called after each token.
        """
        ...


class LocalSpeaker:
    """A model directory or hub name, run by transformers: fp32 on a CPU, bf16 on a GPU.

    A model without a chat template is shown a plain dialogue, as where a run asks its base.

    Raises:
        UserError: the model cannot be loaded.
    """

    def __init__(self, model: str) -> None:
        self._engine = LocalEngine(model, "bf16" if torch.cuda.is_available() else "fp32")
        self.context, self.stops = self._engine.context, self._engine.chat_stop
        self._ends = end_ids(self._engine.model, self._engine.tokenizer)
        # A model's own penalties and the like are left aside, as in evaluation.
        ends = sorted(self._ends) or None
        self._engine.model.generation_config = GenerationConfig(eos_token_id=ends, pad_token_id=0)

    def encode(self, messages: Messages) -> list[int]:
        """See Speaker."""
        return self._engine.encode_chat(messages, strangers=True)

    @torch.inference_mode()
    def write(self, ids: list[int], most: int, temperature: float, seed: int, hear: Hear) -> bool:
        """See Speaker."""
        model = self._engine.model
        given = torch.tensor([ids], device=model.device)
        drawn = {"temperature": temperature, "top_k": 0} if temperature else {}
        torch.manual_seed(seed)
        with memory_for("answering", "choose a smaller model or a larger machine"):
            out = model.generate(
                given,
                attention_mask=torch.ones_like(given),
                do_sample=temperature > 0,
                max_new_tokens=most,
                stopping_criteria=[_Heard(self._engine.tokenizer, len(ids), hear)],
                **drawn,
            )
        return int(out[0, -1]) in self._ends


class _Heard(StoppingCriteria):
    """Has each token heard, and stops where nobody wants to hear more.

    Args:
        tokenizer: the model's.
        start: where the answer begins.
        hear: who hears it.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, start: int, hear: Hear) -> None:
        self._tokenizer, self._start, self._hear = tokenizer, start, hear

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        new: Sequence[int] = input_ids[0, self._start :].tolist()
        wanted = self._hear(str(self._tokenizer.decode(new, skip_special_tokens=True)))
        return torch.tensor([not wanted], device=input_ids.device)
