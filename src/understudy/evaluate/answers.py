"""The answers stage: every model's free answers to the same prompts, for style to compare."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from understudy.dialogue import Dialogue
from understudy.evaluate.engines import Engine, Reply, Sampling
from understudy.files import write_jsonl
from understudy.prompts import Prompt
from understudy.recipe import AnswersSettings
from understudy.teacher.client import Cost

FILE = "answers.jsonl"


def answer(
    engine: Engine,
    prompts: list[Prompt],
    settings: AnswersSettings,
    out: Path,
    samples: int,
    seed: int,
) -> dict[str, Any]:
    """Put prompts to a model; writes `out/answers.jsonl`.

    Rows: {"id", "messages": [{"role", "content"}], "answers": [{"text", "finish_reason"}]}, and the
    prompt's "reference" where it has one.

    Args:
        engine: the model.
        prompts: what it is asked.
        settings: temperature and longest answer.
        out: folder.
        samples: answers a prompt.
        seed: of what is drawn.

    Returns:
        Facts for the manifest: counts, and the cost where the engine has one.

    Raises:
        UserError: the teacher failed, or the model's chat template refuses a prompt.
    """
    if engine.spent is not None:
        engine.spent = Cost()
    how = Sampling(samples, settings.temperature, max_tokens=settings.max_tokens, seed=seed)
    replies = engine.reply(prompts, how)
    rows = zip(prompts, replies, strict=True)
    write_jsonl(out / FILE, (_row(prompt, given) for prompt, given in rows))
    facts = {"prompts": len(prompts), "answers": sum(map(len, replies))}
    return facts if engine.spent is None else facts | {"cost": engine.spent.as_dict()}


def recorded(dialogues: list[Dialogue], out: Path) -> dict[str, Any]:
    """Take a teacher's last answers from dialogues; writes `out/answers.jsonl`, one answer a row.

    Prompts are the dialogues up to there, so that other models can be asked the same.
    """
    rows = []
    for dialogue in dialogues:
        turns = dialogue.turns
        last = max(place for place, turn in enumerate(turns) if turn.role == "assistant")
        given = Reply(turns[last].content, "length" if dialogue.cut else "stop")
        rows.append(_row(Prompt(id=dialogue.id, messages=turns[:last]), [given]))
    write_jsonl(out / FILE, rows)
    return {"prompts": len(rows), "answers": len(rows)}


def _row(prompt: Prompt, answers: Sequence[Reply]) -> dict[str, Any]:
    given = [{"text": reply.text, "finish_reason": reply.finish_reason} for reply in answers]
    row = {"id": prompt.id, "messages": prompt.chat(), "answers": given}
    return row if prompt.reference is None else row | {"reference": prompt.reference}
