"""AlpacaEval's annotations give its published figures, and bad files one clear line."""

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from understudy.errors import UserError
from understudy.preferences.published import (
    annotation_figures,
    read_annotations,
    read_difficulties,
)

OLD, NEW = "alpaca_eval_gpt4", "weighted_alpaca_eval_gpt4_turbo"
PUBLISHED = [
    (OLD, "alpaca-7b"),
    (OLD, "gpt-3.5-turbo-0301"),
    (NEW, "alpaca-7b"),
    (NEW, "vicuna-7b"),
    (NEW, "gpt-3.5-turbo-0301"),
]


def annotation(number: int, preference: Any, **changes: Any) -> dict[str, Any]:
    return {
        "instruction": f"Name {number} rivers.",
        "dataset": "ours",
        "output_1": "Rhine. " * (1 + number % 7),
        "generator_1": "old",
        "output_2": "Elbe! " * (1 + number % 5),
        "generator_2": "new",
        "annotator": "some_judge",
        "preference": preference,
        "price_per_example": 0.01,
    } | changes


def write(path: Path, rows: Any) -> Path:
    path.write_text(json.dumps(rows))
    return path


def difficulties(path: Path, values: list[float]) -> Path:
    rows = "".join(f"{row},{value}\n" for row, value in enumerate(values))
    path.write_text(f",instruction_difficulty\n{rows}")
    return path


def test_preferences_as_alpaca_eval_codes_them(tmp_path: Path) -> None:
    values = [1, 2, 1.5, 0, 1.75, None, float("nan")]
    path = write(tmp_path / "a.json", [annotation(i, v) for i, v in enumerate(values)])
    found = read_annotations(path)
    assert [one.share for one in found] == [0, 1, 0.5, 0.5, 0.75, None, None]
    assert {one.models for one in found} == {("old", "new")}
    assert found[1].first.text == "Rhine. Rhine. "
    assert found[0].rater == "some_judge"


def test_an_instruction_is_one_item_in_every_file_and_two_where_it_comes_twice(
    tmp_path: Path,
) -> None:
    one = read_annotations(write(tmp_path / "a.json", [annotation(i, 1) for i in (1, 2, 1)]))
    other = read_annotations(write(tmp_path / "b.json", [annotation(i, 2) for i in (2, 1)]))
    assert len({p.item for p in one}) == 3
    assert one[2].item == f"{one[0].item}-2"
    assert [p.item for p in other] == [one[1].item, one[0].item]


def test_figures(tmp_path: Path) -> None:
    values = [1, 1, 2, 1.5, 1.2, None] * 20
    path = write(tmp_path / "a.json", [annotation(i, v) for i, v in enumerate(values)])
    found = annotation_figures(path)
    shares = np.array([0, 0, 1, 0.5, 0.2] * 20)
    assert (found["model"], found["baseline"], found["judge"]) == ("new", "old", "some_judge")
    assert (found["n"], found["unread"]) == (100, 20)
    assert found["win_rate"] == pytest.approx(34)
    assert found["standard_error"] == pytest.approx(100 * shares.std(ddof=1) / 10)
    assert found["terms"] == ["intercept", "length", "baseline_length"]
    assert (
        found["length_controlled_low"]
        < found["length_controlled_win_rate"]
        < found["length_controlled_high"]
    )
    json.dumps(found, allow_nan=False)


def test_packed_files_and_halves_of_pairs_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json.gz"
    rows = [annotation(1, 2, output_2="half \ud83d"), annotation(2, 1)]
    path.write_bytes(gzip.compress(json.dumps(rows).encode()))
    assert read_annotations(path)[0].second.text == "half ?"


