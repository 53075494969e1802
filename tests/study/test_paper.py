"""The paper's two tables give the gaps that one can work out from them by hand."""

import pytest

from understudy.study.paper import ALL, AMOUNTS, STYLE, table_1, table_2


def test_gap_closed_on_natural_questions() -> None:
    rows = {(row["base"], row["data"].split()[0]): row for row in table_1()}
    expected = {
        ("LLaMA 7B", "broad"): -7 / 14,
        ("LLaMA 7B", "local"): 5 / 14,
        ("LLaMA 13B", "broad"): -5 / 11,
        ("LLaMA 13B", "local"): 7 / 11,
    }
    assert {key: row["value"] for key, row in rows.items()} == pytest.approx(expected, abs=1e-6)
    for (_, data), row in rows.items():
        assert row["low"] < row["value"] < row["high"]
        assert row["high"] < 0 if data == "broad" else row["low"] > 0


def test_styles_share_of_its_ceiling() -> None:
    rows = {(row["measure"], row["tokens"]): row for row in table_2()}
    assert len(rows) == (len(STYLE) + 1) * len(AMOUNTS)
    lists = rows["list when ChatGPT gives a list", 150_000_000]
    assert lists["value"] == pytest.approx(68 / 70, abs=1e-6)
    assert lists["least"] == pytest.approx(67 / 70, abs=1e-6)
    assert lists["most"] == pytest.approx(69 / 70, abs=1e-6)
    assert rows["length, Pearson's r", 20_000_000]["value"] == pytest.approx(62 / 78, abs=1e-6)
    assert rows["unigram intersection", 150_000_000]["value"] == pytest.approx(23 / 29.7, abs=1e-6)
    shares = [rows[name, AMOUNTS[0]]["value"] for name in STYLE]
    assert min(shares) < rows[ALL, AMOUNTS[0]]["value"] < max(shares)
    closed = (50 - 13) + (40 - 2) + (40.4 - 19.5) + (51 + 11) / 2 + (99 - 57)
    gap = (83 - 13) + (55 - 2) + (49.2 - 19.5) + (67 + 11) / 2 + (98 - 57)
    assert rows[ALL, AMOUNTS[0]]["value"] == pytest.approx(closed / gap, abs=1e-6)
