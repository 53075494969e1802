"""kill -9 at any moment, the same command again: nothing lost, nothing paid for twice."""

import json
import os
import random
import shutil
import sys
import time
from pathlib import Path

import pytest

from end_to_end.commands import (
    numbers_without_time,
    requests_answered_twice,
    run_and_kill,
    write_recipe,
)

CONCURRENCY = 16  # calls in flight at a kill, at most


def kill_and_compare(
    recipe: Path, folder: Path, kills: int, seed: int, environment: dict[str, str], warm: bool
) -> dict[str, object]:
    """Undisturbed against disturbed runs of a recipe; tells when and in which stages it was hit.

    The moments are uniform over a share of the time that was measured undisturbed, counted afresh
    after each restart, so that the run gets on between kills and every part of it is hit. `warm`
    takes the base from a cache; otherwise each run pretrains its own, and most kills fall there.
    """
    line = [sys.executable, "-m", "understudy", "run", str(recipe), "--quiet", "--out"]
    calm = environment | {"UNDERSTUDY_CACHE": str(folder / "calm-cache")}
    disturbed = environment | {"UNDERSTUDY_CACHE": str(folder / "cache")}
    if warm:
        assert os.spawnve(os.P_WAIT, sys.executable, [*line, str(folder / "first")], calm) == 0
        shutil.copytree(folder / "calm-cache", folder / "cache")
    start = time.monotonic()
    assert os.spawnve(os.P_WAIT, sys.executable, [*line, str(folder / "calm")], calm) == 0
    undisturbed_s = time.monotonic() - start

    draw, hits = random.Random(seed), []
    while len(hits) < kills:
        after = draw.uniform(0.5, max(1.5, 2 * undisturbed_s / kills))
        if not run_and_kill([*line, str(folder / "hit")], disturbed, after):
            break
        begun = {str(p.parent.relative_to(folder)) for p in folder.rglob("begun.json")}
        hits.append([round(after, 1), sorted(begun)])
    assert os.spawnve(os.P_WAIT, sys.executable, [*line, str(folder / "hit")], disturbed) == 0

    calm_report, hit_report = (folder / name / "report.json" for name in ("calm", "hit"))
    assert numbers_without_time(hit_report) == numbers_without_time(calm_report)
    twice = requests_answered_twice(folder / "hit" / "teacher.jsonl")
    assert twice <= CONCURRENCY * len(hits)
    return {"kills": len(hits), "twice": twice, "undisturbed_s": undisturbed_s, "hits": hits}


def test_tiny_run_survives_kills(tmp_path: Path, environment: dict[str, str]) -> None:
    recipe = write_recipe(tmp_path / "tiny.yaml")
    found = kill_and_compare(recipe, tmp_path, 4, 1, environment, warm=False)
    assert found["kills"], "the run was never hit; the moments are too late"


@pytest.mark.slow
@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
def test_demo_survives_ten_kills(tmp_path: Path, environment: dict[str, str], warm: bool) -> None:
    demo = Path(__file__).parents[2] / "recipes" / "desk.yaml"
    found = kill_and_compare(demo, tmp_path, 10, 2, environment, warm)
    print(json.dumps(found))
    assert found["kills"] == 10
