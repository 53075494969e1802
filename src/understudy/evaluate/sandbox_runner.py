"""Runs one program inside the sandbox and reports how it ended; see `sandbox.py`.

It is started by its text (`python -c`), so that no file of ours is visible there, and needs nothing
but the standard library. Standard input holds the job as JSON: `source`, `limits` and a `nonce`
that only this process knows. The nonce alone on standard output means that the program, whose last
line calls its test, came to its end; anything else is the reason why it did not.
"""

import json
import os
import resource
import sys
from collections.abc import Callable
from typing import Any


def main() -> None:
    """Read the job, set the limits, run the program, report."""
    job = json.loads(sys.stdin.buffer.read())
    report = _reporter(job.pop("nonce"))
    for name, limit in job["limits"].items():
        resource.setrlimit(getattr(resource, name), (limit, limit))
    try:
        exec(compile(job["source"], "program", "exec"), {})
    except BaseException as error:  # SystemExit too: leaving early is no pass
        report(error)
    else:
        report(None)
    os._exit(0)


def _reporter(nonce: str) -> Callable[[BaseException | None], Any]:
    """A function that reports; the program's own input and output lead nowhere from here on."""
    channel, write = os.dup(1), os.write
    os.dup2(2, 0)
    os.dup2(2, 1)

    def report(error: BaseException | None) -> None:
        why = nonce if error is None else f"{type(error).__name__}: {error}"[:300]
        write(channel, why.encode("utf-8", "replace"))

    return report


if __name__ == "__main__":
    main()
