"""Prompt and answer to token ids: the one place that knows BOS, chat templates, spaces and lengths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

from jinja2.exceptions import TemplateError as JinjaError
from transformers import PreTrainedTokenizerBase

from paft.errors import EncodingError, InputError
from paft.models.limits import Limits
from paft.models.tails import reads_locally, tail_starts

Rendered = str | Sequence[Mapping[str, str]]
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
        limits: of the model that the ids are for: its positions bound ``max_length``, and it has to know the ids.

    Raises:
        InputError: ``chat`` is ``on`` and the tokenizer has no chat template.
        ModelError: the model does not know the tokens that begin or end every row.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        max_length: int = 1024,
        chat: str = "off",
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
        self.end_id = self._find_end()
        self.limits.refuse([*self._prefix_ids, self.end_id], "every row")

    def prompt_text(self, rendered: Rendered) -> str:
        """The final prompt string: chat template applied, trailing spaces and tabs stripped (not newlines).

        Without a chat template, the messages of a chat prompt are joined by blank lines.
        """
        if self.chat:
            text = self._apply_chat(rendered)
        elif isinstance(rendered, str):
            text = rendered
        else:
            text = "\n\n".join(m["content"].rstrip(" \t") for m in rendered)
        return text.rstrip(" \t")

    def answer_text(self, prompt_text: str, answer: str) -> str:
        """The answer with the space that parts it from the prompt, or without one after a newline.

        ``" A"`` and ``"A"`` are different tokens in most vocabularies; after a colon a model has always seen
        the first, after a line break the second.
        """
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
            prefix = self._prefix(text)
            start = _boundary(read, len(prompt), text) + len(prefix)
            ids = [*prefix, *read.ids, *([self.end_id] if end else [])]
            if self._fits(len(ids), on_long):
                out.append(Encoding(ids, start))
            else:
                out.append(None)
        return out

    def encode_answers(
        self, items: Sequence[tuple[Rendered, Sequence[str]]], on_long: Literal["error", "none"] = "error"
    ) -> list[list[Parts] | None]:
        """Ids of many prompts, each with several answers, without end tokens: what ``encode_batch`` gives, faster.

        A prompt is read once, with its first answer. The others are read together with the prompt's last words
        alone where that gives the same tokens: the tokenizer cuts its words so, and the first answer comes out as
        it did.

        Args:
            items: a rendered prompt and its answers, one or more.
            on_long: ``none`` gives None where the prompt with an answer is longer than ``max_length``.

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
        for p, row, read, cut in zip(prompts, texts, reads, cuts, strict=True):
            prefix, ids = self._prefix(row[0]), read.ids
            whole = Parts([*prefix, *ids[: cut.boundary]], ids[cut.boundary :])
            parts = [whole]
            for text in row[1:]:
                tail = known[text[cut.char :]]
                border, tail_ids = _boundary(tail, len(p) - cut.char, text[cut.char :]), tail.ids
                same = cut.token + border == cut.boundary and tail_ids[:border] == ids[cut.token : cut.boundary]
                prompt = whole.prompt if same else [*prefix, *ids[: cut.token], *tail_ids[:border]]
                parts.append(Parts(prompt, tail_ids[border:]))
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
        return [[*self._prefix(text), *ids] for text, ids in zip(texts, rows, strict=True)]

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

    def _prefix(self, text: str) -> list[int]:
        """The tokens in front, unless a chat template has written BOS already."""
        if not self.chat:  # asking a tokenizer for its BOS is slow
            return self._prefix_ids
        bos = self.tokenizer.bos_token
        return [] if bos and text.startswith(bos) else self._prefix_ids

    def _find_prefix(self) -> list[int]:
        """What the tokenizer itself puts in front of a text: BOS for most, nothing for GPT-2."""
        bare = self.tokenizer("a", add_special_tokens=False)["input_ids"]
        full = self.tokenizer("a")["input_ids"]
        for start in range(len(full) - len(bare) + 1):
            if full[start : start + len(bare)] == bare:
                return list(full[:start])
        return []

    def _find_end(self) -> int:
        """The token that ends an answer: the chat template's end of turn, else the tokenizer's end token."""
        if self.chat:
            turn = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "0b1"}]
            text = str(self.tokenizer.apply_chat_template(turn, tokenize=False))
            tail = text.rpartition("0b1")[2]
            ids = self.tokenizer(tail, add_special_tokens=False)["input_ids"]
            if ids and ids[0] in self.tokenizer.added_tokens_decoder:
                return int(ids[0])
        if self.tokenizer.eos_token_id is None:
            raise InputError("the tokenizer has no end token; set eos_token in its tokenizer_config.json")
        return int(self.tokenizer.eos_token_id)

    def _apply_chat(self, rendered: Rendered) -> str:
        messages = [{"role": "user", "content": rendered}] if isinstance(rendered, str) else rendered
        turns = [{"role": m["role"], "content": m["content"].rstrip(" \t")} for m in messages]
        self._refuse_special(turns)
        options: dict[str, Any] = {"tokenize": False, "add_generation_prompt": True, "enable_thinking": False}
        try:
            return str(self.tokenizer.apply_chat_template(turns, **options))
        except JinjaError as bad:
            if turns[0]["role"] != "system" or len(turns) < 2:
                raise EncodingError(f"the model's chat template refused the prompt: {bad}") from None
            # some templates know no system role (Gemma): its text then opens the user's turn
            head = {"role": turns[1]["role"], "content": f"{turns[0]['content']}\n\n{turns[1]['content']}"}
            return str(self.tokenizer.apply_chat_template([head, *turns[2:]], **options))

    def _refuse_special(self, turns: Sequence[Mapping[str, str]]) -> None:
        """Text inside a chat turn must not forge the template's own marks."""
        marks = [t.content for t in self.tokenizer.added_tokens_decoder.values() if t.special]
        for turn in turns:
            for mark in marks:
                if mark in turn["content"]:
                    raise EncodingError(
                        f"the text of a {turn['role']} message holds {mark!r}, a special token of this model; "
                        "remove it from the data or the template"
                    )


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
