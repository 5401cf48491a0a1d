"""Guards on the shape of the code: what has grown too long, too wide or too entangled. Fails on what is not known.

python tools/sizes.py
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

FILE_LIMIT, FUNCTION_LIMIT = 350, 60  # lines; no exceptions
LONG, PARAMETERS, FILES = 40, 8, 18  # lines of a function, its parameters, files of a folder; but for those below
ROOT = Path(__file__).resolve().parents[1]

ONE_FILE_A_VERB = {"paft/cli"}  # as many files as there are verbs, each with a class Options
ENTRY_POINTS = {"sweep", "train", "select_prompt"}  # what users call: their options are parameters

# What does not pass yet, to be emptied; nothing may be added.
KNOWN_FOLDERS = {"paft/prompts", "paft/report", "paft/tasks", "paft/training"}
KNOWN_CLASSES = {
    "Asked", "Batch", "Cell", "Estimate", "Generated", "Options", "Pair", "Read", "Row", "Score", "Scored",
    "Spread", "Usage",
}  # fmt: skip
KNOWN_CYCLES = {"paft.evaluation", "paft.prompts", "paft.tasks"}  # packages that hold one
KNOWN_FUNCTIONS = {
    "cli.sweep:run", "evaluation:predict", "evaluation:open_vllm", "prompts:generate_prompts", "report:task_data",
    "training:__init__", "training:describe_work", "training:settle_job",
    "training:packed_attention", "training:varlen_attention",
}  # fmt: skip


@dataclass(frozen=True)
class Function:
    """Its module and name, its lines without signature and docstring, and its parameters without ``self``."""

    module: str
    name: str
    lines: int
    parameters: int

    @property
    def key(self) -> str:
        """``training:describe_work``: the part it is in, so that a move within the part changes nothing."""
        parts = self.module.split(".")[1:]
        return f"{'.'.join(parts[: 2 if parts[:1] == ['cli'] else 1])}:{self.name}"


def functions(module: str, tree: ast.AST) -> list[Function]:
    """Every function of a module."""
    out = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
            given = node.args
            names = [a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
            count = len(names) - (names[:1] in (["self"], ["cls"])) + bool(given.vararg) + bool(given.kwarg)
            out.append(Function(module, node.name, lines, count))
    return out


def imports(name: str, tree: ast.AST, known: Iterable[str]) -> set[str]:
    """The modules of ``known`` that a module imports anywhere: in functions and under TYPE_CHECKING too."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            parts = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {part if part in known else node.module for part in parts}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {each for each in found if each in known and each != name}


def cycles(edges: Mapping[str, set[str]]) -> list[list[str]]:
    """The sets of modules that reach each other."""
    reach: dict[str, set[str]] = {}
    for start in edges:
        seen, ahead = set[str](), [start]
        while ahead:
            new = edges[ahead.pop()] - seen
            seen |= new
            ahead += new
        reach[start] = seen
    found = {tuple(sorted(b for b in reach[a] if a in reach[b])) for a in edges if a in reach[a]}
    return [list(each) for each in sorted(found)]


def folders_too_full(modules: Mapping[str, Path], src: Path) -> list[tuple[str, str]]:
    """``(folder, what is wrong)``."""
    counts = Counter(path.parent.relative_to(src).as_posix() for path in modules.values())
    return [
        (folder, f"{folder}: {count} files, at most {FILES}")
        for folder, count in sorted(counts.items())
        if count > FILES and folder not in ONE_FILE_A_VERB
    ]


def classes_of_one_name(trees: Mapping[str, ast.Module]) -> list[tuple[str, str]]:
    """``(name, what is wrong)`` of public classes; each verb has its own Options."""
    homes: dict[str, dict[str, None]] = {}
    for module, tree in trees.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                verb = node.name == "Options" and module.startswith("paft.cli.")
                homes.setdefault(node.name, {})["paft.cli" if verb else module] = None
    return [(name, f"class {name} stands in {', '.join(at)}") for name, at in sorted(homes.items()) if len(at) > 1]


def modules_in_a_circle(trees: Mapping[str, ast.Module]) -> list[tuple[str, str]]:
    """``(package, what is wrong)`` of modules that import each other."""
    edges = {name: imports(name, tree, trees.keys()) for name, tree in trees.items()}
    found = []
    for circle in cycles(edges):
        packages = {".".join(name.split(".")[:2]) for name in circle}
        found.append((packages.pop() if len(packages) == 1 else "paft", f"import each other: {', '.join(circle)}"))
    return found


def large_functions(found: Iterable[Function]) -> list[tuple[str, str]]:
    """``(key, what is wrong)``; entry points may have many parameters."""
    bad = []
    for each in sorted(found, key=lambda f: (f.module, f.name)):
        where = f"{each.module}:{each.name}"
        if each.lines > LONG and each.name not in ENTRY_POINTS:
            bad.append((each.key, f"{where}: {each.lines} lines, at most {LONG}"))
        if each.parameters > PARAMETERS and each.name not in ENTRY_POINTS:
            bad.append((each.key, f"{where}: {each.parameters} parameters, at most {PARAMETERS}"))
    return bad


def unknown(found: Iterable[tuple[str, str]], known: set[str], where: str) -> list[str]:
    """What is wrong and not known to be; says what is known and passes by now."""
    found = list(found)
    if passed := known - {key for key, _ in found}:
        print(f"passes by now, take it out of {where}: {', '.join(sorted(passed))}")
    for key, what in found:
        if key in known:
            print(f"known: {what}")
    return [what for key, what in found if key not in known]


def problems(src: Path) -> list[str]:
    """What is wrong with the code under ``src``; prints the largest, and what is known."""
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(src.rglob("*.py"))}
    modules = {".".join(p.relative_to(src).with_suffix("").parts).removesuffix(".__init__"): p for p in texts}
    trees = {name: ast.parse(texts[path]) for name, path in modules.items()}
    files = [(texts[path].count("\n"), path.relative_to(src).as_posix()) for path in texts]
    all_functions = [f for name, tree in trees.items() for f in functions(name, tree)]
    long = [(f.lines, f"{f.module}:{f.name}") for f in all_functions]
    print(f"{len(files)} files, {sum(n for n, _ in files)} lines; longest files and functions:")
    for lines, name in sorted(files, reverse=True)[:5] + sorted(long, reverse=True)[:5]:
        print(f"  {lines:4}  {name}")
    bad = [f"{name}: {n} lines, at most {FILE_LIMIT}" for n, name in files if n > FILE_LIMIT]
    bad += [f"{name}: {n} lines, at most {FUNCTION_LIMIT}" for n, name in long if n > FUNCTION_LIMIT]
    bad += unknown(folders_too_full(modules, src), KNOWN_FOLDERS, "KNOWN_FOLDERS")
    bad += unknown(classes_of_one_name(trees), KNOWN_CLASSES, "KNOWN_CLASSES")
    bad += unknown(modules_in_a_circle(trees), KNOWN_CYCLES, "KNOWN_CYCLES")
    return bad + unknown(large_functions(all_functions), KNOWN_FUNCTIONS, "KNOWN_FUNCTIONS")


def main() -> int:
    bad = problems(ROOT / "src")
    print("\n".join(bad), file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
