"""What a task says of itself, in words that the grammar's rules can use."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from paft.prompts.generation.grammar_phrases import ADJECTIVES, KINDS, Words
from paft.prompts.template import escape
from paft.tasks.base import Task

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
MAX_LISTED = 40
_SHORT = {
    "ctx": "context", "sol": "solution", "opt": "option", "q": "question", "sent": "sentence", "msg": "message",
    "para": "paragraph", "hyp": "hypothesis", "prem": "premise", "desc": "description", "num": "number",
    "choice": "choice", "src": "source", "doc": "document", "eq": "equation", "expr": "expression",
}  # fmt: skip
_OPTION_NOUNS = (
    "solution", "ending", "option", "choice", "alternative", "continuation", "candidate", "completion", "statement",
    "response", "reply", "sentence", "cause", "effect", "summary", "title", "translation", "definition", "conclusion",
)  # fmt: skip
_TEXT_NOUNS = (
    "question", "message", "sentence", "review", "tweet", "comment", "email", "e-mail", "headline", "paragraph",
    "passage", "article", "document", "post", "query", "utterance", "request", "ticket", "abstract", "complaint",
    "statement", "text", "letter", "note", "report", "story", "description",
)  # fmt: skip
_KIND_NOUNS = (
    "department", "topic", "sentiment", "emotion", "intent", "genre", "type", "team", "tone", "mood", "polarity",
    "stance", "language", "queue",
)  # fmt: skip
_VERBS = set(
    "say read choose pick decide classify determine answer name find give write predict label identify select tell "
    "state judge assign work solve compute calculate translate summarise summarize extract convert rewrite complete "
    "fill guess rate mark sort match detect explain describe count list estimate infer recognise recognize check "
    "look take use provide produce generate evaluate assess compare tag categorise categorize report return "
    "distinguish spot correct continue finish put turn add combine simplify paraphrase shorten respond reply".split()
)


@dataclass(frozen=True)
class View:
    """A task as the grammar sees it.

    Attributes:
        texts: the slots that are no options, in the task's order.
        options: the slots of the options, in letter order; empty where they stand inside a text.
        nouns: slot -> what its content may be called.
        things: ``(singular, plural)`` pairs of what is chosen, options or kinds of label; the first three go with
            the description.
        labels: the label words, braces escaped.
        descriptions: sentences made from the task's description; empty without one.
        topic: what the description says before its colon, or "".
    """

    task: Task
    texts: tuple[str, ...]
    options: tuple[str, ...]
    nouns: dict[str, tuple[str, ...]]
    things: tuple[tuple[str, str], ...]
    labels: tuple[str, ...]
    descriptions: tuple[str, ...]
    topic: str

    @property
    def letters(self) -> tuple[str, ...]:
        """The letters of a choice."""
        return self.task.answers if self.task.type == "choice" else ()

    @property
    def can_list(self) -> bool:
        """Whether the labels are short enough to be listed."""
        return 0 < sum(len(label.split()) for label in self.labels) <= MAX_LISTED


def view(task: Task) -> View:
    """The view of a task."""
    options = _option_slots(task)
    texts = tuple(slot for slot in task.slots if slot not in options)
    described = " ".join(task.description.split())
    things: list[tuple[str, str]] = []
    if task.type == "choice":
        noun = _option_noun(task, options)
        known = [("option", "options"), ("option", "options"), ("alternative", "alternatives")]
        things = known if noun in ("", "option", "choice") else [(noun, plural(noun))] * 3 + known[:1]
    elif task.type == "label":
        noun = _first_noun(_KIND_NOUNS, described, r"\b{}s?\b")
        things = ([(noun, plural(noun))] * 3 if noun else []) + [*KINDS]
    topic, descriptions = _descriptions(escape(described), task)
    return View(
        task,
        texts,
        options,
        {slot: _nouns(task, slot, described, len(texts) == 1) for slot in task.slots},
        tuple(things),
        tuple(map(escape, task.answers)) if task.type == "label" else (),
        descriptions,
        topic,
    )


def words(seen: View, rng: random.Random, listed: bool, described: bool) -> dict[str, Sequence[str]]:
    """The task's words for one template, all that must stay the same throughout it drawn once."""
    task, count = seen.task, len(seen.task.answers)
    adjective = rng.choice(ADJECTIVES[task.type])
    things = seen.things[:3] if described else seen.things
    made: dict[str, Sequence[str]] = {
        "adj": (adjective,),
        "pred": (f"the {adjective} one" if " " in adjective else adjective,),
        "n": (NUMBERS[count] if count < len(NUMBERS) else str(count),),
        "has_text": ("",) if seen.texts else (),
        "listed": ("",) if listed else (),
        "listed_now": ("",) if seen.can_list and not listed else (),
        "single": ("",) if all(re.fullmatch(r"\w+", answer) for answer in task.answers) else (),
        "desc": seen.descriptions if described else (),
        "topic": (seen.topic,) if seen.topic else (),
    }
    if task.type == "choice":
        made |= dict(zip(("option", "options"), ((noun,) for noun in rng.choice(things)), strict=True))
        made |= {
            "letters_or": (joined(seen.letters, "or"),),
            "letters_and": (joined(seen.letters, "and"),),
            "letters_slash": ("/".join(seen.letters),),
            "the_rest": ("the other is" if count == 2 else "the others are",),
        }
    if task.type == "label":
        made |= dict(zip(("kind", "kinds"), ((noun,) for noun in rng.choice(things)), strict=True))
        shuffled = order(seen.labels, rng)
        made |= {
            "labels": (", ".join(shuffled), " / ".join(shuffled), "; ".join(shuffled)),
            "labels_or": (joined(shuffled, "or"),),
            "labels_and": (joined(shuffled, "and"),),
        }
    return made


