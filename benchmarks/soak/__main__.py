"""The hard guarantees of collecting, at size: nothing vanishes, is paid for twice or leaks.

Each command below runs the real `understudy collect` in processes of its own against a server that
is a process of its own too, on 127.0.0.1 only. The server writes a row for every request before it
answers, so that what it was asked and what it would have billed is known from the other side. A
command prints its figures, then every violation, and exits with 1 if there is any.

    python benchmarks/soak faults [--prompts 10000] [--share 0.3]
    python benchmarks/soak kill   [--prompts 10000] [--kills 50] [--concurrency 64]
    python benchmarks/soak budget [--mixes 20]
    python benchmarks/soak canary [--prompts 300]

faults  that share of the requests is answered with 429, 500, 503, half an answer, broken JSON or
        never: every prompt ends as a dialogue or among the dropped, with the reason that the server
        gave it last, and no call is in the ledger twice or was answered twice
kill    `kill -9` at random moments, most of them while calls are on their way: every answer that
        was ever recorded stays as it was, no recorded one is asked again, and what was lost at a
        kill are calls in flight and answers on their way to the disk, in all no more than five
        times the concurrency
budget  random prices, lengths and faults, $1 and 256 calls at once: what the server billed never
        exceeds it, also when the command is killed and started again
canary  a key in the environment, and a server that repeats it wherever it can: it is in no file, in
        no output and in no process's arguments
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from server import BILLED, MODEL, REASONS, Plan

from understudy.teacher.ledger import Ledger

LIMIT_S = 1800.0  # for one run of the command
KEY_ENV = "SOAK_KEY"
SERVER = str(Path(__file__).with_name("server.py"))


class Log:
    """The server's rows, read as they come."""

    def __init__(self, path: Path) -> None:
        self.rows: list[dict[str, Any]] = []
        path.touch()
        self._file, self._rest = path.open("rb"), b""

    def read(self) -> list[dict[str, Any]]:
        """Take in what is new; returns that."""
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        new = [json.loads(line) for line in lines]
        self.rows += new
        return new


@dataclass
class Place:
    """A server at work, its log, and a folder for what is collected."""

    folder: Path
    url: str
    log: Log
    wrong: list[str] = field(default_factory=list)

    def check(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self.wrong.append(otherwise)

    @property
    def out(self) -> Path:
        return self.folder / "run" / "out"

    @property
    def ledger(self) -> Path:
        return self.out / "ledger.sqlite"

    def command(self, *more: str, quiet: bool = True) -> list[str]:
        start = [sys.executable, "-m", "understudy", "collect", str(self.folder / "prompts.jsonl")]
        start += ["--out", str(self.out), "--base-url", self.url, "--model", MODEL]
        return [*start, *(["--quiet", "--json"] if quiet else []), *more]

    def collect(self, *more: str) -> dict[str, Any]:
        """Run the command to its end; returns what it says."""
        done = subprocess.run(self.command(*more), capture_output=True, text=True, timeout=LIMIT_S)
        self.check(done.returncode == 0, f"collect exited with {done.returncode}: {done.stderr}")
        facts: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
        return facts

    def killed(self, when: Callable[[], bool], *more: str) -> bool:
        """Run the command, kill it once `when` holds; returns whether it was still running."""
        pipe = subprocess.DEVNULL
        with subprocess.Popen(self.command(*more), stdout=pipe, stderr=pipe) as process:
            deadline = time.monotonic() + LIMIT_S
            while not when() and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.001)
            running = process.poll() is None
            process.kill()
        time.sleep(0.1)  # the server reads what was sent before
        self.log.read()
        return running

    def recorded(self) -> dict[str, str]:
        """The digests of the requests in the ledger, with those of their answers."""
        if not self.ledger.exists():
            return {}
        with Ledger(self.ledger) as ledger:
            return {sha256(c.request.encode()).hexdigest(): c.checksum for c in ledger.calls()}

    def written(self, name: str) -> list[dict[str, Any]]:
        path = self.out / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def verify(self) -> None:
        command = [
            sys.executable,
            "-m",
            "understudy",
            "ledger",
            "verify",
            str(self.ledger),
            "--json",
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
        self.check(done.returncode == 0, f"ledger verify: {done.stdout[:500]}{done.stderr[:500]}")

    def prompts(self, texts: list[str]) -> None:
        rows = [{"id": str(number), "prompt": text} for number, text in enumerate(texts)]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (self.folder / "prompts.jsonl").write_text(lines)


@contextmanager
def place(plan: Plan) -> Iterator[Place]:
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    command = [sys.executable, SERVER, json.dumps(asdict(plan)), str(folder / "log")]
    pipe = subprocess.PIPE
    try:
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as server:
            assert server.stdout is not None
            yield Place(folder, server.stdout.readline().strip(), Log(folder / "log"))
            # Leaving closes the server's standard input, at which it ends.
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def tally(rows: list[dict[str, Any]]) -> str:
    counts = Counter(row["fault"] or "answered" for row in rows)
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())


