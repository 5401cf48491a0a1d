"""What is asked of vLLM, in token ids alone; the names and meanings are those of vLLM 0.33."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from paft.errors import InputError, ModelError, RunError
from paft.evaluation.answers.queries import Query

MOST_LISTED = 128  # token ids whose log-probabilities one request may ask for
NEUTRAL: Mapping[str, Any] = {  # greedy, and nothing that moves a logit
    "temperature": 0.0,
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "repetition_penalty": 1.0,
    "ignore_eos": True,  # what ends a row is told by stop_token_ids
    "detokenize": False,
}


class Read(NamedTuple):
    """Log-probabilities after one context.

    Attributes:
        prompt: token ids: the context, and the ``stem`` behind it.
        stem: how many of its last tokens are scored themselves.
        following: tokens that are scored right after it.
    """

    prompt: list[int]
    stem: int
    following: tuple[int, ...]


class Scored(NamedTuple):
    """The sum of a stem's log-probabilities (nats), and the log-probability of each token that may follow."""

    stem: float
    following: Mapping[int, float]


def reads_of(query: Query) -> list[tuple[Read, list[int]]]:
    """What to ask for a query, and which candidates each answers: those alike but for their last token go together."""
    context = [int(i) for i in query.context]
    stems: dict[tuple[int, ...], list[int]] = {}
    for place, ids in enumerate(query.candidates):
        stems.setdefault(tuple(ids[:-1]), []).append(place)
    out: list[tuple[Read, list[int]]] = []
    for stem, places in sorted(stems.items()):
        for start in range(0, len(places), MOST_LISTED):
            part = places[start : start + MOST_LISTED]
            last = tuple(dict.fromkeys(query.candidates[place][-1] for place in part))
            out.append((Read([*context, *stem], len(stem), last), part))
    return out


@dataclass(frozen=True)
class Settings:
    """How vLLM is started; engines with the same settings are the same."""

    model: str
    tokenizer: str
    adapter: str | None
    lora_room: int
    dtype: str
    max_length: int
    trust_remote_code: bool
    tensor_parallel: int
    gpu_memory: float | None
    args: Mapping[str, Any]

    def arguments(self) -> dict[str, Any]:
        """The keyword arguments of ``vllm.LLM``."""
        out: dict[str, Any] = {
            "model": self.model,
            "tokenizer": self.tokenizer,
            "dtype": self.dtype,
            "max_model_len": self.max_length,
            "trust_remote_code": self.trust_remote_code,
            "tensor_parallel_size": self.tensor_parallel,
            "seed": 0,
            "generation_config": "vllm",
            "logprobs_mode": "raw_logprobs",
            "load_format": "safetensors",
        }
        if self.gpu_memory is not None:
            out["gpu_memory_utilization"] = self.gpu_memory
        if self.adapter is not None:
            out |= {"enable_lora": True, "max_loras": 1, "max_lora_rank": self.lora_room}
        return {**out, **self.args}


