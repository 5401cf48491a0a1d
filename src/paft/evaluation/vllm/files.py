"""The folders that vLLM is to load: fetched where they are on the hub, and adapters checked before it starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from paft.errors import ModelError
from paft.files import read_json
from paft.models.source import ADAPTER_CONFIG

WANTED = ["*.json", "*.safetensors", "*.model", "*.tiktoken", "*.txt", "*.jinja"]
UNWANTED = ["*/*", "consolidated*"]  # other formats of the same weights
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # the values of max_lora_rank from 8 on
PLAIN = {  # settings of an adapter that vLLM 0.33 has no code for, and what they are in a plain one
    "bias": "none",
    "lora_bias": False,
    "use_dora": False,
    "use_qalora": False,
    "use_bdlora": None,
    "modules_to_save": None,
    "layer_replication": None,
    "alora_invocation_tokens": None,
    "trainable_token_indices": None,
}


def local_folder(name: str, trust_remote_code: bool = False) -> Path:
    """The folder of a model or adapter; one on the hub is fetched, safetensors alone.

    Raises:
        ModelError: it cannot be fetched.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download

    wanted = [*WANTED, "*.py"] if trust_remote_code else WANTED
    try:
        return Path(snapshot_download(name, allow_patterns=wanted, ignore_patterns=UNWANTED))
    except (OSError, ValueError) as bad:
        reason = (str(bad).strip().splitlines() or [type(bad).__name__])[0][:300]
        raise ModelError(
            f"cannot fetch {name}: {reason}\ncheck the name, the network and your access to it, or give a local folder"
        ) from bad


def lora_room(adapter: Path) -> int:
    """The ``max_lora_rank`` that an adapter needs.

    Raises:
        ModelError: an adapter of a kind that vLLM does not load.
    """
    config = read_json(adapter / ADAPTER_CONFIG)
    strange = [f"{k} {config[k]!r}" for k, plain in PLAIN.items() if config.get(k) and config[k] != plain]
    if config.get("peft_type") != "LORA":
        strange = [f"peft_type {config.get('peft_type')!r}"]
    rank = max([int(config.get("r") or 0), *_ranks(config)])
    if rank > RANKS[-1]:
        strange.append(f"rank {rank}")
    if strange:
        raise ModelError(
            f"vLLM does not load the adapter {adapter}: {', '.join(strange)}\n"
            "put it into its model first (paft merge), and sweep that"
        )
    return next(room for room in RANKS if room >= rank)


def _ranks(config: dict[str, Any]) -> list[int]:
    return [int(rank) for rank in (config.get("rank_pattern") or {}).values()]
