"""Calls as a teacher's client records them, and ledgers that are tampered with."""

import sqlite3
from typing import Any

import psycopg

from teacher.scripted import completion
from understudy.files import canonical_json
from understudy.teacher.databases import is_address
from understudy.teacher.ledger import Call, call_key, checksum


def answered(number: int, text: str | None = None, **changes: Any) -> Call:
    """A whole call; `changes` are made after its digests."""
    said = f"Answer {number}." if text is None else text
    body = {"messages": [{"role": "user", "content": f"Question {number}?"}], "model": "m"}
    request, response = canonical_json(body), completion(said).decode()
    key = call_key("here", "m", request, number)
    created = 1.7e9 + number
    call = Call(key, "here", "m", number, request, response, "stop", 3, 2, 0.5, created, "desk")
    return call._replace(checksum=checksum(response))._replace(**changes)


def tamper(place: str, statement: str) -> None:
    """Carry out a statement behind a ledger's back."""
    if is_address(place):
        with psycopg.connect(place) as connection:
            connection.execute(statement)
    else:
        file = sqlite3.connect(place)
        with file:
            file.execute(statement)
        file.close()