def placed(made: Words, seen: View, nouns: Sequence[str], text_at: str, options_at: str) -> dict[str, Sequence[str]]:
    """``made`` with the words that depend on where things stand as seen from a sentence: above or below it.

    ``nouns`` are what the texts are called in this template.
    """
    options = made.get("options", ("options",))[0]
    texts: tuple[str, ...]
    again: tuple[str, ...]
    many: tuple[str, ...] = (f"the {options}", f"the {made['n'][0]} {options}")
    if seen.options:
        many += (f"the {options} {options_at}",) + ((f"the following {options}",) if options_at == "below" else ())
    if not nouns:
        texts, again = many, many[:1]
    elif len(nouns) > 3:
        texts, again = (f"the input {text_at}", f"the details {text_at}", "the input"), ("the input",)
    else:
        name = joined([the(noun) for noun in nouns], "and")
        texts, again = (name, f"{name} {text_at}"), (name,)
        if len(nouns) > 1:
            texts, again = (*texts, f"the input {text_at}"), ("the input",)
        elif name.startswith("the "):
            texts += (f"the following {nouns[0]}",) if text_at == "below" else (f"the {nouns[0]} shown above",)
    where: Words = {"the_options": many, "the_options_again": many[:1], "the_text": texts, "the_text_again": again}
    if not text_at:
        where = {**where, "the_options": many[:2], "the_text": again}
    return {**made, **where, "after_text": ("",) if text_at == "above" else ()}


def joined(parts: Sequence[str], word: str) -> str:
    """``a, b or c``."""
    return f" {word} ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def order(parts: Sequence[str], rng: random.Random) -> list[str]:
    """``parts`` in their own order or, as often, in another."""
    return list(parts) if rng.random() < 0.5 else rng.sample(list(parts), len(parts))


def the(noun: str) -> str:
    """``noun`` with an article, but for names such as "sentence 1"."""
    return noun if noun[-1].isdigit() or len(noun) == 1 else f"the {noun}"


def plural(noun: str) -> str:
    """The plural of a regular noun."""
    return noun[:-1] + "ies" if re.search(r"[^aeiou]y$", noun) else noun + "s"


def _option_slots(task: Task) -> tuple[str, ...]:
    """The slots of the options: those the task names; those called by their letters; else the last ones."""
    if task.type != "choice" or len(task.slots) < len(task.answers):
        return ()
    if task.choices:
        return task.choices
    if all(letter in task.slots for letter in task.answers):
        return task.answers
    return tuple(task.slots)[-len(task.answers) :]


