"""A base becomes a student: what is written, and that a kill changes nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from train.tiny_models import TOKENIZERS, build_model
from understudy.dialogue import Dialogue, Turn, write_dialogues
from understudy.errors import UserError
from understudy.recipe import TrainSettings
from understudy.train import loop
from understudy.train.checkpoint import Checkpoints, read_log
from understudy.train.stage import plan_train, train

WORDS = ["the", "keeper", "of", "a", "lamp", "writes", "letters", "to", "the", "baker"]


@pytest.fixture
def base(tmp_path: Path, architecture: str) -> str:
    return make_base(tmp_path, architecture)


def make_base(folder: Path, architecture: str) -> str:
    path = folder / f"base-{architecture}"
    tokenizer = TOKENIZERS[architecture]()
    build_model(architecture, len(tokenizer)).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return str(path)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "train.jsonl"
    dialogues = []
    for i in range(40):
        question = Turn(role="user", content=" ".join(WORDS[i % 5 : i % 5 + 3]))
        answer = Turn(role="assistant", content=" ".join(WORDS[: 1 + 2 * (i % 5)]))
        dialogues.append(Dialogue(id=str(i), turns=[question, answer], source="test"))
    write_dialogues(path, dialogues)
    return path


def settings(**changes: Any) -> TrainSettings:
    given = {
        "context": 64,
        "epochs": 2,
        "batch_tokens": 256,
        "micro_batch_tokens": 128,
        "learning_rate": 1e-2,
        "dtype": "fp32",
    }
    return TrainSettings.model_validate(given | changes)


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "model" / "model.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_the_student_loads_in_plain_transformers_and_stops(
    base: str, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    facts = train(base, data, data, settings(epochs=30), out, seed=0)
    assert facts["heldout_loss"] < 0.5 * facts["heldout_loss_before"]
    assert facts["supervised_tokens"] < facts["tokens"]
    assert not (out / "checkpoint").exists()
    tokenizer = AutoTokenizer.from_pretrained(out / "model")
    model = AutoModelForCausalLM.from_pretrained(out / "model")
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "the keeper of"}],
        add_generation_prompt=True,
        return_tensors="pt",
    )
    answer = model.generate(**prompt, do_sample=False, max_new_tokens=40)[0]
    assert answer[-1] == tokenizer.eos_token_id == tokenizer.convert_tokens_to_ids("<|end|>")
    text = tokenizer.decode(answer[prompt["input_ids"].shape[1] :], skip_special_tokens=True)
    assert text.startswith("the")


def test_the_log_has_a_row_a_step(base: str, data: Path, tmp_path: Path) -> None:
    facts = train(base, data, data, settings(), tmp_path / "out", seed=0)
    rows = read_log(tmp_path / "out" / "log.jsonl")
    assert [row["step"] for row in rows] == list(range(facts["steps"] + 1))
    assert {"loss", "lr", "grad_norm", "tokens_per_s", "mfu"} <= rows[-1].keys()
    assert facts["heldout_loss"] == rows[-1]["heldout_loss"]
    assert 2 <= sum("heldout_loss" in row for row in rows) <= 6


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_a_stopped_training_ends_in_the_same_bits(
    base: str, data: Path, tmp_path: Path, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = settings(dtype=dtype, checkpoint_every_s=1e-9, batch_tokens=128)
    undisturbed = train(base, data, data, wanted, tmp_path / "whole", seed=1)
    step, calls = loop.optimizer_step, 0

    def stopping(*arguments: Any) -> dict[str, Any]:
        nonlocal calls
        calls += 1
        if calls in (1, 4, 7):
            raise KeyboardInterrupt
        return step(*arguments)

    monkeypatch.setattr(loop, "optimizer_step", stopping)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            train(base, data, data, wanted, tmp_path / "parts", seed=1)
    facts = train(base, data, data, wanted, tmp_path / "parts", seed=1)
    assert calls == undisturbed["steps"] + 3
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    del facts["time"], undisturbed["time"]
    assert facts == undisturbed
    logs = [read_log(tmp_path / part / "log.jsonl") for part in ("whole", "parts")]
    timing = {"seconds", "tokens_per_s", "mfu"}
    whole, parts = ([{k: r[k] for k in r.keys() - timing} for r in log] for log in logs)
    assert whole == parts


def test_a_killed_training_ends_in_the_same_bits(data: Path, tmp_path: Path) -> None:
    base = make_base(tmp_path, "llama")
    wanted = settings(checkpoint_every_s=1e-9, epochs=40)
    train(base, data, None, wanted, tmp_path / "whole", seed=1)
    script = (
        "import sys, json; from pathlib import Path;"
        "from understudy.recipe import TrainSettings; from understudy.train.stage import train;"
        "import torch; torch.set_num_threads(int(sys.argv[5]));"
        "train(sys.argv[1], Path(sys.argv[2]), None, TrainSettings(**json.loads(sys.argv[3])),"
        "Path(sys.argv[4]), 1)"
    )
    out = tmp_path / "parts"
    arguments = [base, str(data), wanted.model_dump_json(), str(out), str(torch.get_num_threads())]
    child = subprocess.Popen(
        [sys.executable, "-c", script, *arguments], stderr=subprocess.DEVNULL, env=dict(os.environ)
    )
    deadline = time.monotonic() + 60
    while not (out / "checkpoint" / "state.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not (out / "model").exists()
    train(base, data, None, wanted, out, seed=1)
    assert same(weights(tmp_path / "whole"), weights(out))


def test_the_first_choice_of_number_format_stays(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path, "a").begin("bf16") == "bf16"
    assert Checkpoints(tmp_path, "a").begin("fp32") == "bf16"
    assert Checkpoints(tmp_path, "b").begin("fp32") == "fp32"


def test_accumulation_gives_the_step_of_one_large_batch(data: Path, tmp_path: Path) -> None:
    base = make_base(tmp_path, "llama")
    for name, size in (("one", 4096), ("many", 64)):
        train(base, data, None, settings(micro_batch_tokens=size), tmp_path / name, seed=0)
    one, many = (
        read_log(tmp_path / name / "log.jsonl")[1]["grad_norm"] for name in ("one", "many")
    )
    assert one == pytest.approx(many, rel=1e-4)


def test_no_packing_trains_on_the_same_tokens(data: Path, tmp_path: Path) -> None:
    base = make_base(tmp_path, "llama")
    packed, single = (
        plan_train(base, data, None, settings(packing=packing), 0).facts() for packing in (1, 0)
    )
    assert packed["row_tokens"] == single["row_tokens"]
    assert packed["rows"] < single["rows"] == 40


def test_mistakes_are_one_line(data: Path, tmp_path: Path) -> None:
    base = make_base(tmp_path, "llama")
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    (tmp_path / "hollow").mkdir()
    cases: list[tuple[str, Path, dict[str, Any], str]] = [
        (str(tmp_path / "hollow"), data, {}, "cannot be loaded"),
        (str(tmp_path / "nowhere"), data, {}, "no such folder"),
        (base, data, {"context": 65}, "takes 64"),
        (base, empty, {}, "no dialogue"),
        (base, tmp_path / "missing.jsonl", {}, "no such file"),
    ]
    for name, file, changes, words in cases:
        with pytest.raises(UserError, match=words) as caught:
            train(name, file, None, settings(**changes), tmp_path / "out", seed=0)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_too_little_memory_is_explained(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    base = make_base(tmp_path, "llama")

    def failing(*_: Any) -> None:
        raise error

    monkeypatch.setattr(loop, "optimizer_step", failing)
    with pytest.raises(UserError, match="micro_batch_tokens"):
        train(base, data, None, settings(), tmp_path / "out", seed=0)


def test_the_schedule_warms_up_and_falls() -> None:
    fit = loop.Fit(1.0, 0.1, 0.0, 1.0, "fp32", 64, 1.0)
    rates = [loop.learning_rate(step, 100, fit) for step in range(1, 101)]
    assert rates[4] == pytest.approx(0.5)
    assert max(rates) == rates[9] == rates[10] == 1.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0 < rates[-1] < 0.01


def test_the_manifest_can_hold_the_facts(data: Path, tmp_path: Path) -> None:
    facts = train(make_base(tmp_path, "gpt2"), data, None, settings(), tmp_path / "out", seed=0)
    assert json.loads(json.dumps(facts)) == facts