# The commands


def faults(prompts: int, share: float, seed: int) -> list[str]:
    weights = {"limited": 8, "failing": 6, "unavailable": 2, "cut": 5, "broken": 5, "silent": 4}
    plan = Plan({name: share * weight / 30 for name, weight in weights.items()}, seed=seed)
    with place(plan) as at:
        at.prompts([f"Give me tip {number} for baking bread." for number in range(prompts)])
        begun = time.monotonic()
        facts = at.collect("--teacher", "timeout_s=3", "--concurrency", "128")
        took = time.monotonic() - begun
        rows = at.log.read()
        kept, dropped = at.written("dialogues.jsonl"), at.written("dropped.jsonl")
        print(f"faults: {prompts} prompts in {took:.1f} s, {len(rows)} tries: {tally(rows)}")
        print(f"faults: {len(kept)} dialogues, {len(dropped)} dropped {facts.get('dropped')}")

        ids = sorted(int(row["id"]) for row in kept + dropped)
        at.check(ids == list(range(prompts)), "a prompt is in neither file, or in both")
        last = {row["text"]: row["fault"] for row in rows}
        texts = [f"Give me tip {number} for baking bread." for number in range(prompts)]
        for row in dropped:
            true = REASONS.get(last[texts[int(row["id"])]])
            at.check(row["reason"] == true, f"prompt {row['id']}: {row['reason']}, not {true}")
        answered = Counter(row["digest"] for row in rows if row["fault"] is None)
        twice = [digest for digest, count in answered.items() if count > 1]
        at.check(not twice, f"{len(twice)} calls were answered twice")
        at.check(at.recorded().keys() == answered.keys(), "ledger and server differ in the answers")
        at.verify()
        return at.wrong


