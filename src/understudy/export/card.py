"""The card of a student, in the form of the Hub's model cards, made of what its run left.

The template is `card.md.jinja`; what it shows is escaped, see `pages.markdown`. Nothing is said but
what was measured or written down, and what is missing is said to be so.
"""

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCardData
from jinja2 import Template
from markupsafe import Markup
from transformers import PreTrainedTokenizerBase

from understudy.export.licence import Binding
from understudy.export.student import Student
from understudy.pages.markdown import markdown_environment
from understudy.pages.words import listed, number, percent
from understudy.prompts import HUB

HERE = Path(__file__).parent
WHO = ("base", "student", "teacher")
LONGEST_PROMPT = 4000  # characters of the prompt that is shown
HALF = 0.5
UNNAMED = {"packing", "evaluations", "spike", "trackers", "checkpoints", "compile"}
_REPOSITORY = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}")
_LANGUAGE = re.compile(r"[a-z]{2,3}")


def card_markdown(
    student: Student,
    tokenizer: PreTrainedTokenizerBase,
    binding: Binding,
    made: dict[str, Any] | None = None,
) -> str:
    """README.md of a student: YAML front matter that the Hub reads, then words for people.

    Args:
        student: whose.
        tokenizer: the student's.
        binding: what binds it.
        made: the content of export.json, where the files beside the card are GGUF files.
    """
    recipe, report = student.recipe, student.report
    front = front_matter(student, binding, made)
    return _template().render(
        name=student.name,
        front=Markup(yaml.safe_dump(front, sort_keys=False, allow_unicode=True)),
        base=recipe.base if recipe else None,
        teachers=list(student.card.get("teachers") or {}),
        card=student.card,
        binding=binding,
        commercial=binding.commercial,
        report=report,
        rows=evaluation_rows(report),
        judged=judged(report),
        weaknesses=weaknesses(report),
        training=student.training.get("facts") or {},
        settings=training_settings(student),
        manifest=student.training,
        recipe=recipe,
        prompt=_prompt(tokenizer),
        end=tokenizer.eos_token,
        made=made,
    )


@cache
def _template() -> Template:
    environment = markdown_environment(HERE)
    environment.filters |= {"figure": figure, "share": share, "points": points, "bytes": size}
    return environment.get_template("card.md.jinja")


# Front matter


def front_matter(student: Student, binding: Binding, made: dict[str, Any] | None) -> dict[str, Any]:
    """The card's metadata, by the Hub's names (huggingface/hub-docs, modelcard.md)."""
    base = student.recipe.base if student.recipe else ""
    on_hub = _REPOSITORY.fullmatch(base) and not Path(base).exists()
    sources = [str(one.get("file")) for one in student.card.get("sources") or []]
    sets = [s.removeprefix(HUB).partition(":")[0] for s in sources if s.startswith(HUB)]
    languages = [code for code in student.card.get("languages") or () if _LANGUAGE.fullmatch(code)]
    licence: dict[str, Any] = binding.front_matter()
    results = _results(student.report)
    data = ModelCardData(
        language=languages or None,
        base_model=base if on_hub else None,
        datasets=[name for name in sets if _REPOSITORY.fullmatch(name)] or None,
        library_name="gguf" if made else "transformers",
        pipeline_tag="text-generation",
        tags=["imitation", "conversational", "understudy"] if student.recipe else None,
        model_name=student.name if results else None,
        eval_results=results or None,
        **licence,
    )
    found: dict[str, Any] = data.to_dict()
    return found


def _results(report: dict[str, Any]) -> list[EvalResult]:
    """The student's scores in the Hub's model index, shares in 0..1."""
    scores = report.get("models", {}).get("student", {}).get("benchmarks", {})
    return [
        EvalResult(
            task_type="text-generation",
            dataset_type=name,
            dataset_name=name,
            metric_type=one["metric"],
            metric_value=round(one["score"], 4),
            metric_name=f"{one['metric']}, n = {one['n']}, 95 % interval "
            f"{one['low']:.4f} to {one['high']:.4f}",
        )
        for name, one in scores.items()
    ]


# What the run measured


def evaluation_rows(report: dict[str, Any]) -> list[dict[str, Any]]:
    """A row a benchmark: its scores by model, the student's change from its base, the gap."""
    models = report.get("models", {})
    scores = {who: models.get(who, {}).get("benchmarks", {}) for who in WHO}
    names = dict.fromkeys(name for who in WHO for name in scores[who])
    changes = report.get("change", {}) | perplexity_changes(report)
    return [
        {
            "name": name,
            "scores": [scores[who].get(name) for who in WHO],
            "metric": next(scores[who][name]["metric"] for who in WHO if name in scores[who]),
            "change": changes.get(name),
            "gap": report.get("gap_closed", {}).get(name),
        }
        for name in names
    ]


