"""Speed of collecting, side by side in one run: understudy, its peers, and a bare loop.

The floor is a bare asyncio loop over aiohttp that throws its answers away. It cannot be beaten by
much: N calls that take 20 ms each, C at once, need N * 0.02 / C s, and an HTTP client in Python
needs its CPU time for every call. Both are printed first. understudy is the whole command
`understudy collect` with its durable ledger; distilabel and bespoke curator have the settings that
were fastest of those they document (benchmarks/peers/run_*.py say which, and what others gave).

Everybody asks the same prompts of the same local server, which answers with 300 tokens after 20 ms,
in rounds: bare, understudy, distilabel, curator, and again. Each run is a process of its own with a
fresh server and a fresh folder (on the repository's disk, so that what is durable is so really),
and counts only if the server and the contestant's own output both have every call. Three figures:

    calls/s         from the first request, as the server saw it, to the end of the process. This is
                    the comparison: start-up, which is mostly imports, is left out for everybody,
                    and writing the answers down is not
    as served       from the first request to the last answer, as the server saw them. It flatters
                    those that ask in large batches, whose work lies before the first request and
                    after the last answer (a batch of up to 1,000 may look faster than the floor)
    whole process   calls by the seconds from the start of the process to its end

    sh benchmarks/peers/setup.sh          # the peers, once; those missing are left out
    python benchmarks/collect.py [--calls 5000] [--rounds 3] [--concurrency N] [--only NAME ...]
    python benchmarks/collect.py --memory # peak memory of 10,000 and of 200,000 calls
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from resource import struct_rusage
from statistics import median

HERE = Path(__file__).parent
SCRIPTS = HERE / "peers"
PEERS = HERE.parent / ".peers"
DELAY_MS, TOKENS = 20, 300
CONCURRENCIES = (64, 128, 256, 512)
CONTESTANTS = ("bare", "understudy", "distilabel", "curator")
TUNED = ("bare", "understudy")  # those that --concurrency is for
GOALS = {"bare": 0.85, "distilabel": 5.0, "curator": 5.0}  # understudy's speed by theirs


class NoFigureError(Exception):
    """A contestant has no figure: it is not installed, failed, or took too long."""


@dataclass(frozen=True)
class Run:
    """One contestant's run: seconds, CPU seconds (children's included) and peak MiB."""

    calls: int
    served_s: float
    worked_s: float
    whole_s: float
    cpu_s: float
    server_cpu_s: float
    peak_mib: float
    said: str

    def rates(self) -> tuple[float, float, float]:
        """Calls a second: of the comparison, as served, and of the whole process."""
        return (
            self.calls / self.worked_s,
            self.calls / self.served_s,
            self.calls / self.whole_s,
        )


@dataclass(frozen=True)
class Server:
    base_url: str

    def count(self) -> dict[str, float]:
        address = self.base_url.removesuffix("/v1") + "/count"
        with urllib.request.urlopen(address) as response:
            counted: dict[str, float] = json.load(response)
        return counted


@contextmanager
def server(delay_ms: float, tokens: int) -> Iterator[Server]:
    command = [sys.executable, str(SCRIPTS / "server.py")]
    command += ["--delay-ms", str(delay_ms), "--tokens", str(tokens)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        yield Server(process.stdout.readline().strip())
        # Leaving closes the server's standard input, at which it ends.


def write_prompts(path: Path, count: int) -> Path:
    with path.open("w") as file:
        for number in range(count):
            prompt = f"Give me tip {number} for baking bread at home, in a few short sentences."
            file.write(json.dumps({"prompt": prompt}) + "\n")
    return path


def command_of(
    name: str, prompts: Path, base_url: str, out: Path, concurrency: int | None
) -> list[str]:
    at_once = ["--concurrency", str(concurrency)] if concurrency else []
    if name == "understudy":
        start = [sys.executable, "-m", "understudy", "collect", str(prompts), "--out", str(out)]
        return [*start, "--base-url", base_url, "--model", "bench", "--quiet", "--json", *at_once]
    if name == "bare":
        python = Path(sys.executable)
    else:
        python, at_once = PEERS / name / "bin" / "python", []
        if not python.exists():
            raise NoFigureError("not installed; run: sh benchmarks/peers/setup.sh")
    script = SCRIPTS / f"run_{name}.py"
    return [str(python), str(script), str(prompts), base_url, str(out), *at_once]


def run(
    name: str,
    prompts: Path,
    calls: int,
    concurrency: int | None,
    limit_s: float,
    delay_ms: float = DELAY_MS,
    tokens: int = TOKENS,
) -> Run:
    """Let one contestant ask all prompts of a fresh server.

    Raises:
        NoFigureError: it has no figure; says why.
    """
    out = Path(tempfile.mkdtemp(dir=prompts.parent))
    try:
        with server(delay_ms, tokens) as teacher:
            command = command_of(name, prompts, teacher.base_url, out, concurrency)
            begun = time.perf_counter()
            usage, said = execute(command, out, limit_s)
            ended = time.perf_counter()  # a clock of the whole system, the server's as well
            count = teacher.count()
        answers = answers_of(name, out, said)
    finally:
        shutil.rmtree(out)
    if (answers, count["calls"]) != (calls, calls):
        raise NoFigureError(
            f"{answers} answers, {count['calls']:.0f} calls answered, {calls} wanted"
        )
    return Run(
        calls=calls,
        served_s=count["last"] - count["first"],
        worked_s=ended - count["first"],
        whole_s=ended - begun,
        cpu_s=usage.ru_utime + usage.ru_stime,
        server_cpu_s=count["cpu"],
        peak_mib=usage.ru_maxrss / 1024,
        said=said,
    )


def execute(command: list[str], out: Path, limit_s: float) -> tuple[struct_rusage, str]:
    """Run a command to its end: what it used, and its standard output."""
    proxies = {"http_proxy", "https_proxy", "all_proxy"}
    environment = {key: value for key, value in os.environ.items() if key.lower() not in proxies}
    said, complaints = out / "stdout.txt", out / "stderr.txt"
    with said.open("w") as stdout, complaints.open("w") as stderr:
        process = subprocess.Popen(
            command, stdout=stdout, stderr=stderr, env=environment, start_new_session=True
        )
    begun = time.perf_counter()
    late = threading.Timer(limit_s, os.killpg, (process.pid, signal.SIGKILL))
    late.start()
    try:
        _, status, usage = os.wait4(process.pid, 0)
    except KeyboardInterrupt:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    finally:
        late.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    if time.perf_counter() - begun >= limit_s:
        raise NoFigureError(
            f"not done within {limit_s:g} s; ask less of the peers with --peer-calls"
        )
    if process.returncode:
        last = " / ".join(complaints.read_text().strip().splitlines()[-2:])
        raise NoFigureError(f"exit status {process.returncode}: {last}")
    return usage, said.read_text()


def answers_of(name: str, out: Path, said: str) -> int:
    """The answers in a contestant's own output."""
    if name == "understudy":
        with (out / "dialogues.jsonl").open() as lines:
            return sum(1 for _ in lines)
    return int(json.loads(said.splitlines()[-1])["answers"])


