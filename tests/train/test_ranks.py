"""Several processes at one training end where one alone does."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers import AutoModelForCausalLM

from train import on_ranks
from train.bases import make_base, make_data, rows_of, same, settings, weights
from train.on_ranks import CASES, COMMON, DIALOGUES, STOP_AFTER, stopping
from understudy.train import speed
from understudy.train.ranks import CPU, Ranks, joined, shares
from understudy.train.stage import save_checkpoint_as_model
from understudy.train.watch import read_log

RUNS = st.lists(st.lists(st.integers(), max_size=5), min_size=1, max_size=7)


@given(RUNS, st.integers(1, 5))
def test_each_row_is_taken_once_and_all_go_as_many_rounds(runs: list[list[int]], n: int) -> None:
    parts = [shares([list(run) for run in runs], Ranks(rank, n, CPU)) for rank in range(n)]
    assert len({len(part) for part in parts}) == 1
    assert sorted(row for part in parts for run in part for row in run) == sorted(
        row for run in runs for row in run
    )


def test_shares_are_of_about_one_size() -> None:
    first, second = (shares([list(range(8))], Ranks(rank, 2, CPU)) for rank in (0, 1))
    assert [len(run) for run in first + second] == [4, 4]
    assert shares([[1], [2]], Ranks(0, 2, CPU)) == [[1]]
    assert shares([[1]], Ranks(1, 2, CPU)) == [[]]


def test_a_process_alone_is_first_and_waits_for_nobody() -> None:
    with joined() as ranks:
        assert (ranks.rank, ranks.count, ranks.first) == (0, 1, True)
        assert ranks.sums(1, 2.5) == [1, 2.5]
        ranks.wait()
        with ranks.first_alone():
            pass


def torchrun(*line: object) -> subprocess.CompletedProcess[str]:
    """Start two processes of a program."""
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, *start, *map(str, line)],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ
        | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1]), "NO_COLOR": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Every case, gone through by one process and by two."""
    folder = tmp_path_factory.mktemp("ranks")
    make_base(folder, "gpt2")
    make_base(folder, "llama")
    make_data(folder / "train.jsonl", DIALOGUES)
    make_data(folder / "heldout.jsonl", 5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speed, "matmul_flops", lambda *_: 1e12)
        for name in CASES.keys() - {"left by two"}:
            on_ranks.train(folder, name, folder / "one" / name)
        with stopping(True), pytest.raises(KeyboardInterrupt):
            on_ranks.train(folder, "left by one", folder / "two" / "left by one")
        torchrun(Path(on_ranks.__file__), folder)
        yield folder


def outs(folder: Path, name: str) -> tuple[Path, Path]:
    return folder / "one" / name, folder / "two" / name


def astray(one: Path, other: Path, base: str) -> float:
    """How far apart two students are, as a share of the way from their base."""

    def flat(state: dict[str, Tensor]) -> Tensor:
        return torch.cat([state[name].float().flatten() for name in sorted(mine)])

    mine, theirs = weights(one), weights(other)
    assert mine.keys() == theirs.keys()
    start = AutoModelForCausalLM.from_pretrained(base)
    start.resize_token_embeddings(
        next(w.shape[0] for n, w in mine.items() if "embed" in n or "wte" in n)
    )
    state = {name: weight.detach() for name, weight in start.state_dict().items()}
    return float((flat(mine) - flat(theirs)).norm() / (flat(mine) - flat(state)).norm())


def compare(one: Path, other: Path, tolerance: float, base: str) -> None:
    for mine, theirs in zip(rows_of(one), rows_of(other), strict=True):
        assert mine == pytest.approx(theirs, rel=tolerance)
    assert astray(one, other, base) < 100 * tolerance


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("bf16", "left by two")])
def test_two_processes_end_where_one_does(name: str, folder: Path) -> None:
    base = str(folder / ("base-gpt2" if name == "plain" else "base-llama"))
    compare(*outs(folder, name), 1e-4, base)
    rows = read_log(outs(folder, name)[1] / "log.jsonl")
    assert rows[-1]["step"] == len(rows) - 1 > STOP_AFTER
    assert not (outs(folder, name)[1] / "checkpoint").exists()


def test_the_last_step_had_less_than_a_row_for_each(folder: Path) -> None:
    rows = read_log(outs(folder, "plain")[1] / "log.jsonl")
    assert DIALOGUES % COMMON["batch_dialogues"] == 1
    assert len(rows) - 1 == DIALOGUES // COMMON["batch_dialogues"] + 1


def test_two_processes_in_bf16_end_near(folder: Path) -> None:
    one, two = ([r["loss"] for r in rows_of(o)[1:]] for o in outs(folder, "bf16"))
    assert two == pytest.approx(one, rel=0.05)
    assert all(
        weight.dtype == torch.float32 for weight in weights(outs(folder, "bf16")[1]).values()
    )


def test_one_process_takes_up_what_two_left(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(outs(folder, "left by two")[1], out)
    assert [path.name for path in (out / "checkpoint").glob("step-*")] == [f"step-{STOP_AFTER}"]
    on_ranks.train(folder, "left by two", out)
    compare(outs(folder, "left by one")[0], out, 1e-4, str(folder / "base-llama"))


def test_two_processes_take_up_what_one_left(folder: Path) -> None:
    one, two = outs(folder, "left by one")
    assert rows_of(one)[: STOP_AFTER + 1] == rows_of(two)[: STOP_AFTER + 1], "by one process"
    assert not same(weights(one), weights(two)), "and the rest by two"


def test_a_checkpoint_of_two_is_written_as_a_model(folder: Path, tmp_path: Path) -> None:
    assert (
        save_checkpoint_as_model(outs(folder, "left by two")[1], tmp_path / "model") == STOP_AFTER
    )
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert model(torch.tensor([[1, 2, 3]])).logits.isfinite().all()
    whole = outs(folder, "left by one")[0]
    assert astray(tmp_path, whole, str(folder / "base-llama")) > 0.01


def test_the_command_under_torchrun_speaks_once(folder: Path, tmp_path: Path) -> None:
    wanted = settings(**(COMMON | CASES["plain"])).model_dump(mode="json")
    changes = [f"--set={name}={json.dumps(value)}" for name, value in wanted.items()]
    done = torchrun(
        *("-m", "understudy", "train", folder / "base-gpt2", folder / "train.jsonl"),
        *("--heldout", folder / "heldout.jsonl", "--out", tmp_path / "out", "--seed", 1, "--json"),
        *changes,
    )
    facts = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    assert facts["time"]["devices"] == 2
    assert done.stderr.count("memory:") == 1
    assert same(weights(tmp_path / "out"), weights(outs(folder, "plain")[1]))
    assert rows_of(tmp_path / "out") == rows_of(outs(folder, "plain")[1])
