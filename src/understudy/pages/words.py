"""How numbers read on a page: true minus signs, grouped thousands, percent, tallies, durations."""

from collections.abc import Mapping

MINUS = "−"
LARGEST = 12  # entries of a tally that are shown


def number(value: float, digits: int = 0, sign: bool = False) -> str:
    """A number with grouped thousands and a true minus; what rounds to zero has no sign."""
    text = f"{abs(value):,.{digits}f}"
    if not any(digit in "123456789" for digit in text):
        return text
    return (MINUS if value < 0 else "+" if sign else "") + text


def percent(share: float) -> str:
    """A share as a whole number of hundredths, without the unit."""
    return number(100 * share)


def listed(words: list[str], last: str = "and") -> str:
    """Words joined as in a sentence: "a, b and c"."""
    return f" {last} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def shortened(name: str, most: int) -> str:
    """A name, without its middle where it is long: names tell themselves apart by both ends."""
    half = most // 2
    return name if len(name) <= most else f"{name[:half]}…{name[1 - half :]}"


def largest(tally: Mapping[str, int], most: int = LARGEST) -> list[tuple[str, str]]:
    """A tally's entries, the largest first; what goes beyond `most` in one entry."""
    ordered = sorted(tally.items(), key=lambda entry: (-entry[1], entry[0]))
    shown = [(name, number(count)) for name, count in ordered[:most]]
    rest = ordered[most:]
    if rest:
        shown.append((f"{len(rest)} others", number(sum(count for _, count in rest))))
    return shown


def seconds(value: float) -> str:
    """A duration for people: "8.2 s", "3 min 5 s", "2 h 14 min"."""
    if value < 60:
        return f"{value:.1f} s"
    minutes, seconds = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"
