"""A model's greedy answers to raw prompts, with their speed and the memory of this process.

A GGUF file is run by gpt4all (llama.cpp inside), a directory by transformers in fp32.

    python run_gguf.py MODEL PROMPTS MOST THREADS

PROMPTS is a JSON list of texts, MOST the tokens of an answer. Prints one JSON object: for each
prompt its tokens, those of the answer, the seconds until the first and those of the others; and the
peak of the resident memory in MiB.
"""

import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CONTEXT = 512
Answer = tuple[
    list[int], list[int], list[float]
]  # the prompt's tokens, the answer's, their moments


def gguf_runner(file: Path, threads: int) -> Callable[[str, int], Answer]:
    """A way to have gpt4all complete a text, in tokens.

    `GPT4All.generate` would read special tokens in a prompt as plain text and penalise what is
    repeated; the call beneath it, `prompt_model`, can do without. The template "%1%2" is the prompt
    and nothing else; after "%1" alone, a blank line is read as well once the answer is there
    (gpt4all-backend/src/llmodel_shared.cpp). Whether an opening token is added is the file's to
    say. That a prompt's tokens come to a callback, and an answer's before they are made text, is no
    documented part of the package (2.8.2).
    """
    from gpt4all import GPT4All

    runtime = GPT4All(
        file.name,
        model_path=file.parent,
        allow_download=False,
        device="cpu",
        n_ctx=CONTEXT,
        n_threads=threads,
    ).model

    def complete(prompt: str, most: int) -> Answer:
        asked: list[int] = []
        told: list[int] = []
        moments: list[float] = []

        def heard(token: int, _: bytes) -> bool:
            told.append(token)
            moments.append(time.perf_counter())
            return True

        runtime._prompt_callback = lambda token: asked.append(token) is None
        runtime._callback_decoder = lambda callback: callback
        runtime.prompt_model(
            prompt,
            "%1%2",
            heard,
            n_predict=most,
            n_batch=128,
            temp=0.0,
            repeat_penalty=1.0,
            reset_context=True,
            special=True,
        )
        return asked, told, moments

    return complete


def plain_runner(folder: Path, threads: int) -> Callable[[str, int], Answer]:
    """A way to have transformers complete a text, in tokens."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.generation.streamers import BaseStreamer

    torch.set_num_threads(threads)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    class Watch(BaseStreamer):
        def __init__(self) -> None:
            self.moments: list[float] = []

        def put(self, value: Any) -> None:
            self.moments.append(time.perf_counter())

        def end(self) -> None:
            pass

    @torch.inference_mode()
    def complete(prompt: str, most: int) -> Answer:
        asked, watch = tokenizer(prompt, return_tensors="pt"), Watch()
        asked.pop("token_type_ids", None)
        out = model.generate(**asked, max_new_tokens=most, do_sample=False, streamer=watch)[0]
        count, ends = asked["input_ids"].shape[1], model.generation_config.eos_token_id
        told = out[count:].tolist()
        ended = told[-1] in (ends if isinstance(ends, list) else [ends])
        return out[:count].tolist(), told[: len(told) - ended], watch.moments[1:]

    return complete


def main() -> None:
    """Run what the arguments say."""
    model, prompts = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
    most, threads = int(sys.argv[3]), int(sys.argv[4])
    complete = (gguf_runner if model.suffix == ".gguf" else plain_runner)(model, threads)
    complete(prompts[0], 2)  # memory is touched for the first time
    rows = []
    for prompt in prompts:
        begun = time.perf_counter()
        asked, told, moments = complete(prompt, most)
        row: dict[str, Any] = {"asked": asked, "told": told}
        if len(moments) > 1:
            row |= {"first_s": moments[0] - begun, "others_s": moments[-1] - moments[0]}
            row["others"] = len(moments) - 1
        rows.append(row)
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    print(json.dumps({"answers": rows, "peak_mib": int(found[1]) / 1024}))


if __name__ == "__main__":
    main()
