"""``generate_prompts``: what is asked of whom, the files beside the set, and the set itself."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from paft.endpoints import Budget, Journal, Provider, Usage, UsageRow, check_providers, load_providers
from paft.errors import InputError, OutputError, PaftError
from paft.files import read_json
from paft.prompts.generation.asking import (
    STRATEGIES,
    Strategy,
    describe,
    estimate_tokens,
    pick_examples,
    request_messages,
)
from paft.prompts.generation.grammar import grammar_templates
from paft.prompts.generation.judging import Judge
from paft.prompts.generation.loop import GRAMMAR, PER_REQUEST, Chain, Run, nothing_usable
from paft.prompts.prompt import Prompt
from paft.prompts.prompt_set import PromptSet
from paft.prompts.similarity import check_threshold
from paft.prompts.template import Template
from paft.tasks.base import Task

PER_TEMPLATE = 60
Providers = Sequence[Provider] | str | os.PathLike[str]


@dataclass(frozen=True)
class Generated:
    """What generation brought; unpacks as ``prompts, usage``.

    Attributes:
        prompts: the set, in the order of the providers.
        usage: what was asked for, received, kept and paid.
        notes: sentences for people: who was left out, and why.
    """

    prompts: PromptSet
    usage: Usage
    notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Any]:
        return iter((self.prompts, self.usage))


class Planned(NamedTuple):
    """The first request to one model under one strategy; nothing is sent. Tokens are estimates, cost in dollars."""

    provider: Provider
    strategy: Strategy
    messages: list[dict[str, str]]
    prompt_tokens: int
    completion_tokens: int
    cost: float | None


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is wanted of the models; the arguments of ``generate_prompts`` that shape the requests."""

    per_strategy: int | None = None
    total: int | None = None
    strategies: Sequence[Strategy] = STRATEGIES
    seed_prompts: PromptSet | None = None
    language: str = "English"
    seed: int = 0

    def check(self) -> None:
        """Refuse what cannot be asked for."""
        for name in ("per_strategy", "total"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} must be at least 1, found {value}")
        unknown = [each for each in self.strategies if each not in STRATEGIES]
        if unknown or not self.strategies or len(set(self.strategies)) < len(self.strategies):
            raise InputError(f"strategies must be some of {', '.join(STRATEGIES)}, found {', '.join(self.strategies)}")
        if not self.language.strip():
            raise InputError("language is empty; give its name, such as English")

    @property
    def each(self) -> int | None:
        """Templates wanted of each model under each strategy: 20 as in the paper, unless a total decides."""
        return 20 if self.per_strategy is None and self.total is None else self.per_strategy


