"""Sentences with secrets of every kind planted in them, and sentences that only look like it.

All secrets are drawn at run time, so that nothing in this file is one. Every kind is written in the
ways that people write it; the negatives are what a mask of numbers, addresses and keys trips over.
"""

import base64
import hashlib
import random
import string
import uuid
from collections.abc import Callable
from dataclasses import dataclass

CAPITALS = string.ascii_uppercase + string.digits
ALNUM = string.ascii_letters + string.digits
FRAMES = {
    "email": [
        "Hi team, please send the invoice to {} by Friday. Thanks!",
        "You can reach the organiser at {} or in the office.",
        "from: {}\nto: the board\nsubject: minutes",
        '{{"user": "maria", "contact": "{}", "active": true}}',
        "My old address ({}) no longer works.",
        "Write to <{}>, and Anna will answer.",
        "export MAINTAINER={}",
    ],
    "phone": [
        "Call me at {} after six, I am at home then.",
        "Dr. Lee's practice\n12 Mill Lane\nTel: {}\nClosed on Mondays",
        "If it rains, phone {} and ask for Tom.",
        "WhatsApp: {}",
        "Please confirm the booking by phone ({}), not by mail.",
    ],
    "bare phone": [
        "You will find us behind the station, {}, every day from nine.",
        "Ms Ortiz | room 12 | {} | mornings",
        "I left my number with the porter: {}.",
        "Signed,\nPeter Novak\n{}",
    ],
    "card": [
        "I was charged twice on my card {}, can you refund one?",
        "The payment with {} was declined (expiry 04/29).",
        "card_number = '{}'",
        "Please book it: {}, exp 11/27, in my wife's name.",
    ],
    "iban": [
        "Transfer the deposit to {} before the first of the month.",
        "Bank details: {}, reference 2024-17.",
        "IBAN {} BIC and name are on the invoice",
    ],
    "ssn": [
        "On the form I put {} as my social security number.",
        "Applicant: Jane Roe, SSN {}, born in Ohio.",
        "employee_ssn: {}",
    ],
    "ip": [
        "The login came from {} at three in the morning.",
        "ssh root@{} -p 2222",
        "Failed password for admin from {} port 50412",
        "server {{ listen 80; allow {}; deny all; }}",
    ],
    "key": [
        "import os\nos.environ['API_KEY'] = '{}'\nclient = connect()",
        "curl -H 'Authorization: Bearer {}' https://api.service.io/v1/models",
        "It says that my token {} is not valid, why?",
        "API_TOKEN={}\nDEBUG=1",
    ],
}
NAMES = ["anna", "bo.larsen", "carlos-m", "dmitri_k", "e.watson", "farid77", "ines.p", "j+news"]
HOSTS = ["gmail.com", "mail.ru", "uni-koeln.de", "posteo.net", "firma.co.uk", "startup.io"]


@dataclass(frozen=True)
class Planted:
    """A text; what is secret in it, and of which kind ("" and "" in a negative)."""

    text: str
    kind: str
    form: str
    secret: str


def digits(rng: random.Random, count: int) -> str:
    return "".join(rng.choices(string.digits, k=count))


def letters(rng: random.Random, count: int, alphabet: str = ALNUM) -> str:
    return "".join(rng.choices(alphabet, k=count))


def office(rng: random.Random) -> str:
    """Three digits that the North American plan allows for area and office alike."""
    return rng.choice("23456789") + rng.choice("2345678") + rng.choice("023456789")


def american(rng: random.Random) -> tuple[str, str, str]:
    areas = ["212", "312", "415", "503", "617", "702", "713", "206", "416", "604"]
    return rng.choice(areas), office(rng), digits(rng, 4)


def grouped(text: str, sizes: list[int], mark: str) -> str:
    parts, position = [], 0
    for size in sizes:
        parts.append(text[position : position + size])
        position += size
    return mark.join(part for part in parts if part)


def with_check_digit(head: str) -> str:
    """The number with the last digit that Luhn's rule asks for."""
    for last in string.digits:
        total = 0
        for place, digit in enumerate(reversed(head + last)):
            value = int(digit) * (1 + place % 2)
            total += value // 10 + value % 10
        if total % 10 == 0:
            return head + last
    raise AssertionError("one of ten digits always fits")


