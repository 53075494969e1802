"""The command that writes a student in a form that others take."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from understudy.cli.common import Json, Out, Quiet, begin, end
from understudy.cli.stages import STAGE

app = typer.Typer()


class Form(StrEnum):
    """What a student is written as."""

    model = "model"
    gguf = "gguf"
    hub = "hub"


@app.command(rich_help_panel=STAGE)
def export(
    student: Annotated[
        str,
        typer.Argument(help="A run's or a training's folder, a model directory or a hub name."),
    ],
    out: Out,
    to: Annotated[
        Form,
        typer.Option(
            help="A plain model directory; files for llama.cpp and Ollama; or a directory with a "
            "model card, to be uploaded."
        ),
    ] = Form.model,
    quant: Annotated[
        list[str], typer.Option(help="Of a gguf file: q4_0, q8_0 or f16. Repeatable.")
    ] = ["q4_0"],  # noqa: B006
    name: Annotated[
        str | None, typer.Option(help="What to call it; else as its recipe or folder is.")
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure/--no-measure", help="Measure what the files lose in quality.")
    ] = True,
    heldout: Annotated[
        Path | None, typer.Option(help="Dialogues to measure it on; else those of the run.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a student as a model directory, for a laptop, or for the hub.

    A training that was stopped gives the model of its last checkpoint, of one process or of many.
    Stopped or killed, the same command goes on.

    Example: understudy export runs/desk --to gguf --quant q4_0 --quant q8_0 --out desk-gguf

    Example: understudy export runs/desk --to hub --out desk-hub
    """
    begin(quiet)
    from understudy.exporting import export as work

    facts = work(student, to.value, out, quant, name, measure, heldout)
    end(facts, as_json, "\n".join(_lines(facts, out)))


def _lines(facts: dict[str, Any], out: Path) -> list[str]:
    """What was written, in words."""
    if "step" in facts:
        return [f"{out} holds the weights of step {facts['step']}"]
    if "card" in facts:
        return [f"{out} is ready for the hub; read {facts['card']} first"]
    if "files" not in facts:
        return [f"{out} holds the model"]
    measured = (facts["quality"] or {}).get("files", {})
    lines = []
    for one in facts["files"]:
        line = f"{out / one['file']}: {one['bytes'] / 1e6:.1f} MB"
        if ratio := measured.get(one["quant"], {}).get("ratio"):
            line += f", perplexity × {ratio['value']:.4f} ({ratio['low']:.4f}–{ratio['high']:.4f})"
        lines.append(line)
    return [*lines, f"{out / 'README.md'} is its card, {out / 'Modelfile'} is for Ollama"]