def test_items_that_come_twice_count_as_one_for_the_interval(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    rows = [annotation(i, 1 + float(rng.integers(2))) for i in range(60)]
    once = annotation_figures(write(tmp_path / "a.json", rows))
    twice = annotation_figures(write(tmp_path / "b.json", rows * 2))
    for end in ("low", "high"):
        key = f"length_controlled_{end}"
        assert twice[key] == pytest.approx(once[key], abs=0.5)


def test_published_difficulties(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    hard = rng.normal(size=300)
    won = rng.random(300) < 1 / (1 + np.exp(-hard))
    rows = [annotation(i, None if i == 7 else 1 + float(win)) for i, win in enumerate(won)]
    path = write(tmp_path / "a.json", rows)
    given = difficulties(tmp_path / "instruction_difficulty.csv", hard.tolist())
    found = annotation_figures(path, difficulties=given)
    assert found["terms"] == ["intercept", "length", "difficulty"]
    assert found["coefficients"]["difficulty"] == pytest.approx(1, abs=0.3)

    short = difficulties(tmp_path / "short.csv", [0.5])
    with pytest.raises(UserError, match=r"short\.csv: 1 difficulties, but 300 annotations"):
        annotation_figures(path, difficulties=short)


@pytest.mark.parametrize("line", ["0", "0,hard", "1,0.5", "0,nan", "0,1,2", "", "-,-"])
def test_a_broken_file_of_difficulties_names_the_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "d.csv"
    path.write_text(f"index,instruction_difficulty\n{line}\n")
    with pytest.raises(UserError, match=r"d\.csv, line 2: not row 0 and its difficulty"):
        read_difficulties(path)


def test_several_files_are_fitted_jointly(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    paths = [
        write(
            tmp_path / f"{model}.json",
            [annotation(i, 1 + float(rng.random()), generator_2=model) for i in order],
        )
        for model, order in {"new": range(50), "newer": range(60, 5, -1)}.items()
    ]
    found = annotation_figures(*paths)["models"]
    assert [one["model"] for one in found] == ["new", "newer"]
    assert [one["n"] for one in found] == [50, 55]
    assert found[0]["coefficients"]["spread"] == found[1]["coefficients"]["spread"]
    assert found[0]["win_rate"] == pytest.approx(annotation_figures(paths[0])["win_rate"])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "not a list of annotations"),
        ({"a": 1}, "not a list of annotations"),
        ([annotation(1, 1), 5], "record 2: record"),
        ([annotation(1, 3)], r"record 1: preference: .* neither in 1\.\.2"),
        ([annotation(1, 0.5)], r"record 1: preference: .* neither in 1\.\.2"),
        ([annotation(1, "m")], "record 1: preference"),
        ([annotation(1, 1, output_2=None)], "record 1: output_2"),
        ([annotation(1, None)], "no preference could be read"),
        ([annotation(1, 1), annotation(2, 1, generator_2="newer")], "more than one judge"),
    ],
)
def test_a_wrong_file_is_named_with_its_record(tmp_path: Path, rows: Any, message: str) -> None:
    path = write(tmp_path / "a.json", rows)
    with pytest.raises(UserError, match=message) as error:
        annotation_figures(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_files_of_two_judges_do_not_go_together(tmp_path: Path) -> None:
    one = write(tmp_path / "a.json", [annotation(1, 1)])
    other = write(tmp_path / "b.json", [annotation(1, 1, annotator="other")])
    with pytest.raises(UserError, match=r"b\.json: not of .*a\.json's judge and baseline"):
        annotation_figures(one, other)


# The published files


def annotations(realdata: Path, judge: str, model: str) -> Path:
    return realdata / "alpaca_eval" / f"{model}.{judge}.annotations.json.gz"


def leaderboard(realdata: Path, judge: str) -> dict[str, dict[str, str]]:
    with open(realdata / "alpaca_eval" / f"{judge}.leaderboard.csv", encoding="utf-8") as file:
        return {row[""]: row for row in csv.DictReader(file)}


@pytest.mark.realdata
@pytest.mark.parametrize(("judge", "model"), PUBLISHED)
def test_win_rates_and_errors_are_the_leaderboards(realdata: Path, judge: str, model: str) -> None:
    published = leaderboard(realdata, judge)[model]
    found = annotation_figures(annotations(realdata, judge, model))
    assert found["win_rate"] == pytest.approx(float(published["win_rate"]), abs=0.01)
    assert found["standard_error"] == pytest.approx(float(published["standard_error"]), abs=0.01)
    assert found["n"] == int(published["n_total"])
    lc = float(published["length_controlled_winrate"])
    assert found["length_controlled_low"] < lc < found["length_controlled_high"]


@pytest.mark.realdata
@pytest.mark.parametrize("judge", [OLD, NEW])
def test_at_equal_length_the_models_come_in_the_published_order(realdata: Path, judge: str) -> None:
    models = [model for of, model in PUBLISHED if of == judge]
    published = leaderboard(realdata, judge)
    found = annotation_figures(*(annotations(realdata, judge, model) for model in models))
    ours = {one["model"]: one["length_controlled_win_rate"] for one in found["models"]}
    theirs = {model: float(published[model]["length_controlled_winrate"]) for model in models}
    assert sorted(models, key=ours.get) == sorted(models, key=theirs.get)  # type: ignore[arg-type]
    assert ours == pytest.approx(theirs, abs=2)
