"""Benchmark items as sequences of words to look for, and how much a sequence proves.

An item gives up to two: its question, and its question with its options. A question that could be
anybody's ("Which of the following is true?") proves something only as the whole of a turn, so its
sequence begins and ends with the turn.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from understudy.curate.decontaminate.align import Needle
from understudy.curate.decontaminate.framed import BEGIN, END, is_number
from understudy.curate.shingles import words

LONGEST = 1000  # words of an item that are looked at
LONGEST_TEXT = 20 * LONGEST  # characters
COMMON = 0.01  # share of the items above which a word that they hold tells half as much
PROOFS = ((5, 2.5), (8, 2.0))  # words, and what they tell, from which a question is like no other
FEW = 3  # items that may hold a word which is not common, however few there are
PROOF = 6  # words of a question with its options from which they are, whatever they tell

# A question is another where it differs in any word but these.
PLAIN = (
    "an the this that these those there it its he him his she her they them their we us our you "
    "your me my and or but if then so as of in on at by to from for with into onto about between "
    "is are was were be been being am do does did done has have had having can could will would "
    "shall should may might must also very just some any such each please than"
)
# These make another question, too, but are in so many that none is known by them.
MUTE = "a i s t d m re ve ll who whom whose what which when where why how not no never none except"
SIGNS = " + - * / × ÷ = < > % ^ "  # tell something between numbers only; else they may be layout


@dataclass(frozen=True)
class Item:
    """An item that models are evaluated on.

    Attributes:
        benchmark: its benchmark's name.
        id: unique in the benchmark.
        text: the question, or the program's head.
        options: those of a multiple choice, in their order.
    """

    benchmark: str
    id: str
    text: str
    options: tuple[str, ...] = ()


class Needles:
    """The sequences of a list of items, end to end; `owners` has the items of each."""

    def __init__(self, items: Sequence[Item]) -> None:
        texts = [item.text[:LONGEST_TEXT] for item in items]
        texts += [" ".join(item.options)[:LONGEST_TEXT] for item in items]
        found = words(texts)
        distinct, first, codes = np.unique(found.hashes, return_index=True, return_inverse=True)
        owners = np.searchsorted(found.starts, first, "right") - 1
        spans = zip(owners, found.begins[first], found.ends[first], strict=True)
        counts = [is_number(texts[text][begin:end]) for text, begin, end in spans]
        numbers = np.array([False, False, *counts])
        distinct = np.concatenate([np.array([BEGIN, END]), distinct])
        parts = np.split(codes + 2, found.starts[:-1])[1:]
        questions, offered = parts[: len(items)], parts[len(items) :]
        plain, mute = (np.isin(distinct, words([said]).hashes) for said in (PLAIN, MUTE))
        signs = np.isin(distinct, words([SIGNS]).hashes)
        unique = _unique(questions, numbers, plain | mute | signs)

        self._items = items
        self._full: list[bool] = []
        self.owners: list[list[int]] = []
        self.heads: list[int] = []
        self.rooms: list[int] = []
        sequences: list[np.ndarray] = []
        known: dict[tuple[bytes, int], int] = {}
        for place, (question, options) in enumerate(zip(questions, offered, strict=True)):
            for full in (False, True) if len(options) else (False,):
                sequence = np.concatenate([question, options]) if full else question
                sequence = sequence[:LONGEST]
                size, head = len(sequence), len(question)
                if not size:
                    continue
                whole = not (unique[place] or (full and size >= PROOF))
                if whole:
                    sequence = np.concatenate([[0], sequence, [1]])
                    head += 1 if full else 2
                at = known.setdefault((sequence.tobytes(), head), len(sequences))
                if at == len(sequences):
                    sequences.append(sequence)
                    self.owners.append([])
                    self._full.append(full)
                    self.heads.append(head)
                    self.rooms.append(size // 3 if whole else size // 2 + 2)
                self.owners[at].append(place)
        ends = np.cumsum([len(sequence) for sequence in sequences], dtype=np.int64)
        self.starts = np.concatenate([[0], ends])
        codes = np.concatenate([np.zeros(0, dtype=np.int64), *sequences])
        self.words = distinct[codes]
        self.numbers = numbers[codes]
        between = signs[codes]
        between[1:-1] &= self.numbers[:-2] & self.numbers[2:]
        self.numbers |= between  # 3 + 4 is not 3 - 4
        self.telling = self.numbers | ~(plain | signs)[codes]

    def __getitem__(self, place: int) -> Needle:
        part = slice(self.starts[place], self.starts[place + 1])
        head, room = self.heads[place], self.rooms[place]
        return Needle(self.words[part], self.telling[part], self.numbers[part], head, room)

    def size(self, place: int) -> int:
        """How many words a sequence has."""
        return int(self.starts[place + 1] - self.starts[place])

    def parts(self, place: int) -> tuple[str, ...]:
        """The texts that a sequence is made of: a question, or a question and options."""
        item = self._items[self.owners[place][0]]
        texts = (item.text, *item.options) if self._full[place] else (item.text,)
        return tuple(text[:LONGEST_TEXT] for text in texts)


def _unique(questions: Sequence[np.ndarray], numbers: np.ndarray, mute: np.ndarray) -> np.ndarray:
    """Whether each question is like no other, so that it proves something anywhere.

    Its different words tell 1 each, common ones and numbers 1/2, mute ones nothing.

    Args:
        questions: codes of their words.
        numbers, mute: by code.
    """
    sizes = np.array([len(question) for question in questions], dtype=np.int64)
    owners = np.repeat(np.arange(len(questions)), sizes)
    codes = np.concatenate([np.zeros(0, dtype=np.int64), *questions])
    owners, codes = np.divmod(np.unique(owners * len(mute) + codes), len(mute))
    holders = np.bincount(codes, minlength=len(mute))
    common = numbers | (holders > max(FEW, COMMON * len(questions)))
    told = np.where(mute, 0.0, np.where(common, 0.5, 1.0))
    sums = np.bincount(owners, told[codes], minlength=len(questions))
    return np.any([(sizes >= size) & (sums >= least) for size, least in PROOFS], axis=0)
