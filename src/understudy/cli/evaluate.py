"""The command that scores a model, or compares two that were scored."""

from pathlib import Path
from typing import Annotated, Any

import typer

from understudy.cli.common import (
    ApiKeyEnv,
    Json,
    Ledger,
    MaxUsd,
    Quiet,
    Seed,
    Set,
    Yes,
    agreed,
    begin,
    end,
)
from understudy.cli.stages import STAGE
from understudy.errors import UserError

app = typer.Typer()


@app.command(rich_help_panel=STAGE)
def evaluate(
    model: Annotated[
        str | None, typer.Argument(help="A model directory or a hub name; with --base-url, a name.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the scores.")] = None,
    benchmarks: Annotated[
        str, typer.Option(help="Comma-separated names, or YAML files of your own.")
    ] = "mmlu,nq,humaneval",
    data: Annotated[
        Path | None, typer.Option(help="Folder of the files as published; else the hub's copies.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Items a benchmark.")] = None,
    exclude: Annotated[
        str | None, typer.Option(help="A contamination.jsonl of curate; its items are left out.")
    ] = None,
    contamination: Annotated[
        str | None, typer.Option(help="One whose items are scored and counted apart.")
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(help="Ask a teacher at this endpoint, up to /v1, instead.")
    ] = None,
    api_key_env: ApiKeyEnv = None,
    ledger: Ledger = None,
    max_usd: MaxUsd = None,
    teacher_changes: Annotated[
        list[str], typer.Option("--teacher", help="Change a teacher setting: key=value.")
    ] = [],  # noqa: B006
    changes: Set = [],  # noqa: B006
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(help="Only compare two models' scores: the --out folders of two evaluations."),
    ] = None,
    seed: Seed = 0,
    yes: Yes = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score a model on targeted benchmarks, with intervals and per-item records.

    Further settings by `--set`: `engine=vllm`, `dtype=bf16`, `samples=20 temperature=0.8` for
    pass@k, `toxicity.scorer=FOLDER`. Stopped or killed, the same command goes on.

    Example: understudy evaluate ./student --benchmarks mmlu,nq --data files --out scores

    Example: understudy evaluate --compare scores/base scores/student
    """
    begin(quiet)
    if compare:
        from understudy.evaluate.compare import compare as work
        from understudy.evaluate.compare import words

        found = work(*compare)
        end(found, as_json, words(found))
        return
    if model is None or out is None:
        raise UserError("evaluate: name a model and a folder with --out, or two with --compare")
    from understudy.files import read_json
    from understudy.gather import evaluate_alone
    from understudy.recipe import BudgetSettings, EvaluateSettings, TeacherSettings
    from understudy.recipe_file import settings_from

    names = [name.strip() for name in benchmarks.split(",") if name.strip()]
    given: dict[str, Any] = {"benchmarks": names, "data": str(data) if data else None}
    given |= {"limit": limit, "exclude": exclude, "contamination": contamination}
    teacher = None
    if base_url:
        asked = {"base_url": base_url, "model": model, "api_key_env": api_key_env}
        teacher = settings_from(TeacherSettings, teacher_changes, **asked)
    evaluate_alone(
        model,
        settings_from(EvaluateSettings, changes, **given),
        teacher,
        settings_from(BudgetSettings, [], max_usd=max_usd),
        ledger,
        data,
        out,
        seed,
        lambda words: agreed(words, yes),
    )
    scores = read_json(out / "scores.json")
    end(scores, as_json, "\n".join(_lines(scores)))


def _lines(scores: dict[str, Any]) -> list[str]:
    """Scores in words, a benchmark a line."""
    lines = []
    for name, score in scores["benchmarks"].items():
        line = f"{name}: {score['score']:.3f} ({score['low']:.3f}–{score['high']:.3f})"
        line += f", n = {score['n']}, {score['metric']}"
        if score.get("excluded"):
            line += f", {score['excluded']} excluded"
        if note := score.get("contamination"):
            line += f", {note['touched']} touched by the imitation set"
            if "without" in note:
                line += f" ({note['without']['score']:.3f} without)"
        lines.append(line)
    not_measured = scores.get("not_measured", {})
    return lines + [f"{name}: not measured, {why}" for name, why in not_measured.items()]
