"""The pages' templates and the files that they load."""

import hashlib
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi.responses import HTMLResponse

from understudy.pages import page_environment, style
from understudy.panel.figures import preferred
from understudy.panel.rendering import plain

HERE = Path(__file__).parent
FILES: Mapping[str, tuple[str, str]] = {
    "panel.css": ("text/css", str(style(HERE / "static" / "panel.css"))),
    **{
        path.name: ("text/javascript", path.read_text(encoding="utf-8"))
        for path in sorted((HERE / "static").glob("*.js"))
    },
}
"""Media type and content of each file under /static."""

_environment = page_environment(HERE / "templates")


def page(name: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page made from the template of this name."""
    template = _environment.get_template(f"{name}.html.jinja")
    return HTMLResponse(template.render(values), status)


def told(status: int) -> dict[str, Any]:
    """How the schema describes an answer of this status: a page, or the way to one."""
    content = {"text/html": {"schema": {"type": "string"}}}
    return {"description": HTTPStatus(status).phrase} | (
        {} if status == 303 else {"content": content}
    )


def _address(name: str) -> str:
    """A file's address, which changes with its content, so that browsers may keep it for good."""
    digest = hashlib.sha256(FILES[name][1].encode()).hexdigest()
    return f"/static/{name}?{digest[:12]}"


_environment.globals["static"] = {name: _address(name) for name in FILES}
_environment.filters |= {"plain": plain, "preferred": preferred}
