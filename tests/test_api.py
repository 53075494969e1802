"""Finished runs and studies as frames; `docs/api.md` is executed."""

import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
import yaml

import understudy
from report.run_folder import recipe, without_teacher, write_judge, write_run
from study_folder import BASES, SVG, TEACHER, VERDICT, write_study
from understudy.api import RunResult, StudyResult, load_run, load_study, run_recipe, run_study
from understudy.errors import UserError
from understudy.files import read_json, read_jsonl, write_json, write_jsonl
from understudy.recipe import Recipe
from understudy.report.stage import report

DOCS = Path(__file__).parent.parent / "docs" / "api.md"
JUDGES = [{"model": "world-hurried"}, {"model": "world-checking", "protocol": "checking"}]


def finished(folder: Path, recipe: Recipe) -> Path:
    write_run(folder, recipe)
    if recipe.judges:
        write_judge(folder, recipe)
    report(folder, recipe, folder, recipe.seed)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    folder = tmp_path_factory.mktemp("runs") / "desk"
    return load_run(finished(folder, recipe(judges=JUDGES)))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyResult:
    return load_study(write_study(tmp_path_factory.mktemp("runs") / "desk-study"))


def only(frame: pl.DataFrame, **values: Any) -> dict[str, Any]:
    return frame.filter(**values).row(0, named=True)


# A run


def test_a_runs_frames_hold_its_report(run: RunResult) -> None:
    said = run.report
    score = only(run.scores, model="student", quantity="nq")
    assert score["value"] == said["models"]["student"]["benchmarks"]["nq"]["score"]
    assert (score["metric"], score["n"], score["chance"]) == ("exact_match", 300, None)
    assert run.scores.height == 9
    gaps = {"style": said["style_gap_closed"], **said["gap_closed"]}
    assert run.gaps["quantity"].to_list() == ["style", "mmlu", "nq", "humaneval"]
    for row in run.gaps.iter_rows(named=True):
        assert gaps[row["quantity"]].items() <= row.items()
    for row in run.changes.iter_rows(named=True):
        assert said["change"][row["quantity"]].items() <= row.items()
    distance = only(run.style, measure="distance", model="student")
    assert distance["value"] == said["style"]["distance"]["student"]["value"]
    assert only(run.style, measure="lists", model="teacher")["high"] == 0.65
    assert run.verdict == said["verdict"]


def test_preferences_of_all_parties(run: RunResult) -> None:
    said = run.report["preference"]["comparisons"]
    assert run.preferences.height == len(said) == 6
    for row, one in zip(run.preferences.iter_rows(named=True), said, strict=True):
        assert one["win_rate"].items() <= row.items()
        assert row["at_equal_length_high"] == one["at_equal_length"]["high"]
        assert (row["rater"], row["wins"]) == (one["rater"], one["wins"])


def test_items_answers_and_losses_come_from_the_stages_files(run: RunResult) -> None:
    items = run.items("nq")
    scores = items.group_by("model").agg(pl.col("right").mean())
    for model, score in scores.iter_rows():
        assert score == pytest.approx(only(run.scores, model=model, quantity="nq")["value"])
    assert items.columns == ["model", "id", "group", "right", "expected", "given"]
    answers = run.answers()
    assert answers.columns == ["id", "prompt", "base", "student", "teacher", "teacher_2"]
    assert answers["prompt"][0] == "Tell me about candle making."
    assert answers["student"][0].startswith("Sure! Here is what to know about candle making")
    assert answers["teacher_2"].null_count() == 0
    log = [row for _, row in read_jsonl(run.folder / "train" / "log.jsonl")]
    assert run.training["step"].to_list() == [row["step"] for row in log]
    assert run.training["heldout_loss"].count() == sum("heldout_loss" in row for row in log)


def test_a_run_without_teacher_and_judges(tmp_path: Path) -> None:
    run = load_run(str(finished(tmp_path, without_teacher())))
    assert set(run.scores["model"]) == {"base", "student"}
    assert only(run.gaps, quantity="nq") == {
        "quantity": "nq", "value": None, "low": None, "high": None,
        "reason": "the teacher was not asked",
    }  # fmt: skip
    assert run.preferences.is_empty()
    assert run.preferences.schema["value"] == pl.Float64
    assert set(run.items("nq")["model"]) == {"base", "student"}
    assert run.answers()["teacher_2"].null_count() == run.answers().height


