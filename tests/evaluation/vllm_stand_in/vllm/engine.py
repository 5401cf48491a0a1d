"""The engine: a prefix cache in blocks, greedy decoding, raw log-probabilities."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from vllm.lora.request import LoRARequest
from vllm.sampling import SamplingParams, VLLMValidationError

BLOCK = 16
# of the arguments of vllm.LLM and vllm.EngineArgs, those that a user of paft may meet
KNOWN = """tokenizer tokenizer_mode trust_remote_code tensor_parallel_size dtype quantization revision seed
gpu_memory_utilization enforce_eager kv_cache_memory_bytes max_model_len max_logprobs logprobs_mode generation_config
enable_lora max_loras max_lora_rank lora_dtype load_format enable_prefix_caching block_size max_num_batched_tokens
max_num_seqs kv_cache_dtype pipeline_parallel_size disable_log_stats""".split()


@dataclass
class Logprob:
    logprob: float
    rank: int | None = None
    decoded_token: str | None = None


@dataclass
class CompletionOutput:
    index: int
    text: str
    token_ids: list[int]
    cumulative_logprob: float | None
    logprobs: list[dict[int, Logprob]] | None
    finish_reason: str | None = None
    stop_reason: int | str | None = None


@dataclass
class RequestOutput:
    request_id: str
    prompt: str | None
    prompt_token_ids: list[int]
    prompt_logprobs: list[dict[int, Logprob] | None] | None
    outputs: list[CompletionOutput]
    finished: bool
    num_cached_tokens: int
    prompt_token_id_logprobs: np.ndarray | None = None
    params: Any = field(default=None)  # not in vLLM: for tests to look at


class LLM:
    """``old_runner`` and ``fails_at`` are set by tests: vLLM's old model runner, and the call that breaks."""

    old_runner = False
    fails_at: int | None = None
    made: list[LLM] = []  # noqa: RUF012

    def __init__(self, model: str, **given: Any) -> None:
        if unknown := set(given) - set(KNOWN):
            raise TypeError(f"EngineArgs.__init__() got an unexpected keyword argument {sorted(unknown)[0]!r}")
        self.given = given
        dtype = given.get("dtype", "auto")
        if dtype not in ("auto", "half", "float16", "bfloat16", "float", "float32"):
            raise ValueError(f"Unknown dtype: {dtype!r}")
        if dtype == "auto":  # 16 bits where the model has 32
            stored = json.loads((Path(model) / "config.json").read_text())["dtype"]
            dtype = "bfloat16" if stored == "float32" else stored
        wanted = getattr(torch, dtype)
        self.model: Any = AutoModelForCausalLM.from_pretrained(model, dtype=wanted).eval()
        self.config = self.model.config
        self.model_config = SimpleNamespace(dtype=wanted)
        self.longest = given.get("max_model_len") or self.config.max_position_embeddings
        if self.longest > self.config.max_position_embeddings:
            raise ValueError(f"User-specified max_model_len ({self.longest}) is greater than the derived max_model_len")
        if not 0 < given.get("gpu_memory_utilization", 0.92) <= 1:
            raise ValueError("gpu_memory_utilization must be in (0, 1]")
        if given.get("enable_lora") and given.get("max_lora_rank", 16) not in (1, 8, 16, 32, 64, 128, 256, 320, 512):
            raise ValueError("max_lora_rank")
        self.adapted: Any = None
        self.blocks: set[tuple[int, ...]] = set()
        self.answered: list[RequestOutput] = []
        self.calls: list[int] = []
        LLM.made.append(self)

    def generate(
        self,
        prompts: Any,
        sampling_params: Any = None,
        *,
        use_tqdm: bool = True,
        lora_request: Any = None,
        priority: Any = None,
        tokenization_kwargs: Any = None,
        mm_processor_kwargs: Any = None,
    ) -> list[RequestOutput]:
        if isinstance(sampling_params, list) and len(sampling_params) != len(prompts):
            raise VLLMValidationError("The lengths of prompts and params must be the same.")
        for prompt, params in zip(prompts, sampling_params, strict=True):  # all are checked before any is run
            self._check(prompt["prompt_token_ids"], params)
        if LLM.fails_at is not None and len(self.calls) == LLM.fails_at:
            raise RuntimeError("CUDA out of memory.\nmore lines")
        self.calls.append(len(prompts))
        model = self._with(lora_request)
        asked = zip(prompts, sampling_params, strict=True)
        out = [self._answer(model, prompt["prompt_token_ids"], params) for prompt, params in asked]
        self.answered += out
        return out

    def reset_prefix_cache(self, reset_running_requests: bool = False, reset_connector: bool = False) -> bool:
        self.blocks.clear()
        return True

    def _check(self, ids: list[int], params: SamplingParams) -> None:
        if not ids or not all(type(i) is int and 0 <= i < self.config.vocab_size for i in ids):
            raise VLLMValidationError("The decoder prompt cannot be empty, or a token id is out of vocabulary")
        if len(ids) >= self.longest:
            raise VLLMValidationError(
                f"The decoder prompt (length {len(ids)}) plus the number of requested output tokens"
            )
        most = self.given.get("max_logprobs", 20)
        params.verify(self.config.vocab_size, self.longest, most, len(ids), LLM.old_runner)

    def _with(self, lora: LoRARequest | None) -> Any:
        if lora is None:
            return self.model
        if not self.given.get("enable_lora"):
            raise ValueError("Got lora_request but LoRA is not enabled")
        config = json.loads((Path(lora.lora_path) / "adapter_config.json").read_text())
        if config["r"] > self.given.get("max_lora_rank", 16):
            raise ValueError(f"LoRA rank {config['r']} is greater than max_lora_rank")
        if self.adapted is None:
            from peft import PeftModel

            self.adapted = PeftModel.from_pretrained(self.model, lora.lora_path).eval()
        return self.adapted

    @torch.no_grad()
    def _answer(self, model: Any, ids: list[int], params: SamplingParams) -> RequestOutput:
        cached = 0
        if not params.skip_reading_prefix_cache:
            while cached + BLOCK < len(ids) and tuple(ids[: cached + BLOCK]) in self.blocks:
                cached += BLOCK
        self.blocks |= {tuple(ids[:end]) for end in range(BLOCK, len(ids) + 1, BLOCK)}
        rows = params.prompt_logprob_token_ids
        before = model(input_ids=torch.tensor([ids])).logits[0].float().log_softmax(-1)
        scores = None
        if rows is not None and cached <= (params.prompt_logprob_start or 0):
            start = params.prompt_logprob_start or 0
            scores = np.array([[float(before[start + r, i]) for i in row] for r, row in enumerate(rows)], np.float32)
        return RequestOutput(
            request_id=str(len(self.answered)),
            prompt=None,
            prompt_token_ids=ids,
            prompt_logprobs=self._prompt_logprobs(before, ids, params),
            outputs=[self._written(model, before[-1], ids, params)],
            finished=True,
            num_cached_tokens=cached,
            prompt_token_id_logprobs=scores,
            params=params,
        )

    def _prompt_logprobs(self, before: Any, ids: list[int], params: SamplingParams) -> Any:
        if params.prompt_logprobs is None:
            return None
        out: list[dict[int, Logprob] | None] = [None]
        for place, token in enumerate(ids[1:]):
            top = before[place].topk(params.prompt_logprobs).indices.tolist() if params.prompt_logprobs else []
            out.append({i: Logprob(float(before[place, i])) for i in [token, *top]})
        return out

    def _written(self, model: Any, first: Any, ids: list[int], params: SamplingParams) -> CompletionOutput:
        made: list[int] = []
        logprobs: list[dict[int, Logprob]] = []
        row, reason, stop = first, "length", None
        ends = {*(params.stop_token_ids or []), *(() if params.ignore_eos else (self.config.eos_token_id,))}
        while len(made) < (params.max_tokens or self.longest) and len(ids) + len(made) < self.longest:
            if made:
                row = model(input_ids=torch.tensor([ids + made])).logits[0, -1].float().log_softmax(-1)
            token = int(row.argmax())
            logprobs.append({i: Logprob(float(row[i])) for i in [token, *(params.logprob_token_ids or [])]})
            made.append(token)
            if token in ends:
                reason, stop = "stop", token
                break
        asked = params.logprobs is not None or params.logprob_token_ids is not None
        return CompletionOutput(0, "", made, 0.0 if asked else None, logprobs if asked else None, reason, stop)
