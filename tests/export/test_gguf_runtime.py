"""llama.cpp, as the gpt4all package brings it, reads and writes the same tokens as transformers."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from evaluate.engines.families import greedy
from export.gguf_models import TEXTS, halved, make
from understudy.export.gguf import write_gguf
from understudy.export.gguf_read import load_gguf
from understudy.models import load_tokenizer

RUNNER = Path(__file__).parents[2] / "benchmarks" / "peers" / "run_gguf.py"
MOST = 24
TIE = 0.01  # a gap of logits that llama.cpp's rounding of activations can turn

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("gpt4all") is None,
    reason="gpt4all is not installed: pip install .[gguf]",
)


def run(file: Path, prompts: list[str]) -> list[dict[str, Any]]:
    """What llama.cpp makes of prompts, in a process of its own, as it ends that on a fault."""
    (file.parent / "prompts.json").write_text(json.dumps(prompts))
    command = [RUNNER, file, file.parent / "prompts.json", MOST, 1]
    done = subprocess.run(
        [sys.executable, *map(str, command)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])["answers"]


@torch.inference_mode()
def preference(model: PreTrainedModel, ids: list[int], own: list[int], other: list[int]) -> float:
    """By how much a model prefers its own token where another answer parts from its own."""
    end = model.generation_config.eos_token_id
    for place, (one, two) in enumerate(zip([*own, end], [*other, end], strict=False)):
        if one != two:
            logits = model(torch.tensor([ids + own[:place]])).logits[0, -1]
            return float(logits[one] - logits[two])
    return 0.0


@pytest.mark.parametrize(
    ("family", "kind"),
    [
        ("llama, biases", "gpt-2"),
        ("llama 3", "llama-bpe"),
        ("llama, longer", "metaspace"),
        ("mistral", "pieces"),
        ("qwen2", "qwen2"),
        ("gpt2", "starcoder"),
    ],
)
def test_greedy_tokens_are_the_same(family: str, kind: str, tmp_path: Path) -> None:
    model = halved(make(tmp_path, family, kind))
    tokenizer = load_tokenizer(str(tmp_path))
    write_gguf(tmp_path, tmp_path / "m.gguf", "f16", {})
    prompts = [text.strip() if kind == "metaspace" else text for text in TEXTS]
    for prompt, answer in zip(prompts, run(tmp_path / "m.gguf", prompts), strict=True):
        ids = tokenizer(prompt)["input_ids"]
        assert answer["asked"] == ids
        own = greedy(model, ids, MOST, [tokenizer.eos_token_id])
        assert preference(model, ids, own, answer["told"]) < TIE, (own, answer["told"])


@pytest.mark.parametrize("quant", ["q8_0", "q4_0"])
def test_quantised_files_are_read_as_they_are_here(quant: str, tmp_path: Path) -> None:
    """llama.cpp rounds activations to 8 bits as well, so a close call may go the other way."""
    make(tmp_path, "llama, tied")
    write_gguf(tmp_path, tmp_path / "m.gguf", quant, {})
    model, tokenizer = load_gguf(tmp_path / "m.gguf")
    firsts = [greedy(model, tokenizer(text)["input_ids"], 1, [])[0] for text in TEXTS]
    told = [answer["told"][0] for answer in run(tmp_path / "m.gguf", TEXTS)]
    assert sum(one == other for one, other in zip(firsts, told, strict=True)) >= len(TEXTS) - 1
