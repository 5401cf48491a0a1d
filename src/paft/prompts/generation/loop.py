"""Generation: ask every model under every strategy, check what comes, ask again for what is missing.

Requests go out in rounds. In one round each model and strategy that still lacks templates is asked once, all at the
same time; the replies are then judged in the order of the providers file, so that the same replies always give the
same set, however fast they came and wherever a run was stopped.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from math import ceil
from typing import Any, NamedTuple

from paft.endpoints import (
    Budget,
    BudgetReached,
    Client,
    Entry,
    Journal,
    Provider,
    ProviderEnded,
    RequestFailed,
    Slot,
    UsageRow,
    read_body,
)
from paft.errors import RunError
from paft.prompts.generation.asking import Refused, Strategy, estimate_tokens, request_messages
from paft.prompts.generation.judging import Judge
from paft.prompts.generation.reading import read_templates
from paft.prompts.prompt import Prompt, default_id
from paft.prompts.template import Template
from paft.tasks.base import Task

PER_REQUEST = 25
FEW = 0.1
ENDS = (BudgetReached, RequestFailed, ProviderEnded)
GRAMMAR = "grammar"


class Batch(NamedTuple):
    """Templates of one reply, how many were asked for, what is known of the reply, and why it holds none."""

    texts: Sequence[str]
    asked: int
    facts: Mapping[str, str | None]
    problem: str = ""


@dataclass
class Chain:
    """One model under one strategy: its requests come one after another.

    Attributes:
        provider: whom to ask; None for the grammar.
        examples: templates shown with few-shot.
        stream: where the grammar's templates come from.
        kept: what was taken, in order.
        refused: what was not taken of the last reply.
        poor: rounds running that brought next to nothing.
    """

    provider: Provider | None
    strategy: Strategy
    row: UsageRow
    examples: Sequence[str] = ()
    stream: Iterator[str] | None = None
    round: int = 0
    kept: list[Prompt] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    poor: int = 0
    batch: int = PER_REQUEST

    @property
    def slot(self) -> Slot:
        return Slot(self.row.provider, self.row.model, self.strategy, self.round)


@dataclass
class Run:
    """What all chains share.

    Attributes:
        per_strategy: templates wanted of each chain; None where ``total`` alone decides.
        total: templates wanted in all; None for no bound.
        after_round: called with all chains when the replies of a round were judged.
        say: told one line per event.
    """

    task: Task
    chains: Sequence[Chain]
    judge: Judge
    journal: Journal
    budget: Budget
    per_strategy: int | None
    total: int | None
    language: str
    concurrency: int
    retry_wait: float
    after_round: Callable[[], None]
    say: Callable[[str], None]

    async def go(self) -> None:
        """Ask until every chain has what is wanted of it, has ended, or a budget is reached.

        Raises:
            RunError: a reply could not be kept.
        """
        self._clients = {id(c.provider): Client(c.provider, self.retry_wait) for c in self.chains if c.provider}
        self._gate = asyncio.Semaphore(self.concurrency)
        self._old = set(self.journal.entries)
        try:
            while active := [(chain, want) for chain in self.chains if (want := self._want(chain)) > 0]:
                await self._round(active)
                self.after_round()
        finally:
            for client in self._clients.values():
                await client.close()

    def _want(self, chain: Chain) -> int:
        """How many templates this chain is to be asked for next."""
        if chain.row.ended:
            return 0
        most = chain.batch
        if self.per_strategy is not None:
            most = min(most, self.per_strategy - len(chain.kept))
        if self.total is not None:
            missing = self.total - sum(len(each.kept) for each in self.chains)
            most = min(most, ceil(missing / sum(not each.row.ended for each in self.chains)))
        return most

    async def _round(self, active: Sequence[tuple[Chain, int]]) -> None:
        asked: list[Awaitable[Any]] = [self._ask(chain, want) for chain, want in active]
        # all of them are waited for, also when one fails: what they bring has been paid for
        entries = await asyncio.gather(*asked, return_exceptions=True)
        for (chain, want), entry in zip(active, entries, strict=True):
            if isinstance(entry, Entry):
                self._take(chain, want, self._read(chain, entry))
            elif isinstance(entry, Batch):
                self._take(chain, want, entry)
            elif isinstance(entry, ENDS):
                self._end(chain, entry)
        for entry in entries:
            if isinstance(entry, BaseException) and not isinstance(entry, ENDS):
                raise entry

    async def _ask(self, chain: Chain, want: int) -> Entry | Batch:
        if chain.stream is not None:
            return Batch(list(islice(chain.stream, want)), want, {})
        assert chain.provider is not None
        if chain.slot in self.journal.entries:
            return self.journal.entries[chain.slot]
        texts = [str(prompt.text) for prompt in chain.kept]
        messages = request_messages(self.task, want, chain.examples, self.language, chain.refused, texts)
        estimate = estimate_tokens(messages)
        async with self._gate:
            hold = await self.budget.hold(estimate, chain.provider.max_tokens, chain.provider.price)
            try:
                self.journal.check_space()
                client = self._clients[id(chain.provider)]
                entry = await client.ask(messages, hold.max_tokens, want, estimate)
                self.journal.add(chain.slot, entry)
                self._count(chain, entry)
                return entry
            except (RequestFailed, ProviderEnded) as bad:
                self.journal.note_failure(chain.slot, str(bad), datetime.now(UTC).isoformat(timespec="seconds"))
                raise
            finally:
                await self.budget.release(hold)

    def _count(self, chain: Chain, entry: Entry) -> None:
        """Add what a reply took to the row and the budget."""
        self.budget.spend(*chain.row.count(entry, chain.provider.price if chain.provider else None))

    def replayed(self) -> None:
        """Count the replies of earlier runs, before anything is asked: they are part of the budget."""
        for chain in self.chains:
            for slot, entry in self.journal.entries.items():
                if slot[:3] == chain.slot[:3]:
                    self._count(chain, entry)

    def _read(self, chain: Chain, entry: Entry) -> Batch:
        """The templates of a reply."""
        reply = read_body(entry.body)
        texts = read_templates(reply.text, self.task)
        problem = reply.problem or ("" if texts else "no templates could be found in the reply")
        if not reply.complete and texts:
            chain.batch = max(5, min(chain.batch, len(texts)))  # it could not hold more
        facts = {"request_id": entry.request_id or reply.request_id, "time": entry.time}
        return Batch(texts, entry.asked, facts, problem)

    def _take(self, chain: Chain, want: int, batch: Batch) -> None:
        """Judge what came, and say what became of it."""
        row, before, want = chain.row, len(chain.kept), min(want, batch.asked)
        chain.refused = []
        for text in batch.texts:
            if len(chain.kept) - before == want:
                row.refused["surplus"] += 1
                continue
            verdict = self.judge.judge(text)
            if isinstance(verdict, Template):
                chain.kept.append(_prompt(chain, verdict, batch.facts))
            else:
                chain.refused.append(verdict)
                row.refused[verdict.reason] += 1
        new, old = len(chain.kept) - before, chain.slot in self._old
        row.asked += batch.asked
        row.received += len(batch.texts)
        row.kept = len(chain.kept)
        chain.round += 1
        chain.poor = chain.poor + 1 if new == 0 or new < FEW * want else 0
        if chain.poor == 2 or (chain.stream is not None and not batch.texts):
            row.ended = batch.problem or "it brings nothing new"
        said = f"; {batch.problem}" if batch.problem else ""
        if not old:
            self.say(f"{row.provider} {row.model} {row.strategy}: {new} of {want} kept{said}".replace("  ", " "))

    def _end(self, chain: Chain, why: Exception) -> None:
        """End a chain; a provider that cannot be asked any more ends with all its chains."""
        ended = [chain]
        if isinstance(why, ProviderEnded):
            ended = [each for each in self.chains if each.provider is chain.provider]
        for each in ended:
            if not each.row.ended:
                each.row.ended = str(why)
                self.say(f"{each.row.provider} {each.row.model} {each.row.strategy}: ended: {why}")


def _prompt(chain: Chain, template: Template, facts: Mapping[str, str | None]) -> Prompt:
    """A template with its source."""
    source = {"kind": "grammar"} if chain.provider is None else {"kind": "llm", "provider": chain.provider.name}
    if chain.provider is not None:
        source["model"] = chain.provider.model
    known = {key: value for key, value in facts.items() if value is not None}
    return Prompt(default_id(template.text), template, {**source, "strategy": chain.strategy, **known})


def nothing_usable(rows: Sequence[UsageRow]) -> RunError:
    """The error for a run that brought no template at all."""
    received = sum(row.received for row in rows)
    why = next((f"{row.provider}: {row.ended}" for row in rows if row.ended), "no reply")
    reasons = sum((row.refused for row in rows), Counter[str]())
    most = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common(3))
    return RunError(
        f"nothing usable: {received} templates were received and none could be kept{f' ({most})' if most else ''}\n"
        f"{why}; see the replies in the journal, or use another model"
    )
