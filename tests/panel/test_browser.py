"""The panel in a real Chromium: by keyboard, on two widths, accessible, with script and without."""

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page

from panel.browsing import WIDTHS, chromium, press, press_and_follow, serving
from panel.pairs import PAIRS, pair
from panel.site import PASSWORD, owned
from understudy.panel.app import panel_app
from understudy.panel.records import Protocol, Rating
from understudy.panel.results import Live
from understudy.panel.store import Store

LONG = "\n\n".join(
    f"Paragraph {number} **says** something. It says `more` too.\n\n- one\n- two"
    for number in range(30)
)
RICH = "# Title\n\n```python\nprint('x' * 80)\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n> quoted"
TURNS = (
    {"role": "user", "content": "Who built the mill?"},
    {"role": "assistant", "content": "Ada *Brenn*."},
    {"role": "user", "content": "When?"},
)
MANY = [
    *PAIRS,
    *(pair(f"more {number}", texts=(LONG, RICH), messages=TURNS) for number in range(7)),
]


class Site:
    """A served panel of 21 pairs, and ways in."""

    def __init__(self, store: Store, address: str, browser: Browser) -> None:
        self.store, self.address, self.browser = store, address, browser

    def link(self, name: str, protocol: Protocol = "hurried") -> str:
        return f"{self.address}/join/{self.store.invite(name, protocol)[1]}"

    def window(self, width: int = 1280, **options: Any) -> BrowserContext:
        size = {"width": width, "height": WIDTHS[width]}
        return self.browser.new_context(viewport=size, base_url=self.address, **options)

    def choices(self) -> list[str]:
        return [row["choice"] for row in self.store.rows()]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def site(browser: Browser, tmp_path: Path) -> Iterator[Site]:
    with closing(owned(Store(str(tmp_path / "panel.sqlite")))) as store:
        about = {"title": "Which is better?", "decoding": {"temperature": 0.7, "max_tokens": 256}}
        store.set_up(MANY, about, 0)
        with serving(panel_app(store, Live(store), secure=False)) as address:
            yield Site(store, address, browser)


def log_in(page: Page) -> None:
    page.goto("/owner/login")
    page.locator("#password:focus").wait_for()
    page.keyboard.type(PASSWORD)
    press_and_follow(page, "Enter")


def begin(page: Page, link: str) -> None:
    """Open an invitation and go on by keyboard; who comes for the first time reads it first."""
    page.goto(link)
    if page.get_by_role("button", name="Begin").count():
        press(page, "Tab")
    page.locator("button:focus").wait_for()
    press_and_follow(page, "Enter")


def to_a_long_pair(page: Page) -> None:
    while page.locator("h3.role").count() == 0:
        press(page, "2")
        press_and_follow(page, "Enter")


def heading(page: Page) -> str:
    return page.locator("h1").inner_text()


