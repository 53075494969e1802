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

    A moment is uniform over a share of the time that the run takes undisturbed, counted afresh
    after each restart; the share shrinks with each run that was quicker than its moment. A
    disturbed run that comes to its end is compared, and another is begun until there were enough
    kills. `warm` takes the base from a cache, so that kills fall into all
    stages; otherwise the first run pretrains it, and most kills fall there.
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
    expected = numbers_without_time(folder / "calm" / "report.json")

    draw, hits, twice, rounds = random.Random(seed), [], 0, 0
    longest_s = undisturbed_s * (0.6 if warm else 2 / kills)
    while len(hits) < kills and rounds < 3 * kills:
        rounds += 1
        hit = folder / f"hit-{rounds}"
        before = len(hits)
        while len(hits) < kills:
            after = draw.uniform(0.5, longest_s)
            if not run_and_kill([*line, str(hit)], disturbed, after):
                longest_s *= 0.7
                break
            begun = {str(p.parent.relative_to(folder)) for p in folder.rglob("begun.json")}
            hits.append([round(after, 1), sorted(begun)])
        assert os.spawnve(os.P_WAIT, sys.executable, [*line, str(hit)], disturbed) == 0
        assert numbers_without_time(hit / "report.json") == expected
        again = requests_answered_twice(hit / "teacher.jsonl")
        assert again <= CONCURRENCY * (len(hits) - before)
        twice += again
    facts = {"kills": len(hits), "runs": rounds, "twice": twice, "hits": hits}
    return facts | {"undisturbed_s": round(undisturbed_s, 1)}


def test_tiny_run_survives_kills(tmp_path: Path, environment: dict[str, str]) -> None:
    recipe = write_recipe(tmp_path / "tiny.yaml")
    found = kill_and_compare(recipe, tmp_path, 4, 1, environment, warm=False)
    assert found["kills"] == 4


@pytest.mark.slow
@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
def test_demo_survives_ten_kills(tmp_path: Path, environment: dict[str, str], warm: bool) -> None:
    demo = Path(__file__).parents[2] / "recipes" / "desk.yaml"
    found = kill_and_compare(demo, tmp_path, 10, 2, environment, warm)
    print(json.dumps(found))
    assert found["kills"] == 10
