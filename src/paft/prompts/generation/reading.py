"""Templates out of what a model wrote: asked for JSON, it may send fences, lists, prose, or half of it.

The text is read in several ways, and the way that gives the most usable templates is taken. A template is taken as
it is meant: slots written as ``<goal>``, ``[goal]``, ``${goal}`` or ``{{goal}}`` become ``{goal}``, a slot for the
answer at the end goes, braces that are part of the wording are doubled. ``check`` judges what comes out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from paft.errors import TemplateError
from paft.prompts.rules import LEAK_SLOTS
from paft.prompts.template import Template
from paft.tasks.base import Task

TEXT_KEYS = ("text", "template", "prompt", "prompt_template", "content")
_THINKING = re.compile(r"\A\s*<(think|thinking|reasoning)>.*?(?:</\1>|\Z)", re.DOTALL | re.IGNORECASE)
_FENCE = re.compile(r"^[ \t]*```[ \t]*[\w+-]*[ \t]*\n(.*?)(?:\n[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)
_OPENING = re.compile(r"[\[{]")
_JSON = re.compile(r"(?:```\w*\s*)?(?:\{\s*\"\w+\"\s*:\s*)?\[\s*[\"{]")
_ARRAY = re.compile(r"\[\s*(?=[\"{])")
_MARKER = re.compile(
    r"^[ \t]*(?:#{1,4}[^\n]*\d[^\n]*\n|(?:\*\*)?(?:template|prompt)\s*#?\d{1,3}\s*[:.)\-](?:\*\*)?"
    r"|(?:\*\*)?\(?\d{1,3}[.):](?:\*\*)?(?=\s)|[-*•](?=\s))[ \t]*",
    re.MULTILINE | re.IGNORECASE,
)
_CLOSING = re.compile(
    r"\n\s*\n[^{\n]*\b(?:let me know|i hope|hope (?:this|these)|feel free|these (?:templates|prompts)|note that|"
    r"each (?:template|prompt))\b[^{]*\Z",
    re.IGNORECASE,
)
_WORDS = sorted({*LEAK_SLOTS, "option", "choice", "response", "output", "letter", "result", "prediction"})
_ANSWER = re.compile(rf"[ \t]*(?:\{{(?:{'|'.join(_WORDS)})\}}|[<\[](?:your )?(?:{'|'.join(_WORDS)})[>\]])\s*\Z", re.I)
_QUOTES = {'"': '"', "“": "”", "`": "`"}


def read_templates(written: str, task: Task) -> list[str]:
    """The templates in a model's text, in order, as template texts; [] where there are none.

    Args:
        written: what the model wrote, whole or cut.
        task: what the templates are for.
    """
    text = read_plain(written)
    best: list[str] = []
    most = (0, 0)
    readings = (_of_json,) if _JSON.match(text) else (_of_json, _of_fences, _of_list, _of_paragraphs)
    for reading in readings:
        found = [cleaned for raw in reading(text, task) if (cleaned := clean(raw, task))]
        count = (sum(map(_Usable(task), found)), len(found) if reading is not _of_paragraphs else 0)
        if count > most:
            best, most = found, count
    return best


def read_texts(written: str) -> list[str]:
    """The texts in the JSON of what a model wrote, in order and as they are; [] where there is none."""
    return list(_of_json(read_plain(written)))


def read_plain(written: str) -> str:
    """What a model wrote, without its thinking."""
    return _THINKING.sub("", written.replace("\r\n", "\n")).strip()


def clean(text: str, task: Task) -> str:
    """One template as it is meant: see the text of this module. A line break at its end means something and stays."""
    text = text.lstrip().rstrip(" \t")
    if "\n" not in text:
        text = text.replace("\\n", "\n").replace("\\t", " ").rstrip(" \t")
    names = (*task.slots, *task.aliases)
    text = _slots(text, names)
    if not {name.casefold() for name in names} & set(_WORDS):
        text = _ANSWER.sub("", text)
    return _braces(text, names).rstrip(" \t")


class _Usable:
    """Whether a template holds every slot of a task."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def __call__(self, text: str) -> bool:
        try:
            named = Template.parse(text).slots
        except TemplateError:
            return False
        return {self.task.aliases.get(name, name) for name in named} >= set(self.task.slots)


def _of_json(text: str, task: Task | None = None) -> Iterator[str]:
    """Strings of the JSON in ``text``: a list, an object that holds one, objects a line; cut ones as far as whole."""
    inner = [block for block in _FENCE.findall(text) if block.lstrip()[:1] in ("[", "{")]
    for part in inner or [text]:
        start = _OPENING.search(part)
        while start is not None:
            try:
                value, end = json.JSONDecoder(strict=False).raw_decode(part, start.start())
            except (ValueError, RecursionError):
                yield from _strings(_whole_items(part[start.start() :]))
                break
            yield from _strings(value)
            start = _OPENING.search(part, end) if isinstance(value, dict) else None  # perhaps one object a line


