"""The load of `benchmarks/panel.py`, with few raters."""

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "panel.py"


def rated_by_twenty(place: str, kills: int) -> str:
    """Twenty raters rate at once and without a pause; fails where a rating is lost or doubled."""
    line = [sys.executable, SCRIPT, "--raters", "20", "--items", "5", "--think", "0"]
    line += ["--database", place, "--kill", str(kills)]
    done = subprocess.run(line, capture_output=True, text=True, env=os.environ, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