def perplexity_changes(report: dict[str, Any]) -> dict[str, Any]:
    """The student's change from its base in the perplexity of right answers, by benchmark."""
    found = (report.get("perplexity") or {}).items()
    return {name: one["change"] | {"unit": 1} for name, one in found if one["change"]}


def judged(report: dict[str, Any]) -> list[dict[str, Any]]:
    """What judges and people say of the student against teacher and base."""
    said = (report.get("preference") or {}).get("comparisons", [])
    return [one for one in said if one["model"] == "student" and one["win_rate"]]


def weaknesses(report: dict[str, Any]) -> list[str]:
    """What the measured figures say against a student, in sentences with those figures."""
    changes = report.get("change", {})
    fell = {name: one for name, one in changes.items() if one["high"] < 0}
    flat = {name: one for name, one in changes.items() if one["low"] <= 0 <= one["high"]}
    short = [
        name
        for name, gap in report.get("gap_closed", {}).items()
        if gap["high"] is not None and gap["high"] < HALF
    ]
    found = [
        f"It is worse than its base on {name}: {points(one)} points." for name, one in fell.items()
    ]
    if flat:
        told = "; ".join(f"{name}: {points(one)} points" for name, one in flat.items())
        found.append(f"That it does better than its base is not shown on {told}.")
    if short:
        found.append(f"It closed less than half of the gap to its teacher on {listed(short)}.")
    found += [
        f"Right answers surprise it more than its base, on {name}: perplexity {points(one)}."
        for name, one in perplexity_changes(report).items()
        if one["low"] > 0
    ]
    return [*found, *_tone(report), *_looks(report)]


def _tone(report: dict[str, Any]) -> list[str]:
    """How sure it sounds, beside how often it is right."""
    tone = report.get("style", {}).get("measures", {}).get("authoritative", {})
    scores = report.get("models", {}).get("student", {}).get("benchmarks", {})
    right = {
        name: one
        for name, one in scores.items()
        if one["score"] < HALF and not one.get("lower_is_better")
    }
    if not ("student" in tone and tone["student"]["low"] > HALF and right):
        return []
    told = listed([f"{percent(one['score'])} % on {name}" for name, one in right.items()])
    return [
        f"It sounds sure in {share(tone['student'])} of its answers (base: {share(tone['base'])}), "
        f"and scores {told}."
    ]


def _looks(report: dict[str, Any]) -> list[str]:
    """Where judges who check facts like it less than those who do not."""
    against_teacher = [one for one in judged(report) if one["against"] == "teacher"]
    by = {(one["by"], one["protocol"]): one["win_rate"] for one in against_teacher}
    found = []
    for who, named in (("judge", "A judge"), ("people", "People")):
        hurried, checking = by.get((who, "hurried")), by.get((who, "checking"))
        if hurried and checking and checking["high"] < hurried["low"]:
            found.append(
                f"Its answers look better than they are. {named} in a hurry preferred it to its "
                f"teacher in {share(hurried)} of pairs; checking facts, in {share(checking)}."
            )
    return found


def training_settings(student: Student) -> list[tuple[str, str]]:
    """The recipe's settings of the training that weights depend on."""
    if student.recipe is None:
        return []
    settings = student.recipe.train.model_dump(exclude=UNNAMED, exclude_none=True)
    return [(name.replace("_", " "), str(value)) for name, value in settings.items()]


def _prompt(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """A question as the chat template shows it to the model."""
    if not tokenizer.chat_template:
        return None
    asked = [{"role": "user", "content": "Your question"}]
    text: Any = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    return str(text)[:LONGEST_PROMPT]


# How figures are written


def figure(score: dict[str, Any] | None) -> str:
    """A benchmark's score: "29.5 (25.2–34.1), n = 400"."""
    if score is None:
        return "not measured"
    unit = 1 if "highest" in score else 100  # a perplexity is no share
    low, high = (number(unit * score[end], 1) for end in ("low", "high"))
    return f"{number(unit * score['score'], 1)} ({low}–{high}), n = {score['n']:,}"


def share(found: dict[str, Any] | None) -> str:
    """A share with its interval: "98 % (94–100)"."""
    if not found or found["value"] is None:
        return found.get("reason", "not measured") if found else "not measured"
    if found["low"] is None:
        return f"{percent(found['value'])} % (no bounds)"
    between = " to " if found["low"] < 0 else "–"
    ends = between.join(percent(found[end]) for end in ("low", "high"))
    return f"{percent(found['value'])} % ({ends})"


def points(found: dict[str, Any] | None) -> str:
    """A difference in points, or in its own unit, with its interval: "−10.7 (−15.2 to −6.9)"."""
    if not found:
        return "not measured"
    unit = found.get("unit", 100)
    value = found["value"] if "value" in found else found["difference"]
    ends = " to ".join(number(unit * found[end], 1, sign=True) for end in ("low", "high"))
    return f"{number(unit * value, 1, sign=True)} ({ends})"


def size(count: int) -> str:
    """Bytes in millions: "4.1 MB"."""
    return f"{number(count / 1e6, 1)} MB"
