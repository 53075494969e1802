"""Targeted benchmarks, each a declaration over one of three kinds.

To add one, write a module with its `Benchmark` and name it in `BENCHMARKS`.
"""

from understudy.errors import UserError
from understudy.evaluate.benchmarks.humaneval import HUMANEVAL
from understudy.evaluate.benchmarks.kinds import Benchmark
from understudy.evaluate.benchmarks.mmlu import MMLU
from understudy.evaluate.benchmarks.nq import NQ

BENCHMARKS = {benchmark.name: benchmark for benchmark in (MMLU, NQ, HUMANEVAL)}


def find_benchmark(name: str) -> Benchmark:
    """The benchmark of that name; a UserError lists those there are."""
    if name not in BENCHMARKS:
        raise UserError(f"no benchmark {name!r}; choose from {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]
