"""Our own dialogues, as `collect` and `curate` write them, in JSON or in a table."""

from typing import Any

from pydantic import ValidationError

from understudy.curate.records import Context, UnreadableError, first_name
from understudy.dialogue import Dialogue

NAME = "dialogues"
LICENCE: str | None = None
TERMS = "as each dialogue's licence says; the teacher's terms bind whoever trains on its answers"


def sniff(record: dict[str, Any]) -> bool:
    """Whether it has turns."""
    return "turns" in record


def read(record: dict[str, Any], context: Context) -> Dialogue:
    """The dialogue with the provenance that it carries; other keys are passed over."""
    own = {key: record[key] for key in Dialogue.model_fields if record.get(key) is not None}
    own["id"] = context.id_for(record)
    own["source"] = first_name(record, ["source"]) or context.source
    own["origin"] = record.get("origin", context.origin)
    try:
        return Dialogue.model_validate(own)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UnreadableError(f"{where}: {first['msg']}") from None
