"""The raters' web app: what is where, and what is said when something is wrong."""

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, PlainTextResponse, RedirectResponse
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from understudy.errors import UserError
from understudy.panel.look import FILES, page, told
from understudy.panel.owner_pages import OwnerPages
from understudy.panel.rater_pages import RaterPages
from understudy.panel.security import HEADERS, NORMAL, Limits, SafeHeaders, refuse_other_sites
from understudy.panel.sessions import Sessions
from understudy.panel.store import Store
from understudy.progress import say

ERRORS = {
    400: ("That did not arrive whole", "Go back, load the page anew and try again."),
    401: (
        "No session is open here",
        "Raters: open the link that you were invited with; your place is kept.",
    ),
    403: (
        "This form is from another session",
        "It was opened before the session changed, or on another site. Go back, load the page anew "
        "and try again.",
    ),
    404: (
        "There is nothing here",
        "The address is wrong, or the invitation has ended. Whoever invited you can send another.",
    ),
    405: ("There is nothing here", "The address is not asked for in this manner."),
    413: ("That is too large", "A note has at most 2,000 characters, a file at most 16 MiB."),
    422: (
        "That form could not be read",
        "Something in it is missing or is not of the kind expected. Go back and try again.",
    ),
    429: ("That was too often", "Wait a moment, then try again. Nothing is lost."),
    500: ("Something went wrong here", "Whatever was kept before is safe. Try again."),
    503: ("The panel is out of order", "Its database does not answer. Try again in a while."),
}


def panel_app(
    store: Store, live: Callable[[], dict[str, Any]], *, secure: bool, limits: Limits = NORMAL
) -> FastAPI:
    """The panel as an ASGI application.

    Args:
        store: set up with pairs.
        live: gives the owner's figures, as `results.Live` does.
        secure: browsers reach it by TLS: cookies are sent by nothing else, and browsers are told
            so.
        limits: how much may be asked.
    """
    sessions = Sessions(store, secure)

    app = FastAPI(
        title="understudy panel",
        version=version("understudy"),
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        middleware=[Middleware(SafeHeaders, secure=secure)],
        max_body_size=limits.body,
        redirect_slashes=False,  # it would send to where the Host header says
        dependencies=[Depends(refuse_other_sites)],
        responses={status: told(status) for status in ERRORS if status != 500},
        exception_handlers={
            HTTPException: _refused,
            RequestValidationError: _unreadable,
            UserError: _out_of_order,
            Exception: _broken,
        },
    )
    RaterPages(store, sessions, limits).add_to(app)
    OwnerPages(store, live, sessions, limits).add_to(app)

    @app.get("/", response_class=HTMLResponse)
    def front() -> Response:
        """Where to go, for whoever knows no address."""
        return page("front")

    @app.get("/static/{name}")
    def static(name: str) -> Response:
        """Style sheets and scripts; their addresses change when they do."""
        if name not in FILES:
            raise HTTPException(404)
        media_type, content = FILES[name]
        headers = {"cache-control": "public, max-age=31536000, immutable"}
        return Response(content, media_type=media_type, headers=headers)

    @app.get("/health", response_class=PlainTextResponse)
    def health() -> str:
        """Whether the panel and its database answer."""
        store.about()
        return "ok"

    return app


def _error_page(status: int) -> HTMLResponse:
    title, advice = ERRORS.get(status, ERRORS[400])
    return page("error", status, title=title, advice=advice)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 401 and request.url.path == "/owner":
        return RedirectResponse("/owner/login", 303)
    response = _error_page(error.status_code)
    response.headers.update(error.headers or {})
    return response


async def _unreadable(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    in_address = any(fault["loc"][0] == "path" for fault in error.errors())
    return _error_page(404 if in_address else 422)


async def _out_of_order(_: Request, error: Exception) -> Response:
    say(str(error))
    return _error_page(503)


async def _broken(_: Request, error: Exception) -> Response:
    """Whatever nobody thought of; the server prints it."""
    response = _error_page(500)
    response.headers.update(HEADERS)  # it is made outside of the middleware
    return response
