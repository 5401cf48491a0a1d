"""How a template of the grammar is laid out: the order and look of its parts, from a design drawn at random."""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass

from paft.prompts.generation.grammar_phrases import MARKS, expand, rules
from paft.prompts.generation.grammar_words import View, joined, order, placed, the, words

FORMS: tuple[str, ...] = ("lines",) * 9 + ("paragraph",) * 5 + ("woven",) * 6 + ("sections",) * 3
FORMS += ("tags", "json", "json", "yaml", "dialogue", "dialogue")
PLACES = ("before",) * 5 + ("after",) * 3 + ("around",) * 3 + ("middle",) * 2 + ("none",)
LETTERED = ("%. ", "%) ", "(%) ", "[%] ", "%: ", "% - ", "% = ", "**%.** ", "Option %: ", "% | ", "<%> ", "% -> ")
WOVEN = ("(%) ", "(%) ", "%) ", "[%] ", "%: ", "% - ")
BULLETS = ("- %: ", "* %) ", "- (%) ")
GAPS = ("\n", "\n", "\n", "\n\n", "\n\n", "\n\n", "\n---\n", "\n***\n", "\n====\n", "\n\n---\n\n")
QUOTES = ('"#"', '"#"', "“#”", "'#'", "«#»", "<<< # >>>")
HEADED = ("@: #",) * 5 + ("@:\n#", "**@:** #", "[@] #", "@ = #", "- @: #", "@ - #", '@: "#"', "@ | #", "> @: #")
SECTIONS = ("### @", "## @", "# @", "== @ ==", "[@]", "**@**", "--- @ ---")
SPEAKERS = (
    ("User", "Assistant"), ("Teacher", "Pupil"), ("Host", "Contestant"), ("Q", "Reply"), ("Colleague", "You"),
    ("Examiner", "Candidate"), ("Client", "Expert"), ("Me", "You"), ("Editor", "Annotator"),
)  # fmt: skip

_BULLET = re.compile(r"^[-*+>] ")
_TOLD = re.compile(r"^(?:Your |The )?task: ", re.I)


@dataclass(frozen=True)
class Design:
    """What was drawn for one template.

    Attributes:
        form: one of ``FORMS``.
        place: where the instruction stands, one of ``PLACES``.
        texts, options: the slots in the order in which they are printed; each option keeps its letter.
        options_first: whether options or listed labels stand before the texts.
        mark: how an option is marked, with ``%`` for its letter.
        labels_at: where label words are listed: ``none``, ``sentence`` or ``block``.
        cue: the last words, or "" to draw them.
    """

    form: str
    place: str
    texts: tuple[str, ...]
    options: tuple[str, ...]
    options_first: bool
    mark: str
    labels_at: str
    cue: str = ""


def draw_design(seen: View, rng: random.Random) -> Design:
    """A design, every part drawn by itself."""
    form = rng.choice(FORMS)
    texts, options = list(seen.texts), list(seen.options)
    if rng.random() < 0.3:
        rng.shuffle(texts)
    if rng.random() < 0.04:
        options.reverse()
    marks = WOVEN if form == "woven" else LETTERED if form != "lines" or rng.random() < 0.8 else BULLETS
    labels_at = rng.choice(("none", "none", "sentence", "sentence", "block")) if seen.can_list else "none"
    first = rng.random() < 0.2 and form not in ("dialogue", "sections")
    return Design(form, rng.choice(PLACES), tuple(texts), tuple(options), first, rng.choice(marks), labels_at)


def compose(seen: View, design: Design, rng: random.Random) -> str:
    """The template of a design; what the design leaves open is drawn."""
    return _Writer(seen, design, rng).write()


