"""Commands that use a student: talk to it, or hand it to a server."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from understudy.cli.common import Json, Quiet, begin, end
from understudy.progress import say

app = typer.Typer()
USE = "Use a student"

Student = Annotated[
    str,
    typer.Argument(help="A run's or training's folder, a model directory, hub name or GGUF file."),
]


@app.command(rich_help_panel=USE)
def chat(
    student: Student,
    beside: Annotated[
        str | None,
        typer.Option(help="Another model that answers each turn, too; base: that of the run."),
    ] = None,
    system: Annotated[str, typer.Option(help="A message that opens every conversation.")] = "",
    temperature: Annotated[float, typer.Option(min=0, help="0 takes the likeliest token.")] = 0.7,
    max_tokens: Annotated[int, typer.Option(min=1, help="Of the longest answer.")] = 512,
    seed: Annotated[int, typer.Option(help="Of what is drawn; a GGUF file's cannot be set.")] = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Talk to a student, beside its base if you like; from a pipe, each line is a turn.

    Example: understudy chat runs/desk --beside base

    Example: echo Hello | understudy chat desk-gguf/desk-q4_0.gguf
    """
    begin(quiet)
    from understudy.chat.cast import cast
    from understudy.chat.talk import How, talk
    from understudy.chat.terminal import show_on

    voices = cast(student, beside, system)
    show = show_on((None if quiet else sys.stderr) if as_json else sys.stdout)
    turns = talk(voices, sys.stdin, show, How(temperature, max_tokens, seed))
    end({"models": [voice.label for voice in voices], "turns": turns}, as_json)


@app.command(rich_help_panel=USE)
def serve(
    student: Student,
    server: Annotated[
        Literal["vllm", "transformers", "llama.cpp"] | None,
        typer.Option("--with", help="The server; else what is installed and takes the student."),
    ] = None,
    host: Annotated[str, typer.Option(help="0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Offer a student over the OpenAI interface, by a server that is installed; Ctrl-C ends it.

    Example: understudy serve runs/desk --with transformers
    """
    begin(quiet)
    from understudy.chat.server import become, request_line, serve_line
    from understudy.models import find_student

    name = Path(student).absolute().stem if Path(student).exists() else student
    line, called = serve_line(find_student(student), name, server, host, port)
    request = request_line(called, host, port)
    say(f"  {' '.join(line)}\n  When it is up, ask it:\n  {request}")
    end({"url": f"http://{host}:{port}/v1", "model": called, "command": line}, as_json)
    become(line)
