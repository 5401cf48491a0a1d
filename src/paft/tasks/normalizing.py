"""Free answers brought to one form for ``match: normalized``: numbers stay what they are."""

from __future__ import annotations

import re
import unicodedata

_OTHER_NUMBERS = {"<super>", "<sub>", "<fraction>", "<circle>"}  # NFKC makes 52 of 5 squared, and 112 of 1 and a half
_HYPHENS = dict.fromkeys(map(ord, "‐‑‒–−"), "-")
_QUOTES = {**dict.fromkeys(map(ord, "’‘ʼ‛"), "'"), **dict.fromkeys(map(ord, "“”„‟«»"), '"')}
_THOUSANDS = re.compile(r"(?<![\w.,(\[{])[1-9]\d{0,2}(?:,\d{3})+(?!\w|,\d)")
_THIN_SPACES = re.compile(r"(?<![\w.,])[1-9]\d{0,2}(?:[\u2009\u202f]\d{3})+(?![\w,\u2009\u202f])")
_ITEM = r"[^\s,()\[\]{}]+"
_TUPLE = re.compile(rf"[(\[{{]\s*{_ITEM}(?:\s*,\s*{_ITEM})+\s*[)\]}}]")
_PAIRS = {"(": ")", "[": "]", "{": "}"}
_ARTICLES = {"a", "an", "the"}
_KEPT_BEFORE, _KEPT_BEHIND = "-", "-%‰#"
_SIGNS = set("-/:%‰*")


def normalize(text: str) -> str:
    """A free answer in the form that ``match: normalized`` compares: what reads alike becomes the same.

    Case, articles, width, and punctuation at the ends of words are levelled, and so are the separators of thousands.
    Nothing goes that makes another number or another word: signs, decimal points, fractions, times, percents,
    ``C#``, brackets around several numbers, raised figures.
    """
    text = _THOUSANDS.sub(lambda m: m[0].replace(",", ""), _levelled(text))
    text = re.sub(r"(?<=\d)\s+(?=[%‰])", "", text)
    text = _TUPLE.sub(_closed_up, text)
    words = text.split()
    odd = {quote for quote in "'\"" if text.count(quote) % 2}
    bare = [_bare(word, odd) for word in words]
    kept = [b or _sign(words, place) for place, b in enumerate(bare)]
    return " ".join(word for word in kept if word and word not in _ARTICLES)


def _levelled(text: str) -> str:
    """One form of every character: width, ligatures, composed accents, case, digits, hyphens and quotes."""
    text = _THIN_SPACES.sub(lambda m: re.sub(r"\s", "", m[0]), text)
    if not text.isascii():
        text = "".join(map(_compatible, unicodedata.normalize("NFC", text)))
    text = unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())
    return text.translate(_HYPHENS).translate(_QUOTES)


def _compatible(char: str) -> str:
    """NFKC of one character, but for what would become another number; digits of every script as 0 to 9."""
    if unicodedata.decomposition(char).split(" ")[0] in _OTHER_NUMBERS:
        return char
    digit = unicodedata.decimal(char, None)
    return unicodedata.normalize("NFKC", char) if digit is None else str(digit)


def _closed_up(match: re.Match[str]) -> str:
    """``( 1, 2 )`` as ``(1,2)``, where it holds a number: one word, whose brackets and commas stay."""
    return re.sub(r"\s+", "", match[0]) if re.search(r"[\d∞]", match[0]) else match[0]


def _bare(word: str, odd: set[str]) -> str:
    """``word`` without the punctuation at its ends; "" where it is nothing else."""
    if not any(map(_solid, word)):
        return ""
    start, stop = 0, len(word)
    while _goes_before(word[start:stop]):
        start += len(word[start:stop]) - len(word[start:stop].lstrip(".")) or 1
    while _goes_behind(word[start:stop], odd):
        stop -= 1
    inner = word[start:stop]
    if inner and _PAIRS.get(inner[0]) == inner[-1] and _lone(inner):
        return _bare(inner[1:-1], odd)
    return inner


def _goes_before(word: str) -> bool:
    char = word[0]
    if _solid(char) or char in _KEPT_BEFORE:
        return False
    if char == ".":  # of .5 and .NET, but not of an ellipsis
        return not _solid(word[1])
    return char not in _PAIRS or not _closed(word)


def _goes_behind(word: str, odd: set[str]) -> bool:
    char, before = word[-1], word[-2:-1]
    if _solid(char) or char in _KEPT_BEHIND:
        return False
    if before.isdigit() and (char in "!′″" or char in odd):  # 5!, 5 feet
        return False
    if char == "." and re.search(r"\.\d+\.{2,}$", word):  # 0.333...
        return False
    return char not in _PAIRS.values() or not _closed(word)


def _closed(word: str) -> bool:
    """Whether every bracket of ``word`` has its other half, whatever its kind: ``[0,1)`` is an interval."""
    return sum(c in _PAIRS for c in word) == sum(c in _PAIRS.values() for c in word)


def _lone(word: str) -> bool:
    """Whether brackets are around one thing alone: ``(5)``, but not ``(1,2)`` or ``(a)(b)``."""
    return not any(c in ",()[]{}" for c in word[1:-1])


def _sign(words: list[str], place: int) -> str:
    """A sign that stands by itself beside a number, as in ``2 - 1``; "" for other punctuation."""
    beside = words[max(0, place - 1) : place + 2]
    return words[place] if set(words[place]) <= _SIGNS and any(c.isdigit() for w in beside for c in w) else ""


def _solid(char: str) -> bool:
    """Whether a character is neither punctuation nor a mark of code."""
    return not unicodedata.category(char).startswith("P") and char != "`"