class Engine:
    """A model that vLLM has loaded.

    Raises:
        InputError: vLLM is not installed, or too old.
        ModelError: it does not start.
    """

    def __init__(self, settings: Settings) -> None:
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        try:
            import vllm
            from vllm.lora.request import LoRARequest
        except ImportError as bad:
            raise InputError(f"vLLM cannot be imported: {_first_line(bad)}; pip install 'paft[vllm]'") from bad
        self.version = str(vllm.__version__)
        self._params: Any = vllm.SamplingParams
        self._prompt: Any = vllm.TokensPrompt
        try:
            self._params(logprob_token_ids=[0], **NEUTRAL)
        except TypeError:
            raise InputError(
                f"vLLM {self.version} is too old, 0.33 or newer is needed: pip install 'paft[vllm]'"
            ) from None
        try:
            self._llm: Any = vllm.LLM(**settings.arguments())
        except Exception as bad:  # vLLM has errors of its own, and hands on those of CUDA
            raise ModelError(f"vLLM does not start with {settings.model}: {_first_line(bad)}") from bad
        self.dtype = str(self._llm.model_config.dtype).removeprefix("torch.")
        self._lora = None if settings.adapter is None else LoRARequest("adapter", 1, settings.adapter)
        self._scores_rows: bool | None = None

    def log_likelihoods(self, queries: Sequence[Query]) -> list[list[float]]:
        """Sum of the log-probabilities (nats) of each candidate's tokens, over the whole vocabulary."""
        asked = [(q, read, places) for q, query in enumerate(queries) for read, places in reads_of(query)]
        totals = [[0.0] * len(query.candidates) for query in queries]
        for (q, _, places), scored in zip(asked, self.score([read for _, read, _ in asked]), strict=True):
            for place in places:
                totals[q][place] = scored.stem + scored.following[queries[q].candidates[place][-1]]
        return totals

    def score(self, reads: Sequence[Read]) -> list[Scored]:
        """All reads in one call.

        A stem is scored at its own tokens, going on from a cached context; vLLM gives nothing where the cache
        reaches into the stem, and is asked again without the cache. The old model runner of vLLM has no such
        scores: there all tokens of the prompt are scored.
        """
        stems = [0.0] * len(reads)
        outputs = self._run([r.prompt for r in reads], [self._scoring(r) for r in reads])
        open_ = [i for i, read in enumerate(reads) if read.stem]
        if open_ and self._rows():
            hidden = [i for i in open_ if outputs[i].prompt_token_id_logprobs is None]
            again = [self._scoring(reads[i], cached=False) for i in hidden]
            for i, output in zip(hidden, self._run([reads[i].prompt for i in hidden], again), strict=True):
                outputs[i] = output
        for i in open_:
            stems[i] = self._stem(reads[i], outputs[i])
        return [Scored(stem, _listed(r, o)) for stem, r, o in zip(stems, reads, outputs, strict=True)]

    def write(
        self, prompts: Sequence[Sequence[int]], room: Sequence[int], ends: Sequence[Iterable[int]]
    ) -> list[list[int]]:
        """The likeliest token after another, up to one of ``ends``, which is the last, or ``room`` tokens of a row."""
        known: dict[tuple[int, frozenset[int]], Any] = {}
        params = []
        for most, stops in zip(room, ends, strict=True):
            key = most, frozenset(stops)
            if key not in known:
                known[key] = self._params(max_tokens=most, stop_token_ids=sorted(key[1]), **NEUTRAL)
            params.append(known[key])
        made = [[int(i) for i in output.outputs[0].token_ids] for output in self._run(prompts, params)]
        if not all(made):
            raise RunError("vLLM wrote nothing for a prompt; finished cells are kept")
        return made

    def forget(self) -> None:
        """Empty the prefix cache."""
        self._llm.reset_prefix_cache()

    def _scoring(self, read: Read, cached: bool = True) -> Any:
        """The parameters of a read. The token that is sampled after it is of no interest."""
        more: dict[str, Any] = {}
        if read.stem and self._rows():
            rows = [[token] for token in read.prompt[-read.stem :]]
            start = len(read.prompt) - read.stem - 1  # the place that the stem's first token is predicted from
            more = {"prompt_logprob_token_ids": rows, "prompt_logprob_start": start}
            more["skip_reading_prefix_cache"] = not cached
        elif read.stem:
            more = {"prompt_logprobs": 0}
        return self._params(max_tokens=1, logprob_token_ids=list(read.following), **more, **NEUTRAL)

    def _rows(self) -> bool:
        """Whether this engine scores chosen places of a prompt; found out once."""
        if self._scores_rows is None:
            rows: dict[str, Any] = {"prompt_logprob_token_ids": [[0]], "prompt_logprob_start": 0}
            try:
                found = self._ask([[0, 0]], [self._params(max_tokens=1, **rows, **NEUTRAL)])
                self._scores_rows = found[0].prompt_token_id_logprobs is not None
            except Exception:  # refused: an older vLLM, or its old model runner
                self._scores_rows = False
        return self._scores_rows

    def _stem(self, read: Read, output: Any) -> float:
        if self._rows():
            values = output.prompt_token_id_logprobs
            given = [] if values is None else np.asarray(values, dtype=np.float64).ravel().tolist()
        else:
            places = range(len(read.prompt) - read.stem, len(read.prompt))
            given = [output.prompt_logprobs[place][read.prompt[place]].logprob for place in places]
        if len(given) != read.stem:
            raise RunError(f"vLLM scored {len(given)} of {read.stem} tokens of an answer; finished cells are kept")
        return float(sum(given))

    def _run(self, prompts: Sequence[Sequence[int]], params: Sequence[Any]) -> list[Any]:
        if not prompts:
            return []
        try:
            return self._ask(prompts, params)
        except Exception as bad:
            raise RunError(
                f"vLLM stopped: {_first_line(bad)}\nfinished cells are kept: the same command goes on"
            ) from bad

    def _ask(self, prompts: Sequence[Sequence[int]], params: Sequence[Any]) -> list[Any]:
        """One call for all, in this order, so that prompts that begin alike find each other in the cache."""
        tokens = [self._prompt(prompt_token_ids=[int(i) for i in ids]) for ids in prompts]
        outputs = self._llm.generate(tokens, list(params), use_tqdm=False, lora_request=self._lora)
        if len(outputs) != len(prompts):
            raise RunError(f"vLLM answered {len(outputs)} of {len(prompts)} requests")
        return list(outputs)


def _listed(read: Read, output: Any) -> dict[int, float]:
    listed = output.outputs[0].logprobs[0]
    missing = [token for token in read.following if token not in listed]
    if missing:
        raise RunError(f"vLLM gave no log-probability for the tokens {missing}; finished cells are kept")
    return {token: float(listed[token].logprob) for token in read.following}


def adapter_path(folder: Path | None) -> str | None:
    """As vLLM wants it: absolute."""
    return None if folder is None else str(folder.resolve())


def _first_line(bad: BaseException) -> str:
    lines = [line.strip() for line in str(bad).splitlines() if line.strip()]
    return (lines[0] if lines else type(bad).__name__)[:300]
