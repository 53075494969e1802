"""Hostile outputs in a real browser, and hostile requests: nothing runs, nothing breaks."""

import re
from collections.abc import Iterator
from contextlib import closing
from itertools import cycle, islice
from pathlib import Path

import pytest
from playwright.sync_api import Page

from panel.browsing import chromium, serving
from panel.pairs import ABOUT, PAIRS
from panel.payloads import CHARACTERS, SQL, TEXTS
from panel.site import PASSWORD, Visitor, action, opened, owned, tokens
from understudy.panel.app import panel_app
from understudy.panel.records import Pair, Rating
from understudy.panel.rendering import TAGS
from understudy.panel.results import Live
from understudy.panel.store import SCRYPT, Store

MODELS = ("zq-one", "zq-two")
ROUNDS = len(TEXTS) // 2
WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => {
  window.violations.push(event.violatedDirective);
});
"""


def whole(texts: list[str]) -> list[str]:
    """Texts as a UTF-8 file can hold them."""
    return [text.encode("utf-8", "replace").decode() for text in texts]


def hostile_pairs() -> list[Pair]:
    """Every payload once as an answer, once as a prompt and once as a reference."""
    texts = cycle(whole(TEXTS))
    following = islice(cycle(whole(TEXTS)), 7, None)
    return [
        Pair(
            item=f"item {number}",
            messages=(
                {"role": "user", "content": next(following)},
                {"role": "assistant", "content": next(following)},
                {"role": "</h3><script>window.canary=1</script>", "content": "x"},
            ),
            reference=next(following),
            models=MODELS,
            texts=(next(texts), next(texts)),
        )
        for number in range(ROUNDS)
    ]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setitem(SCRYPT, "n", 2)  # passwords are dear on purpose
    with closing(opened(tmp_path)) as made:
        yield made


@pytest.fixture
def page(tmp_path: Path) -> Iterator[tuple[Page, Store, list[str]]]:
    """A page of a panel full of payloads, its store, and the list of what went wrong."""
    faults: list[str] = []
    with closing(owned(Store(str(tmp_path / "panel.sqlite")))) as store, chromium() as browser:
        decoding = dict(zip(whole(TEXTS), reversed(whole(TEXTS)), strict=True))
        store.set_up(hostile_pairs(), {"title": TEXTS[0], "decoding": decoding}, 0)
        with serving(panel_app(store, Live(store), secure=False)) as address:
            shown = browser.new_context(base_url=address).new_page()
            shown.add_init_script(WATCH)
            shown.on("dialog", lambda dialog: faults.append(f"a dialog: {dialog.message}"))
            shown.on("pageerror", lambda error: faults.append(f"an error: {error}"))
            shown.on("popup", lambda popup: faults.append(f"a window: {popup.url}"))
            shown.on(
                "request",
                lambda asked: asked.url.startswith(address) or faults.append(f"asked {asked.url}"),
            )
            yield shown, store, faults


def look(page: Page, faults: list[str], path: str) -> str:
    """Open a page and note what ran or was kept from running; returns its source."""
    answer = page.goto(path)
    assert answer
    assert answer.status == 200, path
    ran, kept_from, tags = page.evaluate(
        "[window.canary, window.violations, [...new Set([...document.querySelectorAll("
        "'.answer *:not(.marks, .marks *)')].map((tag) => tag.localName))]]"
    )
    if ran is not None:
        faults.append(f"{path}: a script ran")
    if kept_from:
        faults.append(f"{path}: {kept_from}")
    if odd := set(tags) - TAGS - {"div", "span"}:
        faults.append(f"{path}: {odd}")
    source = answer.text()
    if not path.startswith("/owner"):
        faults.extend(f"{path} names {name}" for name in MODELS if name in source)
    return source


def test_no_payload_runs_anywhere(page: tuple[Page, Store, list[str]]) -> None:
    browser, store, faults = page
    fitting = (text.strip() for text in TEXTS if text.isprintable() and len(text) <= 100)
    names = list(dict.fromkeys(fitting))
    for name in names[1:]:
        store.invite(name, "hurried")
    rater, token = store.invite(names[0], "checking")
    look(browser, faults, f"/join/{token}")
    with browser.expect_navigation():
        browser.get_by_role("button", name="Begin").click()
    seen = []
    for comment in whole(TEXTS)[:ROUNDS]:
        task = store.next_task(rater.id)
        assert task
        store.rate(rater.id, task.id, Rating(choice="left", comment=comment))
        seen.append(look(browser, faults, f"/rate/{task.id}"))
    assert all(f"of {ROUNDS}" in source for source in seen)
    assert any("&lt;script&gt;window.canary=1" in source for source in seen)
    browser.goto("/owner/login")
    browser.locator("#password").fill(PASSWORD)
    with browser.expect_navigation():
        browser.keyboard.press("Enter")
    assert look(browser, faults, "/owner").count("<tr") > len(names)
    browser.locator("#name").fill(names[0])
    with browser.expect_navigation():
        browser.locator("#name").press("Enter")
    assert browser.evaluate("window.canary") is None
    assert "was invited already" in browser.inner_text("[role=alert]")
    assert faults == []


ODD = [*SQL, *whole(CHARACTERS), "<script>window.canary=1</script>", "é" * 2000, "9" * 10_000]
ODD += ["-1", "1e999", "NaN", "left\x00", "[]", "null", "../../etc"]


def test_no_text_breaks_a_form(place: str) -> None:
    """On SQLite and on PostgreSQL: odd texts in every place that takes any."""
    with closing(Store(place)) as store:
        store.set_up(PAIRS, ABOUT, 0)
        send_odd_texts(store)


def send_odd_texts(store: Store) -> None:
    visitor = Visitor(owned(store))
    link = visitor.join("Ann", "checking")
    visitor.log_in()
    page = visitor.get("/rate").text
    mine, csrf, owners = action(page), tokens(page)[0], visitor.token("/owner")
    for text in ODD:
        rating = {"csrf": csrf, "choice": "left", "comment": text[:2000]}
        invitation = {"csrf": owners, "name": text, "protocol": "hurried"}
        file = {"file": (text[:99], text)}
        sent = [
            visitor.post(mine, data=rating),
            visitor.post(mine, data=rating | {"choice": text}),
            visitor.post(mine, data=rating | {"active_ms": text}),
            visitor.post(mine, data=rating | {text: "right", "left.0": text}),
            visitor.post(mine, data=rating | {"csrf": text}),
            visitor.post(mine, files={"choice": ("x", text)}, data={"csrf": csrf}),
            visitor.post(link, data={"csrf": text}),
            visitor.post("/owner/login", data={"csrf": text, "password": text}),
            visitor.post("/owner/raters", data=invitation),
            visitor.post("/owner/raters", data=invitation | {"protocol": text}),
            visitor.post("/owner/import", data={"csrf": owners}, files=file),
            visitor.post("/owner/import", data={"csrf": text}),
        ]
        assert {one.status_code for one in sent} <= {201, 303, 400, 403, 409, 413, 422, 429}, text
    kept = [row for row in store.rows() if row["rater"] == "Ann"]
    assert len(kept) == 1
    names = {rater.name for rater in store.raters()}
    assert {text for text in SQL if len(text) <= 100} <= names


PATHS = [
    "%00",
    "%ff%fe",
    "%F0%9F%98%80",
    "a" * 9000,
    "%2e%2e%2f",
    "..;/",
    "a%0d%0aX-Evil:1",
    "%3Cb%3E",
]


@pytest.mark.parametrize("path", [*PATHS, *map("{0}?id={0}&id=1".format, ["'--", "[$ne]"])])
def test_no_address_breaks_anything(store: Store, path: str) -> None:
    visitor = Visitor(owned(store))
    visitor.join("Ann")
    visitor.log_in()
    csrf, owners = visitor.token("/rate"), visitor.token("/owner")
    for place in ("/join/{}", "/rate/{}", "/rate/{}/previous", "/static/{}", "/{}", "/owner/{}"):
        assert visitor.get(place.format(path)).status_code in (404, 429)
    form = {"csrf": csrf, "choice": "left"}
    assert visitor.post(f"/rate/{path}", data=form).status_code in (404, 405)
    for id in (path, "0", "-1", "9" * 30, "1.5", "１"):
        answer = visitor.post(f"/owner/raters/{id}/revoke", data={"csrf": owners})
        assert answer.status_code in (404, 405)
    assert visitor.get("/rate").status_code == 200


FORM, PARTS = "application/x-www-form-urlencoded", "multipart/form-data"
CUT_OFF = b'--x\r\nContent-Disposition: form-data; name="choice"\r\n\r\nle'
BODIES = {
    "no form": (b"\x00\xff" * 50, "application/octet-stream"),
    "json": (b'{"choice": "left"}', "application/json"),
    "deep json": (b"[" * 60_000, "application/json"),
    "halves of pairs": (b"choice=%ED%A0%80&csrf=%ED%B0%80&comment=%FF", FORM),
    "broken percents": (b"choice=%zz&%=%&csrf=%u0041", FORM),
    "many fields": (b"a=1&" * 15_000, FORM),
    "fields twice": (b"choice=left&choice=right&csrf=a&csrf=b", FORM),
    "no boundary": (b"--x\r\n", PARTS),
    "another boundary": (b"--y\r\n\r\n--y--", f"{PARTS}; boundary=x"),
    "cut off": (CUT_OFF, f"{PARTS}; boundary=x"),
    "no name": (b"--x\r\nContent-Disposition: form-data\r\n\r\na\r\n--x--", f"{PARTS}; boundary=x"),
    "bad header": (b"--x\r\n\x00\xff\r\n\r\na\r\n--x--", f"{PARTS}; boundary=x"),
    "odd charset": (b"choice=left", f"{FORM}; charset=utf-7"),
    "odd type": (b"choice=left", ";;;=\xff"),
}


@pytest.mark.parametrize("name", BODIES)
def test_no_body_breaks_a_form(store: Store, name: str) -> None:
    content, kind = BODIES[name]
    visitor = Visitor(owned(store))
    link = visitor.join("Ann")
    visitor.log_in()
    forms = [action(visitor.get("/rate").text), link, "/owner/login", "/owner/logout"]
    forms += ["/owner/raters", "/owner/raters/1/revoke", "/owner/import"]
    headers = {b"content-type": kind.encode("latin-1")}
    for path in forms:
        answer = visitor.post(path, content=content, headers=headers)
        assert answer.status_code in (400, 403, 413, 422), path
    assert list(store.rows()) == []


@pytest.mark.parametrize("secret", ["x", "\xff" * 43, "a" * 43, '"; Path=/', "a" * 5000, "é=;,"])
def test_no_cookie_breaks_anything(store: Store, secret: str) -> None:
    visitor = Visitor(owned(store))
    cookies = [f"understudy-{name}={secret}" for name in ("rater", "owner", "visit")]
    headers = {b"cookie": "; ".join(cookies).encode()}
    for path in ("/rate", "/rate/x", "/pause", "/done", "/owner/live", "/owner/export.csv"):
        assert visitor.get(path, headers=headers).status_code == 401
    for path in (f"/join/{store.invite('Ann', 'hurried')[1]}", "/owner/login"):
        answer = visitor.get(path, headers=headers)
        assert answer.status_code == 200
        kept = re.match(r"understudy-visit=([\w-]{43});", answer.headers["set-cookie"])
        assert kept
        assert kept[1] == secret or secret != "a" * 43
