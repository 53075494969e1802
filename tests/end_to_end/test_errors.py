"""A user's mistake gets one line that names place and mend, exit code 2 and no traceback.

Most are made in this process; two in one of their own, as a user makes them.
"""

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from end_to_end.commands import Understudy, write_recipe


def fails(understudy: Understudy, *arguments: object, code: int = 2) -> str:
    """Run a command that must fail; its one-line message."""
    done = understudy(*arguments, check=False)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr
    return errors[0]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("base: x\ntrian: {}\n", ["unknown key trian", "train"]),
        ("base: x\ntrain: {epoch: 1}\n", ["unknown key train.epoch", "epochs"]),
        ("base: x\ntrain: {epochs: many}\n", ["train.epochs", "many"]),
        ("base: x\nteacher: {base_url: [}\n", ["line 2", "YAML"]),
        ("train: {epochs: 1}\n", ["base is missing"]),
        ("base: x\n", ["no data", "curate.files"]),
        ("- a\n", ["mapping"]),
    ],
)
def test_recipe_mistakes(tmp_path: Path, here: Understudy, text: str, names: list[str]) -> None:
    recipe = tmp_path / "bad.yaml"
    recipe.write_text(text)
    message = fails(here, "run", recipe, "--out", tmp_path / "run")
    assert all(part in message for part in [str(recipe), *names])


def test_missing_recipe_and_missing_data(tmp_path: Path, here: Understudy) -> None:
    assert "nowhere.yaml: no such file" in fails(here, "run", tmp_path / "nowhere.yaml")
    missing = fails(here, "curate", tmp_path / "no.jsonl", "--out", tmp_path / "set")
    assert "no.jsonl: no such file" in missing


def test_broken_json_line_is_named(tmp_path: Path, here: Understudy) -> None:
    data = tmp_path / "set.jsonl"
    good = json.dumps({"messages": [{"role": "user", "content": "a"}]})
    data.write_text(f"{good}\n{good}\n{{broken\n")
    done = here("curate", data, "--out", tmp_path / "out")
    assert "set.jsonl, record 3: broken JSON" in done.stderr
    assert "'broken': 1" in done.stdout


def test_missing_base_and_benchmarks(tmp_path: Path, here: Understudy) -> None:
    data = tmp_path / "set.json"
    rows = [{"instruction": f"Say {i}.", "input": "", "output": f"{i}"} for i in range(4)]
    data.write_text(json.dumps(rows))
    here("curate", data, "--out", tmp_path / "set")
    train = tmp_path / "set" / "train.jsonl"
    missing = fails(here, "train", tmp_path / "llama", train, "--out", tmp_path / "student")
    assert str(tmp_path / "llama") in missing
    recipe = tmp_path / "real.yaml"
    recipe.write_text(
        f"base: {tmp_path}/llama\ncurate: {{files: [{data}]}}\n"
        f"answers: {{prompts: heldout}}\nevaluate: {{data: {tmp_path}/none}}\n"
    )
    assert "none" in fails(here, "run", recipe, "--out", tmp_path / "run")


def test_unset_key_and_unreachable_teacher(tmp_path: Path, here: Understudy) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("Say a.\n")
    collect = ["collect", prompts, "--out", tmp_path / "set", "--model", "m"]
    unset = [*collect, "--base-url", "http://127.0.0.1:9/v1", "--api-key-env", "NO_SUCH_KEY"]
    assert "NO_SUCH_KEY" in fails(here, *unset)
    recipe = write_recipe(
        tmp_path / "away.yaml",
        teacher={"base_url": "http://127.0.0.1:9/v1", "model": "m", "retries": 1},
    )
    away = fails(here, "run", recipe, "--out", tmp_path / "run", "--until", "collect")
    assert "http://127.0.0.1:9/v1" in away


class _Refusing(http.server.BaseHTTPRequestHandler):
    """An endpoint to which every key is wrong."""

    def do_POST(self) -> None:
        body = b'{"error": {"message": "Incorrect API key provided: sk-sec****", "type": "x"}}'
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(401)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def refusing() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()


def test_wrong_key_names_the_variable_and_not_the_key(
    tmp_path: Path, understudy: Understudy, refusing: str
) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("Say a.\n")
    arguments = ["collect", prompts, "--out", tmp_path / "set", "--model", "m"]
    key = "sk-secret-0123456789"
    done = understudy(
        *arguments,
        "--base-url",
        refusing,
        "--api-key-env",
        "A_KEY",
        check=False,
        env={"A_KEY": key},
    )
    assert done.returncode == 2
    assert "A_KEY" in done.stderr
    left = [path.read_bytes() for path in (tmp_path / "set").rglob("*") if path.is_file()]
    assert all(key.encode() not in content for content in [*left, done.stderr.encode()])


def test_run_folder_in_use(tmp_path: Path, here: Understudy) -> None:
    from filelock import FileLock

    folder = tmp_path / "run"
    folder.mkdir()
    with FileLock(folder / ".lock"):
        recipe = write_recipe(tmp_path / "tiny.yaml")
        assert "another process" in fails(here, "run", recipe, "--out", folder)


def test_unknown_option_and_command_exit_with_2(understudy: Understudy) -> None:
    assert understudy("run", "--nonsense", check=False).returncode == 2
    assert understudy("nonsense", check=False).returncode == 2


def test_a_password_in_the_ledgers_address(tmp_path: Path, here: Understudy) -> None:
    recipe = write_recipe(tmp_path / "r.yaml", ledger="postgresql://me:hunter2@host/db")
    message = fails(here, "run", recipe, "--out", tmp_path / "run")
    assert "PGPASSWORD" in message
    assert "hunter2" not in message
    assert not (tmp_path / "run").exists()


def test_collect_says_what_is_missing(tmp_path: Path, here: Understudy) -> None:
    (tmp_path / "p.txt").write_text("Hello\n")
    where = ["--out", tmp_path / "set", "--base-url", "http://127.0.0.1:9/v1", "--model", "m"]
    assert "name a file" in fails(here, "collect", *where)
    priced = fails(here, "collect", tmp_path / "p.txt", *where, "--max-usd", "1")
    assert "teacher.prices" in priced
    turns = fails(here, "collect", tmp_path / "p.txt", *where, "--set", "turns=2")
    assert "follow_ups" in turns
