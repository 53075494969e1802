"""What binds an imitation set: the licences of its records and the terms of its teachers.

Licences are told by their Hub names (Creative Commons and non-commercial ones by shape), teachers
by their models' names. What is said of a document is our short reading of it on the day `READ`; it
is no legal advice, and whoever trains on a set reads the document. What is not known is never a
permission.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

READ = "2026-11-24"
LONGEST = 80  # characters of a name that are shown
NAMES = 12  # names of one document that are shown
REASONS = 4  # in the commercial line

Commercial = Literal["barred", "free", "not known"]


@dataclass(frozen=True)
class Terms:
    """A document that binds: whose it is, what it asks, whether commercial use is barred.

    `commercial` is of a student trained on the data, "free" where nothing that is known bars it.
    `version` is the date or number of the document's version that was read.
    """

    of: str
    asks: str
    commercial: Commercial
    document: str | None = None
    version: str | None = None


NO_LICENCE = Terms(
    "no known licence", "not known; without a licence no use is granted", "not known"
)
NO_TEACHER = Terms("no known teacher", "not known; ask whoever collected the answers", "not known")

# The first that matches a teacher's name, in lower case with "-" for "_", is taken: students of a
# teacher and open models stand before the makers whose names theirs contain.
_TEACHERS: tuple[tuple[re.Pattern[str], Terms], ...] = tuple(
    (re.compile(names), terms)
    for names, terms in [
        (
            r"^world-teacher$",
            Terms("understudy's own world", "nothing", "free"),
        ),
        (r"^human$", Terms("people", "nothing beyond the licence of what they wrote", "free")),
        (
            r"\b(alpaca|vicuna|koala|gpt4all|guanaco|wizardlm)\b",
            Terms(
                "students of ChatGPT on LLaMA",
                "weights for research only where the base is the first LLaMA; made of OpenAI's "
                "output, whose terms go with it",
                "barred",
                "https://ai.meta.com/blog/large-language-model-llama-meta-ai/",
                "24 February 2023",
            ),
        ),
        (
            r"\bgpt-oss\b|\bgpt-?2\b|\bgpt-(j|neo|neox)\b|\bpythia\b",
            Terms("open GPT-like weights", "their notices to be kept (Apache-2.0 or MIT)", "free"),
        ),
        (
            r"\bllama-?(3\.[1-9]|3-[1-4]-|4(?!\d|b\b))|\bdistill-llama\b",
            Terms(
                "Meta (Llama 3.1 and later)",
                "a model trained on its output, if passed on, has a name that begins with Llama; "
                "“Built with Llama” where Llama itself goes along; above 700 million monthly "
                "users a licence of its own; the acceptable use policy",
                "free",
                "https://www.llama.com/llama3_1/license/",
                "23 July 2024",
            ),
        ),
        (
            r"\bllama-?[23](?![.\d])|\bcode-?llama\b",
            Terms(
                "Meta (Llama 2 and 3)",
                "its output may not be used to improve any language model but Llama",
                "barred",
                "https://www.llama.com/llama3/license/",
                "18 April 2024",
            ),
        ),
        (
            r"\bllama\b",
            Terms(
                "Meta (the first LLaMA)",
                "research only, no commercial use",
                "barred",
                "https://ai.meta.com/blog/large-language-model-llama-meta-ai/",
                "24 February 2023",
            ),
        ),
        (
            r"\bdeepseek\b",
            Terms(
                "DeepSeek",
                "distillation and commercial use are allowed (R1 and later: MIT; before: a licence "
                "whose bans of certain uses go on to the student)",
                "free",
                "https://github.com/deepseek-ai/DeepSeek-R1#7-license",
                "20 January 2025",
            ),
        ),
        (
            r"\bqwen-?2[.-]?5-(3|72)b\b|\bqwen-?(1[.-]8|7|14|72)b\b|\bqwen-?(max|plus|turbo)",
            Terms(
                "Alibaba (Qwen under its own licences)",
                "differs by model: “Built with Qwen” or “Improved using Qwen” on a model trained "
                "on its output; a licence of its own above 100 million monthly users; some models "
                "for research only, and the first not for improving other models",
                "not known",
                "https://huggingface.co/Qwen/Qwen2.5-72B-Instruct/blob/main/LICENSE",
                "19 September 2024",
            ),
        ),
        (
            r"\bqw(en|q)",
            Terms(
                "Alibaba (Qwen under Apache-2.0)",
                "its notices to be kept; a few sizes have licences of their own",
                "free",
                "https://huggingface.co/Qwen",
            ),
        ),
        (
            r"\b(mixtral|(open-)?mistral-(7b|nemo|small))",
            Terms(
                "Mistral AI (Apache-2.0 weights)",
                "their notices to be kept; on Mistral's service its terms as well",
                "free",
                "https://mistral.ai/terms",
                "6 February 2025",
            ),
        ),
        (
            r"\b(mistral|codestral|ministral|magistral|pixtral)",
            Terms(
                "Mistral AI",
                "no reverse engineering of its models through their output; weights under its "
                "research licence bar commercial use",
                "not known",
                "https://mistral.ai/terms",
                "6 February 2025",
            ),
        ),
        (
            r"\bgemma",
            Terms(
                "Google (Gemma)",
                "a model trained on its output counts as derived from it: the terms and their "
                "banned uses go on to it",
                "free",
                "https://ai.google.dev/gemma/terms",
                "21 February 2024",
            ),
        ),
        (
            r"\b(gemini|bard|palm|text-bison|chat-bison)",
            Terms(
                "Google",
                "the service may not be used to develop models that compete with it",
                "barred",
                "https://ai.google.dev/gemini-api/terms",
                "20 May 2025",
            ),
        ),
        (
            r"\b(claude|anthropic)",
            Terms(
                "Anthropic",
                "the service may not be used to train competing models",
                "barred",
                "https://www.anthropic.com/legal/commercial-terms",
                "17 June 2025",
            ),
        ),
        (
            r"\b(bing|copilot|sydney)\b",
            Terms(
                "Microsoft",
                "data from its AI services may not be used to create, train or improve another "
                "AI service",
                "barred",
                "https://www.microsoft.com/servicesagreement",
                "30 September 2023",
            ),
        ),
        (
            r"\b(chat-?gpt|web-?gpt|gpt-?[345]|gpt35|openai|davinci|curie|codex)|(^|/)o[134](-|$)",
            Terms(
                "OpenAI",
                "its models' output may not be used to develop models that compete with OpenAI's",
                "barred",
                "https://openai.com/policies/services-agreement/",
                "31 May 2025",
            ),
        ),
    ]
)

ATTRIBUTION, ALIKE = "attribution", "share-alike"
NON_COMMERCIAL, NO_DERIVATIVES = "non-commercial", "no derivatives"
_LIST = "https://huggingface.co/docs/hub/repositories-licenses"
# What other licences on the Hub's list ask. The notice that permissive ones want kept is named
# attribution here.
_LICENCES = {
    ATTRIBUTION: "apache-2.0 mit bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear isc afl-3.0 "
    "artistic-2.0 bsl-1.0 ecl-2.0 etalab-2.0 ms-pl ncsa odc-by postgresql zlib ofl-1.1 "
    "cdla-permissive-1.0 cdla-permissive-2.0 c-uda",
    ALIKE: "gpl gpl-2.0 gpl-3.0 agpl-3.0 lgpl lgpl-2.1 lgpl-3.0 lgpl-lr gfdl odbl cdla-sharing-1.0 "
    "mpl-2.0 epl-1.0 epl-2.0 eupl-1.1 osl-3.0",
    "nothing": "cc0-1.0 unlicense wtfpl pddl",
    "banned uses that go on to the student": "openrail openrail++ bigscience-openrail-m "
    "creativeml-openrail-m bigscience-bloom-rail-1.0 bigcode-openrail-m",
}
_ASKED = {name: asks for asks, names in _LICENCES.items() for name in names.split()}
_CREATIVE_COMMONS = re.compile(r"cc-(by(?:-(?:nc|nd|sa))*)(?:-(\d\.\d))?(?:-[a-z]{2,6})?")
_RESEARCH = re.compile(r"\bnc\b|non-?commercial|\bresearch\b")
_MARKS = {"by": ATTRIBUTION, "sa": ALIKE, "nc": NON_COMMERCIAL, "nd": NO_DERIVATIVES}

# Whose answers records usually hold that are in a format and do not say whose they are.
_USUAL = {
    "sharegpt": "ChatGPT",
    "koala": "ChatGPT",
    "discord": "ChatGPT",
    "alpaca": "text-davinci-003",
    "self_instruct": "GPT-3",
}


def binding(
    licences: Mapping[str, int], teachers: Mapping[str, int], formats: Iterable[str]
) -> dict[str, Any]:
    """What binds a set, for its card.

    Args:
        licences: dialogues by licence, "unknown" where a record names none.
        teachers: dialogues by teacher, "unknown" where a record names none.
        formats: names of the formats that the records came in.

    Returns:
        `commercial`, one line that begins with "barred", "not barred by what is known" or "not
        known"; `read`, the day of the reading; and under `licences` and `teachers` one entry a
        document: `of`, `names` (as the records have them), `dialogues`, `asks`, `commercial`,
        `document` (its address or None) and `version`.
    """
    by_licence = _by_document(licences, licence_terms)
    by_teacher = _by_document(teachers, teacher_terms)
    usual = sorted({_USUAL[name] for name in formats if name in _USUAL})
    return {
        "commercial": _commercial([*by_licence, *by_teacher], usual),
        "read": READ,
        "licences": by_licence,
        "teachers": by_teacher,
    }


def licence_name(name: str) -> str:
    """A licence's name in the Hub's spelling: "CC BY-NC 4.0" is cc-by-nc-4.0."""
    return re.sub(r"[\s_]+", "-", name[:LONGEST].strip().lower())


def on_the_hub(name: str) -> bool:
    """Whether a licence, in the Hub's spelling, is one that the Hub has a name for."""
    commons = _CREATIVE_COMMONS.fullmatch(name)
    return name in _ASKED or bool(commons and commons[2] and name.endswith(commons[2]))


