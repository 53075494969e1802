"""Stages as functions from files to files, each closed by a manifest.

A stage owns a folder. Its `manifest.json` is written last, so that its existence means that the
stage is complete; it holds the key of what went in and the digest of what came out. A stage whose
manifest carries the same key is not run again. A stage without a manifest is continued in its
folder if it was begun with the same key (`begun.json`), and started afresh otherwise.
"""

import os
import platform
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from understudy import __version__
from understudy.files import digest, file_digest, read_json, sweep, write_json

MANIFEST, BEGUN = "manifest.json", "begun.json"
PACKAGES = ("torch", "transformers", "tokenizers", "numpy")


@dataclass(frozen=True)
class Stage:
    """One step of a run.

    Attributes:
        name: shown to the user.
        folder: where it writes; nobody else writes there.
        settings: every setting that the outputs depend on, as JSON.
        inputs: the files and folders that it reads, by a name of its own for each.
        work: does the work in `folder`, which may hold what a killed run left; returns facts
            (counts, cost) for the manifest.
        outputs: files or folders that it leaves, relative to `folder`.
        owns_folder: False where `folder` also holds other stages' folders; then nothing is wiped.
    """

    name: str
    folder: Path
    settings: dict[str, Any]
    inputs: dict[str, Path]
    work: Callable[[], dict[str, Any]]
    outputs: tuple[str, ...]
    owns_folder: bool = field(default=True)

    def key(self) -> str:
        """Digest of all that the outputs depend on."""
        inputs = {name: _content_digest(path) for name, path in self.inputs.items()}
        return digest(
            {"stage": self.name, "version": __version__, "settings": self.settings, **inputs}
        )


def is_complete(stage: Stage) -> bool:
    """Whether the stage's manifest is there with its key and its outputs still exist."""
    return all(path.exists() for path in stage.inputs.values()) and _done(stage, stage.key())


def facts_of(folder: Path) -> dict[str, Any]:
    """The facts of the stage that is complete in a folder."""
    facts: dict[str, Any] = read_json(folder / MANIFEST)["facts"]
    return facts


def run_stage(stage: Stage) -> tuple[dict[str, Any], bool]:
    """Run, continue or skip a stage; returns its manifest and whether any work was done."""
    key = stage.key()
    if _done(stage, key):
        return read_json(stage.folder / MANIFEST), False
    begun = stage.folder / BEGUN
    if not (begun.exists() and read_json(begun).get("key") == key):
        (stage.folder / MANIFEST).unlink(missing_ok=True)
        if stage.owns_folder and stage.folder.exists():
            shutil.rmtree(stage.folder)
        write_json(begun, {"key": key})
    elif stage.owns_folder:
        sweep(stage.folder)  # an output folder's digest is of the files in it, all of them
    start = time.monotonic()
    facts = stage.work()
    manifest = {
        "stage": stage.name,
        "key": key,
        "settings": stage.settings,
        "inputs": {name: _content_digest(path) for name, path in stage.inputs.items()},
        "outputs": {name: file_digest(stage.folder / name) for name in stage.outputs},
        "facts": facts,
        "versions": _versions(),
        "wall_s": round(time.monotonic() - start, 3),
    }
    write_json(stage.folder / MANIFEST, manifest)
    begun.unlink(missing_ok=True)
    return manifest, True


def _done(stage: Stage, key: str) -> bool:
    path = stage.folder / MANIFEST
    return (
        path.exists()
        and read_json(path).get("key") == key
        and all((stage.folder / name).exists() for name in stage.outputs)
    )


def _content_digest(path: Path) -> str:
    """The digest of an input, taken from the manifest of the stage that wrote it where possible."""
    for folder in (path.parent, *path.parent.parents[:2]):
        manifest = folder / MANIFEST
        if manifest.exists():
            known = read_json(manifest).get("outputs", {}).get(os.path.relpath(path, folder))
            if known:
                return str(known)
    return file_digest(path)


def _versions() -> dict[str, str]:
    found = {"understudy": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
