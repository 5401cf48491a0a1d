"""What a server can do, found out with a few tiny requests before anything else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from paft.errors import InputError, RunError
from paft.evaluation.answers.candidates import Candidates
from paft.evaluation.options import Options
from paft.evaluation.server.client import Asker, PromptTooLong, Unsupported
from paft.tasks.base import Example, Task
from paft.tasks.reasoning import without_reasoning

QUESTION = "Is the sky blue on a clear day?\nA. yes\nB. no\nAnswer:"
ECHOES = ("echo", "echo-0")
TOP = (20, 5)  # how many tokens to have listed; some servers list no more than five


@dataclass(frozen=True, slots=True)
class Way:
    """How answers are read off a server.

    Attributes:
        scoring: ``likelihood``, ``continuation`` or ``generate``.
        logprobs: ``echo`` (the server scores the text it was sent; ``echo-0`` where it is asked to generate nothing
            behind it) or ``top-20`` (it lists the likeliest first tokens); None for ``generate``.
    """

    scoring: str
    logprobs: str | None = None

    def told(self) -> str:
        """One line for people."""
        if self.logprobs is None:
            return "scored by what the model writes"
        if self.logprobs.startswith("echo"):
            return "scored by the log-likelihood of every answer"
        return f"scored by the {self.logprobs.removeprefix('top-')} likeliest first tokens"


def find_way(asker: Asker, task: Task, examples: Sequence[Example], options: Options, max_new_tokens: int) -> Way:
    """The way of scoring to use.

    ``auto`` takes log-likelihoods where the server can score a whole text, else generation: a list of the likeliest
    tokens may lack all answers half-way through a sweep, so it is only used where ``likelihood`` is asked for. Answers
    of which one's tokens begin another's need the end token behind them, which no server scores: they are generated.

    Raises:
        InputError: the scoring asked for is not to be had from this server.
        ModelError: a wrong key, address or model.
        RunError: the server does not answer.
    """
    auto = options.scoring == "auto"
    scoring = options.scoring_of(task)
    if scoring != "generate":
        logprobs, lacks = asker.run(_likelihoods(asker, task, options, auto))
        if logprobs in ECHOES:
            lacks = asker.run(_begins_another(asker, alike(task, scoring, examples), 0 if logprobs == "echo-0" else 1))
            logprobs = None if lacks else logprobs
        if logprobs is not None:
            return Way(scoring, logprobs)
        if not auto:
            raise InputError(f"--scoring {scoring} cannot be had from this server: {lacks}\nuse --scoring generate")
    asker.run(_hello(asker, max_new_tokens))
    return Way("generate")


async def _hello(asker: Asker, max_new_tokens: int) -> None:
    try:
        written = await asker.write(QUESTION, max_new_tokens)
    except PromptTooLong as bad:
        raise RunError(f"the server has no room for a prompt of {len(QUESTION)} characters: {bad}") from None
    if without_reasoning(written.text).open:
        raise RunError(
            f"the model spent all {max_new_tokens} tokens on reasoning and wrote no answer\n"
            "give more with --max-new-tokens, or switch reasoning off with --extra-body"
        )


async def _likelihoods(asker: Asker, task: Task, options: Options, auto: bool) -> tuple[str | None, str]:
    """How log-likelihoods can be read, or None and what is missing."""
    lacks = "the chat API scores no text that it is given"
    if asker.api == "completions":
        for extra in (1, 0):
            lacks = await _attempt(asker.echo(QUESTION, " A", extra, trying=True))
            if not lacks:
                return f"echo-{extra}" if extra == 0 else "echo", ""
    if auto or options.scoring == "continuation":
        return None, lacks
    for top in TOP:
        lacks = await _attempt(asker.listed(QUESTION, top, trying=True))
        if not lacks:
            await _one_token_each(asker, task)
            if options.normalize == "bytes" and len({len(a.encode()) for a in task.answers}) > 1:
                return None, "answers that are not listed cannot be compared by --normalize bytes"
            return f"top-{top}", ""
    return None, lacks


def alike(task: Task, scoring: str, examples: Iterable[Example]) -> list[tuple[str, ...]]:
    """The candidates that are compared with each other and of which one's text begins another's, without the rest."""
    candidates = Candidates(task, scoring)
    groups = {candidates.group(example) for example in examples}
    found = [
        tuple(a for a in set(g) if any(a != b and (a.startswith(b) or b.startswith(a)) for b in g)) for g in groups
    ]
    return sorted(tuple(sorted(group)) for group in found if group)


async def _begins_another(asker: Asker, groups: Sequence[Sequence[str]], extra: int) -> str:
    """Which answer's tokens begin another's, or "" where none does; after a space and at the start of a line."""
    for group in groups:
        for start, space in ((QUESTION, " "), (f"{QUESTION}\n", "")):
            rows = [((await asker.echo(start, f"{space}{answer}", extra)).tokens, answer) for answer in group]
            for (short, one), (long, other) in pairwise(sorted(rows)):
                if short != long and long[: len(short)] == short:
                    return (
                        f"the answer {one!r} begins the answer {other!r}; what tells them apart is the token that ends "
                        "an answer, which a server does not score"
                    )
    return ""


async def _attempt(asked: Any) -> str:
    """What is missing, or "" where the server did it."""
    try:
        await asked
    except (Unsupported, PromptTooLong, RunError) as bad:
        return str(bad).splitlines()[0]
    return ""


async def _one_token_each(asker: Asker, task: Task) -> None:
    """Refuse answers of several tokens: a list of first tokens says nothing about the rest of them.

    The server's own counts tell how many tokens an answer adds, after a space or at the start of a line. A chat
    template may trim its messages, so there a second line is added: a line break and the answer.
    """
    for answer in task.answers:
        if asker.api == "chat":
            line = f"{QUESTION}\n{answer}"
            added = [await _added(asker, line, f"{line}\n{answer}") - 1]
        else:
            added = [await _added(asker, start, start + answer) for start in (f"{QUESTION}\n", f"{QUESTION} ")]
        if max(added) != 1:
            raise InputError(
                f"the answer {answer!r} takes {max(added)} tokens, and this server lists first tokens alone\n"
                "use --scoring generate"
            )


async def _added(asker: Asker, short: str, long: str) -> int:
    """How many tokens ``long`` has more than ``short``, less the space that ends ``short``."""
    before, after = (await asker.write(short.rstrip(" "), 1)).usage, (await asker.write(long, 1)).usage
    if before.estimated or after.estimated:
        raise InputError(
            "the server does not count tokens, so it is not known whether each answer is one\nuse --scoring generate"
        )
    return after.prompt_tokens - before.prompt_tokens
