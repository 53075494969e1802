"""A causal LM run by vLLM, for those with a GPU: the same rows and prompts as the local engine's.

How vLLM is asked for log-likelihoods matters. Its likeliest tokens need not hold the ones that are
read, and a bias or a list of allowed tokens changes what it samples, not what it reports. So a row
is one request for one token, and what follows the row's last token is read through
`logprob_token_ids`: the log-probabilities of just those tokens, under the whole distribution as the
model gives it (`raw_logprobs`). Rows that read nothing else, as questions with letters, take their
common examples from the prefix cache. What is read further left, inside an option, comes as
`prompt_logprobs`; for these vLLM computes the row from its start, since a cached prefix has no
logits.
"""

import os
import time
from collections.abc import Iterator, Sequence
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from understudy.errors import UserError
from understudy.evaluate.engines.text import Generated, Generation, Row, TextEngine, cut, generated
from understudy.files import file_digest
from understudy.models import ADAPTER, load_tokenizer
from understudy.progress import progress
from understudy.teacher.client import Cost

DTYPES = {"fp32": "float32", "bf16": "bfloat16"}
CHUNK = 256  # requests that vLLM is handed at once; what they give can then be kept


class VllmEngine(TextEngine):
    """A model directory or hub name, loaded by vLLM.

    Raises:
        UserError: vLLM is not installed or cannot load the model.
    """

    prompting: Literal["text", "chat"] = "text"

    def __init__(self, model: str, dtype: Literal["fp32", "bf16"] = "fp32") -> None:
        self.name, self.dtype = model, dtype
        self.spent: Cost | None = None
        os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")  # stdout is for results
        try:
            self._vllm = import_module("vllm")
        except ImportError as error:
            raise UserError(
                f"evaluate.engine: vllm cannot be imported ({error}); "
                'pip install "understudy[vllm]", or choose local'
            ) from None
        if (Path(model) / ADAPTER).exists():
            raise UserError(
                f"{model}: holds LoRA factors alone, which vLLM is not given here; train with "
                "train.lora.merge, or choose evaluate.engine: local"
            )
        self.tokenizer = load_tokenizer(model)
        try:
            self._llm = self._vllm.LLM(
                model=model,
                dtype=DTYPES[dtype],
                max_model_len=-1,  # the model's, or what the GPU's memory allows
                enable_prefix_caching=True,
                logprobs_mode="raw_logprobs",
            )
        except (RuntimeError, ValueError, OSError) as error:
            reason = (str(error).strip() or repr(error)).splitlines()[0][:200]
            raise UserError(
                f"{model}: vLLM cannot load it ({reason}); what vLLM wrote above says more. "
                "Choose another model or GPU, or evaluate.engine: local"
            ) from error
        # Of every request vLLM generates a token, which needs a place beside what is read.
        self.context = self._llm.llm_engine.model_config.max_model_len - 1

    @cached_property
    def identity(self) -> str:
        """Digest of the model's files, or its hub name; with the engine and number format."""
        folder = Path(self.name)
        content = file_digest(folder) if folder.is_dir() else self.name
        return f"{content} vllm {self.dtype}"

    def weigh(
        self, rows: Sequence[Row], label: str
    ) -> Iterator[tuple[int, list[float], float | None]]:
        """See Runner."""
        asked = [(row.ids, self._scoring(row)) for row in rows]
        for index, output, seconds in self._run(asked, label):
            yield index, _values(rows[index], output), seconds

    def write(
        self, prompts: Sequence[list[int]], seeds: Sequence[int], how: Generation, label: str
    ) -> Iterator[tuple[int, Generated]]:
        """See Runner."""
        asked = []
        for prompt, seed in zip(prompts, seeds, strict=True):
            kept, most = cut(prompt, how.max_tokens, self.context + 1)
            sampling = self._vllm.SamplingParams(
                temperature=how.temperature,
                top_p=how.top_p,
                max_tokens=most,
                stop=list(how.stop),
                seed=seed,
            )
            asked.append((kept, sampling))
        for index, output, _ in self._run(asked, label):
            yield index, self._generated(output.outputs[0], how.stop)

    def _run(
        self, asked: Sequence[tuple[list[int], Any]], label: str
    ) -> Iterator[tuple[int, Any, float]]:
        """(index, vLLM's output, a share of its chunk's seconds) of prompts with their sampling."""
        with progress(label, len(asked)) as task:
            for start in range(0, len(asked), CHUNK):
                chunk = asked[start : start + CHUNK]
                begun = time.perf_counter()
                outputs = self._llm.generate(
                    [{"prompt_token_ids": ids} for ids, _ in chunk],
                    [sampling for _, sampling in chunk],
                    use_tqdm=False,
                )
                seconds = (time.perf_counter() - begun) / len(chunk)
                task.advance(len(chunk))
                for index, output in enumerate(outputs, start):
                    yield index, output, seconds

    def _scoring(self, row: Row) -> Any:
        """How a row is asked for (see the module's text)."""
        last = len(row.ids) - 1
        inside = any(position < last for position, _ in row.reads)
        return self._vllm.SamplingParams(
            temperature=0.0,
            max_tokens=1,
            logprob_token_ids=sorted({token for position, token in row.reads if position == last}),
            prompt_logprobs=0 if inside else None,  # of the prompt's own tokens and no others
            detokenize=False,
        )

    def _generated(self, output: Any, stop: tuple[str, ...]) -> Generated:
        """What the local engine would make of the tokens."""
        ids = list(output.token_ids)
        ended = output.finish_reason == "stop"
        if ended and not isinstance(output.stop_reason, str):  # by an end token, which comes along
            ids.pop()
        return generated(self.tokenizer, ids, ended, stop)  # vLLM decodes behind the prompt


def _values(row: Row, output: Any) -> list[float]:
    """The log-likelihoods that a row reads; vLLM puts a token's where the token stands."""
    told = [*(output.prompt_logprobs or [None] * len(row.ids)), output.outputs[0].logprobs[0]]
    return [told[position + 1][token].logprob for position, token in row.reads]