def licence_terms(name: str) -> Terms:
    """What a licence asks, by its name."""
    slug = licence_name(name)
    if slug in _ASKED:
        return Terms(slug, _ASKED[slug], "free", _LIST)
    if commons := _CREATIVE_COMMONS.fullmatch(slug):
        marks = commons[1].split("-")
        kind: Commercial = "barred" if "nc" in marks else "not known" if "nd" in marks else "free"
        address = f"https://creativecommons.org/licenses/{commons[1]}/{commons[2] or '4.0'}/"
        return Terms(slug, ", ".join(_MARKS[mark] for mark in marks), kind, address)
    if _RESEARCH.search(slug):
        return Terms(slug, NON_COMMERCIAL, "barred")
    if slug.startswith(("llama", "gemma", "qwen", "deepseek", "openai")):  # a model's own licence
        return teacher_terms(slug)
    return NO_LICENCE


def teacher_terms(name: str) -> Terms:
    """The terms of a model or of its maker, by its name."""
    plain = re.sub(r"[\s_]+", "-", name[:LONGEST].strip().lower())
    return next((terms for names, terms in _TEACHERS if names.search(plain)), NO_TEACHER)


def _by_document(
    counts: Mapping[str, int], terms_of: Callable[[str], Terms]
) -> list[dict[str, Any]]:
    """One entry a document, that of the most dialogues first."""
    found: dict[Terms, dict[str, int]] = {}
    for name, count in counts.items():
        found.setdefault(terms_of(name), {})[name] = count
    entries = [
        {
            "of": terms.of,
            "names": _shown(names),
            "dialogues": sum(names.values()),
            "asks": terms.asks,
            "commercial": terms.commercial,
            "document": terms.document,
            "version": terms.version,
        }
        for terms, names in found.items()
    ]
    return sorted(entries, key=lambda entry: (-entry["dialogues"], entry["of"]))