def generate_prompts(
    task: Task,
    providers: Providers = GRAMMAR,
    *,
    per_strategy: int | None = None,
    total: int | None = None,
    strategies: Sequence[Strategy] = STRATEGIES,
    seed_prompts: PromptSet | None = None,
    avoid: PromptSet | None = None,
    language: str = "English",
    output: str | os.PathLike[str] | None = None,
    max_tokens: int | None = None,
    max_cost: float | None = None,
    concurrency: int = 8,
    threshold: float = 0.9,
    seed: int = 0,
    retry_wait: float = 1.0,
    say: Callable[[str], None] = lambda line: None,
) -> Generated:
    """Prompts for a task from several LLMs (section 3.1 of the paper), or from the grammar.

    Args:
        providers: a list, a providers file, or ``"grammar"``, which needs no LLM.
        per_strategy: templates wanted of each model under each strategy; 20 as in the paper where no total is given.
        total: templates wanted in all. Alone, it is shared out among those who deliver.
        strategies: ``zero-shot`` (from the description alone), ``few-shot`` (with example templates).
        seed_prompts: the examples of few-shot; by default the task's user prompt.
        avoid: prompts that new ones must differ from, such as a test set.
        output: the set to write; ``.journal.jsonl`` and ``.usage.json`` stand beside it. Without it nothing is
            written, and a run that is stopped has to be paid for again.
        max_tokens, max_cost: budgets, tokens of prompts and replies and dollars, runs before a resume included.
        concurrency: most requests open at once.
        threshold: similarity from which a template counts as there already.
        seed: picks the examples of few-shot; decides all of the grammar.
        retry_wait: seconds before the first retry.
        say: told one line per event.

    Raises:
        InputError: values that cannot be used, a provider without a price under ``max_cost``, no keys at all.
        OutputError: ``output`` holds other work.
        RunError: nothing usable came, or a reply could not be kept.
    """
    wanted = Wanted(
        per_strategy=per_strategy, total=total, strategies=strategies,
        seed_prompts=few_shot_seeds(task, strategies, seed_prompts, providers == GRAMMAR), language=language, seed=seed,
    )  # fmt: skip
    wanted.check()
    check_threshold(threshold)
    asked, notes = _whom(providers, max_tokens, max_cost, concurrency)
    identity = _identity(task, wanted)
    files = _Files.beside(output)
    files.check(identity)
    journal = Journal(files.journal if asked else None, identity)
    try:
        chains = _chains(task, asked, wanted)
        there = [prompt.template for each in (wanted.seed_prompts, avoid) for prompt in each or ()]
        run = Run(
            task=task, chains=chains, judge=Judge(task, there, threshold, language), journal=journal,
            budget=Budget(max_tokens, max_cost), per_strategy=wanted.each, total=total, language=language,
            concurrency=concurrency, retry_wait=retry_wait,
            after_round=lambda: files.save(_collect(chains, total), _usage(chains), identity), say=say,
        )  # fmt: skip
        run.replayed()
        _wait(run.go)
    finally:
        journal.close()
    kept = _collect(chains, total)
    files.save(kept, _usage(chains), identity)
    if not kept:
        raise nothing_usable([chain.row for chain in chains])
    return Generated(PromptSet(kept), _usage(chains), tuple(notes))


