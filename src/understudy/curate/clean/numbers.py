"""Numbers by which a person can be reached, charged or looked up, told from all other numbers.

Every finder yields (start, end, value) with the value in one form however it is written. Numbers
that can be nobody's are not found: those that break their own numbering plan or checksum, and
those that are set aside for fiction, tests and documentation.
"""

import ipaddress
import re
from collections.abc import Iterator

Found = tuple[int, int, str]

# What a text with any of these holds: seven digits close together, or the start of an address.
ANY = re.compile(r"\d(?:(?:[ .\-/()]{0,2}\d){6}|\d{0,2}\.\d{1,3}\.\d|[0-9A-Fa-f]{3}:[0-9A-Fa-f])")

# Leading digits and lengths of issuers (ISO/IEC 7812): Visa, Mastercard, American Express,
# Discover, Diners Club, JCB, UnionPay.
CARD = re.compile(r"(?<![\w.+\-])\d(?:[ \-]?\d){13,18}(?![\w\-]|\.\d)")
ISSUED = re.compile(
    r"4\d{15}(?:\d{3})?|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}"
    r"|3[47]\d{13}|6(?:011|4[4-9]\d|5\d\d)\d{12}|3(?:0[0-5]|[68]\d)\d{11}"
    r"|35(?:2[89]|[3-8]\d)\d{12}|62\d{14,17}"
)
TRIALS = """
4111111111111111 4242424242424242 4012888888881881 4000056655665556 5555555555554444
5105105105105100 2223003122003222 378282246310005 371449635398431 6011111111111117
6011000990139424 30569309025904 38520000023237 3530111333300000 3566002020360505
"""
TEST_CARDS = frozenset(TRIALS.split())  # which payment services publish for trials

# Lengths by country, from the SWIFT registry of IBAN formats.
IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}")
IBAN_LENGTHS = {
    country: int(length)
    for length, countries in (
        ("15", "NO"),
        ("16", "BE"),
        ("18", "DK FI NL"),
        ("19", "MK SI"),
        ("20", "AT BA EE LT LU XK"),
        ("21", "CH HR LI LV"),
        ("22", "BG DE GB GE IE ME RS"),
        ("23", "AE GI IL"),
        ("24", "AD CZ ES MD PK RO SA SE SK TN"),
        ("25", "LY PT"),
        ("26", "IS TR"),
        ("27", "FR GR IT MC SM"),
        ("28", "AL AZ BY CY DO GT HU LB PL"),
        ("29", "BR EG PS QA UA"),
        ("30", "JO KW MU"),
        ("31", "MT SC"),
    )
    for country in countries.split()
}

# Area, group and serial numbers that the Social Security Administration never gave out.
SSN = re.compile(r"(?<![\w.\-])(?!000|666|9)\d{3}-(?!00)\d\d-(?!0000)\d{4}(?![\w\-])")
SSN_NAMED = re.compile(
    r"\b(?:SSN|[Ss]ocial [Ss]ecurity(?: [Nn]umber)?)\b[^\d\n]{0,12}"
    r"(?P<value>(?!000|666|9)\d{3}[ \-]?(?!00)\d\d[ \-]?(?!0000)\d{4})(?![\w\-])"
)
NOBODYS_SSN = {"123456789", "078051120", "219099999"}  # printed on samples

INTERNATIONAL = re.compile(
    r"(?<![\w.+=*/^\-)\]])(?<!\d )(?P<value>(?:\+|00)[1-9](?:[ .\-/()]{0,2}\d){6,14})(?![\w]|-\d)"
)
# Ten digits of the North American plan, grouped as people there write them.
AMERICAN = re.compile(
    r"(?<![\w.+\-/])(?P<value>(?:1[ .\-])?(?:\(\d{3}\)[ \-.]?\d{3}[ .\-]|\d{3}([.\-])\d{3}\2)\d{4})"
    r"(?![\w\-/]|\.\d)"
)
# A trunk zero, an area or network, and groups: how most of the rest of the world writes it.
TRUNK = re.compile(
    r"(?<![\w.,+:/\-])(?<!\d )"
    r"(?P<value>\(?0[1-9]\d{0,3}\)?[ /\-]\d(?:[ \-]?\d){5,9})(?![\w/\-]|[. ]\d)"
)
NAMED = re.compile(
    r"\b(?:(?:tele|cell|mobile )?phone|tel|mobile|cell|whatsapp|fax|handy|telefon|téléphone"
    r"|teléfono|(?:call|text|ring|reach|phone)(?: me| us| him| her)(?: at| on)?)\b[^\d\n+]{0,20}?"
    r"(?P<value>(?:\+|\((?=\d{1,5}\)))?\d(?:[ .\-/()]{0,2}\d){7,14})(?![\w]|-\d)",
    re.IGNORECASE,
)
DATE = re.compile(r"\d{1,2}[-/.]\d{1,2}[-/.](?:19|20)\d\d|(?:19|20)\d\d[-/.]\d{1,4}(?:[-/.]\d\d)?")
# Calls to these are free, and they are a company's or a helpline's: 800, 833, 844 ... 888.
FREE = re.compile(r"8(?:00|33|44|55|66|77|88)")
PLAN = re.compile(r"([2-9]\d\d)([2-9]\d\d)(\d{4})")

