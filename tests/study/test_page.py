"""The page of a study: all its numbers are report.json's, and anybody can read it, on any paper."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from panel.browsing import WIDTHS, chromium
from study.made_study import GALLERY, small_settings, table, write_folder
from understudy.pages.words import number, seconds
from understudy.study.facts import costs_of, gather
from understudy.study.page import page

NUMBER = re.compile(r"[−+]?\d+(?:,\d{3})*(?:\.\d+)?")
# Text of the page's own that has numbers in it: what words mean, and nothing that was measured.
CONSTANT = {
    "In parentheses, 95 % intervals over items and seeds.",
    "is (student − base) / (teacher − base): 0 % is the base, 100 % the teacher, below 0 % is "
    "worse than the base. In style, 100 % is how near the teacher’s own second answers come to its "
    "first; in preference, that a judge finds the student as good as the teacher. Base and student "
    "have the same seeds, and all models the same items.",
    "Digests are the first 16 digits of SHA-256. Every figure on this page is in report.json "
    "beside it; the pictures are in figures/, for print (PNG, SVG) and as data (CSV).",
}
UNITS = re.compile(r"(with|are) 95 % intervals?|(its|the|Within) 90 % interval|at (0|50|100) %")


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return report(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def shown(facts: dict[str, Any]) -> str:
    return page(facts)


@pytest.fixture(scope="module")
def file(facts: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page with a few of its figures: one is checked like another, and each takes a while."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page(facts | {"figures": facts["figures"][:2]}), encoding="utf-8")
    return path


def report(folder: Path, finished: int | None = None) -> dict[str, Any]:
    measured = table(small_settings(), finished)
    write_folder(folder, measured.settings)
    return gather(measured, folder, GALLERY, costs_of(measured, folder))


class Texts(HTMLParser):
    """The texts of a page, but for styles, for what models said, and for marks on axes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.headings: list[int] = []
        self._inside: list[tuple[str, str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag == "meta":
            return
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        self._inside.append((tag, dict(attributes).get("class") or ""))

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self._inside.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        tags = [tag for tag, _ in self._inside]
        said = any(tag in ("style", "code") or "text" in kind.split() for tag, kind in self._inside)
        on_axis = ("svg", "panel") in self._inside and not {"title", "desc"} & {*tags}
        if not (said or on_axis) and data.strip():
            self.found.append(" ".join(data.split()))


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner)
    else:
        yield value


def written(value: float) -> set[str]:
    """The ways in which the page may write a number."""
    ways = [number(value, digits, sign) for digits in range(5) for sign in (False, True)]
    ways += [number(100 * value, digits, sign) for digits in range(3) for sign in (False, True)]
    return {*ways, str(value)}


def untraced(page: str, facts: dict[str, Any]) -> list[str]:
    """Numbers in a page's text that are no formatted value of report.json."""
    known: set[str] = set()
    for leaf in leaves({name: value for name, value in facts.items() if name != "time"}):
        if isinstance(leaf, int | float) and not isinstance(leaf, bool):
            known |= written(leaf)
    names = [facts["provenance"], facts["grid"], *(figure["id"] for figure in facts["figures"])]
    for leaf in leaves([*names, *leaves(facts["time"])]):
        text = seconds(leaf) if isinstance(leaf, float) else str(leaf)
        known |= {*NUMBER.findall(text)}
    texts = [text for text in Texts(page).found if text not in CONSTANT]
    found = [token for text in texts for token in NUMBER.findall(UNITS.sub("", text))]
    return [token for token in found if token not in known and token.lstrip("+−") not in known]


def changed(value: Any) -> Any:
    """Facts of the same form in which every number, also within texts, is another one."""
    if isinstance(value, dict):
        return {
            name: changed(inner) if name not in ("id", "columns") else inner
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [changed(inner) for inner in value]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value + 7
    if isinstance(value, float):
        return 2.1 * value + 11.37  # nothing near what is measured stays as it was
    return re.sub(r"\d", lambda digit: str((int(digit[0]) + 3) % 10), value)


def test_every_number_is_in_report_json(facts: dict[str, Any], shown: str) -> None:
    assert untraced(shown, facts) == []
    wrong = shown.replace('<h2 id="gaps">', '<p>of 98,765.4 %</p><h2 id="gaps">')
    assert untraced(wrong, facts) == ["98,765.4"]


def test_no_number_is_the_pages_own(facts: dict[str, Any], shown: str) -> None:
    """What a page of other numbers has in common with this one are words and explanations."""
    one, other = (Texts(html).found for html in (shown, page(changed(facts))))
    same = {text for text, there in zip(one, other, strict=True) if text == there}
    same = {text for text in same if NUMBER.search(UNITS.sub("", text))}
    assert same == CONSTANT


def test_says_what_was_found(facts: dict[str, Any], shown: str) -> None:
    text = " ".join(Texts(shown).found)
    assert facts["verdict"] in text
    for finding in facts["findings"]:
        assert finding["claim"] in text
        assert finding["verdict"] in text
    for sentence in (*facts["supported"], *facts["not_supported"], *facts["not_measured"]):
        assert sentence in text
    for figure in facts["figures"]:
        assert figure["caption"] in text


def test_loads_and_runs_nothing_and_is_in_order(shown: str) -> None:
    assert "default-src 'none'; style-src 'unsafe-inline'" in shown
    for word in ("<script", "<link", "<img", "<iframe", "@import", "src=", 'href="http'):
        assert word not in shown
    headings = Texts(shown).headings
    assert headings[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(headings))


def test_what_others_wrote_stays_text(facts: dict[str, Any]) -> None:
    evil = "</script><img src=x onerror=alert(1)>\"'&{{ 7 * 7 }}"
    names = {
        "id",
        "kind",
        "quantity",
        "name",
        "verdict",
        "model",
        "columns",
        "unit",
        "side",
        "label",
    }

    def hostile(value: Any) -> Any:
        if isinstance(value, dict):
            return {n: inner if n in names else hostile(inner) for n, inner in value.items()}
        if isinstance(value, list):
            return [hostile(inner) for inner in value]
        return evil if isinstance(value, str) else value

    kept = {name: facts[name] for name in ("gaps", "scores", "grid", "rule", "training")}
    figures = [
        figure | {"rows": [[evil, evil, evil, *row[3:]] for row in figure["rows"]]}
        for figure in facts["figures"][:2]
    ]
    shown = page(hostile(facts) | kept | {"figures": figures})
    assert "<img" not in shown
    assert "{{ 7 * 7 }}" in shown
    assert "&lt;img src=x onerror=alert(1)&gt;" in shown


def test_a_study_in_progress_says_so(tmp_path: Path) -> None:
    text = " ".join(Texts(page(report(tmp_path, finished=3))).found)
    assert "3 of 8 students" in text
    assert "The study is not finished" in text


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


def test_is_accessible_and_fits(file: Path, browser: Browser) -> None:
    window = browser.new_page()
    asked: list[str] = []
    window.on("request", lambda request: asked.append(request.url))
    window.goto(file.as_uri())
    assert asked == [file.as_uri()]
    window.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    faults: list[tuple[str, ...]] = []
    for width, height in WIDTHS.items():
        window.set_viewport_size({"width": width, "height": height})
        found = axe(window)
        faults += [(str(width), *fault) for fault in found]
        if window.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
            faults.append(("wider than", str(width)))
    assert faults == []


def axe(window: Any) -> list[tuple[str, str]]:
    window.evaluate(Axe().axe_script)
    found = window.evaluate("axe.run({resultTypes: ['violations']})")
    assert found["passes"], "axe has looked at nothing"
    return [
        (fault["id"], node["html"][:160])
        for fault in found["violations"]
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]


def test_prints_whole(file: Path, browser: Browser) -> None:
    """On paper nothing is wider than the sheet, and no score is folded away."""
    window = browser.new_page(viewport={"width": 672, "height": 990})  # A4 within its margins
    window.goto(file.as_uri())
    window.emulate_media(media="print")
    assert not window.evaluate("document.documentElement.scrollWidth > window.innerWidth")
    assert window.locator("#scores-1").is_visible()
    assert not window.locator("summary").first.is_visible()
    assert window.pdf(format="A4").startswith(b"%PDF")
