"""The command line as a user runs it."""

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import pytest

from end_to_end.commands import Understudy
from understudy.cli import main


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """One cache of bases for all tests of the session, and none of the user's."""
    cache = tmp_path_factory.mktemp("cache")
    return os.environ | {"UNDERSTUDY_CACHE": str(cache), "NO_COLOR": "1", "HF_HUB_OFFLINE": "1"}


@pytest.fixture(scope="session")
def understudy(environment: dict[str, str]) -> Understudy:
    """Run `understudy ARGUMENTS` to its end; the process's output is on the result."""

    def command(*arguments: object, check: bool = True, **more: Any) -> Any:
        line = [sys.executable, "-m", "understudy", *map(str, arguments)]
        env = environment | more.pop("env", {})
        done = subprocess.run(line, capture_output=True, text=True, env=env, timeout=900, **more)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(line[2:])}\n{done.stdout}\n{done.stderr}")
        return done

    return command


@pytest.fixture(scope="session")
def here(environment: dict[str, str]) -> Understudy:
    """`understudy`, but in this process: a new one takes seconds to load the libraries."""

    def command(*arguments: object, check: bool = True, input: str = "") -> Any:
        line = ["understudy", *map(str, arguments)]
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            for name, value in environment.items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", line)
            patch.setattr(sys, "stdin", io.StringIO(input))
            with pytest.raises(SystemExit) as ended:
                main()
        code = int(ended.value.code or 0)
        done = subprocess.CompletedProcess(line, code, out.getvalue(), err.getvalue())
        if check and code:
            raise AssertionError(f"{' '.join(line[1:])}\n{done.stdout}\n{done.stderr}")
        return done

    return command
