"""Prompt templates and sets of them: read, check, compare, split, import. Knows no model."""

from __future__ import annotations

from paft.prompts.bundled import find_prompts, load_prompts
from paft.prompts.check import CheckReport, Problem, check, check_file
from paft.prompts.diversity import Diversity, Spread, diversity
from paft.prompts.exporting import ExportReport, export_prompts
from paft.prompts.importing import ImportReport, import_prompts
from paft.prompts.layout import Layout, layout
from paft.prompts.mmd import Discrepancy, discrepancy
from paft.prompts.overlap import Overlap, overlap
from paft.prompts.prompt import Prompt
from paft.prompts.prompt_set import PromptSet
from paft.prompts.show import PromptRow, show_rows
from paft.prompts.sides import Nearest, Sides, compare_sides
from paft.prompts.similarity import similarity
from paft.prompts.split import SplitResult
from paft.prompts.stratify import Stratum
from paft.prompts.template import Message, Template, escape

__all__ = [
    "CheckReport",
    "Discrepancy",
    "Diversity",
    "ExportReport",
    "ImportReport",
    "Layout",
    "Message",
    "Nearest",
    "Overlap",
    "Problem",
    "Prompt",
    "PromptRow",
    "PromptSet",
    "Sides",
    "SplitResult",
    "Spread",
    "Stratum",
    "Template",
    "check",
    "check_file",
    "compare_sides",
    "discrepancy",
    "diversity",
    "escape",
    "export_prompts",
    "find_prompts",
    "import_prompts",
    "layout",
    "load_prompts",
    "overlap",
    "show_rows",
    "similarity",
]
