"""Targeted benchmarks, each a declaration in YAML; see docs/benchmarks.md.

Those of `declared/` are called by name. A user's own is called by the path of its file.
"""

from functools import cache
from pathlib import Path

from understudy.errors import UserError
from understudy.evaluate.benchmarks.declaration import load_declaration
from understudy.evaluate.benchmarks.kinds import Benchmark
from understudy.evaluate.benchmarks.read import benchmark_of

_DECLARED = {p.stem: p for p in sorted((Path(__file__).parent / "declared").glob("*.yaml"))}
NAMES = tuple(_DECLARED)


def find_benchmark(name: str) -> Benchmark:
    """A benchmark by its name, or by the path of its declaration (`.yaml`, `.yml`).

    Raises:
        UserError: there is none of that name, or the declaration is at fault.
    """
    if name in _DECLARED:
        return _shipped(name)
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        known = ", ".join(NAMES)
        raise UserError(f"no benchmark {name!r}; choose from {known}, or name a YAML file")
    declared = load_declaration(path)
    if declared.name in _DECLARED:
        raise UserError(f"{path}: a shipped benchmark is called {declared.name}; rename this one")
    return benchmark_of(declared, path.parent)


@cache
def _shipped(name: str) -> Benchmark:
    return benchmark_of(load_declaration(_DECLARED[name]))
