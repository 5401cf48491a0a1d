"""BATprompt's writer: an LLM that alters texts, says what was altered, and writes prompts that bear it.

It is reached as in candidate generation. A request is known by what it says: every reply goes into the journal under
a digest of its messages, so a run that was killed and is started again asks for what is missing and for nothing twice.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from paft.baselines.wording import Messages, differences, improving, paraphrasing, rewriting, summary
from paft.endpoints import (
    Budget,
    BudgetReached,
    Client,
    Journal,
    Provider,
    ProviderEnded,
    RequestFailed,
    Slot,
    UsageRow,
    load_providers,
    read_body,
)
from paft.errors import InputError, RunError
from paft.prompts import Prompt, Template
from paft.prompts.generation.asking import Refused, describe, estimate_tokens
from paft.prompts.generation.judging import Judge
from paft.prompts.generation.reading import read_plain, read_templates, read_texts
from paft.tasks import Task

ATTEMPTS = 2


@dataclass(frozen=True, slots=True)
class Rewriting:
    """A text of one slot to be rewritten ``count`` times, and how."""

    kind: str
    slot: str
    text: str
    count: int


class Writer:
    """An LLM that writes for one task. Use it in a ``with`` block, or call ``close``.

    Args:
        provider: whom to ask, or a providers file, of which the first is asked.
        task: what is written for.
        journal: the file that keeps the replies; None keeps nothing, and a run that is stopped has to be paid again.
        max_tokens, max_cost: budgets, tokens and dollars, replies in the journal included.
        retry_wait: seconds before the first retry; doubled with each.

    Raises:
        InputError: no key, no price under ``max_cost``, or the ``openai`` package is not installed.
        OutputError: the journal belongs to another task, or another process writes it.
    """

    def __init__(
        self,
        provider: Provider | str | os.PathLike[str],
        task: Task,
        journal: str | os.PathLike[str] | None = None,
        *,
        max_tokens: int | None = None,
        max_cost: float | None = None,
        retry_wait: float = 1.0,
    ) -> None:
        provider = provider if isinstance(provider, Provider) else load_providers(provider)[0]
        _check(provider, max_tokens, max_cost)
        self.provider, self.task = provider, task
        self.row = UsageRow(provider.name, provider.model, "batprompt", cost=0.0 if provider.price else None)
        self._budget = Budget(max_tokens, max_cost)
        self._client = Client(provider, retry_wait)
        self._gate = asyncio.Semaphore(provider.concurrency)
        identity = {"task": f"{task.name} {_digest(describe(task))}", "purpose": "batprompt"}
        self._journal = Journal(Path(journal) if journal is not None else None, identity)
        self._runner = asyncio.Runner()
        for entry in self._journal.entries.values():
            self._budget.spend(*self.row.count(entry, provider.price))

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection and the journal."""
        self._journal.close()
        _apart(lambda: self._runner.run(self._client.close()))
        _apart(self._runner.close)

    def facts(self) -> dict[str, Any]:
        """Who was asked, and what all replies in the journal took; the cost is in dollars, None where unpriced."""
        row = self.row
        return {
            "provider": row.provider,
            "model": row.model,
            "requests": row.requests,
            "prompt_tokens": row.prompt_tokens,
            "completion_tokens": row.completion_tokens,
            "tokens_estimated": row.estimated,
            "cost": row.cost,
            "templates_received": row.received,
            "templates_refused": dict(row.refused.most_common()),
        }

    def rewrite(self, wanted: Sequence[Rewriting]) -> dict[Rewriting, list[str]]:
        """Versions of texts, as they came: as many as wanted or fewer, and nothing about them is sure."""
        asked = {each: rewriting(self.task, each.kind, each.slot, each.text, each.count) for each in wanted}
        replies = self._ask([(f"rewrite {each.kind}", messages) for each, messages in asked.items()])
        return {
            each: [text.strip() for text in read_texts(reply)[: each.count]]
            for each, reply in zip(asked, replies, strict=True)
        }

    def describe(self, pairs: Mapping[str, Sequence[tuple[str, str]]]) -> str:
        """What was done to texts, in one paragraph: a description by kind of attack, then all of them in one.

        Args:
            pairs: kind -> (text before, text after).
        """
        replies = self._ask([("differences", differences(each)) for each in pairs.values()])
        notes = {kind: note for kind, reply in zip(pairs, replies, strict=True) if (note := read_plain(reply))}
        if len(notes) < 2:
            return next(iter(notes.values()), "")
        return read_plain(self._ask([("summary", summary(notes))])[0]) or " ".join(notes.values())

    def improve(self, prompt: Prompt, altered: str, count: int, judge: Judge) -> list[Template]:
        """Templates that bear what ``altered`` describes better than ``prompt``, as far as the judge takes them."""

        def ask(want: int, refused: list[Refused], kept: list[str]) -> Messages:
            return improving(self.task, prompt, altered, want, refused, kept)

        return self._templates("improve", ask, count, judge)

    def paraphrase(self, templates: Sequence[Template], count: int, judge: Judge) -> list[Template]:
        """Some of ``templates`` in other words, as far as the judge takes them."""
        texts = [template.plain for template in templates]

        def ask(want: int, refused: list[Refused], kept: list[str]) -> Messages:
            return paraphrasing(self.task, texts, want, refused, kept)

        return self._templates("paraphrase", ask, count, judge)

    def _templates(
        self, purpose: str, ask: Callable[[int, list[Refused], list[str]], Messages], count: int, judge: Judge
    ) -> list[Template]:
        """Up to ``count`` templates; what is missing is asked for once more, with what was wrong."""
        kept: list[Template] = []
        refused: list[Refused] = []
        for attempt in range(ATTEMPTS):
            if len(kept) == count:
                break
            messages = ask(count - len(kept), refused, [template.plain for template in kept])
            texts = read_templates(self._ask([(purpose, messages)], attempt)[0], self.task)
            self.row.asked += count - len(kept)
            self.row.received += len(texts)
            refused = []
            for text in texts:
                if len(kept) == count:
                    break
                verdict = judge.judge(text)
                if isinstance(verdict, Template):
                    kept.append(verdict)
                else:
                    refused.append(verdict)
                    self.row.refused[verdict.reason] += 1
        self.row.kept += len(kept)
        return kept

    def _ask(self, requests: Sequence[tuple[str, Messages]], attempt: int = 0) -> list[str]:
        """The text of the reply to each request, asked all at once; the same request is sent but once.

        Raises:
            RunError: one of them brought nothing, or a budget is reached; the other replies are in the journal.
        """
        provider = self.provider
        slots = [
            Slot(provider.name, provider.model, f"{purpose} {_digest(json.dumps(messages))}", attempt)
            for purpose, messages in requests
        ]
        distinct = {slot: messages for slot, (_, messages) in zip(slots, requests, strict=True)}
        missing = {slot: messages for slot, messages in distinct.items() if slot not in self._journal.entries}
        if missing:
            _apart(lambda: self._runner.run(self._ask_all(missing)))
        written = (read_body(self._journal.entries[slot].body).text for slot in slots)
        return [text.encode("utf-8", "replace").decode() for text in written]  # halves of surrogate pairs go

    async def _ask_all(self, requests: Mapping[Slot, Messages]) -> None:
        # all of them are waited for, also when one fails: what they bring has been paid for
        sent = [self._ask_one(slot, messages) for slot, messages in requests.items()]
        for failure in await asyncio.gather(*sent, return_exceptions=True):
            if isinstance(failure, BudgetReached | RequestFailed | ProviderEnded):
                raise RunError(
                    f"{self.provider.label}: {failure}\n"
                    f"{'all replies so far are kept; ' if self._journal.path else ''}run again, or without a writer"
                ) from failure
            if failure is not None:
                raise failure

    async def _ask_one(self, slot: Slot, messages: Messages) -> None:
        price, estimate = self.provider.price, estimate_tokens(messages)
        async with self._gate:
            hold = await self._budget.hold(estimate, self.provider.max_tokens, price)
            try:
                self._journal.check_space()
                entry = await self._client.ask(messages, hold.max_tokens, 1, estimate)
                self._journal.add(slot, entry)
                self._budget.spend(*self.row.count(entry, price))
            except (RequestFailed, ProviderEnded) as bad:
                self._journal.note_failure(slot, str(bad), datetime.now(UTC).isoformat(timespec="seconds"))
                raise
            finally:
                await self._budget.release(hold)


def _apart(call: Callable[[], None]) -> None:
    """Make a call that needs the event loop of a writer, also where another loop runs, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        call()
        return
    with ThreadPoolExecutor(1) as pool:
        pool.submit(call).result()


def _check(provider: Provider, max_tokens: int | None, max_cost: float | None) -> None:
    if provider.api_key_env and provider.key is None:
        raise InputError(f"{provider.label} has no key; set ${provider.api_key_env}, or remove api_key_env")
    for name, value in (("max_tokens", max_tokens), ("max_cost", max_cost)):
        if value is not None and not value > 0:
            raise InputError(f"{name} must be above 0, found {value}")
    if max_cost is not None and provider.price is None:
        raise InputError(f"--max-cost needs the price of {provider.label}; it has none")


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:12]
