"""A PostgreSQL server for tests, and a place of its own in it for each test.

UNDERSTUDY_POSTGRES names a server whose role may make schemas and databases. Without it, a
temporary one is started where PostgreSQL is installed.
"""

import atexit
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import psycopg

START_S = 30.0
FAST = ["-c", "fsync=off", "-c", "listen_addresses="]


@cache
def server() -> str | None:
    """The server's address; None where there is no server to be had."""
    if address := os.environ.get("UNDERSTUDY_POSTGRES"):
        return address
    programs = _programs()
    return _start(programs) if programs else None


def _programs() -> Path | None:
    found = shutil.which("initdb")
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return Path(found).parent if found else installed[-1].parent if installed else None


def _start(programs: Path) -> str:
    """Start a server that listens on a socket in its folder only, until the tests end."""
    folder = Path(tempfile.mkdtemp(prefix="understudy-postgres-"))
    data, owner = folder / "data", _owner(folder)
    how = ["-U", "understudy", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
    line = [programs / "initdb", "-D", data, *how]
    subprocess.run(line, check=True, capture_output=True, cwd=folder, **owner)
    process = subprocess.Popen(
        [programs / "postgres", "-D", data, "-k", folder, *FAST],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **owner,
    )

    def stop() -> None:
        process.send_signal(signal.SIGINT)
        process.wait()
        shutil.rmtree(folder)

    atexit.register(stop)
    address = f"postgresql://understudy@/postgres?host={folder}"
    deadline = time.monotonic() + START_S
    while True:
        try:
            psycopg.connect(address).close()
            return address
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _owner(folder: Path) -> dict[str, Any]:
    """How to run as somebody else than root, whom PostgreSQL refuses."""
    if os.geteuid():
        return {}
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


@contextmanager
def own_schema(address: str) -> Iterator[str]:
    """The address of a new schema in a server, which is dropped in the end."""
    name = f"understudy_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
        try:
            yield extended(address, options=f"-csearch_path={name}")
        finally:
            connection.execute(f"DROP SCHEMA {name} CASCADE")


def extended(address: str, **settings: str) -> str:
    """An address with further settings at its end."""
    return f"{address}{'&' if '?' in address else '?'}{urlencode(settings, quote_via=quote)}"
