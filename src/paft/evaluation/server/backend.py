"""From (prompt, example) pairs to cells by asking a server, many requests at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np

from paft.errors import EncodingError, RunError
from paft.evaluation.answers.candidates import Candidates
from paft.evaluation.answers.reader import AnswerReader
from paft.evaluation.backend import Backend
from paft.evaluation.cells import Cell, CellStore, Key
from paft.evaluation.pairs import Pair, empty_prompt
from paft.evaluation.server.client import Asker, PromptTooLong, Sent
from paft.evaluation.server.journal import Answered, ServerJournal
from paft.evaluation.server.probe import Way
from paft.evaluation.server.replies import Listed
from paft.models import TooLongError
from paft.tasks.base import Task
from paft.tasks.reasoning import left_open


class Undecided(Exception):
    """A list of first tokens that does not tell which answer is the likeliest."""


class ServerBackend(Backend):
    """Asks a server for every cell; each answer goes into a journal first.

    Args:
        asker: the server.
        way: how answers are read off it.
        normalize: divide a log-likelihood by nothing, the answer's ``tokens`` or the ``bytes`` of its text.
        max_new_tokens: most tokens to generate.
        on_long: what to do with an example that the server has no room for: ``error``, or ``drop``.
    """

    def __init__(
        self, asker: Asker, task: Task, way: Way, normalize: str, max_new_tokens: int, on_long: str = "error"
    ) -> None:
        self.asker, self.way, self.scoring = asker, way, way.scoring
        self.max_new_tokens, self.on_long = max_new_tokens, on_long
        self.candidates = Candidates(task, way.scoring)
        self.reader = AnswerReader(self.candidates, normalize)
        self.journal = ServerJournal(None)
        self._parts: dict[Key, dict[int, Answered]] = {}

    def identity(self) -> dict[str, Any]:
        asked = self.asker.model.identity(self.asker.api)
        return {**asked, "scoring": self.scoring, "logprobs": self.way.logprobs}

    def record(self) -> dict[str, Any]:
        model = self.asker.model
        return {
            "model": model.name,
            "adapter": None,
            "dtype": None,
            "answer_end": None,
            "backend": "server",
            "base_url": model.base_url,
            "api": self.asker.api,
            "logprobs": self.way.logprobs,
        }

    def facts(self) -> dict[str, Any]:
        return {**self.asker.facts(), "dropped_examples": sorted(self.dropped())}

    def dropped(self) -> set[str]:
        return self.journal.dropped

    def resume(self, store: CellStore, pairs: Iterable[Pair]) -> None:
        """Take up what an earlier run was told: its answers become cells of ``store``, its tokens count."""
        probed = self.asker.spent
        self.journal = ServerJournal(None if store.folder is None else Path(store.folder))
        for usage in self.journal.probes:
            self.asker.count(usage)
        if probed.requests:
            self.journal.probe(probed)
        for answered in self.journal.answers:
            self.asker.count(answered.usage)
            self._parts.setdefault((answered.prompt, answered.example), {})[answered.part] = answered
        missing = [p for p in pairs if (p.prompt.id, p.example.id) not in store and p.example.id not in self.dropped()]
        store.add([cell for pair in missing if (cell := self._cell(pair)) is not None])
        self.journal.answers.clear()

    def close(self) -> None:
        """Close the journal and the connection."""
        self.asker.close()
        self.journal.close()

    def cells(self, pairs: Sequence[Pair]) -> Iterator[list[Cell]]:
        """The cells of ``pairs``, as they come.

        Raises:
            EncodingError: an answer that is not parted from its prompt, or a pair that the server has no room for.
            ModelError: a wrong key, address or model.
            RunError: a request brought nothing after all retries. Whatever was answered is in the journal.
        """
        ready: SimpleQueue[Cell | None] = SimpleQueue()
        job = self.asker.start(self._ask_all(pairs, ready.put))
        job.add_done_callback(lambda _: ready.put(None))
        try:
            while (cell := ready.get()) is not None:
                yield [cell]
        finally:
            job.cancel()
        job.result()

    async def _ask_all(self, pairs: Sequence[Pair], emit: Callable[[Cell], None]) -> None:
        """Ask for all that is missing; after a failure nothing more is sent, and open requests are waited for."""
        jobs = iter([(pair, part) for pair in pairs for part in self._missing(pair)])
        failures: list[Exception] = []

        async def work() -> None:
            for pair, part in jobs:
                if failures:
                    return
                if pair.example.id in self.dropped():
                    continue
                try:
                    await self._ask(pair, part)
                    if (cell := self._cell(pair)) is not None:
                        emit(cell)
                except Exception as bad:
                    failures.append(bad)
                    self.asker.halt()

        await asyncio.gather(*(work() for _ in range(self.asker.model.concurrency)))
        if failures:
            raise failures[0]

    def _missing(self, pair: Pair) -> list[int]:
        """The parts of a cell that are still to be asked for."""
        by_echo = self.way.logprobs is not None and self.way.logprobs.startswith("echo")
        parts = range(len(self.candidates.of(pair.example)) if by_echo else 1)
        found = self._parts.get((pair.prompt.id, pair.example.id), {})
        return [part for part in parts if part not in found]

    async def _ask(self, pair: Pair, part: int) -> None:
        """One request for one part of a cell, into the journal."""
        sent = self.sent(pair)
        try:
            answered = await self._answer(pair, part, sent)
        except PromptTooLong as bad:
            if self.on_long != "drop":
                raise TooLongError(
                    f"{pair.name}: longer than the server has room for: {bad}\n"
                    "serve the model with a longer context, or drop such examples with --on-long drop"
                ) from None
            if pair.example.id not in self.dropped():
                self.journal.drop(pair.example.id)
            return
        except Undecided as bad:
            raise RunError(f"{pair.name}: {bad}") from None
        except RunError as bad:
            raise RunError(f"{pair.name}: {bad}\nall answers so far are kept: the same command goes on") from None
        except EncodingError as bad:
            raise EncodingError(f"{pair.name}: {bad}") from None
        await self.journal.add(answered)
        self._parts.setdefault((pair.prompt.id, pair.example.id), {})[part] = answered

    async def _answer(self, pair: Pair, part: int, sent: Sent) -> Answered:
        ids, logprobs = (pair.prompt.id, pair.example.id, part), self.way.logprobs
        if logprobs is None:
            written = await self.asker.write(sent, self.max_new_tokens)
            return Answered(*ids, [], written.text, 0, written.usage.prompt_tokens, written.usage)
        if logprobs.startswith("echo") and isinstance(sent, str):
            answer = _answer_text(sent, self.candidates.of(pair.example)[part])
            scored = await self.asker.echo(sent, answer, 0 if logprobs == "echo-0" else 1)
            return Answered(*ids, [scored.loglik], "", len(scored.tokens), scored.before, scored.usage)
        listed = await self.asker.listed(sent, int(logprobs.removeprefix("top-")))
        values = self._listed(sent, listed, self.candidates.of(pair.example))
        return Answered(*ids, values, "", 1, listed.usage.prompt_tokens, listed.usage)

    def sent(self, pair: Pair) -> Sent:
        """The prompt as it is sent: without trailing spaces and tabs, the messages of a chat prompt likewise."""
        rendered = pair.prompt.render(pair.example.slots)
        if self.asker.api == "chat" and not isinstance(rendered, str):
            return [{**message, "content": message["content"].rstrip(" \t")} for message in rendered]
        if not isinstance(rendered, str):
            rendered = "\n\n".join(message["content"].rstrip(" \t") for message in rendered)
        text = rendered.rstrip(" \t")
        if not text:
            raise empty_prompt(pair)
        return text

    def _listed(self, sent: Sent, listed: Listed, answers: Sequence[str]) -> list[float | None]:
        """The log-probability of each of ``answers`` as the first token; None for one that is not listed.

        Where the prompt ends is the server's secret under the chat API, so that there an answer counts with and
        without a space in front. What is not listed is less likely than all that is: the likeliest answer is known.

        Raises:
            Undecided: it is not, or no answer is listed at all.
        """
        chat = self.asker.api == "chat"
        wanted = [(a, f" {a}") if chat or not isinstance(sent, str) else (_answer_text(sent, a),) for a in answers]
        found = [[value for token, value in listed.tokens if token in spellings] for spellings in wanted]
        if not any(found):
            shown = ", ".join(repr(token) for token, _ in listed.tokens[:5])
            raise Undecided(
                f"none of {', '.join(answers)} is among the {len(listed.tokens)} likeliest first tokens "
                f"({shown}, …): use --scoring generate"
            )
        sums = np.array([np.exp(values).sum() for values in found])
        hidden = np.exp(min(value for _, value in listed.tokens))  # most that a token out of the list can have
        most = sums + [hidden * (len(spellings) - len(f)) for spellings, f in zip(wanted, found, strict=True)]
        best = int(np.argmax(sums))
        if (
            any(len(f) > len(s) for f, s in zip(found, wanted, strict=True))
            or (np.delete(most, best) > sums[best]).any()
        ):
            raise Undecided(
                f"the {len(listed.tokens)} likeliest first tokens do not tell which of {', '.join(answers)} is the "
                "likeliest: use --scoring generate"
            )
        return [float(np.log(total)) if values else None for total, values in zip(sums, found, strict=True)]

    def _cell(self, pair: Pair) -> Cell | None:
        """The cell, where all its parts are there; they are forgotten then."""
        if self._missing(pair):
            return None
        found = self._parts.pop((pair.prompt.id, pair.example.id))
        parts = [found[part] for part in sorted(found)]
        first = parts[0]
        if self.way.logprobs is None:
            return self.reader.written(pair, self._cut(pair, first.text), first.before, first.usage.completion_tokens)
        values = [-np.inf if value is None else value for part in parts for value in part.loglik]
        counts = [part.answer_tokens for part in parts]
        if len(counts) != len(values):  # all were listed at once, a token each
            counts = [1] * len(values)
        return self.reader.likeliest(pair, np.array(values, dtype=np.float32), counts, first.before)

    def _cut(self, pair: Pair, text: str) -> str:
        """The text up to the line that completes the answer, where a model in process stops as well.

        The server itself is given no stop word: many a model opens with a line break. A mark of reasoning that the
        prompt leaves open stands in front.
        """
        sent = self.sent(pair)
        opening = left_open(sent) if isinstance(sent, str) and self.asker.api == "completions" else ""
        return self.reader.cut(pair, opening + text)


def _answer_text(prompt: str, answer: str) -> str:
    """The answer with the space that parts it from the prompt, or without one after a line break."""
    return answer if prompt.endswith("\n") else f" {answer}"
