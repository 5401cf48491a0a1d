"""``paft compare``: methods x seeds on one task or several, and ablations; resumable, by as many processes as like."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paft.cli.options import option
from paft.cli.quiet import console, hush_weights, say, say_err
from paft.cli.verb import SimpleVerb
from paft.defaults import METHODS
from paft.errors import InputError
from paft.files import read_json
from paft.prompts import find_prompts
from paft.tasks import load_task

if TYPE_CHECKING:
    from paft.experiments.comparing import Compared, Event
    from paft.experiments.grid import Ablation, Grid, Sweeping


@dataclass(kw_only=True)
class Options:
    """Flags of ``paft compare``; with several tasks, what they share."""

    output: str = option("folder for records, runs and sweeps; one that holds cells is continued", metavar="DIR")
    model: str = option("hub id, local folder or 'embedded'", "")
    task: str | None = option("name from the catalogue, or a task YAML; with tasks, the one of them to do", None)
    data: str | None = option("hub id, file or folder of the rows; with tasks, the folder their data stand in", None)
    prompts: str = option("the training prompts: JSON lines, or 'bundled'", "bundled", metavar="FILE")
    unseen: str = option("the prompts to measure with: JSON lines, or 'bundled:test'", "bundled:test", metavar="FILE")
    user_prompt: str | None = option("the one human prompt, as text; by default the task's own", None, metavar="TEXT")
    usage: str | None = option("the .usage.json of generated prompts, for the report", None, metavar="FILE")
    methods: list[str] = option("which methods; by default all seven", METHODS)
    seeds: list[int] = option("seeds of every method that trains", (0,))
    split: str = option("which rows are swept: train, validation or test", "test")
    limit: int | None = option("sweep a uniform sample of so many examples", None)
    train: dict[str, Any] | None = option("config file: options of paft train for every method", None)
    sweep: dict[str, Any] | None = option("config file: options of paft sweep for every method", None)
    select: dict[str, Any] | None = option("config file: options of paft select by method", None)
    sweeps: dict[str, Any] | None = option("config file: further prompts to measure with, name: FILE", None)
    ablations: list[dict] | None = option("config file: a list of settings with the values to try", None)
    tasks: list[dict] | None = option("config file: a list of tasks, each with keys that differ from the rest", None)
    date: str | None = option(
        "the day that a chat template takes for today; by default as the folder was begun, else today",
        None,
        metavar="YYYY-MM-DD",
    )
    dry_run: bool = option("say what would be done and how long it would take, and stop", False)


# what an entry of tasks may say of its own
OF_A_TASK = tuple(f.name for f in dataclasses.fields(Options) if f.name not in ("output", "tasks", "date", "dry_run"))
# keys with keys of their own, which an entry of tasks adds to those that all share
GROUPS = ("train", "sweep", "select", "sweeps")
WORDS = ("chat", "packing")  # options of these groups that may be on or off, and auto


def run(options: Options) -> int:
    grids = make_grids(options)

    from paft.experiments.comparing import compare, plan

    hush_weights()
    if options.dry_run:
        for line in _plan_lines(plan(grids, options.output, options.date)):
            say(line)
        return 0
    about = {"command": shlex.join(["paft", "compare", *_words()]), "config": _config(options)}
    found = compare(grids, options.output, progress=sys.stderr.isatty(), watch=_Watch(), about=about, date=options.date)
    return _finish(found)


def make_grids(options: Options) -> list[Grid]:
    """One grid a task.

    Raises:
        InputError: a key that is unknown, missing or of the wrong kind.
    """
    shared = {name: getattr(options, name) for name in OF_A_TASK}
    if options.tasks is None:
        return [_grid(shared, options.data)]
    entries = []
    for place, entry in enumerate(options.tasks, start=1):
        unknown = [key for key in entry if key not in OF_A_TASK]
        if unknown:
            raise InputError(f"tasks, entry {place}: unknown key {unknown[0]!r}; expected {', '.join(OF_A_TASK)}")
        own = _typed(entry)
        if options.task in (None, own.setdefault("task", options.task)):
            entries.append(_grid(_over(shared, own), _inside(options.data, entry.get("data"))))
    if not entries:
        raise InputError(f"no entry of tasks is of the task {options.task!r}")
    return entries


def _over(shared: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """What a task says of its own over what all share; in a group, key by key."""
    groups = {name: {**_mapping(shared, name), **_mapping(own, name)} for name in GROUPS if name in own}
    return {**shared, **own, **groups}


def _grid(values: Mapping[str, Any], data: str | None) -> Grid:
    from paft.experiments.grid import Grid

    for name in ("model", "task"):
        if not values[name]:
            raise InputError(f"paft compare needs --{name}, or {name} in its --config file")
    task = load_task(values["task"], data)
    if values["user_prompt"]:
        task = dataclasses.replace(task, user_prompt=values["user_prompt"])
    return Grid(
        model=values["model"],
        task=task,
        prompts=find_prompts(values["prompts"], task.name, "train"),
        unseen=find_prompts(values["unseen"], task.name, "test"),
        methods=_several(values, "methods", str),
        seeds=_several(values, "seeds", int),
        ablations=tuple(_ablation(each) for each in _list(values, "ablations")),
        sweeps={name: _sweeping(name, each, task.name) for name, each in _mapping(values, "sweeps").items()},
        split=values["split"],
        limit=values["limit"],
        usage=_usage(values["usage"]),
        train=_mapping(values, "train"),
        sweep=_mapping(values, "sweep"),
        select={method: _mapping({"select": each}, "select") for method, each in _mapping(values, "select").items()},
    )


def _ablation(entry: Mapping[str, Any]) -> Ablation:
    from paft.experiments.grid import Ablation

    values = dict(entry)
    methods = _several({"methods": values.pop("methods", ["paft"])}, "methods", str)
    seeds = _several({"seeds": values.pop("seeds", [])}, "seeds", int)
    axes = {name: list(found) if isinstance(found, list) else [found] for name, found in values.items()}
    if not axes:
        raise InputError("an ablation names no setting with values to try")
    for name, found in axes.items():
        for value in found:
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise InputError(f"ablations, {name}: expected numbers, found {value!r}")
    return Ablation(axes, methods, seeds)


def _sweeping(name: str, entry: Any, task: str) -> Sweeping:
    from paft.experiments.grid import Sweeping
    from paft.prompts import PromptSet
    from paft.tasks.sampling import sample

    values = dict(entry) if isinstance(entry, Mapping) else {"prompts": entry}
    where, count = values.pop("prompts", None), values.pop("sample", None)
    methods = _several({"methods": values.pop("methods", [])}, "methods", str)
    if not isinstance(where, str) or values:
        raise InputError(f"sweeps, {name}: expected a prompt file, or prompts, sample and methods; found {entry!r}")
    prompts = find_prompts(where, task, "test")
    return Sweeping(PromptSet(sample(list(prompts), count)), methods)


def _usage(path: str | None) -> tuple[Mapping[str, Any], ...]:
    """The rows of a ``.usage.json`` that ``paft prompts generate`` wrote."""
    if path is None:
        return ()
    found = read_json(path)
    rows = found.get("rows") if isinstance(found, Mapping) else None
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise InputError(f"{path} is not a .usage.json as paft prompts generate writes it: it has no rows")
    return tuple(rows)


def _inside(folder: str | None, name: str | None) -> str | None:
    """``name`` inside ``folder``, where both are given and it is not a place of its own; of a hub id, the last part."""
    if folder is None or name is None:
        return name or folder
    if os.path.isabs(name):
        return name
    whole, last = Path(folder) / name, Path(folder) / name.split("/")[-1]
    return str(last if last.exists() and not whole.exists() else whole)


def _several(values: Mapping[str, Any], name: str, kind: type) -> tuple[Any, ...]:
    found = values[name] if isinstance(values[name], list | tuple) else [values[name]]
    for each in found:
        if not isinstance(each, kind) or isinstance(each, bool):
            raise InputError(f"{name}: expected {'whole numbers' if kind is int else 'names'}, found {each!r}")
    return tuple(found)


def _list(values: Mapping[str, Any], name: str) -> list[Any]:
    found = _typed(values[name] or [])
    if not isinstance(found, list) or not all(isinstance(each, Mapping) for each in found):
        raise InputError(f"{name}: expected a list of 'key: value' groups, found {found!r}")
    return found


def _mapping(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = _typed(values[name] or {})
    if not isinstance(found, Mapping):
        raise InputError(f"{name}: expected 'key: value' lines, found {found!r}")
    plain = {str(key).replace("-", "_") if name in ("train", "sweep") else str(key): v for key, v in found.items()}
    # YAML reads the words on and off as true and false; these options take the words
    words = {key: "on" if plain[key] else "off" for key in WORDS if isinstance(plain.get(key), bool)}
    return {**plain, **words}


def _typed(value: Any) -> Any:
    """Texts that are numbers or truth values, as such: YAML takes 1e-3 for a text."""
    if isinstance(value, Mapping):
        return {key: _typed(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_typed(each) for each in value]
    if isinstance(value, str):
        if value.casefold() in ("true", "false", "null", ""):
            return {"true": True, "false": False}.get(value.casefold())
        for kind in (int, float):
            with contextlib.suppress(ValueError):
                return kind(value)
    return value


def _words() -> list[str]:
    return sys.argv[2:] if len(sys.argv) > 1 else []


def _config(options: Options) -> dict[str, Any]:
    given = {f.name: getattr(options, f.name) for f in dataclasses.fields(options)}
    return {
        name: value for name, value in given.items() if value is not None and name not in ("output", "date", "dry_run")
    }


class _Watch:
    """Tells on stderr what happens, a line a cell."""

    def __call__(self, event: Event) -> None:
        place = f"[{event.done}/{event.total}]"
        name = f"{event.task} {event.cell.name}" if event.cell else ""
        if event.kind == "begin":
            left = event.total - event.done
            say_err(f"{place} {left} cells to do{_time(event.seconds_left)}" if left else f"{place} nothing to do")
        elif event.kind == "start" and sys.stderr.isatty():
            say_err(f"{place} {name}")
        elif event.kind == "done" and event.record is not None:
            numbers = event.record.unseen.numbers
            spread = "" if numbers["std"] is None else f" std {100 * numbers['std']:.1f}"
            accuracy = f"mean {100 * numbers['mean']:.1f}{spread} min {100 * numbers['min']:.1f}"
            say_err(f"{place} {name}: {accuracy}{_time(event.seconds_left)}")
        elif event.kind == "failed":
            say_err(f"{place} {name} failed: {event.error}")
        elif event.kind == "wait":
            self._wait(place)

    def _wait(self, place: str) -> None:
        if not getattr(self, "waiting", False):
            say_err(f"{place} waiting for cells that other processes are at")
        self.waiting = True


def _time(seconds: float | None) -> str:
    if seconds is None or seconds <= 0:
        return ""
    minutes = round(seconds / 60)
    shown = f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{max(1, minutes)} min"
    return f", about {shown} left for one process"


def _plan_lines(events: Sequence[tuple[str, bool, float | None]]) -> list[str]:
    lines = [f"{'done' if done else 'to do':6} {name}" for name, done, _ in events]
    left = [seconds for _, done, seconds in events if not done]
    known = [s for s in left if s is not None]
    return [*lines, f"{len(left)} cells to do{_time(sum(known)) if len(known) == len(left) else ''}"]


def _finish(found: Compared) -> int:
    from paft.experiments.records import by_method
    from paft.experiments.summary import over_seeds
    from paft.report.tables import comparison_table

    for task in dict.fromkeys(record.task for record in found.records):
        groups = by_method(found.records, task)
        if groups:
            first = next(iter(groups.values()))[0].unseen
            seeds = max(len(group) for group in groups.values())
            title = (
                f"{task}: accuracy (%) over {len(first.prompt_ids)} unseen prompts x {len(first.example_ids)} examples"
            )
            title += f", means over {seeds} seeds" if seeds > 1 else ""
            console().print(comparison_table({m: over_seeds(group) for m, group in groups.items()}, title))
    for name, error in found.failures.items():
        say_err(f"failed: {name}: {' '.join(error.split())}")
    say(f"{len(found.records)} records in {found.output}; tables, pictures and a page from them:")
    say(f"  paft report {shlex.quote(str(found.output))}")
    return 1 if found.failures else 0


VERB = SimpleVerb(
    name="compare",
    summary="Methods x seeds on one task or several, and ablations: every cell trained and swept once, and a table.",
    example=(
        "paft compare --model MODEL --task task.yaml --data data --prompts prompts/train.jsonl \\\n"
        "    --unseen prompts/test.jsonl --seeds 0 1 2 --output runs/compare\n"
        "paft compare --config recipes/trec.yaml --data DATA --output runs/trec   # again, or twice: it goes on"
    ),
    options=Options,
    action=run,
)