class _Writer:
    """Writes one template: the words that must agree throughout are drawn once."""

    def __init__(self, seen: View, design: Design, rng: random.Random) -> None:
        self.seen, self.design, self.rng = seen, design, rng
        self.rules = rules(seen.task.type)
        self.words = words(seen, rng, design.labels_at != "none", rng.random() < 0.45)
        self.names = {slot: rng.choice(seen.nouns[slot]) for slot in seen.task.slots}
        self.thing = next((self.words[key][0] for key in ("option", "kind") if key in self.words), "")
        self.mark = design.mark.replace("Option", self.thing.capitalize())

    def write(self) -> str:
        """The whole template."""
        forms = {"woven": self._woven, "json": self._json, "yaml": self._yaml, "tags": self._tags}
        forms |= {"sections": self._sections, "dialogue": self._dialogue}
        form = self.design.form
        if form == "woven" and self.seen.letters and not self.design.options:
            form = "lines"  # the sentences of a choice hold its options
        return forms.get(form, self._plain)().rstrip(" \t")

    # sentences

    def say(self, rule: str, text_at: str = "below", options_at: str = "below", **more: str) -> str:
        """A sentence, or several, of a rule, seen from where it stands."""
        made = placed(self.words, self.seen, [self.names[slot] for slot in self.seen.texts], text_at, options_at)
        return expand(rule, self.rules, {**made, **{name: (text,) for name, text in more.items()}}, self.rng)

    def named(self, rule: str, text_at: str, options_at: str) -> str:
        """A sentence of a rule, and one that names the labels where the design puts them in a sentence."""
        said = self.say(rule, text_at, options_at)
        if self.design.labels_at == "sentence" and rule in ("before", "after", "first", "middle"):
            return f"{said} {self.say('naming', text_at)}"
        return said

    def cue(self) -> str:
        """The last words of the template."""
        return self.design.cue or self.say("cue", "above", "above", mark=self.rng.choice(MARKS))

    def ended(self, body: str, gap: str) -> str:
        """``body`` and a cue, which asks nothing where the body has just asked."""
        cue = self.cue()
        if cue.endswith("?") and body.endswith("?"):
            cue = self.say("noun") + ":"
        return body + gap + cue

    def head(self, slot: str) -> str:
        """A heading for a slot."""
        name = self.names[slot]
        if len(self.seen.texts) == 1 and self.rng.random() < 0.12:
            return self.rng.choice(("Input", "Given", "Item", "Data"))
        return name[0].upper() + name[1:]

    # blocks

    def text_block(self, joiner: str) -> str:
        """The slots that are no options, with headings in one style."""
        slots = self.design.texts
        bare = len(slots) == 1 and self.rng.random() < 0.3
        style = self.rng.choice(("#", *QUOTES) if joiner == " " or self.rng.random() < 0.4 else ("#",))
        if not bare:
            style = self.rng.choice([s for s in HEADED if joiner == "\n" or (s[0] not in "->" and "\n" not in s)])
            style = style if len(slots) > 1 else style.removeprefix("- ")
        if self.rng.random() < 0.12 and not bare:
            return joiner.join(style.replace("@", self.head(s).upper()).replace("#", f"{{{s}}}") for s in slots)
        return joiner.join(style.replace("@", self.head(s)).replace("#", f"{{{s}}}") for s in slots)

    def marked(self) -> list[str]:
        """Each option behind its letter."""
        letters = dict(zip(self.seen.options, self.seen.letters, strict=True))
        return [self.mark.replace("%", letters[slot]) + f"{{{slot}}}" for slot in self.design.options]

    def inline(self, word: str) -> str:
        """The options in one line, joined by ``word``, or by that or a mark where it is ""."""
        parts = [_BULLET.sub("", part) for part in self.marked()]
        if word or self.rng.random() < 0.5:
            return joined(parts, word or "or")
        return self.rng.choice(("; ", ", ", " / ")).join(parts)

    def list_block(self, joiner: str) -> str:
        """The options or, where the design lists them in a block, the labels; "" where there are none."""
        if self.design.options:
            items, bulleted = self.marked(), self.mark in BULLETS
        elif self.seen.labels and self.design.labels_at == "block":
            bulleted, bullet = False, "" if joiner == " " else self.rng.choice(("- ", "* ", "", "+ ", "> "))
            items = [bullet + label for label in order(self.seen.labels, self.rng)]
        else:
            return ""
        flat = joiner == " " or (not bulleted and self.rng.random() < 0.25)
        between = ("; ", ", ", " | ") if self.seen.labels else ("; ", " ", " / ", "   ")
        body = self.rng.choice(between).join(_BULLET.sub("", item) for item in items) if flat else "\n".join(items)
        if self.seen.labels or self.rng.random() < 0.55:
            return self.say("list_head") + (": " if flat else ":\n") + body
        return body

    # forms

    def _plain(self) -> str:
        """Lines, or one paragraph: title, instruction, blocks and cue."""
        flat = self.design.form == "paragraph"
        blocks = self._blocks(" " if flat else "\n")
        rng = self.rng
        if not flat and rng.random() < 0.12 and self.design.place != "none":
            title = self.say("title")
            blocks.insert(0, title if rng.random() < 0.6 else title.upper())
        gap = " " if flat else rng.choice(GAPS)
        end = rng.choice((" ", "\n", "\n")) if flat else rng.choice((gap, "\n"))
        ended = self.design.place in ("after", "around") and blocks[-1].endswith(("?", "."))
        if ended and rng.random() < 0.3 and not self.design.cue:
            return gap.join(blocks)
        return self.ended(gap.join(blocks), end)

    def _blocks(self, joiner: str) -> list[str]:
        """Texts and list in the design's order, with the instruction in its place."""
        design = self.design
        parts = [part for part in (self.text_block(joiner) if design.texts else "", self.list_block(joiner)) if part]
        if design.options_first:
            parts.reverse()
        place = "around" if design.place == "middle" and len(parts) < 2 else design.place
        if place == "before":
            return [self.named("before", "below", "below"), *parts]
        if place == "after":
            return [*parts, self.named("after", "above", "above")]
        if place == "around":
            return [self.named("first", "below", "below"), *parts, self.say("last", "above", "above")]
        if place == "middle":
            at = ("below", "above") if design.options_first else ("above", "below")
            return [parts[0], self.named("middle", *at), parts[1]]
        if design.labels_at == "sentence":
            return [*parts, self.say("naming", "above")]
        return parts

    def _woven(self) -> str:
        """The slots inside a sentence."""
        rng, design = self.rng, self.design
        quote = rng.choice(QUOTES[:4])
        called = [f"{the(self.names[s])} {quote.replace('#', f'{{{s}}}')}" for s in design.texts]
        rule = "woven" if called else "woven_alone"
        options = {"inline": "", "inline_or": "or", "inline_and": "and"} if design.options else {}
        lists = {name: self.inline(word) for name, word in options.items()}
        said = self.say(rule, "", "", quoted=joined(called, "and"), **lists)
        said = said[0].upper() + said[1:]
        start = ""
        if design.place in ("before", "around"):
            start = self.say(rng.choice(("persona", "greeting", "scene", "manner", "form"))) + rng.choice((" ", "\n"))
        if design.labels_at != "none":
            start += self.say("naming") + rng.choice((" ", "\n"))
        if not said.endswith(("?", ".")):
            return start + said
        if design.place == "after" and not design.cue and rng.random() < 0.5:
            return start + said + " " + self.say("form", "above", "above")
        return self.ended(start + said, rng.choice((" ", "\n", "\n\n")))

    def _sections(self) -> str:
        """Every part under a heading; the answer's heading comes last."""
        rng = self.rng
        style = rng.choice(SECTIONS)
        parts: list[tuple[str, str]] = [(self.head(slot), f"{{{slot}}}") for slot in self.design.texts]
        if self.design.options:
            parts.append((self.words["options"][0].capitalize(), "\n".join(self.marked())))
        elif self.design.labels_at == "block":
            listed = rng.choice(("\n", ", ")).join(order(self.seen.labels, rng))
            parts.append((self.words["kinds"][0].capitalize(), listed))
        told = rng.choice(("Task", "Instruction", "What to do", "Your task", "Directions", "Note", "Request"))
        if self.design.place in ("after", "middle"):
            parts.append((told, _TOLD.sub("", self.named("after", "above", "above"))))
        elif self.design.place != "none" or self.design.labels_at == "sentence":
            parts.insert(0, (told, _TOLD.sub("", self.named("before", "below", "below"))))
        gap = rng.choice(("\n", "\n\n"))
        body = gap.join(f"{style.replace('@', head)}\n{text}" for head, text in parts)
        if self.design.cue or rng.random() < 0.3:
            return f"{body}{gap}{self.cue()}"
        return f"{body}{gap}{style.replace('@', self.say('noun'))}\n"

    def _dialogue(self) -> str:
        """Somebody asks and somebody is about to answer."""
        rng = self.rng
        asks, answers = rng.choice(SPEAKERS)
        self.words |= {"persona": (), "greeting": ()}  # the speakers have parts of their own
        joiner = rng.choice((" ", "\n"))
        body = joiner.join(self._blocks(joiner))
        last = rng.choice(("", "", self.say("broken", "above", "above")))
        gap = rng.choice(("\n", "\n\n"))
        return f"{asks}: {body}{gap}{answers}: {last}"

    def _fields(self) -> tuple[str, list[tuple[str, str | list[tuple[str, str]]]], str]:
        """For the forms with keys: what stands before, the fields, and the key of the answer."""
        rng, taken = self.rng, set(self.seen.task.slots)
        fields: list[tuple[str, str | list[tuple[str, str]]]] = [(s, f"{{{s}}}") for s in self.design.texts]
        if self.design.options:
            letters = dict(zip(self.seen.options, self.seen.letters, strict=True))
            fields.append((self._key("options", taken), [(letters[s], f"{{{s}}}") for s in self.design.options]))
        elif self.design.labels_at == "block":
            fields.append((self._key("labels", taken), ", ".join(order(self.seen.labels, rng))))
        if self.design.options_first:
            fields.reverse()
        before = ""
        said = self.named(rng.choice(("before", "first")), "below", "below")
        if self.design.place in ("after", "none") and '"' not in said:
            fields.insert(0, (self._key(rng.choice(("task", "instruction", "note")), taken), _TOLD.sub("", said)))
        else:
            before = said + rng.choice(("\n", "\n\n"))
        keys = {"choice": ("answer", "choice", "letter"), "label": ("answer", "label", "result")}
        return before, fields, self._key(rng.choice(keys.get(self.seen.task.type, ("answer", "output"))), taken)

    @staticmethod
    def _key(name: str, taken: set[str]) -> str:
        return f"{name}_" if name in taken else name

    def _json(self) -> str:
        before, fields, answer = self._fields()
        wide = self.rng.random() < 0.5
        lines = []
        for key, value in fields:
            if isinstance(value, str):
                lines.append(f'"{key}": {_quoted(value)}')
            else:
                inner = ", ".join(f'"{letter}": {_quoted(text)}' for letter, text in value)
                lines.append(f'"{key}": {{{{{inner}}}}}')
        gap = "\n  " if wide else " "
        opening = "{{\n  " if wide else "{{"
        return f'{before}{opening}{f",{gap}".join(lines)},{gap}"{answer}":'

    def _yaml(self) -> str:
        before, fields, answer = self._fields()
        lines = []
        for key, value in fields:
            if isinstance(value, str):
                lines.append(f"{key}: {value}")
            else:
                lines += [f"{key}:", *(f"  {letter}: {text}" for letter, text in value)]
        return before + "\n".join([*lines, f"{answer}:"])

    def _tags(self) -> str:
        before, fields, answer = self._fields()
        lines = []
        for key, value in fields:
            if not isinstance(value, str):
                value = "".join(f"\n<{letter}>{text}</{letter}>" for letter, text in value) + "\n"
            lines.append(f"<{key}>{value}</{key}>")
        return before + "\n".join([*lines, f"<{answer}>"])


def _quoted(value: str) -> str:
    """``value`` as a JSON string; braces stay as they are."""
    return json.dumps(value, ensure_ascii=False)