def best_concurrency(name: str, prompts: Path, calls: int, limit_s: float) -> int:
    seconds = {c: run(name, prompts, calls, c, limit_s).worked_s for c in CONCURRENCIES}
    print(f"{name} by calls at once: " + ", ".join(f"{c}: {s:.2f} s" for c, s in seconds.items()))
    return min(seconds, key=lambda at_once: seconds[at_once])


def say_floor(bare: Run, concurrency: int) -> None:
    cpu_s = json.loads(bare.said)["cpu"] / bare.calls
    least_s = bare.calls * DELAY_MS / 1000 / concurrency
    print(
        f"floor: {bare.calls:,} calls of {DELAY_MS} ms, {concurrency} at once, "
        f"need {least_s:.2f} s ({bare.calls / least_s:,.0f}/s)\n"
        f"floor: the client's CPU time a call, {cpu_s * 1000:.2f} ms, "
        f"allows one process {1 / cpu_s:,.0f}/s\n"
        f"server: its CPU time a call, {bare.server_cpu_s / bare.calls * 1000:.2f} ms, "
        f"allows {bare.calls / bare.server_cpu_s:,.0f}/s"
    )


@dataclass
class Contestant:
    """Its runs; `at_once` None leaves the number of calls at once to itself."""

    name: str
    prompts: Path
    calls: int
    at_once: int | None
    runs: list[Run]


