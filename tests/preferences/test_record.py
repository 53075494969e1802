"""The record of a preference, and its file."""

import json
from pathlib import Path

import pytest

from understudy.errors import UserError
from understudy.preferences import (
    FILE,
    Preference,
    Shown,
    read_preferences,
    write_preferences,
)


def preference(share: float | None) -> Preference:
    return Preference(
        item="p1",
        first=Shown(model="student", text="Paris, I think."),
        second=Shown(model="teacher", text="Paris."),
        share=share,
        rater="ann",
        protocol="hurried",
    )


def test_a_share_is_of_whichever_model_is_asked_for() -> None:
    one = preference(0.75)
    assert one.models == ("student", "teacher")
    assert (one.share_of("teacher"), one.share_of("student")) == (0.75, 0.25)
    assert (one.text_of("teacher"), one.text_of("student")) == ("Paris.", "Paris, I think.")
    assert preference(None).share_of("student") is None
    with pytest.raises(KeyError, match="base"):
        one.share_of("base")


def test_preferences_come_back_as_they_were_written(tmp_path: Path) -> None:
    given = [preference(share) for share in (0, 0.5, 0.123456789, 1, None)]
    assert write_preferences(tmp_path / FILE, given) == 5
    assert list(read_preferences(tmp_path / FILE)) == given


def test_scores_are_kept_where_there_are_any(tmp_path: Path) -> None:
    scored = preference(1).model_copy(update={"scores": (6, 9.5)})
    write_preferences(tmp_path / FILE, [scored, preference(None)])
    assert list(read_preferences(tmp_path / FILE)) == [scored, preference(None)]
    rows = [json.loads(line) for line in (tmp_path / FILE).read_text().splitlines()]
    assert [row.get("scores", "not named") for row in rows] == [[6, 9.5], "not named"]
    assert (scored.score_of("student"), scored.score_of("teacher")) == (6, 9.5)
    assert preference(1).score_of("student") is None


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"share": 1.5}, "share"),
        ({"share": "left"}, "share"),
        ({"first": {"model": "student"}}, "first.text"),
        ({"rating": 3}, "rating"),
        ({"scores": [1, 11]}, "scores.1"),
        ({"scores": [1]}, "scores.1"),
    ],
)
def test_a_line_that_is_none_is_named(
    tmp_path: Path, change: dict[str, object], where: str
) -> None:
    path = tmp_path / FILE
    write_preferences(path, [preference(0.5)])
    row = preference(0.5).model_dump() | change
    path.write_text(f"{path.read_text()}{json.dumps(row)}\n")
    with pytest.raises(UserError, match=rf"{FILE}, line 2: {where}: .*; mend it$"):
        list(read_preferences(path))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=FILE):
        list(read_preferences(tmp_path / FILE))
