"""kill -9 at any moment, the same command again: nothing lost, nothing paid for twice."""

import json
import os
import random
import sys
import time
from pathlib import Path

import pytest

from end_to_end.commands import (
    Understudy,
    numbers_without_time,
    requests_answered_twice,
    run_and_kill,
    write_recipe,
)

CONCURRENCY = 16  # calls in flight at a kill, at most


def kill_and_compare(
    recipe: Path, folder: Path, kills: int, seed: int, environment: dict[str, str]
) -> dict[str, object]:
    """Undisturbed against disturbed runs of a recipe, each with a cache of its own.

    The moments are uniform over the time that was measured undisturbed, counted afresh after
    each restart so that every part of the run is hit; a run that ends early is not a kill.
    """
    line = [sys.executable, "-m", "understudy", "run", str(recipe), "--quiet", "--out"]
    calm = environment | {"UNDERSTUDY_CACHE": str(folder / "calm-cache")}
    start = time.monotonic()
    assert os.spawnve(os.P_WAIT, sys.executable, [*line, str(folder / "calm")], calm) == 0
    undisturbed_s = time.monotonic() - start

    disturbed = environment | {"UNDERSTUDY_CACHE": str(folder / "cache")}
    draw, killed, spent = random.Random(seed), 0, []
    while killed < kills:
        # Restarts are shorter than the whole, so most moments lie in the first stretch of what
        # is left; the mean leaves progress between kills.
        after = draw.uniform(0.5, max(1.5, 2 * undisturbed_s / kills))
        if not run_and_kill([*line, str(folder / "hit")], disturbed, after):
            break
        killed += 1
        spent.append(round(after, 2))
    assert os.spawnve(os.P_WAIT, sys.executable, [*line, str(folder / "hit")], disturbed) == 0

    calm_report, hit_report = (folder / name / "report.json" for name in ("calm", "hit"))
    assert numbers_without_time(hit_report) == numbers_without_time(calm_report)
    twice = requests_answered_twice(folder / "hit" / "teacher.jsonl")
    assert twice <= CONCURRENCY * killed
    return {"kills": killed, "at_s": spent, "twice": twice, "undisturbed_s": undisturbed_s}


def test_tiny_run_survives_kills(tmp_path: Path, environment: dict[str, str]) -> None:
    recipe = write_recipe(tmp_path / "tiny.yaml")
    found = kill_and_compare(recipe, tmp_path, 4, 1, environment)
    assert found["kills"], "the run was never hit; the moments are too late"


@pytest.mark.slow
def test_demo_survives_twenty_kills(
    tmp_path: Path, environment: dict[str, str], understudy: Understudy
) -> None:
    demo = Path(__file__).parents[2] / "recipes" / "desk.yaml"
    found = kill_and_compare(demo, tmp_path, 20, 2, environment)
    print(json.dumps(found))
    assert found["kills"] == 20
