"""Run the commands of a page as a reader would who types them in, from its first to its last.

    python docs_build/blocks.py PAGE [FOLDER]

All blocks marked ```bash are run by one shell, which stops at the first failure, in FOLDER (else a
new one). Beside a copy of examples/ it should be empty. Blocks with another mark are not run.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parent.parent


def bash_blocks(page: Path) -> list[str]:
    """The texts of the blocks that are to be run."""
    tokens = MarkdownIt().parse(page.read_text("utf-8"))
    return [token.content for token in tokens if token.type == "fence" and token.info == "bash"]


def run_blocks(page: Path, folder: Path) -> int:
    """Run a page's blocks in a folder, each printed before; the shell's exit status."""
    shutil.copytree(ROOT / "examples", folder / "examples", dirs_exist_ok=True)
    blocks = bash_blocks(page)
    steps = [f"printf '\\n%s' {shlex.quote(block)} >&2\n{block}" for block in blocks]
    script = "set -euo pipefail\n" + "\n".join(steps)
    paths = [str(Path(sys.executable).parent), os.environ["PATH"]]
    env = os.environ | {"PATH": os.pathsep.join(paths)}
    return subprocess.run(
        ["bash", "-c", script], cwd=folder, env=env, stdin=subprocess.DEVNULL
    ).returncode


if __name__ == "__main__":
    _, page, *rest = sys.argv
    place = Path(rest[0]) if rest else Path(tempfile.mkdtemp(prefix="blocks-"))
    place.mkdir(parents=True, exist_ok=True)
    sys.exit(run_blocks(Path(page), place.resolve()))
