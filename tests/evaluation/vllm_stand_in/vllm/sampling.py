"""What may be asked for, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np


class VLLMValidationError(Exception):
    """Not a ValueError, as in vLLM."""


class TokensPrompt(TypedDict, total=False):
    prompt_token_ids: list[int]


@dataclass
class SamplingParams:
    """The fields that paft may use; any other is unknown here, as a misspelt one is there."""

    n: int = 1
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    stop: list[str] | None = None
    stop_token_ids: list[int] | None = None
    ignore_eos: bool = False
    max_tokens: int | None = 16
    min_tokens: int = 0
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    prompt_logprob_token_ids: Any = None
    prompt_logprob_start: int | None = None
    logprob_token_ids: list[int] | None = None
    detokenize: bool = True
    skip_reading_prefix_cache: bool | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.temperature <= 2.0:
            raise VLLMValidationError(f"temperature must be in [0, 2], got {self.temperature}.")
        if not 0.0 < self.top_p <= 1.0:
            raise VLLMValidationError(f"top_p must be in (0, 1], got {self.top_p}.")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise VLLMValidationError(f"max_tokens must be at least 1, got {self.max_tokens}.")
        if self.stop and not self.detokenize:
            raise VLLMValidationError("stop strings are only supported when detokenize is True.")
        self.stop_token_ids = list(dict.fromkeys(self.stop_token_ids or []))
        if not all(isinstance(i, int) for i in self.stop_token_ids):
            raise VLLMValidationError("stop_token_ids must contain only integers")
        if self.skip_reading_prefix_cache is None:
            scored = self.prompt_logprobs is not None or self.prompt_logprob_token_ids is not None
            self.skip_reading_prefix_cache = scored

    def verify(self, vocabulary: int, longest: int, most: int, prompt: int, old_runner: bool) -> None:
        """What the engine refuses. ``most`` is ``max_logprobs``."""
        if self.temperature > 0:
            raise NotImplementedError("the stand-in decodes greedily")
        for number in (self.logprobs, self.prompt_logprobs):
            if number is not None and (vocabulary if number == -1 else number) > most:
                raise VLLMValidationError(f"Requested logprobs of {number}, which is greater than max allowed: {most}")
        listed = self.logprob_token_ids
        if listed is not None:
            if len(listed) > 128:
                raise VLLMValidationError(f"Requested logprob_token_ids of length {len(listed)}, max allowed: 128")
            if self.logprobs is not None and self.logprobs != len(listed):
                raise VLLMValidationError("logprobs must equal len(logprob_token_ids)")
        for ids in (listed, self.stop_token_ids):
            if any(not 0 <= i < vocabulary for i in ids or []):
                raise VLLMValidationError(f"{ids} contain out-of-vocab token ids")
        self._verify_rows(vocabulary, longest, most, prompt, old_runner)

    def _verify_rows(self, vocabulary: int, longest: int, most: int, prompt: int, old_runner: bool) -> None:
        if self.prompt_logprob_token_ids is None:
            if self.prompt_logprob_start is not None:
                raise VLLMValidationError("prompt_logprob_start requires prompt_logprob_token_ids.")
            return
        if old_runner:
            raise VLLMValidationError("prompt_logprob_token_ids requires the V2 model runner")
        rows = np.asarray(self.prompt_logprob_token_ids)
        if rows.ndim != 2 or 0 in rows.shape or rows.dtype.kind not in "iu":
            raise VLLMValidationError("prompt_logprob_token_ids must be a non-empty integer array of shape [rows, ids]")
        if rows.shape[0] > longest - 1 or rows.shape[1] > most or rows.min() < -1 or rows.max() >= vocabulary:
            raise VLLMValidationError("prompt_logprob_token_ids: too many, or out of vocabulary")
        if rows.shape[0] != max(prompt - 1 - (self.prompt_logprob_start or 0), 0):
            raise VLLMValidationError(f"prompt_logprob_token_ids has {rows.shape[0]} rows for a prompt of {prompt}")
        self.prompt_logprob_token_ids = np.ascontiguousarray(rows, dtype=np.int32)
