"""The example notebooks run on small folders, in a kernel that nobody has registered."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from report.run_folder import recipe, write_judge, write_run
from study_folder import VERDICT, write_study
from understudy.report.stage import report

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def bare_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's settings, and no kernel but the one that these tests run in."""
    monkeypatch.setenv("HOME", str(home))
    for name in ("JUPYTER_PATH", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR"):
        monkeypatch.delenv(name, raising=False)


def executed(name: str, folder: Path) -> str:
    """All that a notebook printed and showed, run in a folder as Jupyter does."""
    notebook = nbformat.read(EXAMPLES / name, as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells), f"{name} is stored with outputs"
    folder.mkdir()
    place = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=60, kernel_name="python3", resources=place).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    return "\n".join(str(output.get("text") or output["data"]) for output in outputs)


def test_a_run(tmp_path: Path) -> None:
    judged = recipe(judges=[{"model": "hurried"}, {"model": "checking", "protocol": "checking"}])
    folder = write_run(tmp_path / "runs" / "desk", judged)
    write_judge(folder, judged)
    report(folder, judged, folder, 0)
    shown = executed("run.ipynb", tmp_path / "examples")  # reads ../runs/desk
    assert "It learnt the accent" in shown
    assert "Sure! Here is what to know about candle making" in shown
    assert "nq-" in shown
    assert "image/png" in shown


def test_a_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_STUDY", str(write_study(tmp_path / "study")))
    shown = executed("study.ipynb", tmp_path / "examples")
    assert VERDICT.split(":")[0] in shown
    assert "Sure! A <b>miller</b>." in shown
    assert "'covered': 11" in shown
    assert "data:image/svg+xml;base64," in shown
    assert "image/png" in shown