def card(rng: random.Random) -> tuple[str, str]:
    prefix, length, sizes = rng.choice(
        [
            ("4", 16, [4, 4, 4, 4]),
            (rng.choice(["51", "52", "53", "54", "55"]), 16, [4, 4, 4, 4]),
            ("2450", 16, [4, 4, 4, 4]),
            (rng.choice(["34", "37"]), 15, [4, 6, 5]),
            ("6011", 16, [4, 4, 4, 4]),
            ("3530", 16, [4, 4, 4, 4]),
        ]
    )
    number = with_check_digit(prefix + digits(rng, length - len(prefix) - 1))
    mark = rng.choice([" ", "-", ""])
    return "card", grouped(number, sizes, mark)


def iban(rng: random.Random) -> tuple[str, str]:
    country, account = rng.choice(
        [
            ("DE", digits(rng, 18)),
            ("GB", letters(rng, 4, string.ascii_uppercase) + digits(rng, 14)),
            ("FR", digits(rng, 10) + letters(rng, 11, string.digits + "ABCXYZ") + digits(rng, 2)),
            ("NL", letters(rng, 4, string.ascii_uppercase) + digits(rng, 10)),
            ("ES", digits(rng, 20)),
            ("CH", digits(rng, 5) + letters(rng, 12, string.digits)),
        ]
    )
    number = int("".join(str(int(character, 36)) for character in account + country + "00"))
    whole = f"{country}{98 - number % 97:02d}{account}"
    return "iban", grouped(whole, [4] * 9, " ") if rng.random() < 0.6 else whole


def email(rng: random.Random) -> tuple[str, str]:
    return "email", f"{rng.choice(NAMES)}{rng.randrange(1000)}@{rng.choice(HOSTS)}"


def phone(rng: random.Random) -> tuple[str, str]:
    """A number in a form that shows by itself what it is."""
    area, exchange, line = american(rng)
    forms = {
        "american": lambda: rng.choice(
            [
                f"({area}) {exchange}-{line}",
                f"{area}-{exchange}-{line}",
                f"{area}.{exchange}.{line}",
                f"1-{area}-{exchange}-{line}",
            ]
        ),
        "american with code": lambda: rng.choice(
            [
                f"+1 {area} {exchange} {line}",
                f"+1 ({area}) {exchange}-{line}",
                f"+1{area}{exchange}{line}",
            ]
        ),
        "german": lambda: rng.choice(
            [
                f"+49 1{rng.choice('567')}{digits(rng, 1)} {digits(rng, 8)}",
                f"0{rng.choice(['30', '40', '89', '221'])} {rng.choice('3456789')}{digits(rng, 6)}",
                f"01{rng.choice('567')}{digits(rng, 1)}/{rng.choice('3456789')}{digits(rng, 6)}",
            ]
        ),
        "french": lambda: rng.choice(
            [
                "+33 6 " + grouped(digits(rng, 8), [2] * 4, " "),
                "06 9" + digits(rng, 1) + " " + grouped(digits(rng, 6), [2] * 3, " "),
            ]
        ),
        "british": lambda: rng.choice(
            [f"+44 20 7{digits(rng, 3)} {digits(rng, 4)}", f"07{digits(rng, 3)} {digits(rng, 6)}"]
        ),
        "indian": lambda: f"+91 9{digits(rng, 4)} {digits(rng, 5)}",
        "brazilian": lambda: f"+55 (11) 9{digits(rng, 4)}-{digits(rng, 4)}",
    }
    form = rng.choice(sorted(forms))
    return form, forms[form]()


def named_phone(rng: random.Random) -> tuple[str, str]:
    """A number that only the words before it show to be one."""
    area, exchange, line = american(rng)
    return "named", rng.choice(
        [f"{area}{exchange}{line}", f"6{digits(rng, 2)} {digits(rng, 3)} {digits(rng, 3)}"]
    )


def ssn(rng: random.Random) -> tuple[str, str]:
    head = f"{rng.randrange(1, 665):03d}-{rng.randrange(1, 99):02d}-{rng.randrange(1, 9999):04d}"
    return "ssn", head


def ip(rng: random.Random) -> tuple[str, str]:
    if rng.random() < 0.25:
        groups = [f"{rng.randrange(1, 65535):x}" for _ in range(7)]
        return "v6", ":".join(["2a" + letters(rng, 2, "0123456789abcdef"), *groups])
    first = rng.choice([23, 34, 52, 81, 93, 104, 141, 185, 212])
    return "v4", ".".join(
        str(part) for part in (first, *(rng.randrange(32, 255) for _ in range(3)))
    )


