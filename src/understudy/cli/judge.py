"""The command that has LLMs compare or grade models' answers, or reads what others' judges said."""

from collections.abc import Iterator
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
    Yes,
    agreed,
    begin,
    end,
)
from understudy.cli.stages import STAGE
from understudy.errors import UserError

app = typer.Typer()


@app.command(rich_help_panel=STAGE)
def judge(
    models: Annotated[
        list[str] | None,
        typer.Argument(help="Each model's answers: a file, the folder that has it, or NAME=PATH."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the judgements.")] = None,
    prompts: Annotated[
        Path | None, typer.Option(help="The prompt set; else the first model's file says it.")
    ] = None,
    references: Annotated[Path | None, typer.Option(help="Right answers, to check by.")] = None,
    baseline: Annotated[
        str | None, typer.Option(help="Compare with this model only, not every two.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Draw so many prompts.")] = None,
    grade: Annotated[
        bool, typer.Option("--grade", help="Grade single answers, 1 to 10, instead of pairs.")
    ] = False,
    model: Annotated[str | None, typer.Option(help="The judge's model name.")] = None,
    base_url: Annotated[str | None, typer.Option(help="Its endpoint, up to /v1.")] = None,
    api_key_env: ApiKeyEnv = None,
    protocol: Annotated[
        str, typer.Option(help="Comma-separated: hurried, checking, style, scores.")
    ] = "hurried",
    changes: Annotated[
        list[str], typer.Option("--judge", help="Change a judge's setting: key=value.")
    ] = [],  # noqa: B006
    judges: Annotated[
        Path | None, typer.Option(help="Several judges instead: a YAML list, as in a recipe.")
    ] = None,
    ledger: Ledger = None,
    max_usd: MaxUsd = None,
    annotations: Annotated[
        list[Path], typer.Option(help="Only count AlpacaEval's annotations; several: one a model.")
    ] = [],  # noqa: B006
    difficulties: Annotated[
        Path | None, typer.Option(help="AlpacaEval's instruction_difficulty.csv, for --annotations")
    ] = None,
    reviews: Annotated[
        Path | None, typer.Option(help="Only count Vicuna's reviews of two files of answers.")
    ] = None,
    seed: Seed = 0,
    yes: Yes = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Have LLMs say whose answers are better, in both orders; biases stand beside the win rates.

    Formats of prompts and answers are those of MT-bench, Vicuna, Koala, Self-Instruct, AlpacaEval
    and ours. Stopped or killed, the same command goes on; what was judged is not paid for twice.

    Example: understudy judge runs/desk/answers/student runs/desk/answers/teacher --out judged
    --base-url https://api.openai.com/v1 --model gpt-4o --api-key-env OPENAI_API_KEY
    --protocol hurried,checking --max-usd 5

    Example: understudy judge --annotations annotations.json
    """
    begin(quiet)
    named = models or []
    if annotations:
        from understudy.preferences.published import annotation_figures

        found = annotation_figures(*annotations, *map(Path, named), difficulties=difficulties)
        end(found, as_json, "\n".join(_annotation_lines(found)))
        return
    if reviews:
        from understudy.preferences.reviews import review_figures

        found = review_figures(reviews, [Path(name) for name in named])
        end(found, as_json, "\n".join(_review_lines(found)))
        return
    if not named or out is None:
        raise UserError("judge: name models' answers and a folder with --out")
    if (judges is None) == (model is None or base_url is None) or (judges and changes):
        raise UserError("judge: name a judge with --model and --base-url, or several with --judges")
    from understudy.gather import alone_in
    from understudy.judge.alone import judge_alone
    from understudy.judge.judges import read_judges
    from understudy.recipe import BudgetSettings, JudgeSettings
    from understudy.recipe_file import settings_from

    if judges:
        asked = read_judges(judges)
    else:
        given = {"model": model, "base_url": base_url, "api_key_env": api_key_env}
        kinds = [name.strip() for name in protocol.split(",") if name.strip()]
        asked = [settings_from(JudgeSettings, changes, protocol=kind, **given) for kind in kinds]
    with alone_in(out):
        facts = judge_alone(
            named,
            prompts,
            references,
            limit,
            baseline,
            asked,
            grade,
            settings_from(BudgetSettings, [], max_usd=max_usd),
            ledger,
            out,
            seed,
            lambda words: agreed(words, yes),
        )
    lines = _grade_lines(facts) if grade else _lines(facts)
    end(facts, as_json, "\n".join([*lines, *_closing_lines(facts)]))


def _lines(facts: dict[str, Any]) -> Iterator[str]:
    """Win rates, what may have moved them, and how far judges agree."""
    for row in facts["preferences"]["comparisons"]:
        model, other = row["models"]
        yield (
            f"{row['rater']}, {row['protocol']}: {model} over {other} {_percent(row['win_rate'])}, "
            f"{row['wins']} won, {row['ties']} tied, {row['losses']} lost on {row['items']} prompts"
        )
        if scores := row["scores"]:
            yield (
                f"  {model} has {_percent(scores['share_of_baseline'][model])} of {other}'s total "
                f"score ({scores['totals'][model]:g} to {scores['totals'][other]:g}), "
                f"{_percent(scores['at_equal_length'][model])} at equal length"
            )
        turned, length = row["swapped"], row["length"]
        yield (
            f"  the first shown preferred {_percent(row['position'])}; the same verdict when "
            f"swapped {_percent(turned and turned['same'])}; not judged {row['not_judged']}"
        )
        yield (
            f"  the longer preferred {_percent(length['longer_preferred'])}; {model} at equal "
            f"length {_percent(length['controlled'])}"
        )
        if own := row["self_preference"]:
            yield f"  {own['model']}, its own kin, preferred {_percent(own)} more than by others"
    for row in facts["preferences"]["agreement"]["kappa"]:
        yield f"{' and '.join(row['between'])} agree with kappa {_bounds(row)}"


def _grade_lines(facts: dict[str, Any]) -> Iterator[str]:
    for judge in facts["judges"]:
        for name, row in judge["models"].items():
            yield f"{judge['judge']}: {name} {_bounds(row, 'mean')}, {row['n']} answers"
        for row in judge["differences"]:
            yield f"{judge['judge']}: {row['second']} over {row['first']} by {_bounds(row)}"


def _closing_lines(facts: dict[str, Any]) -> Iterator[str]:
    """What could not be judged, and what it cost."""
    for judge in facts["judges"]:
        failed = ", ".join(f"{count} {why}" for why, count in judge["failures"].items())
        yield (
            f"{judge['judge']}{', ' + judge['protocol'] if 'protocol' in judge else ''}: "
            f"{judge['judgements']} judgements, {judge['repaired']} repaired, "
            f"failed: {failed or 'none'}"
        )
    for file, counts in facts["unmatched"].items():
        told = ", ".join(f"{count} {why.replace('_', ' ')}" for why, count in counts.items())
        yield f"not used, {file}: {told}"
    cost = facts["cost"]
    usd = "price not known" if cost["usd"] is None else f"${cost['usd']:.2f}"
    yield f"{cost['calls']} calls, {usd}"


def _annotation_lines(found: dict[str, Any]) -> Iterator[str]:
    for row in found.get("models", [found]):
        error = row["standard_error"]
        yield (
            f"{row['model']} over {row['baseline']} ({row['judge']}): {row['win_rate']:.2f} %"
            f"{'' if error is None else f' ± {error:.2f}'}; at equal length "
            f"{row['length_controlled_win_rate']:.2f} %; n = {row['n']}, {row['unread']} unread"
        )


def _review_lines(found: dict[str, Any]) -> Iterator[str]:
    totals = ", ".join(f"{name} {total:g}" for name, total in found["totals"].items())
    yield f"totals: {totals}, of {found['n']} reviews; {found['unread']} unread"
    yield (
        f"{found['model']} has {_percent(found['share_of_baseline'])} of {found['baseline']}'s "
        f"total, {_percent(found['at_equal_length'])} at equal length"
    )
    yield (
        f"it wins {_percent(found['win_rate'])}, at equal length "
        f"{_percent(found['length_controlled_win_rate'])}"
    )


def _percent(row: dict[str, Any] | None) -> str:
    """A share with its interval."""
    if row is None or row["value"] is None:
        return "unknown"
    words = f"{100 * row['value']:.1f} %"
    return (
        words if row["low"] is None else f"{words} ({100 * row['low']:.1f}–{100 * row['high']:.1f})"
    )


def _bounds(row: dict[str, Any], name: str = "value") -> str:
    if row[name] is None:
        return "unknown"
    words = f"{row[name]:.2f}"
    return words if row["low"] is None else f"{words} ({row['low']:.2f}–{row['high']:.2f})"
