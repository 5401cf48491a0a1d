"""Attacks on the text of examples: what careless writing, or ill will, does to the input of a prompt.

The kinds are those of BATprompt (Shi et al., 2024, arXiv 2412.18196). Only the values of slots are altered, never the
answer, the gold index or the wording of a prompt, and each altered copy has an id of its own that follows from its
text. What an attack may do is bounded against the original text, however often it is attacked.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from hashlib import sha256

from rapidfuzz.distance import Levenshtein

from paft.tasks import Example, Task

CHARACTER = ("typos", "letters", "trailing", "handle")
WORD = ("deletion", "neutral")
OFFLINE = (*CHARACTER, *WORD)
REWRITTEN = ("synonyms", "paraphrase", "syntax")
FLOOR = 0.6
MOST_ADDED = 4
_SHARE = 0.15
_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_NEAR = {key: row[max(0, at - 1) : at] + row[at + 1 : at + 2] for row in _KEYS for at, key in enumerate(row)}
_ALIKE = {"a": "@", "b": "8", "e": "3", "g": "9", "i": "1", "l": "1", "o": "0", "s": "5", "t": "7", "z": "2"}
_TAIL = "abcdefghijklmnopqrstuvwxyz0123456789!?.,;:~*#%&=+"
_NEUTRAL = ("well", "also", "then", "now", "indeed", "anyway", "meanwhile", "here", "so", "again")
_NEGATIONS = {"no", "not", "none", "never", "nothing", "nobody", "neither", "nor", "without", "cannot"}

Words = Collection[str]


def core(word: str) -> str:
    """A word as it is compared: casefolded, without punctuation around it."""
    return re.sub(r"^\W+|\W+$", "", word.casefold())


def typos(text: str, rng: random.Random, protected: Words = ()) -> str:
    """Slips of the fingers in some words: letters swapped, dropped, doubled, or hit beside the key."""
    return _in_words(text, rng, protected, _slip)


def letters(text: str, rng: random.Random, protected: Words = ()) -> str:
    """One or two letters of some words as characters that look like them, or in the other case."""
    return _in_words(text, rng, protected, _disguise)


def trailing(text: str, rng: random.Random, protected: Words = ()) -> str:
    """One to five meaningless characters after the text."""
    return f"{text} {''.join(rng.choices(_TAIL, k=rng.randint(1, 5)))}"


def handle(text: str, rng: random.Random, protected: Words = ()) -> str:
    """A meaningless handle, such as ``@k3xwq``, before or after the text."""
    name = "@" + "".join(rng.choices(_TAIL[:36], k=rng.randint(4, 7)))
    return f"{name} {text}" if rng.random() < 0.5 else f"{text} {name}"


def deletion(text: str, rng: random.Random, protected: Words = ()) -> str:
    """One or two words less; numbers, negations and marks such as a blank stay."""
    pieces = re.split(r"(\s+)", text)
    places = [at for at in _open_places(pieces, protected) if not _negates(pieces[at])]
    most = min(2, len(text.split()) - 2)
    if not places or most < 1:
        return text
    gone = set(rng.sample(places, min(len(places), rng.randint(1, most))))
    kept = [piece for at, piece in enumerate(pieces) if at not in gone and at - 1 not in gone]
    return "".join(kept).rstrip() + text[len(text.rstrip()) :]


def neutral(text: str, rng: random.Random, protected: Words = ()) -> str:
    """One or two words more that say nothing."""
    pieces = re.split(r"(\s+)", text)
    for _ in range(rng.randint(1, 2)):
        at = rng.choice([place for place in range(0, len(pieces), 2) if pieces[place]] or [0])
        pieces[at:at] = [rng.choice(_NEUTRAL), " "]
    return "".join(pieces)


ATTACKS: dict[str, Callable[[str, random.Random, Words], str]] = {
    "typos": typos,
    "letters": letters,
    "trailing": trailing,
    "handle": handle,
    "deletion": deletion,
    "neutral": neutral,
}


def allowed(kind: str, original: str, text: str, protected: Words = ()) -> bool:
    """Whether ``text`` may stand for ``original`` under an attack of this kind.

    Character attacks: a normalised Levenshtein similarity of at least 0.6. Deleted words and synonyms: the same,
    counted in words. Neutral words: at most four more, all others there in their order. A paraphrase or another
    syntax, whose closeness no edit distance can tell: half to twice the length. Whatever the kind, protected words of
    the original are still there.
    """
    there = {core(word) for word in text.split()}
    if not text.strip() or any(word not in there for word in map(core, original.split()) if word in protected):
        return False
    if kind in CHARACTER:
        return Levenshtein.normalized_similarity(original, text) >= FLOOR
    before, after = original.split(), text.split()
    if kind == "neutral":
        return Levenshtein.distance(before, after) == len(after) - len(before) <= MOST_ADDED
    if kind in ("deletion", "synonyms"):
        return Levenshtein.normalized_similarity(before, after) >= FLOOR
    return len(original) / 2 <= len(text) <= 2 * len(original)


@dataclass(frozen=True)
class Attacker:
    """Makes altered copies of the examples of one task.

    Attributes:
        task: whose slots are altered.
        protected: words that stay as they are: the label words, for a text must not lose what it is about.
    """

    task: Task
    protected: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        words = self.task.answers if self.task.type == "label" else ()
        object.__setattr__(self, "protected", frozenset(core(word) for answer in words for word in answer.split()))

    def pick_slot(self, example: Example, rng: random.Random) -> str | None:
        """A slot whose text has letters, drawn evenly; None where there is none."""
        slots = [name for name in self.task.slots if re.search(r"[^\W\d_]", example.slots[name])]
        return rng.choice(slots) if slots else None

    def attack(self, kind: str, original: Example, current: Example, rng: random.Random) -> Example:
        """``current``, a copy of ``original``, attacked once more; ``current`` itself where that would be too much."""
        slot = self.pick_slot(original, rng)
        if slot is None:
            return current
        text = ATTACKS[kind](current.slots[slot], rng, self.kept_words(original))
        return self.replaced(kind, original, current, slot, text)

    def replaced(self, kind: str, original: Example, current: Example, slot: str, text: str) -> Example:
        """``current`` with another text in ``slot``, where ``allowed`` and where no two options become one.

        Aliases of the slot and ``options`` are kept in step. The id is the original's with a digest of the texts.
        """
        if not allowed(kind, original.slots[slot], text, self.kept_words(original)):
            return current
        slots = {**current.slots, slot: text}
        slots |= {alias: text for alias, name in self.task.aliases.items() if name == slot and alias in slots}
        options = current.options
        if options and slot in self.task.choices:
            at = self.task.choices.index(slot)
            options = (*options[:at], text, *options[at + 1 :])
            if len({_bare(option) for option in options}) < len({_bare(option) for option in original.options}):
                return current
        if slots == dict(original.slots):
            return original
        digest = sha256(json.dumps(slots, sort_keys=True).encode()).hexdigest()[:12]
        return replace(current, id=f"{original.id}~{digest}", slots=slots, options=options)

    def kept_words(self, example: Example) -> frozenset[str]:
        """What must stay in the texts of an example: label words; of a free answer, its own words."""
        if self.task.type != "free":
            return self.protected
        return frozenset(word for word in map(core, example.answer.split()) if word)


def _bare(text: str) -> str:
    return " ".join(text.casefold().split())


def _open_places(pieces: list[str], protected: Words) -> list[int]:
    """Where words stand that may be altered: some letters, no digit, not protected."""
    return [
        at
        for at in range(0, len(pieces), 2)
        if re.search(r"[^\W\d_]", pieces[at]) and not re.search(r"\d", pieces[at]) and core(pieces[at]) not in protected
    ]


def _negates(word: str) -> bool:
    return core(word) in _NEGATIONS or core(word).endswith(("n't", "n’t"))


def _in_words(text: str, rng: random.Random, protected: Words, alter: Callable[[str, random.Random], str]) -> str:
    """``alter`` on a seventh or so of the words, one at least."""
    pieces = re.split(r"(\s+)", text)
    places = _open_places(pieces, protected)
    if not places:
        return text
    for at in rng.sample(places, max(1, round(_SHARE * len(places)))):
        pieces[at] = alter(pieces[at], rng)
    return "".join(pieces)


def _slip(word: str, rng: random.Random) -> str:
    places = [at for at, character in enumerate(word) if character.isalpha()]
    at = rng.choice(places)
    here, near = word[at], _NEAR.get(word[at].lower(), "")
    ways = [word[: at + 1] + here + word[at + 1 :]]
    if len(places) > 2:
        ways.append(word[:at] + word[at + 1 :])
    if at + 1 in places and word[at + 1] != here:
        ways.append(word[:at] + word[at + 1] + here + word[at + 2 :])
    if near:
        other = rng.choice(near)
        ways.append(word[:at] + (other.upper() if here.isupper() else other) + word[at + 1 :])
    return rng.choice(ways)


def _disguise(word: str, rng: random.Random) -> str:
    characters = list(word)
    places = [at for at, character in enumerate(word) if character.isalpha()]
    for at in rng.sample(places, min(len(places), rng.randint(1, 2))):
        characters[at] = _ALIKE.get(word[at].lower(), word[at].swapcase())
    return "".join(characters)
