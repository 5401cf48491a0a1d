"""Which templates are taken: those that ``check`` finds nothing wrong with, and that are not there yet."""

from __future__ import annotations

from collections.abc import Iterable

from paft.errors import TemplateError
from paft.prompts.check import ERRORS
from paft.prompts.generation.asking import Refused
from paft.prompts.rules import findings
from paft.prompts.similarity import collapse, comparable, similar_across
from paft.prompts.template import Template
from paft.tasks.base import Task

REFUSED = (*ERRORS, "repeated-slot", "no-cue", "literal-newline", "too-long")


class Judge:
    """Takes or refuses one template after another; remembers those it took.

    Args:
        there: templates that stand already: new ones must differ from them as well.
        threshold: similarity from which a template counts as there already.
        language: the rule ``no-cue`` goes by English words and is left out for other languages.
    """

    def __init__(
        self, task: Task, there: Iterable[Template], threshold: float = 0.9, language: str = "English"
    ) -> None:
        self._task = task
        self._threshold = threshold
        self._codes = [code for code in REFUSED if code != "no-cue" or language.casefold() == "english"]
        self._there: list[str] = []
        self._plain: set[str] = set()
        for template in there:
            self._remember(template)

    def judge(self, text: str) -> Template | Refused:
        """The template, which is remembered; or why it is not taken."""
        try:
            template = Template.parse(text)
        except TemplateError as bad:
            return Refused(text, "empty" if bad.code == "empty" else "bad-syntax", str(bad))
        for finding in findings(template, self._task):
            if finding.code in self._codes:
                return Refused(text, finding.code, finding.message)
        if collapse(template.plain) in self._plain:
            return Refused(text, "duplicate", "it stands already")
        near = [pair.similarity for pair in similar_across([comparable(template)], self._there, self._threshold)]
        if near:
            return Refused(text, "near-duplicate", f"{max(near):.2f} similar to one that stands already")
        self._remember(template)
        return template

    def _remember(self, template: Template) -> None:
        self._there.append(comparable(template))
        self._plain.add(collapse(template.plain))
