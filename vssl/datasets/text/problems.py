"""Arithmetic word problems with their worked answers, and sentences that have nothing to do with them.

Everything is drawn from (seed, stream, number), so that any problem can be written again on its own. Answers have the
format of GSM8K: the calculation, then ``#### N``.
"""

import random
from dataclasses import dataclass

NAMES = ("Ann", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gia", "Hugo", "Ida", "Jon", "Kim", "Leo")
THINGS = ("apples", "books", "coins", "shells", "pens", "stamps", "cards", "beads", "plums", "keys", "rings", "cups")
GAIN = ("gets", "finds", "buys", "wins")
LOSS = ("loses", "sells", "eats", "drops")

_PLACES = ("harbour", "station", "market", "garden", "bridge", "library", "mill", "valley", "island", "tower")
_LOOKS = ("old", "quiet", "wide", "narrow", "bright", "grey", "empty", "famous", "small", "distant")
_ACTORS = ("rain", "the train", "a ferry", "the wind", "a painter", "the tram", "snow", "a choir", "the moon", "fog")
_ACTS = ("passes", "leaves", "reaches", "crosses", "follows", "forgets", "watches", "circles", "misses", "enters")
_TIMES = ("in spring", "at noon", "before dawn", "on Sunday", "after lunch", "in May", "at night", "all winter")


@dataclass(frozen=True)
class Difficulty:
    """How hard problems are.

    Args:
        largest: no number in a problem or its answer is above it, 2 or more.
        steps: calculations a problem, from one to this many, 1..4.
        names, things: how many of the words above are used, 2..12 each.

    Raises:
        ValueError: a number outside its range.
    """

    largest: int = 20
    steps: int = 2
    names: int = len(NAMES)
    things: int = len(THINGS)

    def __post_init__(self):
        limits = {"largest": (2, 10**6), "steps": (1, 4), "names": (2, len(NAMES)), "things": (2, len(THINGS))}
        for key, (low, high) in limits.items():
            if not low <= getattr(self, key) <= high:
                raise ValueError(f"{key}={getattr(self, key)}: give a whole number from {low} to {high}")


@dataclass(frozen=True)
class WordProblem:
    """A question, and an answer that ends with ``#### N``."""

    question: str
    answer: str

    @property
    def text(self) -> str:
        """As a document of the unlabeled stream."""
        return f"{self.question}\n{self.answer}"


def word_problem(seed: int, stream: str, number: int, difficulty: Difficulty) -> WordProblem:
    """Problem `number` of a stream. The same arguments give the same problem.

    Example::

        >>> problem = word_problem(0, "example", 1, Difficulty(largest=20, steps=1))
        >>> problem.question
        'Eva has 1 cards. Eva loses 1 cards. How many cards does Eva have?'
        >>> problem.answer
        '1 - 1 = 0\\n#### 0'
    """
    draw = random.Random(f"{seed}/{stream}/{number}")
    name, thing = draw.choice(NAMES[: difficulty.names]), draw.choice(THINGS[: difficulty.things])
    have = draw.randint(0, difficulty.largest)
    told, worked = [f"{name} has {have} {thing}."], []
    for _ in range(draw.randint(1, difficulty.steps)):
        gains = have == 0 or (have < difficulty.largest and draw.random() < 0.5)
        change = draw.randint(1, difficulty.largest - have if gains else have)
        now = have + change if gains else have - change
        told.append(f"{name} {draw.choice(GAIN if gains else LOSS)} {change} {thing}.")
        worked.append(f"{have} {'+' if gains else '-'} {change} = {now}")
        have = now
    question = " ".join([*told, f"How many {thing} does {name} have?"])
    return WordProblem(question, "\n".join([*worked, f"#### {have}"]))


def distractor(seed: int, stream: str, number: int, sentences: int = 4) -> str:
    """Sentences without a problem in them: what a stream holds beside problems. The same arguments, the same text."""
    draw = random.Random(f"{seed}/{stream}/distractor/{number}")
    told = []
    for _ in range(sentences):
        parts = [
            draw.choice(_ACTORS),
            draw.choice(_ACTS),
            f"the {draw.choice(_LOOKS)} {draw.choice(_PLACES)}",
            draw.choice(_TIMES),
        ]
        told.append(" ".join(parts) + ".")
    return " ".join(told)
