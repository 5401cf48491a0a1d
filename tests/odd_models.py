"""Tiny random models of builds that shortcuts are wrong for: states, windows, positions by distance, no masks."""

from __future__ import annotations

from typing import Any

import torch
import transformers as hf

SPECIAL = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
GROUPED = {"num_key_value_heads": 2, "head_dim": 8}
WIDE = {"initializer_range": 0.3}  # so that answers differ
STATE = {"state_size": 8, "hidden_size": 32, "num_hidden_layers": 2}
GPT_NEO = {"attention_types": [[["global", "local"], 1]], "num_heads": 4, "num_layers": 2, "hidden_size": 32}
HYBRID = {"layer_types": ["linear_attention", "full_attention"], "num_local_experts": 2, "num_experts_per_tok": 1}
JAMBA = {
    "attn_layer_period": 2,
    "attn_layer_offset": 1,
    "num_experts": 1,
    "mamba_d_state": 8,
}
BART = {"d_model": 32, "decoder_layers": 2, "decoder_attention_heads": 4, "decoder_ffn_dim": 64, "encoder_layers": 1}
BART |= {"encoder_attention_heads": 4, "encoder_ffn_dim": 64, "dropout": 0.0, "init_std": 0.3, "is_decoder": True}

CONFIGS = {
    "mamba": lambda v: hf.MambaConfig(vocab_size=v, **STATE, **WIDE),
    "mamba2": lambda v: hf.Mamba2Config(
        vocab_size=v, **STATE, **WIDE, **SPECIAL, num_heads=8, head_dim=8, n_groups=1, chunk_size=8
    ),
    "falcon_mamba": lambda v: hf.FalconMambaConfig(vocab_size=v, **STATE, **WIDE),
    "rwkv": lambda v: hf.RwkvConfig(
        vocab_size=v, hidden_size=32, num_hidden_layers=2, attention_hidden_size=32, intermediate_size=64
    ),
    "recurrent_gemma": lambda v: hf.RecurrentGemmaConfig(
        vocab_size=v, **(SIZE | {"num_hidden_layers": 3}), **GROUPED, **WIDE, attention_window_size=8, lru_width=32
    ),
    "jamba": lambda v: hf.JambaConfig(vocab_size=v, **SIZE, **WIDE, **SPECIAL, num_key_value_heads=2, **JAMBA),
    "minimax": lambda v: hf.MiniMaxConfig(vocab_size=v, **SIZE, **GROUPED, **WIDE, **SPECIAL, **HYBRID, block_size=8),
    "xlstm": lambda v: hf.xLSTMConfig(
        vocab_size=v, hidden_size=32, embedding_dim=32, num_hidden_layers=2, num_blocks=2, num_heads=4
    ),
    "gpt_neo": lambda v: hf.GPTNeoConfig(vocab_size=v, **GPT_NEO, **WIDE, window_size=16, max_position_embeddings=512),
    "mistral_window": lambda v: hf.MistralConfig(vocab_size=v, **SIZE, **GROUPED, **WIDE, sliding_window=16),
    "gemma2": lambda v: hf.Gemma2Config(vocab_size=v, **SIZE, **GROUPED, **WIDE, sliding_window=16),
    "bloom": lambda v: hf.BloomConfig(vocab_size=v, hidden_size=32, n_layer=2, n_head=4, **WIDE),
    "bart_decoder": lambda v: hf.BartConfig(
        vocab_size=v, **BART, **SPECIAL, max_position_embeddings=512, is_encoder_decoder=False
    ),
}


def odd_model(kind: str, vocab_size: int, seed: int = 0) -> Any:
    """A random model of one of ``CONFIGS``, in evaluation mode."""
    torch.manual_seed(seed)
    return hf.AutoModelForCausalLM.from_config(CONFIGS[kind](vocab_size)).eval()
