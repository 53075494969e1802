"""Commands that run one stage alone."""

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from understudy.cli.common import (
    ApiKeyEnv,
    Json,
    Ledger,
    MaxUsd,
    Out,
    Quiet,
    Seed,
    Set,
    Yes,
    agreed,
    begin,
    end,
    end_run,
)
from understudy.errors import UserError

if TYPE_CHECKING:
    from understudy.recipe import TrainSettings

app = typer.Typer()
STAGE = "One stage alone"


@app.command(rich_help_panel=STAGE)
def collect(
    prompts: Annotated[
        str | None,
        typer.Argument(help="Text, JSONL, CSV or Parquet of prompts, or hub:NAME."),
    ] = None,
    *,
    out: Out,
    base_url: Annotated[str, typer.Option(help="The teacher's endpoint, up to /v1.")],
    model: Annotated[str, typer.Option(help="The teacher's model name.")],
    api_key_env: ApiKeyEnv = None,
    ledger: Ledger = None,
    max_usd: MaxUsd = None,
    max_calls: Annotated[int | None, typer.Option(help="Make no more calls than this.")] = None,
    max_tokens: Annotated[
        int | None, typer.Option(help="Pay for no more tokens than this, asked and answered.")
    ] = None,
    concurrency: Annotated[int | None, typer.Option(help="Calls at once, at most.")] = None,
    held: Annotated[
        Path | None, typer.Option(help="Folder of benchmark files that local pairs must not give.")
    ] = None,
    benchmarks: Annotated[str, typer.Option(help="Which of them.")] = "nq,mmlu",
    teacher_changes: Annotated[
        list[str], typer.Option("--teacher", help="Change a teacher setting: key=value.")
    ] = [],  # noqa: B006
    changes: Set = [],  # noqa: B006
    seed: Seed = 0,
    yes: Yes = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Ask a teacher; its answers are recorded durably and never paid for twice.

    Instead of prompts, `--set self_instruct={} --set n=1000` has the teacher invent instructions,
    and `--set local.examples=pairs.jsonl` has it write pairs like those. Prices that are not in
    the table of known ones: `--teacher prices.input=0.5 --teacher prices.output=1.5`.

    Example: understudy collect prompts.txt --out set --base-url https://api.openai.com/v1
    --model gpt-4o-mini --api-key-env OPENAI_API_KEY --max-usd 5
    """
    begin(quiet)
    from understudy.gather import gather
    from understudy.recipe import BudgetSettings, CollectSettings, TeacherSettings
    from understudy.recipe_file import settings_from

    given = {"prompts": prompts} if prompts else {}
    teacher: dict[str, Any] = {"base_url": base_url, "model": model, "api_key_env": api_key_env}
    teacher |= {"concurrency": concurrency} if concurrency else {}
    budget = {"max_usd": max_usd, "max_calls": max_calls, "max_tokens": max_tokens}
    facts = gather(
        settings_from(CollectSettings, changes, **given),
        settings_from(TeacherSettings, teacher_changes, **teacher),
        settings_from(BudgetSettings, [], **budget),
        ([name.strip() for name in benchmarks.split(",")], held) if held else None,
        ledger,
        out,
        seed,
        lambda words: agreed(words, yes),
    )
    end(facts, as_json, f"{out / 'dialogues.jsonl'}: {facts['dialogues']} dialogues")


@app.command(rich_help_panel=STAGE)
def curate(
    files: Annotated[
        list[str], typer.Argument(help="Data sets or hub:NAME; formats are found by content.")
    ],
    out: Out,
    data: Annotated[
        Path | None, typer.Option(help="Folder of benchmark files that the set must not hold.")
    ] = None,
    changes: Set = [],  # noqa: B006
    seed: Seed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Turn raw conversations into an imitation set; nothing vanishes without a reason.

    Example: understudy curate alpaca.json sharegpt.json.gz --out set --set duplicates.near=0.8
    """
    begin(quiet)
    from understudy.files import read_json
    from understudy.gather import curate_alone
    from understudy.recipe import CurateSettings
    from understudy.recipe_file import settings_from

    curate_alone(files, settings_from(CurateSettings, changes), data, out, seed)
    card = read_json(out / "card.json")
    words = f"{out}: read {card['read']}, kept {card['kept']}, dropped {card['dropped'] or 'none'}"
    end(card, as_json, words)


@app.command(rich_help_panel=STAGE)
def train(
    base: Annotated[str, typer.Argument(help="A model directory or a hub name.")],
    data: Annotated[Path, typer.Argument(help="A train.jsonl that `curate` wrote.")],
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the student.")] = None,
    heldout: Annotated[Path | None, typer.Option(help="Dialogues for the held-out loss.")] = None,
    ledger: Annotated[
        str | None, typer.Option(help="Where `collect` kept log-probabilities to learn from.")
    ] = None,
    show: Annotated[
        int | None, typer.Option(help="Only print so many dialogues, supervised tokens marked.")
    ] = None,
    changes: Set = [],  # noqa: B006
    seed: Seed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Fine-tune a base with the loss on the assistant's tokens only.

    With several GPUs: torchrun --nproc-per-node 8 -m understudy train ... Stopped or killed, the
    same command goes on from the last checkpoint.

    Example: understudy train ./llama set/train.jsonl --out student --set epochs=3
    """
    begin(quiet)
    from understudy.recipe import TrainSettings
    from understudy.recipe_file import settings_from

    settings = settings_from(TrainSettings, changes)
    if show is not None:
        shown = _shown(base, data, settings, show, as_json)
        end({"dialogues": shown}, as_json)
        return
    if out is None:
        raise UserError("--out: name a folder for the student")
    from understudy.train.stage import train as work

    facts = work(base, data, heldout, settings, out, seed, ledger)
    end(facts, as_json, f"{out / 'model'} holds the student")


def _shown(
    base: str, data: Path, settings: "TrainSettings", count: int, as_json: bool
) -> list[dict[str, Any]]:
    """Dialogues as training sees them, printed for a person or given for --json."""
    from rich.console import Console

    from understudy.dialogue import read_dialogues
    from understudy.train import show
    from understudy.train.stage import template_for

    template = template_for(base, settings)
    some = list(islice(read_dialogues(data), count))
    if as_json:
        return show.as_json(some, template, settings.context)
    show.show(some, template, settings.context, Console())
    return []


@app.command(rich_help_panel=STAGE)
def style(
    teacher: Annotated[Path, typer.Argument(help="answers.jsonl of the teacher, two an item.")],
    base: Annotated[Path, typer.Argument(help="answers.jsonl of the base.")],
    student: Annotated[Path, typer.Argument(help="answers.jsonl of the student.")],
    out: Out,
    seed: Seed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Compare habits of wording and layout, independent of being right.

    Example: understudy style teacher.jsonl base.jsonl student.jsonl --out style
    """
    begin(quiet)
    from understudy.files import read_json
    from understudy.style.stage import style as work

    work({"teacher": teacher, "base": base, "student": student}, out, seed)
    end(read_json(out / "style.json"), as_json, str(out / "style.json"))


@app.command(rich_help_panel=STAGE)
def report(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a run's report again from what its stages left.

    Example: understudy report runs/desk
    """
    begin(quiet)
    from understudy.recipe_file import load_recipe
    from understudy.report.stage import report as work

    recipe = load_recipe(folder / "recipe.yaml")
    work(folder, recipe, folder, recipe.seed)
    end_run(folder, as_json)