def _spoken(slot: str) -> str:
    """A slot's name as words: ``sol1`` is "solution 1", ``userMessage`` is "user message"."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[^\W\d_])(?=\d)|_+", " ", slot).split()
    return slot if len(slot) == 1 and slot != "q" else " ".join(_SHORT.get(p.lower(), p.lower()) for p in apart) or slot


def _nouns(task: Task, slot: str, described: str, alone: bool) -> tuple[str, ...]:
    told = task.slots[slot]
    if not told or told.startswith("the text of column "):
        name = _spoken(slot)
        generic = alone and name in ("text", "input", "content", "body", "column 1")
        found = _first_noun(_TEXT_NOUNS, described, r"\b(?:an?|the|each|every)(?: [\w'-]+)?? (?:[\w'-]+ )?{}\b")
        return (found, found, name) if generic and found and task.type != "free" else (name,)
    brief = re.split(
        r"[,;(.]| (?:it|them|this|that)\b", re.sub(r"^(?:an?|the|one|some|each) ", "", told.strip(), flags=re.I)
    )[0].strip()
    brief = re.sub(r"(?: (?:of|with|on|in|from|about|for|to|and|or))+$", "", brief)
    last = brief.split()[-1] if brief else ""
    names = [escape(brief[:1].lower() + brief[1:])] if 0 < len(brief.split()) <= 4 else []
    if slot.lower() in brief.lower().split() or last == slot or not names:
        names += [_spoken(slot)] * 2
    head = re.match(r"(\w+) (?:of|with|on|in|from|about|for|to)\b", brief)
    return tuple(names + ([head[1].lower()] if head else []))


def _option_noun(task: Task, options: Sequence[str]) -> str:
    """What all options are called, by their descriptions or their names; "" where nothing is found."""
    spoken = [f"{task.slots[slot]} {_spoken(slot)}".lower() for slot in options]
    return next((noun for noun in _OPTION_NOUNS if spoken and all(re.search(rf"\b{noun}\b", s) for s in spoken)), "")


def _first_noun(nouns: Sequence[str], text: str, pattern: str) -> str:
    found = [(match.start(), noun) for noun in nouns if (match := re.search(pattern.format(noun), text, re.I))]
    return min(found, default=(0, ""))[1]


def _descriptions(text: str, task: Task) -> tuple[str, tuple[str, ...]]:
    """The topic, and sentences that hold the description; those that say "to ..." only for an instruction."""
    if not text:
        return "", ()
    topic, colon, rest = text.partition(": ")
    if not colon or len(topic.split()) > 4 or topic.split()[0].lower() in _VERBS:
        topic, rest = "", text
    brief = re.sub(r" ?\([^()]*\)", "", rest).strip()
    if task.type == "label" and ": " in brief and len(brief.partition(": ")[0].split()) > 5:
        brief = brief.partition(": ")[0]
    made: list[str] = []
    for body in dict.fromkeys((rest, brief, brief)):
        made += _sentences(body.strip().rstrip(".!"))
    return topic, tuple(made)


def _sentences(body: str) -> list[str]:
    if not body:
        return []
    end = "" if body.endswith("?") else "."
    stated, told = body[0].upper() + body[1:] + end, body[0].lower() + body[1:]
    if body.split()[0].lower() not in _VERBS or ". " in body or end == "":
        plain = [stated, stated]
        return plain if ":" in body else [*plain, f"Task: {stated}", f"Your task: {stated}", f"The task: {stated}"]
    frames = [
        "Please {}.",
        "Your task is to {}.",
        "You are asked to {}.",
        "I would like you to {}.",
        "The aim is to {}.",
    ]
    frames += ["This exercise asks you to {}.", "We need someone to {}.", "It is your job to {}.", "Try to {}."]
    if ":" not in body:
        frames += ["Could you {}?", "Here is what to do: {}.", "What you have to do: {}."]
    return [stated, stated, *(frame.replace("{}", told) for frame in frames)]
