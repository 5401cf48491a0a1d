"""The report as one HTML file that opens from disk: no network, no framework, nothing that a text could run."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from paft.errors import InputError
from paft.experiments import paper
from paft.experiments.axes import AXES
from paft.files import atomic_writer
from paft.report.comparison import Comparison
from paft.report.page_data import task_data
from paft.report.page_text import cut

SCRIPTS = ("core", "view", "overview", "points", "prompts", "worst", "heatmap", "wording", "ablations", "facts", "main")
LONG = 20_000  # characters of a configuration or an error
_UNSAFE = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}
_PLACE = re.compile(r"%%(\w+)%%")


def write_page(comparison: Comparison, path: Path) -> Path:
    """Write the page of a comparison.

    Args:
        comparison: with at least one record that is no variant for each task shown.

    Returns:
        ``path``.

    Raises:
        InputError: a comparison with nothing but variants.
        DataError: records of a task that cannot be compared.
        OutputError: the file cannot be written.
    """
    data = page_data(comparison)
    script, style = _script(), _resource("page.css")
    first = data["tasks"][0]
    parts = {
        "policy": html.escape(policy(script, style)),
        "title": html.escape("paft: " + ", ".join(task["name"] for task in data["tasks"])),
        "style": style,
        "script": script,
        "data": embedded(data),
        "task": html.escape(first["name"]),
        "verdict": html.escape(first["verdict"][0]),
    }
    page = _PLACE.sub(lambda place: parts[place[1]], _resource("page.html"))
    with atomic_writer(path) as out:
        out.write(page)
    return path


def page_data(comparison: Comparison) -> dict[str, Any]:
    """What the page's script reads: the tasks, and what is told once for all of them."""
    names = [name for name in comparison.tasks if comparison.methods(name)]
    if not names:
        raise InputError("a page needs records of a comparison; found none, or only variants")
    share = 1 / len(names)
    return {
        "tasks": [task_data(comparison, name, share) for name in names],
        "about": [_about(each) for each in comparison.about],
        "failures": [_failure(each) for each in comparison.failures],
        "paper": _paper(),
        "axes": [[key, axis.label, axis.nothing] for key, axis in AXES.items()],
    }


def embedded(value: Any) -> str:
    """``value`` as JSON that can stand inside a script element: nothing in it ends the element or a line."""
    whole = json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return whole.translate(_UNSAFE)


def _finite(value: Any) -> Any:
    """``value`` with None in the place of numbers that are none; JSON has no word for them."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def policy(script: str, style: str) -> str:
    """The Content-Security-Policy: this one script, this one style sheet, and nothing else."""
    return (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode()


def _script() -> str:
    body = "\n".join(_resource(f"{name}.js") for name in SCRIPTS)
    return f'(() => {{\n"use strict";\n{body}}})();\n'


def _resource(name: str) -> str:
    return (files("paft.resources") / "report" / name).read_text(encoding="utf-8")


def _about(about: Mapping[str, Any]) -> dict[str, Any]:
    config = json.dumps(about.get("config") or {}, ensure_ascii=False, indent=2)
    environment = about.get("environment") or {}
    return {
        "command": cut(about.get("command") or "", 2000),
        "config": cut(config, LONG),
        "environment": [[cut(key, 80), cut(value, 400)] for key, value in environment.items()],
    }


def _failure(failure: Mapping[str, Any]) -> dict[str, str]:
    row = {key: cut(failure.get(key, ""), 200) for key in ("task", "method", "seed")}
    variant = ", ".join(f"{key} {value}" for key, value in (failure.get("variant") or {}).items())
    return row | {"variant": cut(variant, 300), "error": cut(failure.get("error") or "", 2000)}


def _paper() -> dict[str, Any]:
    """The paper's Table 1 and what does not add up in it."""
    tasks = [*paper.TASKS, paper.AVERAGE]
    rows = [{"method": m, "scores": [list(scores[t]) for t in tasks]} for m, scores in paper.ACCURACY.items()]
    remarks = [remark.text for remark in paper.REMARKS if 1 in remark.tables]
    return {"source": paper.SOURCE, "model": paper.MODEL, "tasks": tasks, "rows": rows, "remarks": remarks}
