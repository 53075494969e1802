"""Who is asking: sessions of raters and of the owner, and the tokens that prove a form is ours."""

import hashlib
import hmac
import re
import secrets
from functools import lru_cache
from typing import NamedTuple

from fastapi import HTTPException, Request, Response
from fastapi.security import APIKeyCookie

from understudy.panel.records import Protocol
from understudy.panel.store import Store

RATER_SECONDS = 30 * 24 * 3600
OWNER_SECONDS = 12 * 3600
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")  # 32 random bytes


class RaterSession(NamedTuple):
    """An open session of a rater; `secret` is its cookie's value."""

    rater: int
    protocol: Protocol
    secret: str
    csrf: str


class Visit(NamedTuple):
    """What a browser that has no session yet is known by, and the token for its forms."""

    secret: str
    csrf: str


class Sessions:
    """Opens, reads and ends sessions; each cookie holds a random secret and nothing else.

    Forms that open a session come before there is one: a cookie of the visit stands in for it.

    Args:
        secure: send cookies over TLS alone, and let no other host of the domain set them.
    """

    def __init__(self, store: Store, secure: bool) -> None:
        self._store = store
        self._secure = secure
        prefix = "__Host-understudy" if secure else "understudy"
        self._rater, self._owner, self._visit = (
            f"{prefix}-rater",
            f"{prefix}-owner",
            f"{prefix}-visit",
        )
        self.of_rater = APIKeyCookie(name=self._rater, scheme_name="rater", auto_error=False)
        self.of_owner = APIKeyCookie(name=self._owner, scheme_name="owner", auto_error=False)
        self._protocol = lru_cache(10_000)(self._protocol_of)  # which never changes

    def rater(self, request: Request, csrf: str | None = None) -> RaterSession:
        """The rater's session; a form's token is checked where one is given.

        Raises:
            HTTPException: 401 if there is none, 403 if the token is not its own.
        """
        secret = request.cookies.get(self._rater, "")
        rater, token = self._open(secret)
        if rater is None:
            raise HTTPException(401)
        _check(csrf, token)
        return RaterSession(rater, self._protocol(rater), secret, token)

    def owner(self, request: Request, csrf: str | None = None) -> str:
        """The token of the owner's session; see `rater`."""
        rater, token = self._open(request.cookies.get(self._owner, ""))
        if rater is not None:
            raise HTTPException(401)
        _check(csrf, token)
        return token

    def open_rater(self, request: Request, response: Response, rater: int) -> None:
        """Open a session in place of the one that this browser may have."""
        self._end(request, self._rater)
        secret, _ = self._store.open_session(rater, RATER_SECONDS)
        self._set(response, self._rater, secret, RATER_SECONDS)

    def open_owner(self, request: Request, response: Response) -> None:
        """See `open_rater`."""
        self._end(request, self._owner)
        secret, _ = self._store.open_session(None, OWNER_SECONDS)
        self._set(response, self._owner, secret, OWNER_SECONDS)

    def end_owner(self, request: Request, response: Response) -> None:
        self._end(request, self._owner)
        self._set(response, self._owner, "", 0)

    def visit(self, request: Request) -> Visit:
        """This browser's visit, a new one if it has none; `keep` gives it the cookie."""
        secret = request.cookies.get(self._visit, "")
        if not _SECRET.fullmatch(secret):
            secret = secrets.token_urlsafe(32)
        return Visit(secret, _of_visit(secret))

    def keep(self, response: Response, visit: Visit) -> None:
        self._set(response, self._visit, visit.secret, OWNER_SECONDS)

    def check_visit(self, request: Request, csrf: str) -> None:
        """Raise HTTPException 403 if the token is not of this browser's visit."""
        _check(csrf, self.visit(request).csrf)  # without a cookie: of a new one, which none has

    def _open(self, secret: str) -> tuple[int | None, str]:
        found = self._store.session(secret) if _SECRET.fullmatch(secret) else None
        if found is None:
            raise HTTPException(401)
        return found

    def _end(self, request: Request, cookie: str) -> None:
        if _SECRET.fullmatch(secret := request.cookies.get(cookie, "")):
            self._store.end_session(secret)

    def _protocol_of(self, rater: int) -> Protocol:
        return next(one.protocol for one in self._store.raters() if one.id == rater)

    def _set(self, response: Response, name: str, value: str, seconds: int) -> None:
        response.set_cookie(
            name, value, seconds, path="/", secure=self._secure, httponly=True, samesite="strict"
        )


def _of_visit(secret: str) -> str:
    return hashlib.sha256(f"visit {secret}".encode("utf-8", "replace")).hexdigest()


def _check(given: str | None, token: str) -> None:
    if given is not None and not hmac.compare_digest(
        given.encode("utf-8", "replace"), token.encode()
    ):
        raise HTTPException(403)