def _shown(names: Mapping[str, int]) -> list[str]:
    ordered = sorted(names, key=lambda name: (-names[name], name))
    more = len(ordered) - NAMES
    return [name[:LONGEST] for name in ordered[:NAMES]] + ([f"{more} others"] if more > 0 else [])


def _commercial(entries: list[dict[str, Any]], usual: list[str]) -> str:
    """The plain line: a bar outweighs what is not known, and that outweighs a permission."""
    barred = [entry for entry in entries if entry["commercial"] == "barred"]
    unknown = [entry for entry in entries if entry["commercial"] == "not known"]
    if barred:
        reasons = [f"{_how_many(entry)}: {entry['asks']}" for entry in barred]
        return f"barred: {_listed(reasons)}"
    if unknown:
        reasons = [_how_many(entry) for entry in unknown]
        if usual and any(entry["of"] == NO_TEACHER.of for entry in unknown):
            reasons.append(
                f"records in their formats usually hold answers of {' or '.join(usual)}, which "
                "OpenAI's terms bind"
            )
        return f"not known: {_listed(reasons)}"
    return "not barred by what is known" if entries else "not known: there are no dialogues"


def _how_many(entry: dict[str, Any]) -> str:
    count = entry["dialogues"]
    return f"{entry['of']} ({count:,} {'dialogue' if count == 1 else 'dialogues'})"


def _listed(reasons: list[str]) -> str:
    more = len(reasons) - REASONS
    return "; ".join(reasons[:REASONS] + ([f"and {more} more"] if more > 0 else []))
