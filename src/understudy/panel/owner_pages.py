"""What the owner sees: how far everybody is, what the ratings say, invitations, files."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Form, HTTPException, Path, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import (
    HTMLResponse,
    JSONResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.datastructures import FormData, UploadFile

from understudy.errors import UserError
from understudy.panel import forms
from understudy.panel.exports import as_csv, as_jsonl, read_rows
from understudy.panel.look import page, told
from understudy.panel.rendering import plain
from understudy.panel.security import Limits, Paced, client_of
from understudy.panel.sessions import Sessions
from understudy.panel.store import Store

JSONL = "ratings.jsonl", "application/x-ndjson"
CSV = "ratings.csv", "text/csv"
BLOCK = 200  # lines of an export that are sent together
RaterId = Annotated[int, Path(ge=1, lt=2**31)]
UPLOAD = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "csrf"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "csrf": {"type": "string", "maxLength": 200},
                    },
                }
            }
        },
    }
}


class OwnerPages:
    """Handlers of the owner's requests."""

    def __init__(
        self,
        store: Store,
        live: Callable[[], dict[str, Any]],
        sessions: Sessions,
        limits: Limits,
    ) -> None:
        self._store = store
        self._live = live
        self._sessions = sessions
        self._upload = limits.upload
        self._tries, self._all_tries = Paced(limits.logins), Paced(limits.all_logins)

    def add_to(self, app: FastAPI) -> None:
        """Put the handlers in their places."""
        plain: dict[str, Any] = {"tags": ["owner"], "response_class": HTMLResponse}
        kept = plain | {"dependencies": [Depends(self._sessions.of_owner)]}
        sent: dict[str, Any] = {"status_code": 303, "response_class": RedirectResponse}
        post = {"methods": ["POST"]}
        app.add_api_route("/owner/login", self.door, **plain)
        app.add_api_route("/owner/login", self.log_in, **plain | sent | post)
        app.add_api_route("/owner/logout", self.log_out, **kept | sent | post)
        app.add_api_route("/owner", self.overview, **kept, responses={303: told(303)})
        app.add_api_route("/owner/live", self.live, **kept | {"response_class": JSONResponse})
        made = {"status_code": 201, "responses": {409: told(409)}}
        app.add_api_route("/owner/raters", self.invite, **kept | post | made)
        app.add_api_route("/owner/raters/{id}/revoke", self.revoke, **kept | sent | post)
        app.add_api_route("/owner/export.jsonl", self.export_jsonl, **kept | _file(JSONL))
        app.add_api_route("/owner/export.csv", self.export_csv, **kept | _file(CSV))
        upload = {"max_body_size": self._upload, "openapi_extra": UPLOAD}
        app.add_api_route("/owner/import", self.take_in, **kept | post | upload)

    def door(self, request: Request) -> Response:
        """Asks for the password."""
        return self._door(request)

    def log_in(self, request: Request, form: Annotated[forms.Login, Form()]) -> Response:
        """Opens the owner's session."""
        self._sessions.check_visit(request, form.csrf)
        self._all_tries.check("")
        self._tries.take(client_of(request))
        self._all_tries.take("")
        if not self._store.owner_password_right(form.password):
            return self._door(request, "That is not the password.", 403)
        response = RedirectResponse("/owner", 303)
        self._sessions.open_owner(request, response)
        return response

    def log_out(self, request: Request, form: Annotated[forms.Form, Form()]) -> Response:
        """Ends the owner's session."""
        self._sessions.owner(request, form.csrf)
        response = RedirectResponse("/owner/login", 303)
        self._sessions.end_owner(request, response)
        return response

    def overview(self, request: Request) -> Response:
        """Everything on one page."""
        return self._overview(self._sessions.owner(request))

    def live(self, request: Request) -> Response:
        """The figures of the page, as JSON."""
        self._sessions.owner(request)
        return JSONResponse(self._live())

    def invite(self, request: Request, form: Annotated[forms.Invite, Form()]) -> Response:
        """Makes an invitation and shows its link, this once."""
        csrf = self._sessions.owner(request, form.csrf)
        try:
            rater, token = self._store.invite(form.name, form.protocol)
        except UserError as error:
            return self._overview(csrf, 409, fault=str(error))
        return self._overview(csrf, 201, invited=rater, link=f"/join/{token}")

    def revoke(
        self, request: Request, id: RaterId, form: Annotated[forms.Form, Form()]
    ) -> Response:
        """Ends an invitation and its sessions."""
        self._sessions.owner(request, form.csrf)
        self._store.revoke(id)
        return RedirectResponse("/owner", 303)

    def export_jsonl(self, request: Request) -> Response:
        """Every rating, a JSON object a line."""
        self._sessions.owner(request)
        return _download(as_jsonl(self._store.rows()), JSONL)

    def export_csv(self, request: Request) -> Response:
        """Every rating, for a spreadsheet."""
        self._sessions.owner(request)
        return _download(as_csv(self._store.rows()), CSV)

    async def take_in(self, request: Request) -> Response:
        """Takes in an exported file."""
        # The session first: a stranger's file is not read.
        await run_in_threadpool(self._sessions.owner, request)
        async with request.form(max_files=1, max_fields=1) as form:
            return await run_in_threadpool(self._take_in, request, form)

    def _take_in(self, request: Request, form: FormData) -> Response:
        file, csrf = form.get("file"), form.get("csrf")
        if not isinstance(file, UploadFile) or not isinstance(csrf, str):
            raise HTTPException(422)
        csrf = self._sessions.owner(request, csrf)
        try:
            new = self._store.put_rows(read_rows(file.file.read(), plain(file.filename or "", 80)))
        except UserError as error:
            return self._overview(csrf, 422, fault=str(error))
        return self._overview(csrf, taken_in=new)

    def _door(self, request: Request, fault: str = "", status: int = 200) -> Response:
        visit = self._sessions.visit(request)
        ready = self._store.has_owner()
        response = page("login", status, fault=fault, ready=ready, csrf=visit.csrf)
        self._sessions.keep(response, visit)
        return response

    def _overview(self, csrf: str, status: int = 200, **news: Any) -> Response:
        live = self._live()
        comparisons = live["preferences"]["comparisons"]
        return page(
            "owner",
            status,
            csrf=csrf,
            about=self._store.about(),
            live=live,
            # Hurried above checking: the difference is what there is to see.
            comparisons=sorted(
                comparisons, key=lambda one: (one["models"], one["protocol"] != "hurried")
            ),
            **{"fault": "", "invited": None, "link": "", "taken_in": None} | news,
        )


def _file(kind: tuple[str, str]) -> dict[str, Any]:
    """What the schema says of a download."""
    _, media = kind
    content = {media: {"schema": {"type": "string"}}}
    return {"response_class": StreamingResponse, "responses": {200: {"content": content}}}


def _download(lines: Iterable[str], kind: tuple[str, str]) -> Response:
    name, media = kind
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(_blocks(lines), media_type=media, headers=headers)


def _blocks(lines: Iterable[str]) -> Iterator[str]:
    """Lines, many at a time: each is handed over by a thread."""
    left = iter(lines)
    while block := list(islice(left, BLOCK)):
        yield "".join(block)
