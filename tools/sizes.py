"""Report files and functions that have grown too long; fails above the hard limits.

python tools/sizes.py
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

FILE_LIMIT, FUNCTION_LIMIT = 350, 60
ROOT = Path(__file__).resolve().parents[1]


def functions(tree: ast.AST) -> list[tuple[str, int]]:
    """``(name, lines)`` of every function of a module; signature and docstring are not counted."""
    out = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            out.append((node.name, (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0))
    return out


def main() -> int:
    files: list[tuple[int, str]] = []
    long: list[tuple[int, str]] = []
    for path in sorted((ROOT / "src").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        name = str(path.relative_to(ROOT))
        files.append((text.count("\n"), name))
        long += [(size, f"{name}:{function}") for function, size in functions(ast.parse(text))]
    print(f"{len(files)} files, {sum(n for n, _ in files)} lines; longest files and functions:")
    for lines, name in sorted(files, reverse=True)[:5] + sorted(long, reverse=True)[:5]:
        print(f"  {lines:4}  {name}")
    bad = [f"{name}: {n} lines, at most {FILE_LIMIT}" for n, name in files if n > FILE_LIMIT]
    bad += [f"{name}: {n} lines, at most {FUNCTION_LIMIT}" for n, name in long if n > FUNCTION_LIMIT]
    print("\n".join(bad), file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