def race(
    names: Sequence[str],
    calls: int,
    peer_calls: int,
    rounds: int,
    given: int | None,
    limit_s: float,
) -> None:
    with scratch() as folder:
        field = []
        for name in names:
            count = calls if name in TUNED else peer_calls
            prompts = write_prompts(folder / f"{name}.jsonl", count)
            at_once = given if name in TUNED else None
            field.append(Contestant(name, prompts, count, at_once, []))
        for number in range(rounds):
            for each in list(field):
                try:
                    if number == 0 and each.name in TUNED and given is None:
                        each.at_once = best_concurrency(
                            each.name, each.prompts, each.calls, limit_s
                        )
                    done = run(each.name, each.prompts, each.calls, each.at_once, limit_s)
                except NoFigureError as why:
                    if each.name in TUNED:
                        raise SystemExit(f"{each.name}: {why}") from None
                    print(f"{each.name}: {why}")
                    field.remove(each)
                    continue
                if number == 0 and each.name == "bare":
                    say_floor(done, each.at_once or CONCURRENCIES[0])
                each.runs.append(done)
    say_table(field)


def spread(values: Sequence[float], form: str) -> str:
    """The median and the range."""
    return f"{median(values):{form}} ({min(values):{form}}-{max(values):{form}})"


def say_table(field: list[Contestant]) -> None:
    titles = ("calls", "at once", "calls/s", "as served", "whole process", "start s", "CPU ms/call")
    print(f"\n{'':12}" + "".join(f"{title:>21}" for title in titles))
    for each in field:
        cells = (
            f"{each.calls:,}",
            str(each.at_once or "its own"),
            *(spread(rates, ",.0f") for rates in zip(*(r.rates() for r in each.runs), strict=True)),
            f"{median(r.whole_s - r.worked_s for r in each.runs):.2f}",
            f"{median(r.cpu_s for r in each.runs) / each.calls * 1000:.2f}",
        )
        print(f"{each.name:12}" + "".join(f"{cell:>21}" for cell in cells))
    by_name = {each.name: each for each in field}
    if "understudy" not in by_name:
        return
    ours = by_name.pop("understudy")
    for each in by_name.values():
        ratios = [
            [mine / theirs for mine, theirs in zip(our.rates(), other.rates(), strict=True)]
            for our, other in zip(ours.runs, each.runs, strict=True)
        ]
        calls, served, whole = (spread(column, ".2f") for column in zip(*ratios, strict=True))
        print(
            f"understudy / {each.name}: {calls}, goal {GOALS[each.name]:g}; "
            f"as served {served}, whole process {whole}"
        )


def memory(few: int, many: int, limit_s: float) -> None:
    """Peak memory of `understudy collect`, asking a server that answers shortly and at once."""
    peaks = []
    with scratch() as folder:
        for calls in (few, many):
            prompts = write_prompts(folder / f"{calls}.jsonl", calls)
            try:
                done = run("understudy", prompts, calls, None, limit_s, delay_ms=0, tokens=12)
            except NoFigureError as why:
                raise SystemExit(f"understudy: {why}") from None
            rate = calls / done.worked_s
            print(f"{calls:>9,} calls: {done.peak_mib:7.1f} MiB at most ({rate:,.0f} calls/s)")
            peaks.append(done.peak_mib)
    print(f"difference: {peaks[1] - peaks[0]:.1f} MiB")


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder on the repository's disk; the system's own temporary one may be in memory."""
    PEERS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=PEERS) as folder:
        yield Path(folder)


def main() -> None:
    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--calls", type=int, help="5,000; of --memory 200,000")
    parser.add_argument("--peer-calls", type=int, help="calls of the peers; as --calls if unset")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--concurrency", type=int, help="of bare and understudy; the best of a few if unset"
    )
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, default=CONTESTANTS)
    parser.add_argument("--limit-s", type=float, default=900, help="seconds for one process")
    parser.add_argument("--memory", action="store_true", help="peak memory in place of speed")
    arguments = parser.parse_args()
    if arguments.memory:
        many = arguments.calls or 200_000
        memory(many // 20, many, arguments.limit_s)
        return
    calls = arguments.calls or 5000
    peer_calls = arguments.peer_calls or calls
    names = [name for name in CONTESTANTS if name in arguments.only]
    race(names, calls, peer_calls, arguments.rounds, arguments.concurrency, arguments.limit_s)


if __name__ == "__main__":
    main()
