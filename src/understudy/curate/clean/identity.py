"""Answers that say which model gives them or who made it, found and put into other words.

Only speech about oneself counts: "I am ChatGPT", "as a large language model, I", "my developers at
OpenAI". What an answer says about OpenAI, about a painter called Claude or the sign Gemini does
not count, nor do quotations and code, in which others speak. That an answer comes from an AI is no
leak: the student is one too.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

MAKERS = (
    r"Open ?AI|Anthropic|Google (?:DeepMind|AI|Research)|Google|DeepMind|xAI|Mistral AI|Meta AI"
    r"|(?:the )?LMSYS(?: Org)?|(?:the )?Large Model Systems Organization|Meta|Facebook AI"
    r"|Microsoft(?: Research)?|Alibaba(?: Cloud)?|Tongyi Lab|DeepSeek(?: AI)?|Moonshot AI"
    r"|Zhipu AI"
    r"|Baidu|Tencent|ByteDance|Cohere|Inflection AI|Nomic AI|Stability AI|Databricks|AI21 Labs"
    r"|Hugging ?Face|NVIDIA|Stanford(?: University)?|UC Berkeley|Perplexity AI"
)
MODELS = (
    r"Chat-?GPT(?:-\d[\w.]*)?|GPT-?[2-9o][\w\-]*(?:\.\d[\w\-]*)?|InstructGPT|text-davinci-\d+"
    r"|Bing Chat|LLa?MA(?:[ -]?\d)?|Qwen[\w\-]*(?:\.\d[\w\-]*)?|DeepSeek(?:-\w+| Chat)?"
    r"|Mixtral[\w\-]*|ChatGLM[\w\-]*|LaMDA|Vicuna(?:-\d+B)?"
)
# Words that also name people, animals and stars: models only in a turn that speaks of machines.
NAMESAKES = (
    r"Claude(?:[ -]\d[\w.]*\w| Instant| Sonnet| Opus)?|Bard|Gemini(?: \d[\w.]*)?|Alpaca|Koala"
    r"|Mistral|Grok|Copilot|Sydney|Kimi|Ernie|Falcon|PaLM(?: \d)?|Llama(?: \d)?|Tulu|Orca|Dolly"
)
MACHINE = re.compile(
    rf"\bAI\b|language model|chat ?bot|virtual assistant|artificial intelligence|{MAKERS}"
    r"|\b(?:help|assist) you\b"
)
# The same in other languages is found, but not put into other words.
FOREIGN = re.compile(
    r"[Cc]omo (?:un |um )?(?:gran |grande )?modelo de (?:lenguaje|linguagem)"
    r"|(?:[Ee]n tant que|[Jj]e suis)(?: \w{1,9})? (?:grand )?modèle de langage"
    r"|(?:[Aa]ls|[Ii]ch bin) (?:ein )?(?:KI-|großes )?Sprachmodell"
    r"|[Ss]oy (?:\w{1,9} ){0,2}modelo de lenguaje|[Cc]ome modello (?:linguistico|di linguaggio)"
    r"|(?:作为|作為|我是).{0,20}?(?:语言模型|語言模型|ChatGPT)|由 ?OpenAI"
    r"|言語モデルとして|언어 모델로서"
    r"|[Кк]ак (?:\w{1,20} ){0,2}языковая модель"
)
# What a text must hold to be looked at. Plain words without \b: five times as fast.
NAME = re.compile(
    "OpenAI|Open AI|Anthropic|Google|DeepMind|xAI|Meta|LMSYS|Large Model Sys|Facebook AI|Microsoft"
    "|Alibaba|Tongyi|DeepSeek|Moonshot|Zhipu|Baidu|Tencent|ByteDance|Cohere|Inflection AI|Nomic AI"
    "|Stability AI|Databricks|AI21|Hugging|NVIDIA|Stanford|UC Berk|Perplexity|GPT|text-davinci|Bing"
    "|LLaMA|LaMA|Qwen|Mixtral|ChatGLM|LaMDA|Vicuna|Claude|Bard|Gemini|Alpaca|Koala|Mistral|Grok"
    "|Copilot|Sydney|Kimi|Ernie|Falcon|PaLM|Llama|Tulu|Orca|Dolly"
)
PHRASES = (
    "anguage model",
    "anguage Model",
    "odelo de l",
    "odèle de langage",
    "prachmodell",
    "odello ling",
    "odello di ling",
    "语言模型",
    "語言模型",
    "言語モデル",
    "언어 모델",
    "языковая модель",
)
OTHERS = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]+`|\"[^\"\n]{1,500}\"|“[^”\n]{1,500}”|(?<!\w)'[^'\n]{1,500}'(?!\w)",
    re.DOTALL,
)

# Parts of sentences
DID = (
    r"(?:\w{1,12}ly )?(?:trained|developed|created|made|built|designed|programmed|produced"
    r"|launched|fine-tuned|owned|provided|powered|maintained|released)"
)
BY = rf"{DID}(?:(?:,|,? and) {DID}){{0,3}} by"
CREW = r"(?:team|researchers|engineers|scientists|people|folks|developers|company|experts|group)"
MAKER = (
    rf"(?:(?i:(?:the |a )?(?:\w{{1,12}} )?{CREW}(?: of {CREW})?)(?: (?:at|from|of|called))? )?"
    rf"(?:{MAKERS})\b(?: \(LMSYS\))?(?:(?:['’]s)? {CREW}\b)?(?!['’]s)"
)
MADE = rf"(?:,? (?:(?:that|which) (?:is|was) |and )?{BY} {MAKER}(?: as a language model)?)"
CALLED = rf"(?:,? (?:called|named|known as) (?:{MODELS}|{NAMESAKES})\b)"
ADJECTIVES = r"(?:[\w\-]{1,20},? ){0,6}?"
PERSON = r"(?! (?:engineer|expert|researcher|developer|enthusiast|trainer|specialist))"
# "a language model", whoever made it; "an AI assistant" only with its maker or name.
MODEL = (
    rf"(?:an?|the) {ADJECTIVES}(?:[Ll]anguage [Mm]odel\b(?: \(LLM\))?"
    rf"(?: (?:AI|assistant|chatbot|program)\b)?{PERSON}(?:{MADE}|{CALLED}){{0,2}}"
    rf"|(?:AI|assistant|chatbot|model|program|bot|system)\b(?:{MADE}|{CALLED}){{1,2}})"
)
KIND = (
    rf"(?:an?|the) {ADJECTIVES}(?:AI|assistant|chatbot|model|bot|program)\b"
    rf"(?: (?:AI|assistant|model|chatbot|language model)\b){{0,2}}(?:{MADE}|{CALLED}){{0,2}}"
)
JUST = r"(?: (?:just|only|simply|also|actually|still|currently|merely|essentially|indeed)\b,?)?"
STARTS = (
    r"(?:(?<![\w,] )|(?<=, )|(?<=\bbut )|(?<=\band )|(?<=\bthat )|(?<=\bsince )|(?<=\bbecause ))"
)
MYSELF = r"(?=[^.!?\n]{0,200}?\b(?:I|me|my|My|myself)\b)"
CREATORS = r"\b[Mm]y (?:creator|developer|maker|trainer|designer)s?"
AFTER = r"(?![\w\-]|['’]s|\.\d)"


def _introduction(names: str) -> str:
    """ "I am NAME", "my name is NAME" and the like, with what is said of NAME."""
    return (
        rf"(?:\bAs {MODEL}, )?\b(?P<self>I am|I['’]m|[Mm]y name is|I go by(?: the name)?(?: of)?"
        r"|(?:[Yy]ou (?:can|may) )?(?:[Cc]all|[Rr]efer to) me|I am (?:called|known as|named))"
        rf"{JUST}(?: as)? (?:{names}){AFTER}"
        rf"(?:(?:,(?: and)?(?: I(?: am|['’]m))?| [-–—]) {KIND})?"
        rf"(?: {BY} {MAKER}| (?:by|from) {MAKER})?"
    )


Words = Callable[[re.Match[str], str], str]


@dataclass(frozen=True)
class Form:
    """A way to name oneself or one's maker; `words` puts it otherwise, given the name to use."""

    pattern: re.Pattern[str]
    words: Words