def _whole_items(text: str) -> list[Any]:
    """The items of the first array of a text, as far as they can be read."""
    opening = _ARRAY.search(text)
    items: list[Any] = []
    at = opening.end() if opening else len(text)
    while at < len(text):
        try:
            item, at = json.JSONDecoder(strict=False).raw_decode(text, at)
        except (ValueError, RecursionError):
            break
        items.append(item)
        separator = re.compile(r"\s*,?\s*").match(text, at)
        at = separator.end() if separator else at
    return items


def _strings(value: Any) -> Iterator[str]:
    """The template texts in a JSON value: strings of lists, and of the keys that hold a template."""
    if isinstance(value, list):
        for item in value:
            if isinstance(item, str):
                yield item
            else:
                yield from _strings(item)
    elif isinstance(value, dict):
        text = next((value[key] for key in TEXT_KEYS if isinstance(value.get(key), str)), None)
        if text is not None:
            yield text
            return
        for item in value.values():
            if isinstance(item, list | dict):
                yield from _strings(item)
        if all(isinstance(item, str) for item in value.values()):  # {"1": "...", "2": "..."}
            yield from value.values()


def _of_fences(text: str, task: Task) -> Iterator[str]:
    """Every fenced block as one template."""
    yield from (block.strip() for block in _FENCE.findall(text))


def _of_list(text: str, task: Task) -> Iterator[str]:
    """The items of a numbered or bulleted list, of one line or several.

    A number inside an item that still lacks a slot belongs to the item: templates have numbered steps too.
    """
    usable = _Usable(task)
    start: int | None = None
    for marker in [*_MARKER.finditer(text), None]:
        if start is not None:
            item = _unwrap(text[start : marker.start() if marker else len(text)])
            if marker is not None and not usable(clean(item, task)):
                continue
            yield item
        if marker is not None:
            start = marker.end()


def _of_paragraphs(text: str, task: Task) -> Iterator[str]:
    """Paragraphs that hold every slot."""
    usable = _Usable(task)
    for paragraph in re.split(r"\n\s*\n", text):
        item = _unwrap(paragraph)
        if usable(clean(item, task)):
            yield item


def _unwrap(item: str) -> str:
    """A list item without quotation marks, bold marks, a fence around it, and closing words after it."""
    item = _CLOSING.sub("", item).strip()
    if fence := re.fullmatch(r"```[\w+-]*\n(.*?)\n?```", item, re.DOTALL):
        item = fence[1].strip()
    item = re.sub(r"\A\*\*(.*)\*\*\Z", r"\1", item, flags=re.DOTALL)
    if len(item) > 1 and _QUOTES.get(item[0]) == item.rstrip(",")[-1] and item[0] not in item[1:].rstrip(",")[:-1]:
        item = item.rstrip(",")[1:-1]
    return item


def _slots(text: str, names: Sequence[str]) -> str:
    """Every slot as ``{name}``, whatever marks it was given. Names of one letter keep their case: A is no article."""
    for name in names:
        quoted = re.escape(name)
        flags = re.IGNORECASE if len(name) > 1 else re.NOFLAG
        slot = f"{{{name}}}"
        text = re.sub(rf"\$?\{{[ \t]*{quoted}[ \t]*\}}", slot, text, flags=flags)
        if slot not in text:
            other = rf"<<\s*{quoted}\s*>>|\[\[\s*{quoted}\s*\]\]|<\s*{quoted}\s*>|\[\s*{quoted}\s*\]|%{quoted}%"
            text = re.sub(other, slot, text, flags=flags)
        elif not re.search(rf"(?<!\{{)\{{{quoted}\}}|\{{{{\{{{quoted}\}}", text):  # doubled wherever it stands
            text = text.replace(f"{{{slot}}}", slot)
    return text


def _braces(text: str, names: Sequence[str]) -> str:
    """The text as it is where it parses; else with every brace that is no slot doubled."""
    try:
        Template.parse(text)
        return text
    except TemplateError:
        pass
    slot = rf"\{{(?:{'|'.join(map(re.escape, names))})\}}"
    brace = r"\{\{|\}\}|[{}]" if "{{" in text else r"[{}]"

    def one(match: re.Match[str]) -> str:
        return match[0] if len(match[0]) > 2 else match[0][0] * 2

    return re.sub(f"{slot}|{brace}", one, text)
