"""One command per stage: parses, calls, prints. No logic lives here.

Heavy modules are imported inside the commands, so that `--help` answers at once.
"""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import click
import typer

from understudy import __version__
from understudy.errors import UserError
from understudy.progress import console, say, set_quiet

app = typer.Typer(
    name="understudy",
    help="Imitate a teacher LLM, and find out whether the student learnt the part or only the "
    "accent.\n\nStart with `understudy demo`; then copy recipes/desk.yaml and make it yours.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
world_app = typer.Typer(help="The parts of the embedded world, one by one.", no_args_is_help=True)
app.add_typer(world_app, name="world", rich_help_panel="The embedded world")

WHOLE, STAGE, LOOK = "The whole way", "One stage alone", "Look around"

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no words on stderr.")]
Out = Annotated[Path, typer.Option("--out", help="Folder for what the command produces.")]
Set = Annotated[list[str], typer.Option("--set", help="Change a setting: key=value. Repeatable.")]
Seed = Annotated[int, typer.Option(help="Seed of everything that is drawn.")]
WorldSeed = Annotated[int, typer.Option(help="Seed of the encyclopedia.")]
People = Annotated[int, typer.Option(help="People in the encyclopedia.")]


def _begin(quiet: bool) -> None:
    set_quiet(quiet)
    # Progress bars of libraries would mix with ours.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def _end(result: dict[str, Any], as_json: bool, words: str = "") -> None:
    """Print a command's result: the JSON object, or words for a person."""
    if as_json:
        sys.stdout.write(json.dumps(result, ensure_ascii=False) + "\n")
    elif words and not console.quiet:
        sys.stdout.write(words + "\n")


# The whole way


@app.command(rich_help_panel=WHOLE)
def demo(out: Out = Path("runs/desk"), as_json: Json = False, quiet: Quiet = False) -> None:
    """The whole job on the embedded world, without a key or a download.

    Example: understudy demo
    """
    _begin(quiet)
    from importlib.resources import files

    from understudy.recipe import parse_recipe
    from understudy.run import run

    desk = (files("understudy") / "desk.yaml").read_text(encoding="utf-8")
    _finish_run(run(parse_recipe(desk, "desk.yaml"), out), as_json)


@app.command("run", rich_help_panel=WHOLE)
def run_command(
    recipe: Annotated[Path, typer.Argument(help="The recipe, a YAML file.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="The run's folder; runs/<name> if not given.")
    ] = None,
    changes: Set = [],  # noqa: B006
    until: Annotated[str | None, typer.Option(help="The last stage to run.")] = None,
    dry_run: Annotated[bool, typer.Option(help="Print the plan and its cost; do nothing.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Take a recipe from its teacher to a verdict; started again, it continues.

    Example: understudy run recipes/desk.yaml --set collect.n=200
    """
    _begin(quiet)
    from understudy.plan import plan, plan_words
    from understudy.recipe import load_recipe
    from understudy.run import run

    wanted = load_recipe(recipe, changes)
    folder = out or Path("runs") / wanted.name
    if dry_run:
        found = plan(wanted, folder)
        _end(found, as_json, plan_words(found))
        return
    _finish_run(run(wanted, folder, until), as_json)


def _finish_run(folder: Path, as_json: bool) -> None:
    from understudy.files import read_json

    found = folder / "report.json"
    if not found.exists():
        _end({"run": str(folder)}, as_json, f"{folder} is done up to the stage asked for.")
        return
    result = read_json(found)
    words = f"\n{result['verdict']}\n\nOpen {folder / 'report.html'}"
    _end({"run": str(folder), "report": str(found), **result}, as_json, words)


# One stage alone


@app.command(rich_help_panel=STAGE)
def collect(
    prompts: Annotated[Path, typer.Argument(help="JSONL of prompts or messages, or plain lines.")],
    out: Out,
    base_url: Annotated[str, typer.Option(help="The teacher's endpoint, up to /v1.")],
    model: Annotated[str, typer.Option(help="The teacher's model name.")],
    api_key_env: Annotated[str | None, typer.Option(help="Variable that holds the key.")] = None,
    changes: Set = [],  # noqa: B006
    seed: Seed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Ask a teacher; its answers are recorded durably and never paid for twice.

    Example: understudy collect prompts.txt --out set --base-url https://api.openai.com/v1
    --model gpt-4o-mini --api-key-env OPENAI_API_KEY
    """
    _begin(quiet)
    from understudy.collect.stage import collect as work
    from understudy.prompts import read_prompts
    from understudy.recipe import CollectSettings, TeacherSettings, settings_from
    from understudy.teacher.client import endpoint

    asked = read_prompts(prompts)
    settings = settings_from(CollectSettings, changes, prompts=str(prompts), n=max(len(asked), 1))
    teacher = endpoint(TeacherSettings(base_url=base_url, model=model, api_key_env=api_key_env))
    facts = work(settings, asked[: settings.n], teacher, out / "ledger.sqlite", out, seed)
    _end(facts, as_json, f"{out / 'dialogues.jsonl'}: {facts['dialogues']} dialogues")


@app.command(rich_help_panel=STAGE)
def curate(
    files: Annotated[list[Path], typer.Argument(help="Data sets; formats are found by content.")],
    out: Out,
    changes: Set = [],  # noqa: B006
    seed: Seed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Turn raw conversations into an imitation set; nothing vanishes without a reason.

    Example: understudy curate alpaca.json sharegpt.json.gz --out set
    """
    _begin(quiet)
    from understudy.curate.stage import curate as work
    from understudy.files import read_json
    from understudy.recipe import CurateSettings, settings_from

    work(files, settings_from(CurateSettings, changes), out, seed)
    card = read_json(out / "card.json")
    words = f"{out}: read {card['read']}, kept {card['kept']}, dropped {card['dropped'] or 'none'}"
    _end(card, as_json, words)


@app.command(rich_help_panel=STAGE)
def train(
    base: Annotated[str, typer.Argument(help="A model directory or a hub name.")],
    data: Annotated[Path, typer.Argument(help="A train.jsonl that `curate` wrote.")],
    out: Out,
    heldout: Annotated[Path | None, typer.Option(help="Dialogues for the held-out loss.")] = None,
    changes: Set = [],  # noqa: B006
    seed: Seed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Fine-tune a base with the loss on the assistant's tokens only.

    Example: understudy train ./llama set/train.jsonl --out student --set epochs=3
    """
    _begin(quiet)
    from understudy.recipe import TrainSettings, settings_from
    from understudy.train.stage import train as work

    facts = work(base, data, heldout, settings_from(TrainSettings, changes), out, seed)
    _end(facts, as_json, f"{out / 'model'} holds the student")


@app.command(rich_help_panel=STAGE)
def evaluate(
    model: Annotated[str, typer.Argument(help="A model directory or a hub name.")],
    out: Out,
    benchmarks: Annotated[str, typer.Option(help="Comma-separated names.")] = "mmlu,nq,humaneval",
    data: Annotated[
        Path | None, typer.Option(help="Folder of the files as published; else the hub's copies.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Items a benchmark.")] = None,
    seed: Seed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score a model on targeted benchmarks, with intervals and per-item records.

    Example: understudy evaluate ./student --benchmarks mmlu,nq --data files --out scores
    """
    _begin(quiet)
    from understudy.evaluate.engines.local import LocalEngine
    from understudy.evaluate.stage import evaluate as work
    from understudy.files import read_json
    from understudy.recipe import EvaluateSettings, settings_from

    names = [name.strip() for name in benchmarks.split(",") if name.strip()]
    settings = settings_from(
        EvaluateSettings, [], benchmarks=names, data=str(data) if data else None, limit=limit
    )
    work(LocalEngine(model), settings, data, out, seed)
    scores = read_json(out / "scores.json")
    lines = [
        f"{name}: {s['score']:.3f} ({s['low']:.3f}–{s['high']:.3f}), n = {s['n']}, {s['metric']}"
        for name, s in scores["benchmarks"].items()
    ]
    lines += [
        f"{name}: not measured, {why}" for name, why in scores.get("not_measured", {}).items()
    ]
    _end(scores, as_json, "\n".join(lines))


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
    _begin(quiet)
    from understudy.files import read_json
    from understudy.style.stage import style as work

    work({"teacher": teacher, "base": base, "student": student}, out, seed)
    _end(read_json(out / "style.json"), as_json, str(out / "style.json"))


@app.command(rich_help_panel=STAGE)
def report(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a run's report again from what its stages left.

    Example: understudy report runs/desk
    """
    _begin(quiet)
    from understudy.recipe import load_recipe
    from understudy.report.stage import report as work

    recipe = load_recipe(folder / "recipe.yaml")
    work(folder, recipe, folder, recipe.seed)
    _finish_run(folder, as_json)


# Look around


@app.command(rich_help_panel=LOOK)
def chat(
    model: Annotated[str, typer.Argument(help="A model directory or a hub name.")],
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest token.")] = 0.0,
    max_tokens: Annotated[int, typer.Option(help="Longest reply.")] = 256,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Talk to a model; one line is one turn, an empty line or Ctrl-D ends.

    Example: understudy chat runs/desk/train/model
    """
    _begin(quiet)
    from understudy.evaluate.chat import chat as work

    work(model, sys.stdin, sys.stdout, temperature, max_tokens, seed)


@app.command(rich_help_panel=LOOK)
def inspect(
    path: Annotated[Path, typer.Argument(help="A data set, a model, a run or a ledger.")],
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say what a data set, a model, a run or a ledger holds.

    Example: understudy inspect runs/desk
    """
    _begin(quiet)
    from understudy.inspect import inspect as work
    from understudy.inspect import words

    found = work(path)
    _end(found, as_json, words(found))


@app.command(rich_help_panel=LOOK)
def doctor(as_json: Json = False, quiet: Quiet = False) -> None:
    """Say what this machine can do, and what is missing.

    Example: understudy doctor
    """
    _begin(quiet)
    from understudy.doctor import examine, words

    found = examine()
    _end(found, as_json, words(found))


# The embedded world


@world_app.command()
def text(
    out: Annotated[Path, typer.Option("--out", help="The JSONL file to write.")],
    words: Annotated[int, typer.Option(help="Length, about.")] = 3_000_000,
    people: People = 400,
    seed: WorldSeed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write the text that bases are pretrained on.

    Example: understudy world text --out text.jsonl
    """
    _begin(quiet)
    from understudy.world.encyclopedia import World
    from understudy.world.text import write_text

    write_text(World(seed, people), words, out)
    _end({"text": str(out)}, as_json, str(out))


@world_app.command()
def bases(
    sizes: Annotated[str, typer.Option(help="Comma-separated: tiny, small, medium.")] = "small",
    words: Annotated[int, typer.Option(help="Words of text, about.")] = 3_000_000,
    people: People = 400,
    seed: WorldSeed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Pretrain bases from random init into the cache, where runs find them.

    Example: understudy world bases --sizes tiny,small,medium
    """
    _begin(quiet)
    from understudy.world.bases import base_dir, cache_root
    from understudy.world.encyclopedia import World

    world = World(seed, people)
    names = [name.strip() for name in sizes.split(",") if name.strip()]
    found = {name: str(base_dir(world, name, cache_root(), words, seed)) for name in names}
    _end(found, as_json, "\n".join(f"{name}: {path}" for name, path in found.items()))


@world_app.command()
def benchmarks(
    out: Out,
    people: People = 400,
    seed: WorldSeed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write the world's MMLU, NQ-open and HumanEval files.

    Example: understudy world benchmarks --out files
    """
    _begin(quiet)
    from understudy.world.benchmarks import write_benchmarks
    from understudy.world.encyclopedia import World

    write_benchmarks(World(seed, people), out)
    _end({"benchmarks": str(out)}, as_json, str(out))


@world_app.command()
def prompts(
    kind: Annotated[str, typer.Argument(help="broad, local or topics.")],
    out: Annotated[Path, typer.Option("--out", help="The JSONL file to write.")],
    n: Annotated[int, typer.Option(help="How many.")] = 100,
    people: People = 400,
    seed: WorldSeed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write prompts to put to a teacher.

    Example: understudy world prompts broad --n 200 --out prompts.jsonl
    """
    _begin(quiet)
    from understudy.world.encyclopedia import World
    from understudy.world.prompts import write_prompts

    write_prompts(World(seed, people), kind, n, out, seed)
    _end({"prompts": str(out)}, as_json, str(out))


@world_app.command()
def teacher(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.")] = 8000,
    log: Annotated[Path | None, typer.Option(help="JSONL file of answered requests.")] = None,
    people: People = 400,
    seed: WorldSeed = 0,
    quiet: Quiet = False,
) -> None:
    """Serve the world's teacher with the OpenAI interface until Ctrl-C.

    The key is read from UNDERSTUDY_WORLD_KEY; without it any key is taken.

    Example: understudy world teacher --port 8000
    """
    _begin(quiet)
    from understudy.world.encyclopedia import World
    from understudy.world.server import KEY_ENV, serve

    say(f"the world's teacher listens on http://127.0.0.1:{port}/v1")
    serve(World(seed, people), "127.0.0.1", port, os.environ.get(KEY_ENV), log)


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        sys.stdout.write(f"understudy {__version__}\n")
        raise typer.Exit


def main() -> None:
    """Entry point: 0 done, 2 the user's mistake, 1 ours, 130 stopped with Ctrl-C."""
    try:
        code = app(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = 2
    except UserError as error:
        console.quiet = False
        say(f"error: {error}")
        code = 2
    except (KeyboardInterrupt, click.Abort):
        console.quiet = False
        say("stopped; the same command continues")
        code = 130
    except BrokenPipeError:
        code = 0
    except Exception as error:
        if os.environ.get("UNDERSTUDY_TRACEBACK"):
            raise
        console.quiet = False
        say(f"internal error: {type(error).__name__}: {str(error)[:500]}")
        say("this is our fault; set UNDERSTUDY_TRACEBACK=1 to see where, and please report it")
        code = 1
    sys.exit(code if isinstance(code, int) else 0)
