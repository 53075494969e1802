"""What a run did not measure, in sentences: the reader must not have to guess it."""

from typing import Any

from understudy.recipe import Recipe
from understudy.report.words import benchmark

MODELS = {"base": "the base", "student": "the student", "teacher": "the teacher"}


def not_measured(
    recipe: Recipe,
    scores: dict[str, Any],
    notes: list[str],
    preference: dict[str, Any] | None = None,
) -> list[str]:
    """The sentences, the weightiest first.

    Args:
        recipe: of the run.
        scores: the content of scores.json by model.
        notes: what the style stage says of its numbers.
        preference: see `preference.preference`.
    """
    return [
        *_benchmarks(recipe, scores),
        *_preference(preference),
        "Chance in training: this is one student from one seed. The intervals cover the items and "
        "prompts that were drawn, not what another seed or another sample of data would give.",
        *_asking(scores),
        *(f"Style: {note}." for note in notes),
        _leakage(scores),
        "Safety, bias, longer conversations, and any skill that no benchmark above asks for.",
    ]


def _benchmarks(recipe: Recipe, scores: dict[str, Any]) -> list[str]:
    found = []
    for who, content in scores.items():
        for name, why in content["not_measured"].items():
            found.append(f"{benchmark(name)} of {MODELS[who]}: {why}.")
    if "teacher" not in scores:
        found.append(
            "The teacher’s scores, and so how much of the gap was closed on any benchmark: the "
            "recipe has no teacher that can be asked. Recorded answers stand for its style."
        )
    if recipe.evaluate.limit:
        found.append(
            f"Items beyond the first {recipe.evaluate.limit} of each benchmark (evaluate.limit)."
        )
    return found


def _preference(preference: dict[str, Any] | None) -> list[str]:
    by = {one["by"] for one in preference["comparisons"]} if preference else set()
    if not by:
        return ["Preference: neither people nor a judging LLM compared the answers."]
    if "people" not in by:
        return ["People’s preference: a judging LLM compared the answers, and nobody else did."]
    return []


def _leakage(scores: dict[str, Any]) -> str:
    """How far the benchmarks' items were looked for in what the models learnt from."""
    notes = {
        name: score["contamination"]
        for name, score in scores["student"]["benchmarks"].items()
        if "contamination" in score
    }
    if not notes:
        return (
            "Leakage: neither the imitation set nor what the base was pretrained on was searched "
            "for the benchmarks’ items."
        )
    touched = [
        f"{benchmark(name)} {note['touched']} ({100 * note['share']:.1f} %)"
        for name, note in notes.items()
    ]
    return (
        "Leakage: what the base was pretrained on was not searched for the benchmarks’ items. Of "
        f"those that were asked, the imitation set touches: {', '.join(touched)}."
    )


def _asking(scores: dict[str, Any]) -> list[str]:
    if {content.get("prompting") for content in scores.values()} != {"text", "chat"}:
        return []
    return [
        "The form of asking: base and student continue raw few-shot text, the teacher is asked "
        "by chat. Some of a gap may be that."
    ]
