"""Our own dialogues, as `collect` and `curate` write them."""

from typing import Any

from pydantic import ValidationError

from understudy.curate.records import Context, UnreadableError
from understudy.dialogue import Dialogue

NAME = "dialogues"
TERMS = "as each dialogue's licence says; the teacher's terms bind whoever trains on its answers"


def sniff(record: dict[str, Any]) -> bool:
    """Whether it has turns."""
    return "turns" in record


def read(record: dict[str, Any], context: Context) -> Dialogue:
    """The dialogue with the provenance that it carries."""
    known = {"id": context.id_for(record), "source": context.source, "origin": context.origin}
    try:
        return Dialogue.model_validate(known | record)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UnreadableError(f"{where}: {first['msg']}") from None