def plan_requests(task: Task, providers: Sequence[Provider], wanted: Wanted) -> list[Planned]:
    """The first requests as they would be sent, with estimates of their tokens and cost."""
    wanted.check()
    plans = []
    for chain in _chains(task, providers, wanted):
        assert chain.provider is not None
        share = -(-(wanted.total or 20) // (len(providers) * len(wanted.strategies)))
        count = min(PER_REQUEST, share if wanted.each is None else wanted.each)
        messages = request_messages(task, count, chain.examples, wanted.language)
        prompt, completion = estimate_tokens(messages), count * PER_TEMPLATE
        price = chain.provider.price
        cost = price.cost(prompt, completion) if price else None
        plans.append(Planned(chain.provider, chain.strategy, messages, prompt, completion, cost))
    return plans


def few_shot_seeds(
    task: Task, strategies: Sequence[str], given: PromptSet | None, optional: bool = False
) -> PromptSet | None:
    """The examples of few-shot: those given, else the task's user prompt.

    Raises:
        InputError: few-shot is wanted, there is nothing to show, and that is not ``optional``.
    """
    if given is not None or "few-shot" not in strategies:
        return given
    if not task.user_prompt:
        if optional:
            return None
        raise InputError(
            f"few-shot needs templates to show, and task {task.name} has no user_prompt\n"
            "give --seed-prompts FILE, or ask for --strategies zero-shot alone"
        )
    return PromptSet([Prompt.from_text(task.user_prompt)])


def _whom(
    providers: Providers, max_tokens: int | None, max_cost: float | None, concurrency: int
) -> tuple[list[Provider], list[str]]:
    """Who is asked, [] for the grammar; and who is left out, in sentences."""
    for name, value in (("max_tokens", max_tokens), ("max_cost", max_cost), ("concurrency", concurrency)):
        if value is not None and not value > 0:
            raise InputError(f"{name} must be above 0, found {value}")
    if providers == GRAMMAR:
        return [], []
    listed = load_providers(providers) if isinstance(providers, str | os.PathLike) else list(providers)
    check_providers(listed)
    left_out = [each for each in listed if each.lacks_key]
    if len(left_out) == len(listed):
        names = ", ".join(f"${each.api_key_env}" for each in left_out)
        raise InputError(f"none of the providers has a key; set {names}, or remove api_key_env where none is needed")
    asked = [each for each in listed if each not in left_out]
    unpriced = [each.label for each in asked if each.price is None]
    if max_cost is not None and unpriced:
        raise InputError(f"--max-cost needs the price of every provider; {', '.join(unpriced)} has none")
    return asked, [f"{each.label} was left out: ${each.api_key_env} is not set" for each in left_out]


def _chains(task: Task, providers: Sequence[Provider], wanted: Wanted) -> list[Chain]:
    chains = []
    asked: Sequence[Provider | None] = providers or [None]
    for provider in asked:
        for strategy in wanted.strategies:
            row = UsageRow(provider.name, provider.model, strategy) if provider else UsageRow(GRAMMAR, "", strategy)
            seeds = wanted.seed_prompts if strategy == "few-shot" else None
            examples = pick_examples(seeds, wanted.seed, f"{row.provider} {row.model}")
            stream = None
            if provider is None:
                shown = [Template.parse(text) for text in examples]
                stream = grammar_templates(task, wanted.seed, strategy, shown)
            elif provider.price is None:
                row.cost = None
            chains.append(Chain(provider, strategy, row, examples, stream))
    return chains


def _collect(chains: Sequence[Chain], total: int | None) -> list[Prompt]:
    """What was kept, chain after chain; with a total, as many of each chain as evenly as can be."""
    if total is None:
        return [prompt for chain in chains for prompt in chain.kept]
    turns = sorted((place, at) for at, chain in enumerate(chains) for place in range(len(chain.kept)))[:total]
    return [chains[at].kept[place] for at, place in sorted((at, place) for place, at in turns)]


def _usage(chains: Sequence[Chain]) -> Usage:
    return Usage([chain.row for chain in chains])


def _identity(task: Task, wanted: Wanted) -> dict[str, Any]:
    """What the requests are about: a journal of other work must not be continued."""
    seeds = "\n".join(wanted.seed_prompts.ids) if wanted.seed_prompts else ""
    return {
        "task": f"{task.name} {_digest(describe(task).encode())}",
        "language": wanted.language.casefold(),
        "seed_prompts": _digest(seeds.encode()),
        "seed": wanted.seed,
    }


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()[:12]


@dataclass(frozen=True)
class _Files:
    """The set and what stands beside it; all None where nothing is written."""

    output: Path | None
    journal: Path | None
    usage: Path | None

    @classmethod
    def beside(cls, output: str | os.PathLike[str] | None) -> _Files:
        if output is None:
            return cls(None, None, None)
        path = Path(output)
        stem = path.with_suffix("") if path.suffix == ".jsonl" else path
        return cls(path, Path(f"{stem}.journal.jsonl"), Path(f"{stem}.usage.json"))

    def check(self, identity: dict[str, Any]) -> None:
        """Refuse to write over a set that another run made, or that was edited since."""
        if self.output is None or not self.output.exists():
            return
        known = self._known()
        if known.get("work") != identity:
            raise OutputError(f"{self.output} is there already and holds other work; give another --output")
        if _digest(self.output.read_bytes()) not in known.get("digests", []):
            raise OutputError(f"{self.output} was changed since it was generated; move it or give another --output")

    def save(self, kept: Sequence[Prompt], usage: Usage, identity: dict[str, Any]) -> None:
        """Write the set so far. Its digest goes first, beside the last one: a kill in between does no harm."""
        if self.output is None or self.usage is None:
            return
        text = "".join(json.dumps(prompt.to_row(), ensure_ascii=False) + "\n" for prompt in kept)
        digests = [*self._known().get("digests", []), _digest(text.encode())][-2:]
        usage.save(self.usage, work=identity, digests=digests)
        if kept:
            PromptSet(kept).save(self.output)

    def _known(self) -> dict[str, Any]:
        try:
            known = read_json(self.usage) if self.usage is not None else {}
        except PaftError:
            return {}
        return known if isinstance(known, dict) else {}


def _wait(go: Callable[[], Any]) -> None:
    """Run a coroutine to its end, also where an event loop runs already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(go())
        return
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(go())).result()