def _introduced(match: re.Match[str], name: str) -> str:
    am = match["self"] if match["self"] in ("I'm", "I’m") else "I am"
    return f"{am} {name}"


def _with_name(match: re.Match[str], name: str) -> str:
    return f"{match['before']} {name}"


def _makers(match: re.Match[str], name: str) -> str:
    before = match["before"]
    my = "My" if not before and _opens_sentence(match) else "my"
    return f"{before}{my} makers{match['after']}"


def _policies(match: re.Match[str], name: str) -> str:
    return f"{match['before']}my makers' {match['after']}"


def _like_me(match: re.Match[str], name: str) -> str:
    return f"{'Assistants' if _opens_sentence(match) else 'assistants'} {match['me']}"


def _opens_sentence(match: re.Match[str]) -> bool:
    return match.string[: match.start()].rstrip(" \t")[-1:] in ("", ".", "!", "?", "\n")


FORMS = tuple(
    Form(re.compile(pattern), words)
    for pattern, words in (
        (_introduction(MODELS), _introduced),
        (
            rf"{STARTS}(?P<before>[Aa]s) (?:{MODEL}|(?:{MODELS}|{NAMESAKES}){AFTER}(?=,)){MYSELF}",
            _with_name,
        ),
        (rf"\b(?P<before>(?:I am|I['’]m){JUST}) {MODEL}", _with_name),
        (
            r"\b(?P<before>I(?:['’]m| am| was| have been|['’]ve been)\b"
            r"(?:[^.!?\n]{0,80}? (?:and|but)(?: I)? (?:was|am|have been))?"
            rf"(?: \w{{1,15}})? {BY} ){MAKER}(?: as {MODEL})?(?P<after>)",
            _makers,
        ),
        (rf"{CREATORS} (?:is|are) {MAKER}", lambda match, name: f"I am {name}"),
        (rf"(?P<before>){CREATORS}(?:,| at| from| in| of) {MAKER}(?P<after>)", _makers),
        (rf"\b(?P<before>){MAKER}(?P<after>(?: (?:has|have|had))? {DID} me\b)", _makers),
        (
            rf"\b(?P<before>I\b[^.!?\n]{{0,120}}?\b)(?:{MAKERS})['’]s? "
            r"(?P<after>(?:\w{1,15} ){0,2}(?:policy|policies|guidelines|terms|rules)\b)",
            _policies,
        ),
        (
            rf"\b(?:(?:[Ll]arge |AI ){{0,2}}[Ll]anguage models|{MODELS}),? "
            r"(?P<me>(?:like|such as) (?:me|myself))\b",
            _like_me,
        ),
    )
)
NAMESAKE = Form(re.compile(_introduction(NAMESAKES)), _introduced)


def leak(text: str) -> str | None:
    """The first words in which an answer names its model or maker, None if it does not."""
    if not any(phrase in text for phrase in PHRASES) and not NAME.search(text):
        return None
    speech = _own_speech(text)
    patterns = [form.pattern for form in _forms(speech)] + [FOREIGN]
    return next((match[0] for pattern in patterns if (match := pattern.search(speech))), None)


def rewritten(text: str, name: str) -> str | None:
    """The answer with `name` for its model and no maker; None where it is not to be had.

    What calls itself by a name is called `name`, what was made by somebody was made by "my
    makers", and the rest stays. In other languages than English that is not tried.
    """
    if FOREIGN.search(_own_speech(text)):
        return None
    for form in _forms(_own_speech(text)):
        for match in reversed(list(form.pattern.finditer(_own_speech(text)))):
            text = text[: match.start()] + form.words(match, name) + text[match.end() :]
    return text


def _forms(speech: str) -> tuple[Form, ...]:
    return (NAMESAKE, *FORMS) if MACHINE.search(speech) else FORMS


def _own_speech(text: str) -> str:
    """The text with quotations and code blanked out, every other character in its place."""
    return OTHERS.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
