"""The documentation says what the code does: links, commands, task files and Python names are checked."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

from paft.cli.main import find_verb
from paft.cli.parser import Parser
from paft.cli.verb import SimpleVerb
from paft.tasks import load_task

ROOT = Path(__file__).resolve().parents[1]
PAGES = [p for p in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if p.is_file()]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(kind: str) -> list[tuple[str, str]]:
    """``(page, text)`` of every fenced block of one kind."""
    return [
        (page.name, found[2])
        for page in PAGES
        for found in BLOCK.finditer(page.read_text(encoding="utf-8"))
        if found[1] == kind
    ]


def commands() -> list[tuple[str, str]]:
    """``(page, call)`` of every ``paft`` command in a shell block, continued lines joined."""
    joined = [(page, text.replace("\\\n", " ")) for page, text in blocks("sh")]
    return [(page, line.strip()) for page, text in joined for line in text.splitlines() if line.startswith("paft ")]


@cache
def anchors(page: Path) -> set[str]:
    """The anchors that the headings of a page make."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_page_of_the_command_line_is_up_to_date():
    tool = [sys.executable, str(ROOT / "tools" / "cli_pages.py"), "--check"]
    done = subprocess.run(tool, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", text) + re.findall(r'src="(?!https?:)([^"]+)"', text):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


@pytest.mark.parametrize(("page", "call"), commands())
def test_commands_have_the_flags_they_use(page, call):
    words = shlex.split(call, comments=True)
    if words[1:] in ([], ["--help"], ["--version"]):
        return
    verb, rest = find_verb(words[1:])
    groups = verb._groups() if isinstance(verb, SimpleVerb) else import_module(type(verb).__module__)._groups()
    Parser(verb.name, groups).parse(rest)


@pytest.mark.parametrize(("page", "text"), [b for b in blocks("yaml") if re.search(r"^type:", b[1], re.MULTILINE)])
def test_task_files_are_valid(page, text, tmp_path):
    path = tmp_path / "task.yaml"
    path.write_text(text, encoding="utf-8")
    assert load_task(path).slots


@pytest.mark.parametrize(("page", "text"), blocks("python"))
def test_python_names_exist(page, text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "paft":
            module = import_module(node.module)
            assert [name.name for name in node.names if not hasattr(module, name.name)] == []
