"""Imports go down the layers and never up, and stages do not import each other."""

import ast
from pathlib import Path

import pytest

import understudy

ROOT = Path(understudy.__file__).parent
LAYERS = [
    {"cli", "__main__", "doctor", "inspect", "chat"},
    {"run", "parts", "plan", "study", "api", "exporting", "__init__"},
    {"gather"},
    {"world"},
    {"collect", "curate", "train", "evaluate", "style", "judge", "panel", "report", "export"},
    {
        "teacher",
        "models",
        "lines",
        "prompts",
        "dialogue",
        "statistics",
        "preferences",
        "recipe",
        "recipe_file",
        "manifest",
        "pages",
    },
    {"progress", "files", "serving", "errors"},
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
STAGES = 4


def part(path: Path) -> str:
    relative = path.relative_to(ROOT)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imported_parts(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("understudy."):
            found.add(str(node.module).split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {n.name.split(".")[1] for n in node.names if n.name.startswith("understudy.")}
    return found


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_down(path: Path) -> None:
    here = part(path)
    for there in imported_parts(path) - {here}:
        assert RANK[there] >= RANK[here], f"{path} imports {there}, a layer above"
        if RANK[here] == STAGES:
            assert RANK[there] != STAGES, f"{path} imports {there}, another stage"