def test_faults_are_named(run: RunResult, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there are humaneval, mmlu, nq"):
        run.items("gsm8k")
    with pytest.raises(UserError, match=r"report\.json: no such file; .* the run to its end"):
        load_run(tmp_path)
    with pytest.raises(UserError, match=r"not the report of a run .*\(models is missing\)"):
        load_run(write_study(tmp_path / "study"))
    with pytest.raises(UserError, match="not the report of a study"):
        load_study(run.folder)
    write_json(tmp_path / "report.json", [])
    with pytest.raises(UserError, match="not the report of a study"):
        load_study(tmp_path)
    broken = load_run(finished(tmp_path / "broken", recipe()))
    write_jsonl(broken.folder / "evaluate/base/items/nq.jsonl", [{"id": "0", "right": "perhaps"}])
    with pytest.raises(UserError, match=r"nq\.jsonl, line 1: right: .*; mend it"):
        broken.items("nq")
    write_jsonl(broken.folder / "answers/base/answers.jsonl", [{"id": "0", "messages": []}])
    with pytest.raises(UserError, match=r"answers\.jsonl, line 1: messages: "):
        broken.answers()


# A study


def test_a_studys_frames_hold_its_report(study: StudyResult) -> None:
    said = study.report
    assert study.verdict == VERDICT
    for frame, rows in ((study.scores, said["scores"]), (study.gaps, said["gaps"]),
                        (study.training, said["training"])):  # fmt: skip
        assert frame.height == len(rows)
        for found, row in zip(frame.iter_rows(named=True), rows, strict=True):
            assert found == {name: row.get(name) for name in frame.columns}
    assert study.gaps["reason"].drop_nulls().unique().to_list() == [
        "the teacher is not reliably above the base"
    ]
    assert study.findings.select("id", "verdict", "part", "value", "part_verdict").rows() == [
        ("style", "seen", "style gap closed", 0.9, "seen"),
        ("flat", "cannot tell", "style gap closed", 0.9, "seen"),
        ("flat", "cannot tell", "knowledge", None, "cannot tell"),
        ("local", "cannot tell", None, None, None),
    ]
    shown = said["gallery"]["shown"][0]
    told = only(study.gallery, kind="broad", base="small")
    assert told["right"] == shown["right"]
    assert {name: told[name] for name in ("teacher", "student")} | {
        "base": told["base_answer"]
    } == (shown["answers"])
    assert study.forecast == said["forecast"]
    assert study.advice == said["advice"]


def test_a_row_for_each_student_holds_its_own_seed(study: StudyResult) -> None:
    cells = study.cells
    assert cells.columns == ["kind", "base", "amount", "seed", "parameters", *TEACHER]
    assert cells.height == study.training.height == 36
    cell = only(cells, kind="local", base="tiny", amount=500_000, seed=2)
    assert cell["nq"] == pytest.approx(0.1 + 0.4 * 0.8 + 0.02)
    assert cell["parameters"] == BASES["tiny"]


def test_a_student_has_its_base_and_teacher_beside_it(study: StudyResult) -> None:
    student = study.cell("broad", "small", 100_000, 1)
    right = student.items("nq").group_by("model", maintain_order=True).agg(pl.col("right").sum())
    assert right.rows() == [("base", 0), ("student", 3), ("teacher", 6)]
    assert student.answers().row(0)[2:] == (
        "base says", "student says", "teacher says", "teacher says"
    )  # fmt: skip
    assert student.training.rows() == [(0, None, 4.0), (1, 3.5, None)]
    with pytest.raises(UserError, match="no student of broad 7 tokens, small, seed 1"):
        study.cell("broad", "small", 7, 1)


def test_a_study_that_has_just_begun(tmp_path: Path) -> None:
    folder = write_study(tmp_path)
    begun = read_json(folder / "report.json")
    empty = ("scores", "gaps", "training", "findings", "figures")
    nothing = {part: [] for part in empty} | {"gallery": {"found": 0, "of": 0, "shown": []}}
    write_json(folder / "report.json", begun | nothing)
    study = load_study(folder)
    frames = (study.scores, study.gaps, study.training, study.findings, study.gallery, study.cells)
    assert all(frame.is_empty() for frame in frames)
    assert study.gaps.columns[:4] == ["kind", "base", "amount", "quantity"]


# In a notebook


def test_what_a_notebook_shows_is_escaped(run: RunResult, study: StudyResult) -> None:
    shown = run._repr_html_()
    assert run.verdict in shown
    assert "<td>Natural Questions</td>" in shown
    assert "96 % (93–99)" in shown
    shown = study._repr_html_()
    assert "&lt;broad&gt;" in shown
    assert "Knowledge &amp; facts" in shown
    assert "cannot tell" in shown


def test_a_figure_is_an_image_with_its_numbers(study: StudyResult) -> None:
    figure = study.figure("gap")
    assert figure.svg == SVG
    assert figure.data.rows() == [(20_000, 0.1), (100_000, None)]
    shown = figure._repr_html_()
    assert 'src="data:image/svg+xml;base64,' in shown
    assert 'alt="Up &#34;so&#34;"' in shown
    assert "<svg" not in shown
    assert "By &lt;amount&gt;." in shown
    with pytest.raises(UserError, match="no figure gop; there are gap"):
        study.figure("gop")


def test_frames_without_polars_say_what_to_install(
    run: RunResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(UserError, match=r"pip install 'understudy\[frames\]'"):
        _ = run.scores
    assert run._repr_html_()


def test_importing_understudy_is_light() -> None:
    code = (
        "import sys, understudy;"
        "assert not {'understudy.api', 'pydantic', 'polars'} & set(sys.modules);"
        "from understudy import *; load_run, UserError;"
        "assert not {'torch', 'polars'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_name_is_that_of_a_module() -> None:
    modules = {module.name for module in pkgutil.iter_modules(understudy.__path__)}
    assert "run" in modules
    assert not modules & set(understudy.__all__)
    assert set(understudy.__all__) <= set(dir(understudy))


def test_an_unknown_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'load_everything'"):
        understudy.load_everything  # noqa: B018


# The doors, and the guide


@pytest.fixture
def doors(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path]]:
    """What was asked for, in place of doing it."""
    asked: list[tuple[str, Path]] = []

    def work(settings: Any, out: Path) -> Path:
        asked.append((settings.name, out))
        return out

    monkeypatch.setitem(sys.modules, "understudy.run", SimpleNamespace(run=work))
    monkeypatch.setitem(sys.modules, "understudy.study.stage", SimpleNamespace(study=work))
    return asked


def write_recipes(folder: Path) -> None:
    """Small ones under the names of the guide."""
    common = {"teacher": {}, "collect": {"n": 50}, "answers": {"prompts": "world:topics"}}
    grid = {"bases": ["world:tiny"], "kinds": {"broad": {}}, "amounts": [20_000]}
    desk = {"name": "desk", "base": "world:tiny", **common}
    folder.mkdir()
    for name, content in {"desk": desk, "desk-study": {"run": common, **grid}}.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")


def test_doors_do_the_work_and_load_it(
    doors: list[tuple[str, Path]], run: RunResult, study: StudyResult, tmp_path: Path
) -> None:
    recipes = tmp_path / "recipes"
    write_recipes(recipes)
    found = run_recipe(str(recipes / "desk.yaml"), str(run.folder), ["name=mine"])
    assert (found.folder, found.report) == (run.folder, run.report)
    assert run_study(recipes / "desk-study.yaml", study.folder, ["name=other"]) == study
    assert doors == [("mine", run.folder), ("other", study.folder)]
    with pytest.raises(UserError, match="unknown key colour"):
        run_recipe(recipes / "desk.yaml", run.folder, ["colour=1"])


def test_the_guides_examples_work(
    doors: list[tuple[str, Path]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    finished(tmp_path / "runs" / "desk", recipe(judges=JUDGES))
    write_study(tmp_path / "runs" / "desk-study")
    write_recipes(tmp_path / "recipes")
    monkeypatch.chdir(tmp_path)
    known: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL):
        exec(block, known)
    shown = capsys.readouterr().out
    assert "world-hurried" in shown
    assert "Style closes fast" in shown
    assert len(doors) == 2
