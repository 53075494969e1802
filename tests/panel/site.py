"""The panel's app with people at it: a rater and an owner who send forms as a browser would."""

import html
import re
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from panel.pairs import ABOUT, PAIRS
from understudy.panel.app import panel_app
from understudy.panel.records import Protocol
from understudy.panel.results import Live
from understudy.panel.security import NORMAL, Limits
from understudy.panel.store import Store

PASSWORD = "a long password, and secret"


class Visitor(TestClient):
    """A browser without script: keeps cookies, follows nothing by itself, fills in tokens."""

    def __init__(self, store: Store, *, secure: bool = False, limits: Limits = NORMAL) -> None:
        app = panel_app(store, Live(store), secure=secure, limits=limits)
        address = "https://panel.example" if secure else "http://panel.example"
        super().__init__(app, address, follow_redirects=False)
        self.store = store

    def token(self, path: str) -> str:
        """The CSRF token of the forms on a page."""
        return tokens(self.get(path).text)[0]

    def submit(self, path: str, page: str, **fields: Any) -> Any:
        """Send a form that stands on `page`."""
        return self.post(path, data={"csrf": self.token(page), **fields})

    def join(self, name: str, protocol: Protocol = "hurried") -> str:
        """Be invited under a name and begin; returns the invitation's path."""
        path = f"/join/{self.store.invite(name, protocol)[1]}"
        assert self.submit(path, path).headers["location"] == "/rate"
        return path

    def rate(self, choice: str = "left", **fields: Any) -> Any:
        """Rate the pair that comes next."""
        page = self.get("/rate").text
        return self.post(action(page), data={"csrf": tokens(page)[0], "choice": choice} | fields)

    def log_in(self, password: str = PASSWORD) -> Any:
        return self.submit("/owner/login", "/owner/login", password=password)


def opened(folder: Path) -> Store:
    """A panel of twelve pairs, a gold pair and an attention check, six pairs for each rater."""
    made = Store(str(folder / "panel.sqlite"))
    made.set_up(PAIRS, ABOUT, 0)
    return made


def owned(store: Store) -> Store:
    """The store with the owner's password."""
    store.set_owner_password(PASSWORD)
    return store


def tokens(page: str) -> list[str]:
    return [html.unescape(found) for found in re.findall(r'name="csrf" value="([^"]*)"', page)]


def action(page: str) -> str:
    """Where a pair's form goes."""
    found = re.search(r'action="(/rate/[^"]+)"', page)
    assert found
    return found[1]
