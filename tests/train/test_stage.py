"""A base becomes a student: what is written, and that a kill changes nothing."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, MambaConfig

from evaluate.engines.families import LONGROPE
from train.bases import make_base, make_data, rows_of, same, settings, weights
from train.tiny_models import build
from understudy.errors import UserError
from understudy.train import loop, speed
from understudy.train.ranks import CPU, Ranks
from understudy.train.stage import _run_as_it_is, plan_train, save_checkpoint_as_model, train
from understudy.train.watch import Guard, read_log


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "matmul_flops", lambda *_: 1e12)


@pytest.fixture
def base(tmp_path: Path, architecture: str) -> str:
    return make_base(tmp_path, architecture)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return make_data(tmp_path / "train.jsonl")


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


def stop_before(monkeypatch: pytest.MonkeyPatch, *numbers: int) -> None:
    """Interrupt training as the steps of these numbers begin, each once."""
    left, take = set(numbers), loop.Step.take

    def stopping(self: loop.Step, number: int, guard: Guard) -> dict[str, Any]:
        if number in left:
            left.remove(number)
            raise KeyboardInterrupt
        return take(self, number, guard)

    monkeypatch.setattr(loop.Step, "take", stopping)


@pytest.mark.parametrize(("architecture", "dtype"), [("gpt2", "fp32"), ("llama", "bf16")])
def test_a_stopped_training_ends_in_the_same_bits(
    base: str, data: Path, tmp_path: Path, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = settings(dtype=dtype, checkpoint_every_s=1e-9, batch_tokens=128, select="best")
    undisturbed = train(base, data, data, wanted, tmp_path / "whole", seed=1)
    stop_before(monkeypatch, 1, 4, 6)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            train(base, data, data, wanted, tmp_path / "parts", seed=1)
    facts = train(base, data, data, wanted, tmp_path / "parts", seed=1)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    del facts["time"], undisturbed["time"]
    assert facts == undisturbed
    assert rows_of(tmp_path / "whole") == rows_of(tmp_path / "parts")
    assert not (tmp_path / "parts" / "checkpoint").exists()


def begin(line: list[str], log: Path, rows: int) -> subprocess.Popen[str]:
    """Start a training and come back when its log has as many rows."""
    child = subprocess.Popen(
        [sys.executable, "-m", "understudy", "train", *line],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())},
    )
    deadline = time.monotonic() + 120
    while len(read_log(log)) < rows and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    return child


def test_a_killed_training_ends_in_the_same_bits(data: Path, tmp_path: Path) -> None:
    base = make_base(tmp_path, "llama")
    train(base, data, None, settings(epochs=30), tmp_path / "whole", seed=1)
    wanted = settings(checkpoint_every_s=1e-9, epochs=30)
    out = tmp_path / "parts"
    line = [base, str(data), "--out", str(out), "--seed", "1", "--json"]
    for name, value in wanted.model_dump(mode="json").items():
        line += ["--set", f"{name}={json.dumps(value)}"]

    child = begin(line, out / "log.jsonl", 5)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    killed_at = len(read_log(out / "log.jsonl"))
    assert not (out / "model").exists()

    child = begin(line, out / "log.jsonl", killed_at + 5)
    child.send_signal(signal.SIGINT)
    printed, words = child.communicate()
    assert child.returncode == 130
    assert printed == ""
    assert "stopped; the same command continues" in words
    stopped_at = read_log(out / "log.jsonl")[-1]["step"]
    assert [path.name for path in (out / "checkpoint").glob("step-*")] == [f"step-{stopped_at}"]
    assert not (out / "model").exists()

    train(base, data, None, wanted, out, seed=1)
    assert same(weights(tmp_path / "whole"), weights(out))
    assert rows_of(tmp_path / "whole") == rows_of(out)


def test_a_checkpoint_is_written_as_a_model(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, out = make_base(tmp_path, "llama"), tmp_path / "out"
    wanted = settings(checkpoint_every_s=1e-9, lora={"rank": 4})
    with pytest.raises(UserError, match="holds no checkpoint"):
        save_checkpoint_as_model(out, tmp_path / "model")
    stop_before(monkeypatch, 4)
    with pytest.raises(KeyboardInterrupt):
        train(base, data, None, wanted, out, seed=0)
    assert save_checkpoint_as_model(out, tmp_path / "model") == 3
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert model.get_input_embeddings().weight.shape[0] == len(
        AutoTokenizer.from_pretrained(tmp_path / "model")
    )
    train(base, data, None, wanted, out, seed=0)
    assert not same(weights(tmp_path), weights(out))


def test_factors_are_written_merged_or_alone(data: Path, tmp_path: Path) -> None:
    base = make_base(tmp_path, "llama")
    for merge in (True, False):
        wanted = settings(lora={"rank": 4, "merge": merge})
        train(base, data, None, wanted, tmp_path / str(merge), seed=0)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "True" / "model")
    bare = AutoModelForCausalLM.from_pretrained(base)
    bare.resize_token_embeddings(plain.config.vocab_size)
    beside = PeftModel.from_pretrained(bare, str(tmp_path / "False" / "model"))
    ids = torch.tensor([[1, 40, 7, 80, 25]])
    torch.testing.assert_close(plain(ids).logits, beside(ids).logits, rtol=1e-4, atol=1e-4)


def test_another_training_does_not_take_up_this_ones_checkpoint(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, first = make_base(tmp_path, "llama"), tmp_path / "first"
    heldout = make_data(tmp_path / "heldout.jsonl", 3)
    wanted = settings(checkpoint_every_s=1e-9)
    with monkeypatch.context() as patch:
        stop_before(patch, 4)
        with pytest.raises(KeyboardInterrupt):
            train(base, data, heldout, wanted, first, seed=0)
    harmless = wanted.model_copy(update={"checkpoints": 2, "checkpoint_every_s": 9.0})
    others: list[tuple[Any, ...]] = [
        (base, data, heldout, harmless, 0, True),
        (base, data, heldout, wanted.model_copy(update={"clip": 0.5}), 0, False),
        (base, data, heldout, wanted, 1, False),
        (base, heldout, heldout, wanted, 0, False),
        (base, data, data, wanted, 0, False),
    ]
    for number, (*given, seed, goes_on) in enumerate(others):
        out = tmp_path / f"other-{number}"
        shutil.copytree(first, out)
        begun: list[int] = []
        take = loop.Step.take

        def noting(
            self: loop.Step, number: int, guard: Guard, take: Any = take, begun: Any = begun
        ) -> dict[str, Any]:
            begun.append(number)
            return dict(take(self, number, guard))

        with monkeypatch.context() as patch:
            patch.setattr(loop.Step, "take", noting)
            train(*given, out, seed)
        assert begun[0] == (4 if goes_on else 1)


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
        plan_train(base, data, None, settings(packing=packing), tmp_path, 0).facts()
        for packing in (True, False)
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


def test_a_base_that_encodes_long_texts_otherwise_trains_on_short_ones(
    data: Path, tmp_path: Path
) -> None:
    base = make_base(tmp_path, "llama")
    LONGROPE.save_pretrained(base)
    assert len(plan_train(base, data, None, settings(context=40), tmp_path / "out", 0).rows)
    with pytest.raises(UserError, match="texts of more than 40 in another way; lower it"):
        plan_train(base, data, None, settings(context=41), tmp_path / "out", 0)


def test_a_base_that_is_run_as_it_is_says_so_and_takes_one_process(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = make_base(tmp_path, "gpt2")
    tokens = len(AutoTokenizer.from_pretrained(base))
    build(MambaConfig(hidden_size=32, num_hidden_layers=2, state_size=4), tokens).save_pretrained(
        base
    )
    facts = train(base, data, data, settings(), tmp_path / "out", seed=0)
    assert facts["heldout_loss"] < facts["heldout_loss_before"]
    assert "it is run as transformers runs it, which is slower" in capsys.readouterr().err
    with pytest.raises(UserError, match="one process alone can train; start only one"):
        _run_as_it_is(base, "has no attention", Ranks(0, 2, CPU))


def test_the_manifest_can_hold_the_facts(data: Path, tmp_path: Path) -> None:
    facts = train(make_base(tmp_path, "gpt2"), data, None, settings(), tmp_path / "out", seed=0)
    assert json.loads(json.dumps(facts)) == facts
