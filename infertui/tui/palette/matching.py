"""Which commands a few typed letters mean, best first. Pure, and quick enough for every key over 10,000 commands.

What is typed is split into words; each has to be found in a command, in any order. How well a word is found is its
tier, and the worst of them is that of the command:

1. it is a word of title or group: `run` in "Run first"
2. it begins one: `ru`
3. its letters begin words of the title that follow each other: `rf`
4. the same with the group in front: `crf` of "Config"
5. it stands anywhere in title or group: `un`
6. it begins a word of the help or of other words, or is the key
7. it stands anywhere in these
8. its letters come in that order in the title, the first where a word begins: `rnfst`

A title that is what was typed, or begins with just these words, is better than all. Among equals, what works comes
before what does not, the more recent before the others, the shorter title first, and then the order in which they were
given.
"""

import re
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import cast

from msgspec import Struct

from infertui.tui.palette.command import PaletteCommand

MOST_TYPED = 80
"""Characters of what is typed that count."""
_MOST_TEXT = 300
_MOST_GAP = 10
"""Letters between two that match; more would find everything in long names."""
_WHOLE, _FIRST, _WORD, _START, _INITIALS, _ALL_INITIALS, _INSIDE, _OTHER, _OTHER_INSIDE, _LETTERS = range(10)
_CHUNK = 1000
_WORDS = re.compile(r"[^\W_]+")


class Searched:
    """A command and its text as it is searched."""

    __slots__ = ("_initials", "_starts", "command", "order", "other", "title", "whole")

    def __init__(self, command: PaletteCommand, order: int) -> None:
        self.command = command
        self.order = order
        self.title = command.title[:_MOST_TEXT].casefold()
        self.whole = f" {self.title} {command.group.casefold()} "
        self.other = f" {command.help[:_MOST_TEXT]} {command.words} {command.keys} {command.id} ".casefold()
        self._starts: frozenset[str] | None = None
        self._initials: tuple[str, str] | None = None

    @property
    def words(self) -> frozenset[str]:
        """The words of title and group."""
        if self._starts is None:
            self._starts = frozenset(_WORDS.findall(self.whole)) | frozenset(self.whole.split())
        return self._starts

    @property
    def initials(self) -> tuple[str, str]:
        """The first letters of the words of the title, and the same with those of the group in front."""
        if self._initials is None:
            title = "".join(word[0] for word in _WORDS.findall(self.title))
            group = "".join(word[0] for word in _WORDS.findall(self.command.group.casefold()))
            self._initials = title, group + title
        return self._initials


class Typed:
    """What was typed, ready to be looked for."""

    def __init__(self, text: str) -> None:
        self.text = " ".join(text[:MOST_TYPED].casefold().split())
        self.words = tuple(dict.fromkeys(self.text.split()))
        self._letters = [_letters(word) for word in self.words]

    def tier(self, candidate: Searched) -> int | None:
        """How well all of it is found; None: not at all."""
        worst = _WHOLE
        for word, letters in zip(self.words, self._letters, strict=True):
            found = _tier(word, letters, candidate)
            if found is None:
                return None
            worst = max(worst, found)
        if self.words and candidate.title.startswith(self.text):
            rest = candidate.title[len(self.text) :]
            if not rest:
                return _WHOLE
            if not rest[0].isalnum() and worst <= _WORD:
                return _FIRST
        return worst


def _tier(word: str, letters: re.Pattern[str] | None, candidate: Searched) -> int | None:
    if word in candidate.whole:
        if word in candidate.words:
            return _WORD
        at = candidate.whole.find(word)
        while at >= 0:
            if not candidate.whole[at - 1].isalnum():
                return _START
            at = candidate.whole.find(word, at + 1)
        return _of_initials(word, candidate) or _INSIDE
    if (tier := _of_initials(word, candidate)) is not None:
        return tier
    at = candidate.other.find(word)
    if at >= 0:
        while at >= 0:
            if not candidate.other[at - 1].isalnum():
                return _OTHER
            at = candidate.other.find(word, at + 1)
        return _OTHER_INSIDE
    return _LETTERS if letters is not None and letters.search(candidate.title) else None