IPV4 = re.compile(r"(?<![\w.\-])\d{1,3}(?:\.\d{1,3}){3}(?![\w\-]|\.\d)")
IPV6 = re.compile(r"(?<![\w:.])[23][0-9A-Fa-f]{3}:[0-9A-Fa-f:]{4,33}[0-9A-Fa-f](?![\w:]{1,2}\w)")
VERSION = re.compile(r"(?:\bv|version|release|build|section|chapter|firmware)[\s:=\"']{0,3}$", re.I)


def cards(text: str) -> Iterator[Found]:
    """Card numbers of an issuer's form whose last digit is right (Luhn, ISO/IEC 7812-1)."""
    for match in CARD.finditer(text):
        digits = re.sub(r"\D", "", match[0])
        if ISSUED.fullmatch(digits) and _luhn(digits) and digits not in TEST_CARDS:
            yield match.start(), match.end(), digits


def ibans(text: str) -> Iterator[Found]:
    """Account numbers of the country's length whose check digits are right (ISO 13616)."""
    for match in IBAN.finditer(text):
        length = IBAN_LENGTHS.get(match[0][:2], 99)
        places = [place for place, character in enumerate(match[0]) if character != " "]
        if len(places) < length:
            continue
        end = match.start() + places[length - 1] + 1
        value = "".join(match[0][place] for place in places[:length])
        number = int("".join(str(int(character, 36)) for character in value[4:] + value[:4]))
        if number % 97 == 1 and not text[end : end + 1].isalnum():
            yield match.start(), end, value


def social(text: str) -> Iterator[Found]:
    """US social security numbers: with dashes, or named as such."""
    for pattern in (SSN, SSN_NAMED):
        for match in pattern.finditer(text):
            start, end = match.span("value") if pattern is SSN_NAMED else match.span()
            digits = re.sub(r"\D", "", text[start:end])
            if digits not in NOBODYS_SSN:
                yield start, end, digits


def phones(text: str) -> Iterator[Found]:
    """Phone numbers: with a country's code, in national forms, or of any form after "phone"."""
    for pattern in (INTERNATIONAL, AMERICAN, TRUNK, NAMED):
        for match in pattern.finditer(text):
            written = match["value"]
            digits = re.sub(r"\D", "", written)
            if _callable(written, digits):
                yield *match.span("value"), digits


def addresses(text: str) -> Iterator[Found]:
    """Public addresses on the net. A number that could be a version's stays."""
    for match in IPV4.finditer(text):
        octets = [int(part) for part in match[0].split(".")]
        if not 31 < max(octets) < 256 or VERSION.search(
            text, max(0, match.start() - 12), match.start()
        ):
            continue
        if ipaddress.IPv4Address(".".join(map(str, octets))).is_global:
            yield match.start(), match.end(), match[0]
    for match in IPV6.finditer(text):
        try:
            address = ipaddress.IPv6Address(match[0])
        except ValueError:
            continue
        if address.is_global and len(match[0].replace("::", ":").strip(":").split(":")) > 2:
            yield match.start(), match.end(), str(address)


def _luhn(digits: str) -> bool:
    doubled = [sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2]]
    return (sum(map(int, digits[::-2])) + sum(doubled)) % 10 == 0


def _callable(written: str, digits: str) -> bool:
    """Whether somebody could have this number."""
    if DATE.match(written) or len(set(digits)) < 3 or digits in "01234567890123456789":
        return False
    if written.startswith(("+", "00")):
        if written.isdigit():
            return False  # zeros before an ordinary number
        digits = digits.removeprefix("00")
        return 8 <= len(digits) <= 15 and (digits[0] != "1" or _american(digits[1:]))
    groups = re.findall(r"\d+", written)
    if digits[0] == "0":
        drawn = [len(group) for group in groups] == [2] * 5 and groups == sorted(groups)
        fewest = 9 if re.search(r"[ /(]", written) else 10  # 014-062-732 is a part's number
        return fewest <= len(digits) <= 12 and not drawn  # sorted pairs are a draw of lots
    if [len(group) for group in groups][-3:] == [3, 3, 4]:
        return _american(digits[-10:])
    return True


def _american(digits: str) -> bool:
    """Whether it is a number of the North American plan that is not a company's or fiction's."""
    match = PLAN.fullmatch(digits)
    if match is None:
        return False
    area, office, line = match.groups()
    unused = area[1:] == "11" or area[1] == "9" or area == "555" or office[1:] == "11"
    fiction = office == "555" and line.startswith("01")
    return not (unused or fiction or FREE.match(area))