def test_a_rater_by_keyboard_alone_and_the_owner_watching(site: Site, tmp_path: Path) -> None:
    owner = site.window(accept_downloads=True).new_page()
    log_in(owner)
    assert "0 ratings" in owner.locator("#tally").inner_text()
    press_name = "Ann"
    owner.locator("#name").focus()
    owner.keyboard.type(press_name)
    press_and_follow(owner, "Enter")
    link = owner.locator("#link").inner_text()
    assert re.fullmatch(rf"{site.address}/join/[\w-]{{43}}", link)

    window = site.window()
    rater = window.new_page()
    begin(rater, link)
    keys = "1234502345"
    for position, key in enumerate(keys, start=1):
        assert heading(rater) == f"Pair {position} of 21"
        press(rater, key)
        press_and_follow(rater, "Enter")
    rater.close()

    rater = window.new_page()
    rater.goto("/rate")
    assert heading(rater) == "Pair 11 of 21"
    press_and_follow(rater, "b")
    assert heading(rater) == "Pair 10 of 21"
    assert rater.locator("input[name=choice]:checked").get_attribute("value") == "right_much"
    press(rater, "1")
    press_and_follow(rater, "Enter")
    window.close()

    rater = site.window().new_page()
    begin(rater, link)
    for position in range(11, 21):
        assert heading(rater) == f"Pair {position} of 21"
        press(rater, "2")
        press_and_follow(rater, "Enter")
    press_and_follow(rater, "p")
    assert "pair 21 of 21" in rater.inner_text("main")
    press(rater, "Tab")
    press_and_follow(rater, "Enter")
    press(rater, "3")
    press_and_follow(rater, "Enter")
    assert heading(rater) == "All rated. Thank you!"
    press(rater, "Tab")
    press_and_follow(rater, "Enter")
    assert heading(rater) == "Pair 21 of 21"

    names = ["left_much", "left", "same", "right", "right_much", "cannot", "left", "same", "right"]
    assert sorted(site.choices()) == sorted([*names, "left_much", *["left"] * 10, "same"])
    assert all(row["active_seconds"] > 0 for row in site.store.rows())
    owner.locator("#tally", has_text="21 ratings").wait_for()
    assert "21 of 21" in owner.locator("table.raters").inner_text()
    with owner.expect_download() as download:
        owner.get_by_role("link", name="Export JSONL").press("Enter")
    download.value.save_as(tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_text().count('"rater": "Ann"') == 21


def test_checking_by_keyboard(site: Site) -> None:
    page = site.window().new_page()
    begin(page, site.link("Ann", "checking"))
    press(page, "j", "w", "r", "k", "u")
    assert page.locator("#status").inner_text() == "Sentence 1 of answer A: unsure."
    assert page.locator(".count").all_inner_texts() == ["1 of 1 marked", "1 of 1 marked"]
    press(page, "n")
    page.keyboard.type("2 is a number, not a choice?")
    press(page, "Escape", "5")
    press_and_follow(page, "Enter")
    row = next(iter(site.store.rows()))
    assert [(claim["side"], claim["mark"]) for claim in row["claims"]] == [
        ("left", "unsure"),
        ("right", "right"),
    ]
    assert row["choice"] == "right_much"
    assert row["comment"] == "2 is a number, not a choice?"


def test_what_was_not_sent_is_there_after_the_page_was_closed(site: Site) -> None:
    window = site.window()
    page = window.new_page()
    begin(page, site.link("Ann", "checking"))
    press(page, "w", "4", "n")
    page.keyboard.type("half a thought")
    page.close()
    page = window.new_page()
    page.goto("/rate")
    assert page.locator("[name='left.0']:checked").get_attribute("value") == "wrong"
    assert page.locator("[name=choice]:checked").get_attribute("value") == "right"
    assert page.locator("#comment").input_value() == "half a thought"
    press_and_follow(page, "Enter")
    assert page.locator("[name=choice]:checked").count() == 0
    assert page.evaluate("Object.keys(localStorage)") == []


def test_nothing_is_sent_by_mistake(site: Site) -> None:
    page = site.window().new_page()
    begin(page, site.link("Ann"))
    press(page, "Enter")
    assert "Choose first" in page.locator("#status").inner_text()
    press(page, "Control+1", "?")
    assert page.locator("#keys").is_visible()
    press(page, "1", "Space", "Escape")  # the focus is on the switch of the single keys
    press(page, "2", "b")
    assert page.locator("[name=choice]:checked").count() == 0
    press(page, "?")
    page.locator("#help").press("Enter")
    page.locator("#keys-on").check()
    press(page, "Escape", "2")
    with page.expect_navigation():
        page.evaluate(
            "() => { const form = document.getElementById('rating');"
            " for (let i = 0; i < 3; i += 1) form.requestSubmit(); }"
        )
    assert site.choices() == ["left"]


def test_without_script(site: Site) -> None:
    page = site.window(java_script_enabled=False).new_page()
    page.goto(site.link("Ann", "checking"))
    page.get_by_role("button", name="Begin").click()
    page.get_by_label("A better", exact=False).first.check()
    page.locator("[name='left.0'][value=wrong]").check()
    page.get_by_role("button", name="Send").click()
    assert heading(page) == "Pair 2 of 21"
    page.get_by_role("link", name="Back").click()
    assert page.locator("[name='left.0']:checked").get_attribute("value") == "wrong"
    log_in(page)
    assert "1 rating," in page.locator("#tally").inner_text()
    page.get_by_role("link", name="Refresh").click()
    assert page.locator("#link").count() == 0


def test_pages_are_accessible_and_fit(site: Site) -> None:
    page = site.window().new_page()
    faults: list[tuple[str, ...]] = []

    def look(name: str) -> None:
        page.evaluate(Axe().axe_script)
        for width, height in WIDTHS.items():
            page.set_viewport_size({"width": width, "height": height})
            found = page.evaluate("axe.run({resultTypes: ['violations']})")
            assert found["passes"], "axe has looked at nothing"
            faults.extend(
                (name, fault["id"], node["html"][:120])
                for fault in found["violations"]
                if fault["impact"] in ("serious", "critical")
                for node in fault["nodes"]
            )
            if page.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
                faults.append((name, f"wider than {width}"))

    for path in ("/", "/nowhere"):
        page.goto(path)
        look(path)
    protocols: tuple[Protocol, ...] = ("hurried", "checking")
    for protocol in protocols:
        page.goto(site.link(protocol, protocol))
        look(f"join, {protocol}")
        assert page.evaluate("window.scrollY") == 0  # what is asked comes first
        page.get_by_role("button", name="Begin").focus()
        press_and_follow(page, "Enter")
        to_a_long_pair(page)
        press(page, "j", "w", "3", "n")
        look(f"rate, {protocol}")
    press(page, "Escape", "?")
    look("keys")
    page.goto("/pause")
    look("pause")
    rater = site.store.raters()[1].id
    while task := site.store.next_task(rater):
        site.store.rate(rater, task.id, Rating(choice="left"))
    page.goto("/done")
    look("done")
    page.goto("/owner/login")
    page.locator("#password").fill("guess")
    press_and_follow(page, "Enter")
    look("login")
    log_in(page)
    page.locator("#name").fill("Bob")
    press_and_follow(page, "Enter")
    look("owner")
    assert faults == []


def test_focus_is_never_behind_the_bar(site: Site) -> None:
    """On a narrow page the choices stick to the bottom; what is focused stays clear of them."""
    page = site.window(390).new_page()
    begin(page, site.link("Ann", "checking"))
    to_a_long_pair(page)
    for _ in range(25):
        press(page, "j")
        bottom, top = page.evaluate(
            "[document.activeElement.getBoundingClientRect().bottom,"
            " document.getElementById('choose').getBoundingClientRect().top]"
        )
        assert bottom <= top
