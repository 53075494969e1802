"""A GGUF file that answers in a talk, run on the CPU by the package gpt4all, llama.cpp inside.

gpt4all's own prompt templates are not used. A dialogue is rendered and encoded by the tokenizer and
the chat template in the file. Its tokens are handed on as runs of text, control tokens apart from
all other text, in which llama.cpp is told to look for none: so nothing that was typed becomes one.
"""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import torch

from understudy.chat.speaker import Hear, Messages
from understudy.errors import UserError
from understudy.evaluate.engines.encoding import in_template
from understudy.export.gguf_read import load_gguf_tokenizer

CONTEXT = 4096  # tokens at most, whose keys and values take 2 GB in a LLaMA 7B
MARGIN = 4  # tokens of it that gpt4all must have left when it reads a run
BATCH = 128  # tokens of a prompt that are read at once
NO_TEMPLATE = "%1%2"  # of gpt4all's templates the one that adds nothing
_NO_CUDA = re.compile(rb"Failed to load libllamamodel-mainline-cuda.*\n")

Run = tuple[bool, list[int]]  # whether they are control tokens, and the tokens


class GgufSpeaker:
    """A GGUF file with a chat template.

    What is drawn cannot be repeated: gpt4all takes no seed.

    Raises:
        UserError: gpt4all is not installed; the file is missing, damaged or of a kind that is not
            read here.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._tokenizer = path, load_gguf_tokenizer(path)
        if not self._tokenizer.chat_template:
            raise UserError(f"{path}: has no chat template; choose a file of a model made for chat")
        # llama.cpp puts the opening token before every prompt where the file's tokenizer does.
        self._opening = self._tokenizer("")["input_ids"][:1]
        added = self._tokenizer.added_tokens_decoder
        self._control = {number for number, token in added.items() if token.special}
        window = min(self._tokenizer.model_max_length, CONTEXT)
        self._model = _loaded(path, window)
        self.context = window - MARGIN
        self.stops: tuple[str, ...] = ()
        self._read: list[tuple[Run, int]] = []  # what the model has read, and its place after that

    def encode(self, messages: Messages) -> list[int]:
        """See Speaker."""
        return in_template(
            str(self._path), self._tokenizer, messages, strangers=True, add_generation_prompt=True
        )

    def write(self, ids: list[int], most: int, temperature: float, seed: int, hear: Hear) -> bool:
        """See Speaker; what a prompt has in common with the last one is not read again."""
        ids = ids[1:] if ids[:1] == self._opening else ids
        runs = [(control, list(run)) for control, run in groupby(ids, self._control.__contains__)]
        for run in self._unread(runs):
            if not self._go_on(run, hear):
                return False
            self._read.append((run, self._place))
        start = self._place + len(runs[-1][1])
        return self._go_on(runs[-1], hear, most, temperature) and self._place - start < most

    def _unread(self, runs: Sequence[Run]) -> Sequence[Run]:
        """Go back to where a prompt departs from the last one; its runs from there, but for the
        last of all."""
        known = 0
        while known < min(len(self._read), len(runs) - 1) and self._read[known][0] == runs[known]:
            known += 1
        if known and not runs[known][0]:
            known -= 1  # how llama.cpp takes text's first space depends on what it read just before
        del self._read[known:]
        if self._model.context:
            self._model.context.n_past = self._read[-1][1] if self._read else 0
        return runs[known:-1]

    def _go_on(self, run: Run, hear: Hear, most: int = 0, temperature: float = 0.0) -> bool:
        """Read a run, then write; whether all of it was wanted.

        Args:
            run: of the prompt.
            hear: see Speaker; asked for each batch that is read, too.
            most: tokens to write.
            temperature: 0 takes the likeliest token.
        """
        said, wanted, failures = "", True, list[BaseException]()

        def heard(_: int, text: str = "") -> bool:
            nonlocal said, wanted
            said += text
            try:
                wanted = wanted and hear(said)
            except BaseException as error:  # llama.cpp would lose it
                failures.append(error)
                wanted = False
            return wanted

        control, ids = run
        tokens = self._tokenizer.convert_ids_to_tokens(ids)
        self._model._prompt_callback = heard
        self._model.prompt_model(
            "".join(tokens) if control else self._tokenizer.decode(ids),
            NO_TEMPLATE,
            heard,
            special=control,
            n_predict=most,
            n_batch=BATCH,
            temp=temperature,
            top_k=len(self._tokenizer) if temperature else 1,
            top_p=1.0,
            repeat_penalty=1.0,
        )
        if failures:
            raise failures[0]
        return wanted

    @property
    def _place(self) -> int:
        """How many tokens the model has read and written."""
        context = self._model.context
        return context.n_past if context else 0


def _loaded(path: Path, window: int) -> Any:
    """gpt4all's model of a file, for so many tokens."""
    with without_cuda():
        try:
            from gpt4all import GPT4All
        except (ImportError, OSError) as error:
            raise UserError(
                f"{path}: gpt4all, which runs GGUF files, cannot be imported ({error}); "
                "pip install 'understudy[gguf]'"
            ) from None
        try:
            loaded = GPT4All(
                path.name,
                model_path=path.parent,
                allow_download=False,
                n_ctx=window,
                n_threads=torch.get_num_threads(),  # one a core, as for other models
            )
            loaded.model.thread_count()  # raises where the weights could not be loaded
        except Exception as error:
            raise UserError(
                f"{path}: llama.cpp cannot load it ({error}); write or fetch it again"
            ) from error
    return loaded.model


@contextmanager
def without_cuda() -> Iterator[None]:
    """Without gpt4all's lines on CUDA libraries, which it looks for and does not need.

    They come from C, so all of stderr is held back until the end.
    """
    stderr = os.dup(2)
    with TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            held.seek(0)
            os.write(2, _NO_CUDA.sub(b"", held.read()))
