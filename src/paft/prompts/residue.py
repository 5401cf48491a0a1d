"""What prompt files hold that nobody meant: an LLM's framing of its answer, placeholders of another style."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from paft.prompts.blanks import blanks
from paft.prompts.template import Template

_BLANK = "a placeholder to be filled in"
_THING = r"(?:prompts?|templates?|variations?|versions?|paraphrases?|rewrites?)"
_SIGNS = {
    "the number an LLM gave its answer": (
        r"^\W{0,4}(?:prompt|template|variation|variant|version|paraphrase|rewrite)\s*#?\d+\W{0,3}[:.)\-–]",
    ),
    "an LLM's introduction": (
        rf"\bhere(?:'s|’s| is| are)\b[^.\n{{]{{0,60}}\b{_THING}\b",
        r"\A\W{0,2}(?:sure|certainly|of course|absolutely)[!,.:]+\s+(?:here|i|below|this)\b",
        r"\A\W{0,4}(?:template|(?:new|rewritten|revised|improved|rephrased|final)\s+(?:prompt|template))\W{0,3}:",
    ),
    "an LLM's closing words": (
        r"\b(?:i hope this helps|let me know if you|as an ai (?:language )?model)\b",
        r"\bfeel free to (?:adjust|modify|adapt)\b",
    ),
    "a mark of a chat format": (
        r"<\|[a-z_]+\|>|\[/?INST\]|<</?SYS>>|</?s>|</?think>|<(?:start|end)_of_turn>",
    ),
    "the start of ${slot}, another style; leave a space after a dollar sign that is meant": (r"\$(?=\{)",),
    "a placeholder of another style": (
        r"(?<![\w%])%(?:\(\w+\))?[sdr](?!\w)",
    ),
    _BLANK: (
        r"[\[<]\s*(?:insert|enter|put|paste|fill in|add)\b[^\]>\n]{0,60}[\]>]",
        r"[\[<][^\[\]<>\n{}]{0,60}\bhere\s*[\]>]",
        r"[\[<]\s*(?:(?:write|type|place|give|state|include|provide|specify|describe|replace(?: with)?)\s+)?"
        r"your\s[^\[\]<>\n{}=]{1,60}[\]>]",
        r"[\[<]\s*(?:include|provide|specify|describe|replace|substitute)\s+(?:with\s+)?(?:an?|the|any|some|actual)\s"
        r"[^\[\]<>\n{}=]{1,60}[\]>]",
        r"[\[<]\s*(?:placeholder|tbd|to be (?:filled|added|inserted|determined)|(?:name|title|text) of)\b"
        r"[^\[\]<>\n{}=]{0,60}[\]>]",
    ),
}  # fmt: skip
_PATTERNS = [(re.compile(p, re.I | re.M), why) for why, patterns in _SIGNS.items() for p in patterns]
_PLACEHOLDER = re.compile(
    r"<<\s*(\w+)\s*>>|\[\[\s*(\w+)\s*\]\]|(?<!\{)\{\{\s*(\w+)\s*\}\}(?!\})|\[\s*(\w+)\s*\]|<\s*(\w+)\s*>"
)
_DOUBLED = ("<<", "[[", "{{")
_HEADED = re.compile(r"[\s:\"'“*_>-]*\{(?!\{)")
_USUAL_NAMES = {"input", "text", "question", "sentence", "context", "passage", "article", "review", "placeholder"}


class Residue(NamedTuple):
    """A place in a template, what stands there and what it looks like."""

    at: int
    what: str
    why: str


def residue(template: Template, slots: Sequence[str], answers: Sequence[str] = ()) -> list[Residue]:
    """All residue in a template, by place; ``slots`` are the names a placeholder may stand for, ``answers`` are not."""
    text = template.plain
    found = [Residue(m.start(), m.group(), why) for pattern, why in _PATTERNS if (m := pattern.search(text))]
    found += _placeholders(template, slots)
    met = {residue.at for residue in found}
    found += [Residue(at, what, _BLANK) for at, what in blanks(text, (*slots, *answers)) if at not in met]
    found += _framing(text)
    return sorted(found)


def _placeholders(template: Template, slots: Sequence[str]) -> Iterator[Residue]:
    """``[goal]``, ``<goal>``, ``<<goal>>`` or ``{{goal}}`` where a slot was meant.

    A heading is not one: ``[Goal] {goal}`` and ``<goal>{goal}</goal>`` are layouts, as is ``[A] {A}``.
    Doubled brackets count with any usual name in them, single ones with the task's own names alone.
    """
    text = template.plain
    own = {name.casefold() for name in slots if len(name) > 1}
    used = {name.casefold() for name in template.slots}
    for match in _PLACEHOLDER.finditer(text):
        name = str(match[match.lastindex or 0]).casefold()
        if name not in own and not (match.group().startswith(_DOUBLED) and name in _USUAL_NAMES):
            continue
        heads = not match.group().startswith("{") and _HEADED.match(text, match.end())
        closed = f"</{name}>" in text.casefold()
        if not ((heads or closed) and (name in used or name not in own)):
            yield Residue(match.start(), match.group(), "a placeholder of another style")


def _framing(text: str) -> Iterator[Residue]:
    """A fence, quotation marks or a list number around the whole template."""
    if text.count("```") % 2 or re.fullmatch(r"\s*```.*```\s*", text, re.DOTALL):
        yield Residue(text.index("```"), "```", "the fence around an LLM's answer")
    if re.fullmatch(r'\s*"[^"]*"\s*', text):
        yield Residue(0, '"', "quotation marks around the whole template")
    number = re.match(r"\s*(\d{1,3})[.)] +(?=[A-Za-z])", text)
    if number and int(number[1]) > 1 and not re.search(rf"\b{int(number[1]) + 1}[.)]", text):
        yield Residue(0, number.group().strip(), "a number from a list")
