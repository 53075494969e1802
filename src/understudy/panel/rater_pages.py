"""What raters see: the invitation, one pair after another, and the end.

Models' names and other raters' answers are not among what these pages are given.
"""

from functools import partial
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Form, HTTPException, Path, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from understudy.panel import forms
from understudy.panel.look import page, told
from understudy.panel.records import Mark, Rater, Task
from understudy.panel.rendering import answer, answer_to_mark
from understudy.panel.security import Limits, Paced, client_of
from understudy.panel.sessions import RaterSession, Sessions
from understudy.panel.store import Store

Invitation = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{43}$")]
TaskId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,40}$")]
CHOICES = (
    ("left_much", "1", "A much better"),
    ("left", "2", "A better"),
    ("same", "3", "About the same"),
    ("right", "4", "B better"),
    ("right_much", "5", "B much better"),
    ("cannot", "0", "Cannot judge"),
)
"""Value, key and words of each choice; A is the left answer, or the upper one on a narrow page."""
MARKS: tuple[tuple[Mark, str], ...] = (("right", "✓"), ("wrong", "✗"), ("unsure", "?"))
LETTERS = {"left": "A", "right": "B"}


class RaterPages:
    """Handlers of the raters' requests."""

    def __init__(self, store: Store, sessions: Sessions, limits: Limits) -> None:
        self._store = store
        self._sessions = sessions
        self._misses, self._all_misses = Paced(limits.misses), Paced(limits.all_misses)
        self._joins, self._ratings = Paced(limits.joins), Paced(limits.ratings)

    def add_to(self, app: FastAPI) -> None:
        """Put the handlers in their places."""
        plain: dict[str, Any] = {"tags": ["raters"], "response_class": HTMLResponse}
        kept = plain | {"dependencies": [Depends(self._sessions.of_rater)]}
        sent: dict[str, Any] = {"status_code": 303, "response_class": RedirectResponse}
        app.add_api_route("/join/{token}", self.invitation, **plain)
        app.add_api_route("/join/{token}", self.join, methods=["POST"], **plain | sent)
        elsewhere = {"responses": {303: told(303)}}
        app.add_api_route("/rate", self.current, **kept | elsewhere)
        app.add_api_route("/rate/{id}", self.look_back, **kept)
        app.add_api_route("/rate/{id}/previous", self.previous, **kept | sent)
        app.add_api_route("/rate/{id}", self.rate, methods=["POST"], **kept | sent)
        app.add_api_route("/pause", self.pause, **kept)
        app.add_api_route("/done", self.done, **kept | elsewhere)

    def invitation(self, request: Request, token: Invitation) -> Response:
        """Says what is asked of a rater, before anything begins."""
        rater = self._invited(request, token)
        visit = self._sessions.visit(request)
        response = page("join", rater=rater, about=self._store.about(), csrf=visit.csrf)
        self._sessions.keep(response, visit)
        return response

    def join(
        self, request: Request, token: Invitation, form: Annotated[forms.Form, Form()]
    ) -> Response:
        """Opens a session; the first time it draws the rater's pairs."""
        self._sessions.check_visit(request, form.csrf)
        rater = self._invited(request, token)
        self._joins.take(rater.id)
        self._store.begin(rater.id)
        response = RedirectResponse("/rate", 303)
        self._sessions.open_rater(request, response, rater.id)
        return response

    def current(self, request: Request) -> Response:
        """The first pair that is not rated yet."""
        session = self._sessions.rater(request)
        task = self._store.next_task(session.rater)
        return _pair(session, task) if task else RedirectResponse("/done", 303)

    def look_back(self, request: Request, id: TaskId) -> Response:
        """One of the rater's pairs, to mend what was said of it."""
        session = self._sessions.rater(request)
        return _pair(session, self._own(session, id))

    def previous(self, request: Request, id: TaskId) -> Response:
        """Leads to the pair before."""
        session = self._sessions.rater(request)
        task = self._store.previous_task(session.rater, self._own(session, id).id)
        return RedirectResponse(f"/rate/{(task.id if task else id)}", 303)

    def rate(self, request: Request, id: TaskId, form: Annotated[forms.Rate, Form()]) -> Response:
        """Keeps a rating."""
        session = self._sessions.rater(request, form.csrf)
        self._ratings.take(session.secret)
        if not self._store.rate(session.rater, id, form.rating(session.protocol)):
            raise HTTPException(404)
        return RedirectResponse("/rate", 303)

    def pause(self, request: Request) -> Response:
        """Says that the place is kept."""
        session = self._sessions.rater(request)
        return page("pause", task=self._store.next_task(session.rater))

    def done(self, request: Request) -> Response:
        """Thanks, once everything is rated."""
        session = self._sessions.rater(request)
        if self._store.next_task(session.rater):
            return RedirectResponse("/rate", 303)
        return page("done")

    def _invited(self, request: Request, token: str) -> Rater:
        rater = self._store.rater_of(token)
        if rater is None:
            self._misses.take(client_of(request))
            self._all_misses.take("")
            raise HTTPException(404)
        return rater

    def _own(self, session: RaterSession, id: str) -> Task:
        task = self._store.task(session.rater, id)
        if task is None:
            raise HTTPException(404)
        return task


def _pair(session: RaterSession, task: Task) -> Response:
    checking = session.protocol == "checking"
    marks = {
        f"{claim.side}.{claim.sentence}": claim.mark
        for claim in (task.rating.claims if task.rating else ())
    }
    answers = {
        letter: answer_to_mark(text, partial(_control, marks, side)) if checking else answer(text)
        for (side, letter), text in zip(LETTERS.items(), (task.left, task.right), strict=True)
    }
    return page(
        "rate",
        task=task,
        checking=checking,
        answers=answers,
        choices=CHOICES,
        csrf=session.csrf,
        turns=[
            (
                turn["role"],
                answer(turn["content"]) if turn["role"] == "assistant" else turn["content"],
            )
            for turn in task.messages
        ],
    )


def _control(marks: dict[str, Mark], side: str, sentence: int) -> str:
    """Where a sentence is marked; made of our own words alone."""
    field = f"{side}.{sentence}"
    options = "".join(
        f'<label><input type="radio" name="{field}" value="{mark}" aria-label="{mark}"'
        f"{' checked' if mark == marks.get(field) else ''}><span>{sign}</span></label>"
        for mark, sign in MARKS
    )
    name = f"Sentence {sentence + 1} of answer {LETTERS[side]}"
    return f'<span class="marks" role="radiogroup" aria-label="{name}">{options}</span>'