def key(rng: random.Random) -> tuple[str, str]:
    def part(length: int, alphabet: str = ALNUM) -> str:
        """Drawn so that it has what nearly every real key of the length has: all sorts."""
        body = list("aZ7" + letters(rng, length - 3, alphabet))
        rng.shuffle(body)
        return "".join(body)

    capitals = string.ascii_uppercase + "234567"
    encoded = [
        base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
        for text in (
            '{"alg":"HS256","typ":"JWT"}',
            f'{{"sub":"{digits(rng, 8)}","iat":1516239022}}',
        )
    ]
    forms: dict[str, Callable[[], str]] = {
        "openai": lambda: "sk-" + part(48),
        "openai project": lambda: "sk-proj-" + part(70, ALNUM + "_-") + "x",
        "anthropic": lambda: "sk-ant-api03-" + part(80, ALNUM + "_-") + "A",
        "deepseek": lambda: "sk-" + hashlib.md5(part(9).encode()).hexdigest(),
        "aws": lambda: "AKIA" + "Q7B3" + letters(rng, 12, capitals),
        "github": lambda: rng.choice(["ghp_", "gho_", "ghs_"]) + part(36),
        "github fine": lambda: "github_pat_" + part(22) + "_" + part(59),
        "slack": lambda: f"xoxb-{digits(rng, 11)}-{digits(rng, 11)}-" + part(24),
        "google": lambda: "AIza" + part(35),
        "hugging face": lambda: "hf_" + part(34),
        "stripe": lambda: "sk_" + "live_" + part(24),
        "gitlab": lambda: "glpat-" + part(20),
        "npm": lambda: "npm_" + part(36),
        "sendgrid": lambda: "SG." + part(22) + "." + part(43),
        "telegram": lambda: digits(rng, 9) + ":AA" + part(33),
        "jwt": lambda: ".".join([*encoded, part(43)]),
        "pem": lambda: (
            "-----BEGIN RSA PRIVATE "
            + "KEY-----\n"
            + "\n".join(part(64) for _ in range(4))
            + "\n-----END RSA PRIVATE "
            + "KEY-----"
        ),
    }
    form = rng.choice(sorted(forms))
    return form, forms[form]()


MAKERS: dict[str, Callable[[random.Random], tuple[str, str]]] = {
    "email": email,
    "phone": named_phone,
    "bare phone": phone,
    "card": card,
    "iban": iban,
    "ssn": ssn,
    "ip": ip,
    "key": key,
}


