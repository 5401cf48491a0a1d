"""Stands in for vLLM 0.33 where it cannot run: what paft uses of it, over plain transformers, one request at a time.

Names, defaults and shapes are those of vLLM; what vLLM refuses, or what it does not know, is refused. It is slow.
"""

from vllm.engine import LLM
from vllm.sampling import SamplingParams, TokensPrompt

__version__ = "0.33.0"
__all__ = ["LLM", "SamplingParams", "TokensPrompt"]
