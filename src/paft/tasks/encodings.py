"""Telling the encoding of a table that is not UTF-8: by whether what is read is the writing of some language.

A reading is judged by its words, each counted once: letters must belong to one language's alphabet, signs must stand
where signs stand, and words that no text of the language does without must be there. Readings that give the same text
are one; where two texts are plausible, nothing is decided.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from pathlib import Path
from typing import NamedTuple

from paft.errors import DataError, InputError
from paft.tasks.rows import shorten

SAMPLE = 1 << 16  # bytes of lines that are judged
MISREAD = 0.1  # share of words that may fall outside a language: names, typing errors
SURE = 3  # words or characters of the language by which the best reading must lead
_WEST = "cp1252 iso8859_15 cp850 cp437 mac_roman"
_EAST = "cp1250 iso8859_2 cp852 mac_latin2"
_RUSSIAN = "cp1251 koi8_r iso8859_5 cp866 mac_cyrillic"


class _Language(NamedTuple):
    """Codecs it is written in, its letters beyond ASCII (ranges as in a regular expression), its commonest words."""

    codecs: str
    letters: str
    words: str


# English, French, Spanish, Portuguese, Italian, German, Dutch, Swedish, Danish and Norwegian, Finnish, Icelandic;
# Polish, Czech, Slovak, Hungarian, Croatian, Romanian; Turkish, Estonian, Latvian, Lithuanian;
# Russian, Ukrainian, Bulgarian, Serbian and Macedonian; Greek, Hebrew, Arabic, Thai
_LANGUAGES = (
    _Language(_WEST + " cp1250", "éèïñöü", "the and is it to of was for not with this my in on that"),
    _Language(_WEST, "àâæçéèêëîïôœùûüÿ", "le la les et est un une je pas pour que des très dans du il ne à"),
    _Language(_WEST, "áéíñóúü", "el la los que en un una es no muy por con para se me del"),
    _Language(_WEST, "áàâãçéêíóôõúü", "os que não em um uma para com muito do da foi mas no é à"),
    _Language(_WEST, "àèéìíîòóùú", "il la che di un una non per con sono molto del si ma ho è"),
    _Language(_WEST + " cp1250", "äöüßéàè", "der die das und ist ich nicht ein eine zu mit sehr für auf war"),
    _Language(_WEST, "áàéèëïíóöü", "de het een en is van ik niet dat op met voor maar zijn"),
    _Language(_WEST, "åäöéàü", "och att det är en som på jag inte för mycket var med av"),
    _Language(_WEST, "æøåéòôäö", "og det er en at på jeg ikke for med var til af av"),
    _Language(_WEST, "äöåšž", "ja on ei se että oli olen mutta hyvin kun niin"),
    _Language(_WEST, "áéíóúýþæöð", "og að er ekki það sem var með við en ég"),
    _Language(_EAST, "ąćęłńóśźż", "nie się jest na do to że jak ale bardzo za był po jestem"),
    _Language(_EAST, "áčďéěíňóřšťúůýž", "je se na že to jsem byl ale pro velmi za do jako ne"),
    _Language(_EAST, "áäčďéíĺľňóôŕšťúýž", "je sa na že to nie som bol ale pre veľmi do ako"),
    _Language(_EAST, "áéíóöőúüű", "az és nem hogy van is egy nagyon volt meg ez de"),
    _Language(_EAST, "čćđšž", "je na se da ne sam bio ali za vrlo nije mi bila"),
    _Language(_EAST, "ăâîşţ", "şi nu este un la de am foarte cu pe sunt mi"),
    _Language("cp1254 iso8859_9 cp857", "çğıi̇öşüâîû", "bir ve çok bu için da ne değil ama gibi daha"),
    _Language("cp1257 cp775", "äõöüšž", "ja on ei see et oli olen aga väga kui ning"),
    _Language("cp1257 cp775", "āčēģīķļņšūž", "un ir ka nav ar uz es ļoti par bet no"),
    _Language("cp1257 cp775", "ąčęėįšųūž", "ir yra kad ne su labai bet buvo už iš tai"),
    _Language(_RUSSIAN, "а-яё№", "и в не на что я с по очень но это за мой у"),
    _Language("cp1251 koi8_u iso8859_5 cp1125 mac_cyrillic", "а-щьюяіїєґ№", "і в не на що я з дуже але це та за у"),
    _Language(_RUSSIAN, "а-ъьюя№", "и в не на че да се за много е съм но от с"),
    _Language("cp1251 iso8859_5", "абвгдежзијклмнопрстћуфхцчџшђљњѓќѕ", "и у је не да на се сам за ми врло али"),
    _Language("cp1253 iso8859_7 cp737", "α-ωςάέήίόύώϊϋΐΰ", "και το να δεν με για την του είναι πολύ η ο τα"),
    _Language("cp1255 iso8859_8", "א-ת\u05b0-\u05c7", "את של לא על אני זה עם מאוד היה גם"),
    _Language("cp1256 iso8859_6", "\u0621-\u0652", "في من على لا أنا جدا هذا كان لم إلى"),
    _Language("cp874", "\u0e01-\u0e4e", "า น ร ก อ ที่ ไม่ มาก และ ดี"),
)
# Written without letters: in place of them a national set and the first bytes of the characters taught at school.
# Chinese, traditional Chinese, Japanese twice, Korean
_CHARACTERS = (
    _Language("gb18030", "gb2312 b0-d7", "的 了 是 我 不 在 有 很 这 人 一 个 好"),
    _Language("cp950", "big5 a4-c6", "的 了 是 我 不 在 有 很 這 人 一 個 好"),
    _Language("cp932", "euc_jp b0-cf", "の に は を た が で て と し い ま す"),
    _Language("euc_jp", "euc_jp b0-cf", "の に は を た が で て と し い ま す"),
    _Language("cp949", "euc_kr b0-c8", "이 다 는 가 에 을 의 하 고 도 한 요 지"),
)
_ASKED = ("cp1252", "cp1250", "cp1251", "gb18030", "cp932", "big5", "cp949", "cp1254")
_SIGNS = set("“”„‟‘’‚‛–—―…«»‹›€£¥¢§°©®™·•¡¿½¼¾²³±×÷µ†‡¶ªº№،؛؟\u00a0\u00ad")
_APART = set("€£¥¢§©•½¼¾²³±×÷†‡¶")  # signs that stand at no letter, square metres aside
_JOINING = set("’‘–—―·…°\u00a0\u00ad/")  # signs that stand between two letters
_METRES = re.compile(r"\b[kcdm]?m[²³]")
_ALONE = re.compile(r"(?<![^\W\d_])[^\W\d_](?![^\W\d_])|\d[^\W\d_]|[^\W\d_]\d")  # a letter by itself or at a digit
_CASE = re.compile(r"[^\W\d_][^\W\d_]")


class _Reading(NamedTuple):
    """A text that bytes may stand for: words of a language met in it, the share of its words outside the language."""

    met: int
    wrong: float
    encoding: str
    text: str

    @property
    def score(self) -> float:
        """How well it fits; more is better."""
        return self.met - 40 * self.wrong

    def beats(self, other: _Reading) -> bool:
        """Whether the other reading can be left aside."""
        clearly = other.met * 2 <= self.met or other.wrong > 2 * self.wrong + 0.04
        return clearly and self.score - other.score >= SURE


def tell_encoding(path: Path) -> tuple[str, str]:
    """``(encoding, how it is known)`` of a text file; the latter is empty for UTF-8.

    Raises:
        InputError: not UTF-8, and no other reading or more than one is plausible; shows them and names the flag.
    """
    raw = path.read_bytes()
    for mark, encoding in ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32")):
        if raw.startswith(mark):
            return encoding, "by the mark at the file's start"
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16", "by the mark at the file's start"
    for encoding in ("utf-16-le", "utf-16-be") if b"\0" in raw[:SAMPLE] else ():
        if _is_clean(raw[: SAMPLE - SAMPLE % 2], encoding):
            return encoding, "by its zero bytes; the file is not UTF-8"
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return _eight_bits(path, _lines_that_tell(raw))
    if b"\x1b$" in raw and _is_clean(raw, "iso2022_jp"):
        return "iso2022_jp", "by its escape sequences"
    return "utf-8", ""


def _is_clean(raw: bytes, encoding: str) -> bool:
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError:
        return False
    return "\n" in text and all(c in "\n\r\t" or unicodedata.category(c) not in ("Cc", "Cn", "Co") for c in set(text))


def _lines_that_tell(raw: bytes) -> bytes:
    """The first lines, and those further down that hold more than ASCII: ``SAMPLE`` bytes of each."""
    if len(raw) <= 2 * SAMPLE:
        return raw
    start = raw.rfind(b"\n", 0, SAMPLE) + 1
    rest, size = [], 0
    for line in raw[start:].split(b"\n"):
        if not line.isascii() and size < SAMPLE:
            rest.append(line)
            size += len(line) + 1
    return raw[:start] + b"\n".join(rest)


def _eight_bits(path: Path, raw: bytes) -> tuple[str, str]:
    """The one plausible reading of bytes that are not UTF-8."""
    readings = _readings(raw)
    fits = [reading for reading in readings if reading.wrong <= MISREAD]
    if fits and all(map(fits[0].beats, fits[1:])):
        return fits[0].encoding, "since the file is not UTF-8 and this alone reads as a language; check accents"
    shown = (fits if len(fits) > 1 else readings or [])[:3]
    samples = [f"{r.encoding} reads {shorten(_telling(r.text), 40)}" for r in shown]
    raise InputError(
        f"{path}: the file is not UTF-8, and its encoding cannot be told"
        + (": " + ", ".join(samples) if samples else "")
        + f"\nsay which it is with --encoding, for instance --encoding {shown[0].encoding if shown else _ASKED[0]}, "
        "or save the file as UTF-8"
    )


def _telling(text: str) -> str:
    """A line of ``text`` by which a person can tell whether it is read right."""
    words = [word for word in re.findall(r"[^\s,;\"]+", text) if not word.isascii()]
    return " ".join(dict.fromkeys(words[:4]))


class _Decoded(NamedTuple):
    """A text, its runs of non-spaces with more than ASCII in them, and its words in lower case."""

    text: str
    runs: set[str]
    words: set[str]


def _readings(raw: bytes) -> list[_Reading]:
    """Every different text that ``raw`` may be, best first."""
    found: dict[str, _Reading] = {}
    decoded: dict[str, _Decoded | None] = {}
    for language in (*_LANGUAGES, *_CHARACTERS):
        for encoding in language.codecs.split():
            if encoding not in decoded:
                decoded[encoding] = _decode(raw, encoding)
            if (text := decoded[encoding]) is None:
                continue
            reading = _judge(encoding, text, language)
            known = found.get(text.text)
            if known is None:
                found[text.text] = reading
            elif reading.score > known.score:
                found[text.text] = reading._replace(encoding=known.encoding)
    return sorted(found.values(), key=lambda reading: -reading.score)


def _decode(raw: bytes, encoding: str) -> _Decoded | None:
    """The text; None where the bytes are not of ``encoding`` or stand for what no text holds."""
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError:
        return None
    if any(unicodedata.category(sign) in ("Cc", "Cn", "Co") and not sign.isascii() for sign in set(text)):
        return None
    runs = {run for run in set(text.split()) if not run.isascii()}
    return _Decoded(text, runs, set(re.findall(r"[^\W\d_]+", text.lower())))


def _judge(encoding: str, text: _Decoded, language: _Language) -> _Reading:
    known = set(language.words.split())
    if language in _CHARACTERS:
        wrong = _share_of_rare(text.runs, language)
        met = set("".join(text.runs)) & known
    else:
        letters = re.compile(f"[{language.letters}{language.letters.upper()}]", re.IGNORECASE)
        latin = language.letters[0].isascii() or unicodedata.name(language.letters[0]).startswith("LATIN")
        wrong = sum(not _is_word(run, letters, latin, known) for run in text.runs) / len(text.runs)
        met = text.words & known
    return _Reading(len(met), wrong, encoding, text.text)


def _is_word(word: str, letters: re.Pattern[str], latin: bool, known: set[str]) -> bool:
    """Whether a run of non-spaces can stand in a language with these letters beyond ASCII."""
    if any(not part.isascii() and part.lower() not in known for part in _ALONE.findall(word)):
        return False
    word = _METRES.sub("m", word)
    for place, sign in enumerate(word):
        if sign.isascii() or letters.match(sign):
            continue
        beside = word[max(0, place - 1) : place].isalpha() + word[place + 1 : place + 2].isalpha()
        if sign not in _SIGNS or (beside and sign in _APART) or (beside == 2 and sign not in _JOINING):
            return False
    for pair in (word[m.start() : m.start() + 2] for m in re.finditer(rf"(?={_CASE.pattern})", word)):
        if pair.isascii():
            continue
        if pair[0].islower() and pair[1].isupper():
            return False
        if not latin and (pair[0].isascii() or pair[1].isascii()):
            return False
    return True


def _share_of_rare(words: set[str], language: _Language) -> float:
    """The share of characters beyond ASCII that no schoolbook of the language has."""
    codec, _, span = language.letters.partition(" ")
    low, high = (int(byte, 16) for byte in span.split("-"))
    signs = [sign for sign in "".join(words) if not sign.isascii()]
    return sum(not _is_common(sign, codec, low, high) for sign in signs) / len(signs)


def _is_common(sign: str, codec: str, low: int, high: int) -> bool:
    if "\u3000" <= sign <= "\u303f" or "\uff01" <= sign <= "\uff5e" or sign in _SIGNS:
        return True
    if "\u3040" <= sign <= "\u30ff":
        return codec == "euc_jp"
    try:
        return low <= sign.encode(codec)[0] <= high
    except UnicodeEncodeError:
        return False


def as_codec(name: str) -> str:
    """``name`` where Python knows such a codec for text.

    Raises:
        DataError: it does not.
    """
    try:
        "".encode(name)
        b"".decode(name)
    except (LookupError, ValueError):
        raise DataError(f"unknown encoding {name!r}; expected one such as {', '.join(_ASKED)}") from None
    return name
