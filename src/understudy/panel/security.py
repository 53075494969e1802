"""What stands between the panel and whoever reaches its port: headers, paces, bounds."""

import ipaddress
import threading
import time
from collections.abc import Hashable
from dataclasses import dataclass

from fastapi import HTTPException, Request
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "x-robots-tag": "noindex, nofollow",
    "cache-control": "no-store",
}
HSTS = {"strict-transport-security": "max-age=31536000"}
MOST_KEYS = 20_000  # clients and sessions whose pace is remembered


@dataclass(frozen=True)
class Pace:
    """How often something may be done: `burst` times at once, then `per_minute`."""

    burst: int
    per_minute: float


@dataclass(frozen=True)
class Limits:
    """How much may be asked of the panel.

    Attributes:
        logins, all_logins: tries at the owner's password, of one client and of all.
        misses, all_misses: links that are no invitation, of one client and of all. Valid ones are
            free, since many raters may share an address.
        joins: sessions opened by one invitation.
        ratings: ratings sent in one session.
        body, upload: bytes of a request, and of a file that the owner imports.
    """

    logins: Pace = Pace(5, 5)
    all_logins: Pace = Pace(30, 30)
    misses: Pace = Pace(20, 20)
    all_misses: Pace = Pace(200, 200)
    joins: Pace = Pace(20, 5)
    ratings: Pace = Pace(60, 60)
    body: int = 64 * 1024
    upload: int = 16 * 1024 * 1024


NORMAL = Limits()


class Paced:
    """A token bucket for each key, in memory."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._levels: dict[Hashable, tuple[float, float]] = {}  # tokens left, and when
        self._lock = threading.Lock()

    def check(self, key: Hashable) -> None:
        """Raises HTTPException 429 if the key has no token left."""
        with self._lock:
            self._refuse_if_empty(self._level(key))

    def take(self, key: Hashable) -> None:
        """Take a token; raises HTTPException 429 if there is none."""
        with self._lock:
            level = self._level(key)
            self._refuse_if_empty(level)
            if len(self._levels) >= MOST_KEYS:
                self._levels = {
                    known: state
                    for known, state in self._levels.items()
                    if self._level(known) < self._pace.burst
                }
            self._levels[key] = level - 1, time.monotonic()

    def _level(self, key: Hashable) -> float:
        level, when = self._levels.get(key, (float(self._pace.burst), 0.0))
        gained = (time.monotonic() - when) * self._pace.per_minute / 60
        return min(level + gained, float(self._pace.burst))

    def _refuse_if_empty(self, level: float) -> None:
        if level < 1:
            wait = int((1 - level) * 60 / self._pace.per_minute) + 1
            raise HTTPException(429, headers={"retry-after": str(wait)})


def client_of(request: Request) -> str:
    """Whose pace a request counts in: its address, of IPv6 the network."""
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.version == 4:
        return host
    return str(ipaddress.ip_network((address, 64), strict=False))


async def refuse_other_sites(request: Request) -> None:
    """Raise HTTPException 403 if a browser says that another site's page makes this post.

    Browsers write `Origin: null` for pages that send no referrer, as ours do; where they leave out
    Sec-Fetch-Site too (plain HTTP), SameSite cookies and the form's token are what protects.
    """
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin", "null")
    if site is not None:
        elsewhere = site not in ("same-origin", "none")
    else:
        elsewhere = origin != "null" and origin.partition("://")[2] != request.headers.get("host")
    if request.method == "POST" and elsewhere:
        raise HTTPException(403)


class SafeHeaders:
    """Puts them on every answer.

    Args:
        secure: whether browsers reach the panel by TLS.
    """

    def __init__(self, app: ASGIApp, secure: bool) -> None:
        self._app = app
        self._headers = HEADERS | HSTS if secure else HEADERS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message["headers"])
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_safely)
