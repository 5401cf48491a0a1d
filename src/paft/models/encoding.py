"""Prompt and answer to token ids: the one place that knows BOS, chat templates, spaces and lengths."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

from transformers import PreTrainedTokenizerBase

from paft.defaults import MAX_LENGTH
from paft.errors import EncodingError, InputError
from paft.models.chat import ChatTemplate, Rendered
from paft.models.limits import Limits
from paft.models.tails import reads_locally, tail_starts

Chat = Literal["auto", "on", "off"]
MOST_TAILS = 1 << 16  # ends of prompts with first answers to remember


class TooLongError(EncodingError):
    """Prompt and answer are longer than ``max_length`` tokens."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """Token ids of prompt and answer; ``input_ids[answer_start:]`` are the answer's."""

    input_ids: list[int]
    answer_start: int


class _Cut(NamedTuple):
    """Where a text is cut: ``token`` starts at ``char`` and is read alike from there on; ``boundary`` as ever."""

    boundary: int
    token: int
    char: int


class Parts(NamedTuple):
    """Token ids of a prompt, and of one answer to it."""

    prompt: list[int]
    answer: list[int]


class Encoder:
    """Turns rendered prompts and answers into token ids.

    The ids are what the tokenizer makes of the whole string, prompt and answer in one. Text is never read as
    special tokens outside a chat template: a row that holds ``</s>`` is those four characters.

    Args:
        tokenizer: a fast tokenizer (its character offsets find the boundary).
        max_length: most tokens of prompt and answer together.
        chat: wrap prompts in the tokenizer's chat template; ``auto`` where it has one.
        date: what a chat template takes for today, such as ``2025-03-01``; today where it is None.
        limits: of the model that the ids are for: its positions bound ``max_length``, and it has to know the ids.

    Attributes:
        end_ids: the tokens that end an answer; ``end_id`` is the last of them, and nearly always the only one.

    Raises:
        InputError: ``chat`` is ``on`` and the tokenizer has no chat template, or one in whose conversations no answer
            can be told apart.
        ModelError: the model does not know the tokens that begin or end every row.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        max_length: int = MAX_LENGTH,
        chat: str = "off",
        date: str | None = None,
        limits: Limits | None = None,
    ) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise InputError("a fast tokenizer (tokenizer.json) is needed to part prompt and answer exactly")
        if chat not in ("auto", "on", "off"):
            raise InputError(f"--chat must be auto, on or off, found {chat!r}")
        if max_length < 2:
            raise InputError(f"--max-length must be at least 2, found {max_length}")
        has_template = bool(getattr(tokenizer, "chat_template", None))
        if chat == "on" and not has_template:
            raise InputError("--chat on: this model's tokenizer has no chat template; use --chat off")
        self.tokenizer = tokenizer
        self.limits = limits or Limits()
        self.max_length = min(max_length, self.limits.positions or max_length)
        self._limit = f"--max-length {max_length}"
        if self.max_length < max_length:
            self._limit = f"the {self.max_length} positions of the model"
        self.chat = has_template if chat == "auto" else chat == "on"
        self._tails: dict[str, list[int]] = {}
        self._prefix_ids = self._find_prefix()
        self._template = ChatTemplate(tokenizer, date) if self.chat else None
        self.end_ids = self._find_end()
        self.end_id = self.end_ids[-1]
        self.limits.refuse([*self._prefix_ids, *self.end_ids], "every row")

    @property
    def date(self) -> str | None:
        """What the chat template takes for today; None where it does not depend on it."""
        return None if self._template is None else self._template.date

    def prompt_text(self, rendered: Rendered) -> str:
        """The final prompt string: trailing spaces and tabs stripped (not newlines).

        In a chat it is all that the chat template writes before an answer. Without a chat template, the messages of a
        chat prompt are joined by blank lines.
        """
        if self._template is not None:
            return self._template.prompt(rendered)
        text = rendered if isinstance(rendered, str) else "\n\n".join(m["content"].rstrip(" \t") for m in rendered)
        return text.rstrip(" \t")

    def answer_text(self, prompt_text: str, answer: str) -> str:
        """The answer with the space that parts it from the prompt, or without one after a newline.

        ``" A"`` and ``"A"`` are different tokens in most vocabularies; after a colon a model has always seen
        the first, after a line break the second. In a chat it is as the chat template writes it.
        """
        if self._template is not None:
            self._template.refuse_marks(answer, f"the answer {answer[:60]!r}")
            return self._template.gap + answer
        return answer if prompt_text.endswith("\n") or not prompt_text else f" {answer}"

    def encode(self, rendered: Rendered, answer: str, end: bool) -> Encoding:
        """Ids of one prompt and answer; see :meth:`encode_batch`."""
        encoded = self.encode_batch([(rendered, answer)], end)[0]
        assert encoded is not None  # on_long="error" never leaves a gap
        return encoded

    def encode_batch(
        self, items: Sequence[tuple[Rendered, str]], end: bool, on_long: Literal["error", "none"] = "error"
    ) -> list[Encoding | None]:
        """Ids of many prompts with their answers, in order.

        Args:
            items: pairs of rendered prompt and answer.
            end: add the end token to the answer (training does, likelihood scoring does not).
            on_long: ``none`` gives None where a pair is longer than ``max_length``.

        Raises:
            EncodingError: a token straddles the boundary, or the answer has no tokens.
            TooLongError: a pair is too long and ``on_long`` is ``error``.
        """
        if not items:
            return []
        prompts = [self.prompt_text(rendered) for rendered, _ in items]
        texts = [p + self.answer_text(p, answer) for p, (_, answer) in zip(prompts, items, strict=True)]
        out: list[Encoding | None] = []
        for prompt, text, read in zip(prompts, texts, self._tokenize(texts).encodings, strict=True):
            tokens = read.ids
            prefix = self._prefix(tokens)
            start = _boundary(read, len(prompt), text) + len(prefix)
            ids = [*prefix, *tokens, *(self.end_ids if end else [])]
            if self._fits(len(ids), on_long):
                out.append(Encoding(ids, start))
            else:
                out.append(None)
        return out

    def encode_answers(
        self,
        items: Sequence[tuple[Rendered, Sequence[str]]],
        on_long: Literal["error", "none"] = "error",
        ended: Collection[int] = (),
    ) -> list[list[Parts] | None]:
        """Ids of many prompts, each with several answers: what ``encode_batch`` gives, faster.

        A prompt is read once, with its first answer. The others are read together with the prompt's last words
        alone where that gives the same tokens: the tokenizer cuts its words so, and the first answer comes out as
        it did.

        Args:
            items: a rendered prompt and its answers, one or more.
            on_long: ``none`` gives None where the prompt with an answer is longer than ``max_length``.
            ended: the items, by their index, whose answers get what ends them.

        Raises:
            EncodingError, TooLongError: as for ``encode_batch``.
        """
        prompts = [self.prompt_text(rendered) for rendered, _ in items]
        texts = [[p + self.answer_text(p, a) for a in answers] for p, (_, answers) in zip(prompts, items, strict=True)]
        reads = self._tokenize([row[0] for row in texts]).encodings if items else []
        cuts = [self._cut(read, len(p), row) for read, p, row in zip(reads, prompts, texts, strict=True)]
        rest = [text[cut.char :] for row, cut in zip(texts, cuts, strict=True) for text in row[1:]]
        distinct = list(dict.fromkeys(rest))
        known = dict(zip(distinct, self._tokenize(distinct).encodings, strict=True)) if distinct else {}
        out: list[list[Parts] | None] = []
        for item, (p, row, read, cut) in enumerate(zip(prompts, texts, reads, cuts, strict=True)):
            ids = read.ids
            prefix = self._prefix(ids)
            whole = Parts([*prefix, *ids[: cut.boundary]], ids[cut.boundary :])
            parts = [whole]
            for text in row[1:]:
                tail = known[text[cut.char :]]
                border, tail_ids = _boundary(tail, len(p) - cut.char, text[cut.char :]), tail.ids
                same = cut.token + border == cut.boundary and tail_ids[:border] == ids[cut.token : cut.boundary]
                prompt = whole.prompt if same else [*prefix, *ids[: cut.token], *tail_ids[:border]]
                parts.append(Parts(prompt, tail_ids[border:]))
            if item in ended:
                parts = [Parts(prompt, [*answer, *self.end_ids]) for prompt, answer in parts]
            longest = max(len(part.prompt) + len(part.answer) for part in parts)
            out.append(parts if self._fits(longest, on_long) else None)
        return out

    def _cut(self, read: Any, prompt_chars: int, texts: Sequence[str]) -> _Cut:
        """From where on the other answers' texts are read; the first answer is read from there too, as a check."""
        text = texts[0]
        boundary = _boundary(read, prompt_chars, text)
        plain = self._normalizes is False or all(t.isascii() for t in texts)
        if len(texts) > 1 and self._local and plain:
            ids = read.ids
            for token, char in tail_starts(read, boundary, text, prompt_chars):
                tail = text[char:]
                if tail not in self._tails:
                    if len(self._tails) >= MOST_TAILS:
                        self._tails.clear()
                    self._tails[tail] = self._tokenize([tail])["input_ids"][0]
                if self._tails[tail] == ids[token:]:
                    return _Cut(boundary, token, char)
        return _Cut(boundary, 0, 0)

    def _fits(self, tokens: int, on_long: str) -> bool:
        if tokens > self.max_length and on_long == "error":
            raise TooLongError(f"prompt and answer take {tokens} tokens, more than {self._limit}")
        return tokens <= self.max_length

    def encode_prompts(self, rendered: Sequence[Rendered]) -> list[list[int]]:
        """Ids of prompts alone, for generation. Lengths are the caller's to check."""
        texts = [self.prompt_text(r) for r in rendered]
        if not texts:
            return []
        rows = self._tokenize(texts)["input_ids"]
        return [[*self._prefix(ids), *ids] for ids in rows]

    @cached_property
    def _local(self) -> bool:
        return not self.chat and reads_locally(self.tokenizer)

    @cached_property
    def _normalizes(self) -> bool:
        return self.tokenizer.backend_tokenizer.normalizer is not None

    def _tokenize(self, texts: list[str]) -> Any:
        read = self.tokenizer(
            texts,
            add_special_tokens=False,
            return_token_type_ids=False,
            return_attention_mask=False,
            truncation=False,
            padding=False,
            verbose=False,
            split_special_tokens=not self.chat,
        )
        if self.limits.outside:
            for text, ids in zip(texts, read["input_ids"], strict=True):
                self.limits.refuse(ids, f"a row ({text[:60]!r} …)")
        return read

    def _prefix(self, ids: list[int]) -> list[int]:
        """The tokens in front that a chat template has not written already: each stands once."""
        prefix = self._prefix_ids
        if self.chat:
            for start in range(len(prefix)):
                if ids[: len(prefix) - start] == prefix[start:]:
                    return prefix[:start]
        return prefix

    def _find_prefix(self) -> list[int]:
        """What the tokenizer itself puts in front of a text: BOS for most, nothing for GPT-2."""
        bare = self.tokenizer("a", add_special_tokens=False)["input_ids"]
        full = self.tokenizer("a")["input_ids"]
        for start in range(len(full) - len(bare) + 1):
            if full[start : start + len(bare)] == bare:
                return list(full[:start])
        return []

    def _find_end(self) -> list[int]:
        """The tokens that end an answer: the chat template's end of turn, else the tokenizer's end token."""
        if self._template is not None and self._template.end_ids:
            return self._template.end_ids
        if self.tokenizer.eos_token_id is None:
            raise InputError("the tokenizer has no end token; set eos_token in its tokenizer_config.json")
        return [int(self.tokenizer.eos_token_id)]


def _boundary(read: Any, prompt_chars: int, text: str) -> int:
    """Index of the first token of the answer, which starts at character ``prompt_chars`` of ``text``."""
    found = read.char_to_token(prompt_chars)
    if found is not None and read.token_to_chars(found)[0] == prompt_chars:
        return int(found)
    for index, (start, stop) in enumerate(read.offsets):
        if stop > prompt_chars:
            if start < prompt_chars:
                around = text[max(0, prompt_chars - 10) : prompt_chars + 10]
                raise EncodingError(
                    f"one token covers the end of the prompt and the start of the answer, near {around!r}\n"
                    "end the template differently, for example with 'Answer:'"
                )
            return index
    raise EncodingError(f"the answer {text[prompt_chars:]!r} has no tokens")
