"""Stages are skipped, continued or started afresh by what went in and what is there."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from understudy.files import atomic_write, read_json
from understudy.manifest import Stage, is_complete, run_stage


class Counter:
    """A stage that counts how often it works, and can be made to die on the way."""

    def __init__(self, folder: Path, source: Path) -> None:
        self.folder, self.source, self.worked, self.die = folder, source, 0, False

    def stage(self, **settings: Any) -> Stage:
        return Stage(
            "count", self.folder, settings, {"source": self.source}, self.work, ("out.txt",)
        )

    def work(self) -> dict[str, Any]:
        self.worked += 1
        self.found = sorted(path.name for path in self.folder.iterdir())
        (self.folder / "part.txt").write_text("part")
        if self.die:
            raise KeyboardInterrupt
        (self.folder / "out.txt").write_text(self.source.read_text().upper())
        return {"n": self.worked}


@pytest.fixture
def counter(tmp_path: Path) -> Counter:
    source = tmp_path / "source.txt"
    source.write_text("a")
    return Counter(tmp_path / "stage", source)


def test_done_once_and_skipped_after(counter: Counter) -> None:
    assert not is_complete(counter.stage(x=1))
    manifest, worked = run_stage(counter.stage(x=1))
    assert worked
    assert is_complete(counter.stage(x=1))
    assert run_stage(counter.stage(x=1)) == (manifest, False)
    assert counter.worked == 1


def test_changed_setting_or_input_starts_afresh(counter: Counter) -> None:
    run_stage(counter.stage(x=1))
    run_stage(counter.stage(x=2))
    assert counter.worked == 2
    assert counter.found == ["begun.json"], "a changed stage must not see the old one's files"
    counter.source.write_text("b")
    run_stage(counter.stage(x=2))
    assert counter.worked == 3


def test_interrupted_stage_is_continued_in_its_folder(counter: Counter) -> None:
    counter.die = True
    with pytest.raises(KeyboardInterrupt):
        run_stage(counter.stage(x=1))
    assert not is_complete(counter.stage(x=1))
    counter.die = False
    run_stage(counter.stage(x=1))
    assert counter.found == ["begun.json", "part.txt"]
    assert not (counter.folder / "begun.json").exists()


def test_what_a_killed_write_left_is_no_output(tmp_path: Path) -> None:
    folder = tmp_path / "stage"

    def stage(die: bool) -> Stage:
        return Stage("write", folder, {}, {}, lambda: write(die), outputs=("out",))

    def write(die: bool) -> dict[str, Any]:
        (folder / "out").mkdir(exist_ok=True)
        for name in ("a", "b"):
            if die and name == "b":  # as kill -9 between a file's first byte and its renaming
                (folder / "out" / ".b.123.part").write_text("")
                raise KeyboardInterrupt
            with atomic_write(folder / "out" / name) as file:
                file.write(name)
        return {}

    with pytest.raises(KeyboardInterrupt):
        run_stage(stage(die=True))
    continued, _ = run_stage(stage(die=False))
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["a", "b"]
    shutil.rmtree(folder)
    undisturbed, _ = run_stage(stage(die=False))
    assert continued["outputs"] == undisturbed["outputs"]


def test_interrupted_stage_with_other_settings_starts_afresh(counter: Counter) -> None:
    counter.die = True
    with pytest.raises(KeyboardInterrupt):
        run_stage(counter.stage(x=1))
    run_again = counter.stage(x=2)
    counter.die = False
    run_stage(run_again)
    assert counter.found == ["begun.json"]


def test_lost_output_is_made_again(counter: Counter) -> None:
    run_stage(counter.stage(x=1))
    (counter.folder / "out.txt").unlink()
    assert run_stage(counter.stage(x=1))[1]


def test_digest_of_an_input_comes_from_its_stage(counter: Counter, tmp_path: Path) -> None:
    run_stage(counter.stage(x=1))
    after = Stage(
        "after", tmp_path / "after", {}, {"in": counter.folder / "out.txt"}, dict, outputs=()
    )
    manifest, _ = run_stage(after)
    upstream = read_json(counter.folder / "manifest.json")
    assert manifest["inputs"]["in"] == upstream["outputs"]["out.txt"]


def test_a_shared_folder_is_never_wiped(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    stage = Stage("top", tmp_path, {}, {}, dict, outputs=(), owns_folder=False)
    run_stage(stage)
    assert (tmp_path / "other").exists()
