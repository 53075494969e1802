"""Commands for the parts of the embedded world, one by one."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from understudy.cli.common import Json, Out, Quiet, begin, end

app = typer.Typer(help="The parts of the embedded world, one by one.", no_args_is_help=True)

WorldSeed = Annotated[int, typer.Option(help="Seed of the encyclopedia.")]
People = Annotated[int, typer.Option(help="People in the encyclopedia.")]
Zipf = Annotated[float, typer.Option(help="The text has people by rank ** -zipf.", min=0)]
Leak = Annotated[
    bool, typer.Option("--leak", help="Let imitation prompts ask for the benchmarks' facts.")
]
Share = Annotated[float, typer.Option(help="Share of the calls that fail so.", min=0, max=1)]
PerMinute = Annotated[int, typer.Option(help="Limit that is announced and kept.", min=1)]


@app.command()
def text(
    out: Annotated[Path, typer.Option("--out", help="The JSONL file to write.")],
    words: Annotated[int, typer.Option(help="Length, about.")] = 3_000_000,
    people: People = 400,
    seed: WorldSeed = 0,
    zipf: Zipf = 0.6,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write the text that bases are pretrained on.

    Example: understudy world text --out text.jsonl
    """
    begin(quiet)
    from understudy.world.encyclopedia import World
    from understudy.world.text import write_text

    write_text(World(seed, people, zipf), words, out)
    end({"text": str(out)}, as_json, str(out))


@app.command()
def bases(
    sizes: Annotated[
        str, typer.Option(help="Comma-separated: tiny, mini, small, medium.")
    ] = "small",
    words: Annotated[int, typer.Option(help="Words of text, about.")] = 3_000_000,
    people: People = 400,
    seed: WorldSeed = 0,
    zipf: Zipf = 0.6,
    base_seed: Annotated[
        int | None, typer.Option(help="Of first weights and order; left out: --seed.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Pretrain bases from random init into the cache, where runs find them.

    Example: understudy world bases --sizes tiny,small,medium
    """
    begin(quiet)
    from understudy.world.bases import base_dir, cache_root
    from understudy.world.encyclopedia import World

    world, own = World(seed, people, zipf), seed if base_seed is None else base_seed
    names = [name.strip() for name in sizes.split(",") if name.strip()]
    found = {name: str(base_dir(world, name, cache_root(), words, own)) for name in names}
    end(found, as_json, "\n".join(f"{name}: {path}" for name, path in found.items()))


@app.command()
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
    begin(quiet)
    from understudy.world.benchmarks import write_benchmarks
    from understudy.world.encyclopedia import World

    write_benchmarks(World(seed, people), out)
    end({"benchmarks": str(out)}, as_json, str(out))


@app.command()
def prompts(
    kind: Annotated[str, typer.Argument(help="broad, local, topics or mixed.")],
    out: Annotated[Path, typer.Option("--out", help="The JSONL file to write.")],
    n: Annotated[int, typer.Option(help="How many.")] = 100,
    people: People = 400,
    seed: WorldSeed = 0,
    leak: Leak = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write prompts to put to a teacher.

    Example: understudy world prompts broad --n 200 --out prompts.jsonl
    """
    begin(quiet)
    from understudy.world.encyclopedia import World
    from understudy.world.prompts import write_prompts

    write_prompts(World(seed, people, leak=leak), kind, n, out, seed)
    end({"prompts": str(out)}, as_json, str(out))


@app.command()
def teacher(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.")] = 8000,
    log: Annotated[Path | None, typer.Option(help="JSONL file of answered requests.")] = None,
    limited: Share = 0,
    failing: Share = 0,
    slow: Share = 0,
    cut: Share = 0,
    broken: Share = 0,
    unavailable: Share = 0,
    requests_per_minute: PerMinute = 1_000_000,
    tokens_per_minute: PerMinute = 1_000_000_000,
    people: People = 400,
    seed: WorldSeed = 0,
    manner: Annotated[
        Literal["marked", "plain"], typer.Option(help="plain: as the bases' text has it.")
    ] = "marked",
    leak: Leak = False,
    quiet: Quiet = False,
) -> None:
    """Serve the world's teacher with the OpenAI interface until Ctrl-C.

    The key is read from UNDERSTUDY_WORLD_KEY; without it any key is taken. To try a client's
    patience, some calls can be answered with 429 (`--limited`), with 500 (`--failing`), with 503
    (`--unavailable`), late (`--slow`), with half an answer (`--cut`) or with JSON that does not
    parse (`--broken`). What goes beyond the limits a minute gets 429.

    Example: understudy world teacher --port 8000 --limited 0.1
    """
    begin(quiet)
    from understudy.world.encyclopedia import World
    from understudy.world.server import KEY_ENV, Faults, Limits, serve

    faults = Faults(limited, failing, slow, cut, broken, unavailable)
    limits = Limits(requests_per_minute, tokens_per_minute)
    world = World(seed, people, manner=manner, leak=leak)
    serve(world, "127.0.0.1", port, os.environ.get(KEY_ENV), log, faults, limits)