def _of_initials(word: str, candidate: Searched) -> int | None:
    if len(word) < 2 or word not in candidate.initials[1]:
        return None
    return _INITIALS if word in candidate.initials[0] else _ALL_INITIALS


def _letters(word: str) -> re.Pattern[str] | None:
    """Finds the letters of `word` in their order. Each gap ends as early as it can, so that nothing is tried twice."""
    if len(word) < 2:
        return None
    first, *rest = (re.escape(letter) for letter in word)
    return re.compile(rf"(?<![^\W_]){first}" + "".join(rf"[^{letter}]{{0,{_MOST_GAP}}}{letter}" for letter in rest))


class Matches(Struct, frozen=True):
    """What was found, best first."""

    typed: Typed
    candidates: tuple[Searched, ...]

    @property
    def commands(self) -> list[PaletteCommand]:
        """The commands alone."""
        return [candidate.command for candidate in self.candidates]


class Matcher:
    """Holds the commands; `recent` are ids, the newest first."""

    def __init__(self, commands: Iterable[PaletteCommand] = (), *, recent: Sequence[str] = ()) -> None:
        self._all: list[Searched] = []
        self._ids: set[str] = set()
        self._recent: Mapping[str, int] = {name: place for place, name in enumerate(recent)}
        self._last: Matches | None = None
        self.add(commands)

    def add(self, commands: Iterable[PaletteCommand]) -> None:
        """More commands; one whose id is there already is left out."""
        for command in commands:
            if command.id not in self._ids:
                self._ids.add(command.id)
                self._all.append(Searched(command, len(self._all)))
        self._last = None

    def __len__(self) -> int:
        return len(self._all)

    def search(self, text: str) -> Matches:
        """What `text` means."""
        steps = self.steps(text)
        while True:
            try:
                next(steps)
            except StopIteration as ended:
                return cast(Matches, ended.value)

    def steps(self, text: str) -> Generator[None, None, Matches]:
        """The same a thousand commands at a time: between two, others may have the event loop. Returns what is found.

        More letters are looked for among what the fewer before them found: nothing else can match.
        """
        typed = Typed(text)
        last = self._last
        among: Sequence[Searched] = self._all
        if last is not None and last.typed.words and _narrows(last.typed, typed):
            among = last.candidates
        ranked = []
        for start in range(0, len(among), _CHUNK):
            for candidate in among[start : start + _CHUNK]:
                tier = typed.tier(candidate)
                if tier is not None:
                    ranked.append((self._key(tier, candidate, typed=bool(typed.words)), candidate))
            yield
        ranked.sort(key=lambda pair: pair[0])
        self._last = found = Matches(typed, tuple(candidate for _, candidate in ranked))
        return found

    def _key(self, tier: int, candidate: Searched, *, typed: bool) -> tuple[int, int, int, int, int]:
        place = self._recent.get(candidate.command.id, len(self._recent))
        works = 1 if candidate.command.reason else 0
        if not typed:
            return 0, place, 0, 0, candidate.order
        return tier, works, place, len(candidate.title), candidate.order


def _narrows(before: Typed, now: Typed) -> bool:
    """Whether all that `now` can find `before` has found: each word that was looked for begins one of these."""
    return all(any(word.startswith(one) for word in now.words) for one in before.words)


def marked(title: str, typed: Typed) -> list[tuple[int, int]]:
    """Where in `title` stands what was typed, as spans from and to; for the eye, so the first place of each word."""
    folded = title.casefold()
    if len(folded) != len(title):  # a letter that folds into two: places would be off
        return []
    spans = []
    for word in typed.words:
        starts = re.search(rf"(?<![^\W_]){re.escape(word)}", folded) or re.search(re.escape(word), folded)
        if starts is not None:
            spans.append(starts.span())
        elif (pattern := _letters(word)) is not None and (found := pattern.search(folded)) is not None:
            at = found.start()
            for letter in word:
                at = folded.index(letter, at)
                spans.append((at, at + 1))
                at += 1
    return spans