def kill(prompts: int, kills: int, concurrency: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    with place(Plan(seed=seed)) as at:
        at.prompts([f"Give me tip {number} for baking bread." for number in range(prompts)])
        known: dict[str, str] = {}
        begun, losses, flying = time.monotonic(), [], 0
        more = ("--concurrency", str(concurrency))
        for number in range(1, kills + 1):
            before = len(at.log.rows)
            if running := at.killed(_moment(draw, at.log, int(prompts / kills)), *more):
                flying += len(at.log.rows) > before
            at.check(running, f"kill {number}: the job was done before; draw fewer kills")
            found = at.recorded()
            gone = sum(found.get(digest) != answer for digest, answer in known.items())
            at.check(not gone, f"kill {number}: {gone} recorded answers are gone or changed")
            new = [row["digest"] for row in at.log.rows[before:]]
            again = sum(digest in known for digest in new)
            at.check(not again, f"kill {number}: {again} recorded answers were asked again")
            losses.append(sum(digest not in found for digest in new))
            most = f"kill {number}: {losses[-1]} calls were lost, of {concurrency} at once"
            at.check(losses[-1] <= 5 * concurrency, most)
            known = found
        before = len(at.log.rows)
        facts = at.collect(*more)
        took = time.monotonic() - begun
        at.log.read()
        again = sum(row["digest"] in known for row in at.log.rows[before:])
        at.check(not again, f"the last start asked {again} recorded answers again")
        last = at.recorded()
        at.check(known.items() <= last.items(), "recorded answers are gone at the end")
        asked = len(at.log.rows)
        print(
            f"kill: {prompts} calls, {kills} kills ({flying} while calls flew) in {took:.1f} s; "
            f"the server answered {asked}, the ledger has {len(last)}: {asked - len(last)} lost, "
            f"{max(losses, default=0)} at most at one kill"
        )
        at.check(asked - len(last) == sum(losses), "the losses do not add up")
        at.check(len(last) == len(at.written("dialogues.jsonl")) == prompts, "totals differ")
        at.check(facts.get("dialogues") == prompts, f"the command says {facts}")
        at.verify()
        return at.wrong


def _moment(draw: random.Random, log: Log, most: int) -> Callable[[], bool]:
    """When to kill: mostly after a number of calls and a moment, sometimes while it starts."""
    calls = draw.randint(1, most) if draw.random() < 0.9 else 0
    wait_s = draw.uniform(0, 0.05) if calls else draw.uniform(0, 1.0)
    target, began = len(log.rows) + calls, 0.0

    def reached() -> bool:
        nonlocal began
        log.read()
        if not began and len(log.rows) >= target:
            began = time.monotonic()
        return bool(began) and time.monotonic() >= began + wait_s

    return reached


def budget(mixes: int, seed: int) -> list[str]:
    wrong, shares = [], defaultdict(list)
    for number in range(mixes):
        draw = random.Random(f"mix {seed} {number}")
        kind = ("plain", "faults", "killed", "faults, killed")[number % 4]
        bad = {"limited": 0.1, "failing": 0.03, "cut": draw.uniform(0, 0.1), "broken": 0.05}
        generous = draw.choice([0.1, 0.5, 0.9])
        plan = Plan(bad if "faults" in kind else {}, generous=generous, seed=number)
        with place(plan) as at:
            share = _spend(at, draw, kind, generous, f"budget {number:2} ({kind})")
            shares[kind].append(share)
            wrong += [f"mix {number}: {what}" for what in at.wrong]
    for kind, found in shares.items():
        print(f"budget: {kind}: most used {max(found):.4f} of it, least {min(found):.4f}")
    return wrong


def _spend(at: Place, draw: random.Random, kind: str, generous: float, name: str) -> float:
    """One mix; returns the share of the budget that the server billed."""
    max_tokens, longest = draw.choice([16, 100, 500, 4000]), draw.choice([30, 300, 3000])
    calls = draw.randint(400, 2500)  # about what the budget is to be enough for
    output = draw.uniform(1, 4)  # by the price of input
    usual = longest / 4 + output * generous * max_tokens
    price = 1e6 / (calls * usual)
    texts = ["x" * draw.randint(1, longest) + f" {number}" for number in range(2 * calls)]
    at.prompts(texts)
    more = ["--max-usd", "1", "--concurrency", "256", "--set", f"max_tokens={max_tokens}"]
    more += ["--teacher", f"prices.input={price}", "--teacher", f"prices.output={price * output}"]

    def billed() -> float:
        at.log.read()
        used = [row["usage"] for row in at.log.rows if row["fault"] in BILLED]
        asked, given = (sum(u[f"{of}_tokens"] for u in used) for of in ("prompt", "completion"))
        return float(asked + output * given) * price / 1e6

    begun, until = time.monotonic(), draw.uniform(0.1, 0.8)
    if "killed" in kind:
        at.killed(lambda: billed() > until, *more)
    facts = at.collect(*more)
    took, share = time.monotonic() - begun, billed()
    with Ledger(at.ledger) as ledger:
        counted = ledger.spent(at.out.name)
    print(
        f"{name}: {len(texts)} prompts, {max_tokens} max_tokens, {len(at.log.rows)} tries in "
        f"{took:.1f} s; billed ${share:.4f}, counted ${counted.usd:.4f}; {facts.get('dropped')}",
        flush=True,
    )
    at.check(share <= 1, f"the server billed ${share}")
    most = 2 if "killed" in kind else 1  # what was on its way may be noted twice over
    at.check(share - 1e-9 <= counted.usd <= most + 1e-9, f"${counted.usd} is counted of ${share}")
    at.check("budget" in facts.get("dropped", {}), "the budget was never reached")
    at.verify()
    return share


def canary(prompts: int, seed: int) -> list[str]:
    key = f"sk-canary/{random.Random(seed).randbytes(18).hex()}"
    os.environ[KEY_ENV] = key
    bad = {"limited": 0.05, "failing": 0.05, "cut": 0.03, "broken": 0.03}
    said: dict[str, str] = {}
    for ending in (None, prompts // 2):
        plan = Plan(bad, seed=seed, echo=True, refuse_after=ending)
        with place(plan) as at, watched(key, at):
            at.prompts([f"Give me tip {number} for baking bread." for number in range(prompts)])
            ledger = str(at.ledger)
            begin = [sys.executable, "-m", "understudy"]
            commands = [
                at.command("--api-key-env", KEY_ENV),
                at.command("--api-key-env", KEY_ENV, quiet=False),
                [*begin, "inspect", ledger],
            ]
            for more in ([], ["--json"]):
                commands += [
                    [*begin, "ledger", "list", ledger, "-n", "1000", *more],
                    [*begin, "ledger", "sum", ledger, *more],
                    [*begin, "ledger", "verify", ledger, *more],
                    [*begin, "ledger", "export", ledger, "--out", f"{at.out}/calls.jsonl", *more],
                ]
            codes = []
            for command in commands:
                done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
                codes.append(done.returncode)
                said[f"{ending} {' '.join(command[2:4])}"] = done.stdout + done.stderr
                at.check(key not in done.stdout + done.stderr, f"output of {command[2:5]}")
            rows = at.log.read()
            expected = [0 if ending is None else 2] * 2 + [0] * (len(commands) - 2)
            at.check(codes == expected, f"exit codes are {codes}: {said}")
            files = [path for path in (at.folder / "run").rglob("*") if path.is_file()]
            for path in files:
                at.check(not _holds(path.read_bytes(), key), f"{path.name} holds the key")
            struck = sum(path.read_bytes().count(b"[key]") for path in files)
            at.check(struck > 0, "the server's echoes never came to be written")
            print(
                f"canary: {len(rows)} requests ({tally(rows)}), {len(commands)} commands, "
                f"{len(files)} files; the key was struck out {struck} times"
            )
            wrong = at.wrong
        if wrong:
            return wrong
    return []


def _holds(content: bytes, key: str) -> bool:
    escaped = key.replace("/", "\\/")
    return any(form.encode() in content for form in (key, escaped, key.partition("/")[2]))


@contextmanager
def watched(key: str, at: Place) -> Iterator[None]:
    """Look for the key in all processes' arguments, and in the files while they are written."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.02):
            for path in [*Path("/proc").glob("[0-9]*/cmdline"), *at.out.glob("*")]:
                try:
                    content = path.read_bytes()
                except OSError:
                    continue  # it has ended, or is a folder
                if _holds(content, key) and len(at.wrong) < 10:
                    at.wrong.append(f"{path} showed the key")

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    options = {
        "faults": {"prompts": 10_000, "share": 0.3},
        "kill": {"prompts": 10_000, "kills": 50, "concurrency": 64},
        "budget": {"mixes": 20},
        "canary": {"prompts": 300},
    }
    for name, defaults in options.items():
        command = commands.add_parser(name)
        for option, default in (defaults | {"seed": 0}).items():
            command.add_argument(f"--{option}", type=type(default), default=default)
    given = vars(parser.parse_args())
    name = given.pop("command")
    wrong = {"faults": faults, "kill": kill, "budget": budget, "canary": canary}[name](**given)
    for what in wrong[:50]:
        print(f"{name}: VIOLATION: {what}")
    print(f"{name}: {'broken' if wrong else 'holds'}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