def negatives(rng: random.Random) -> list[str]:
    """One text of every sort that is no secret but has the look of one."""
    r = rng.randrange

    def d(count: int) -> str:
        return digits(rng, count)

    day, month, year = r(1, 29), r(1, 13), r(1950, 2031)
    wrong_card = with_check_digit("4" + d(14))
    wrong_card = wrong_card[:-1] + str((int(wrong_card[-1]) + 3) % 10)
    code, account = iban(rng)[1].replace(" ", "")[:2], d(18)
    return [
        f"The treaty was signed on {day:02d}-{month:02d}-{year} and came into force later.",
        f"Log: {year}-{month:02d}-{day:02d}T{day % 24:02d}:{month:02d}:17.{d(3)}Z started",
        f"Sales in {year - 1}-{year} rose to ${r(1, 99)},{d(3)},{d(3)}.{d(2)}",
        f"timestamp: 17{d(8)}, in milliseconds 17{d(11)}",
        f"pip install torch==2.{r(9)}.{r(9)} numpy==1.{d(2)}.{r(9)}.dev0",
        f"Windows build 10.0.{d(5)}.{d(3)}, driver version 31.0.101.{d(4)}",
        f"Upgrade to version {r(1, 30)}.{r(99)}.{r(99)}.{r(99)} first.",
        f"ISBN 978-0-{d(3)}-{d(5)}-{r(10)} and ISBN 0-{d(3)}-{d(5)}-X",
        f"x = {d(7)} + {d(8)} * {d(2)} - {d(9)}",
        f"So 12 +{d(9)} gives the result, and pi is 3.14159265358979{d(6)}.",
        f"Order #{d(10)} ships with tracking number 1Z{letters(rng, 16, CAPITALS)}.",
        f"The test number {grouped(wrong_card, [4] * 4, ' ')} fails the checksum.",
        "Use 4242 4242 4242 4242 or 4111-1111-1111-1111 in the sandbox.",
        f"{code}00{account} has wrong check digits.",
        f"id: {uuid.UUID(int=rng.getrandbits(128))}",
        f"md5 {hashlib.md5(d(9).encode()).hexdigest()}",
        f"sha1 {hashlib.sha1(d(9).encode()).hexdigest()}",
        f"commit {hashlib.sha256(d(9).encode()).hexdigest()}",
        f"The router is 192.168.{r(255)}.{r(255)}, the host 10.{r(255)}.0.{r(255)} or 127.0.0.1.",
        f"Documentation uses 203.0.113.{r(255)} and 2001:db8::{r(1, 999)}.",
        f"See section {r(1, 20)}.{r(1, 20)}.{r(1, 9)}.{r(1, 9)} of the manual.",
        f"MAC 00:1a:2b:{letters(rng, 2, 'abcdef0123')}:4d:5e at 12:34:{d(2)}, std::map::iterator",
        f"Coordinates: 52.{d(6)}, 13.{d(6)}; altitude {d(3)} m",
        f"Write to user{r(99)}@example.com or admin@mail.example.org, or you@gmail.com.",
        "git clone git@github.com:team/repo.git && npm i react@18.2.0",
        "@app.route('/users')\ndef users():\n    return W.T@X.dot(v) + a@b.transpose()",
        f"Follow @anna_{d(3)} for more, or meet me @ 7.30 tomorrow.",
        "Numbers such as 123-456-7890, (555) 123-4567 and 555-0142 are made up for films.",
        "Call 1-800-273-8255 or 800 555 0199; in an emergency dial 911 or 112.",
        f"openai.api_key = 'sk-{'x' * 40}'  # or YOUR_API_KEY",
        "aws_access_key_id = AKIAIOSFODNN7" + "EXAMPLE",
        "A risk-averse, task-oriented reader: <i class=sk-toggleable__content-wrapper-arrow>.",
        "from hub import hf_hub_download_with_progress_and_retry, npm_config_registry_url_default",
        f"The sequence is 0110 1001 {letters(rng, 4, '01')} 0101, then 010 110 101 011.",
        "Lotto: 05 12 23 34 45, bonus 7. Then 01 02 03 04 05 06 07 08.",
        f"| {d(3)} | {d(4)} | {d(5)} |\n| 1{d(2)} | {d(4)} | {d(5)} |",
        f"ZIP {d(5)}-{d(4)}, PO box {d(4)}, building {d(3)}",
        f"array([{d(3)}, {d(3)}, {d(4)}, {d(2)}, {d(6)}])",
        f"Population {r(1, 9)} {d(3)} {d(3)}; area 1 {d(3)} {d(3)} km2",
        f"The phone costs {d(3)} dollars and has a {d(4)} mAh battery.",
        f"Part no. {d(3)}-{d(3)}-{d(3)}, serial SN{d(10)}",
        f"ffmpeg -i in.mp4 -ss 00:01:{d(2)} -b:v {d(7)} out.mp4",
        "DNS servers: 8.8.8.8 and 1.1.1.1",
        "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIU\n-----END CERTIFICATE-----",
        f"It has 0.{d(12)} as probability and 1e-{d(2)} as tolerance.",
        f"Flight 0{r(10)}:{d(2)} to 1{r(10)}:45, gate B{d(2)}, seat {d(2)}A",
    ]


def planted(count: int, seed: int) -> list[Planted]:
    """`count` texts, half of them with one secret each, evenly over the kinds."""
    rng = random.Random(seed)
    texts: list[Planted] = []
    kinds = sorted(MAKERS)
    while len(texts) < count // 2:
        group = kinds[len(texts) % len(kinds)]
        form, secret = MAKERS[group](rng)
        kind = group.removeprefix("bare ")
        texts.append(Planted(rng.choice(FRAMES[group]).format(secret), kind, form, secret))
    while len(texts) < count:
        texts += [Planted(text, "", text[:20], "") for text in negatives(rng)]
    return texts[:count]
