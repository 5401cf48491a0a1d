"""Prompt templates and sets of them: read, check, compare, split, import. Knows no model."""

from __future__ import annotations

from paft.prompts.check import CheckReport, Problem, check, check_file
from paft.prompts.importing import ImportReport, import_prompts
from paft.prompts.overlap import Overlap, overlap
from paft.prompts.prompt import Prompt
from paft.prompts.prompt_set import PromptSet
from paft.prompts.show import PromptRow, show_rows
from paft.prompts.similarity import similarity
from paft.prompts.split import SplitResult
from paft.prompts.template import Message, Template, escape

__all__ = [
    "CheckReport",
    "ImportReport",
    "Message",
    "Overlap",
    "Problem",
    "Prompt",
    "PromptRow",
    "PromptSet",
    "SplitResult",
    "Template",
    "check",
    "check_file",
    "escape",
    "import_prompts",
    "overlap",
    "show_rows",
    "similarity",
]
