"""Models and tokenizers from safetensors; remote code only where it is asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from paft.errors import InputError, ModelError, missing_package
from paft.files import read_json
from paft.models.identity import folder_digest
from paft.models.memory import is_out_of_memory
from paft.models.source import ADAPTER_CONFIG, ModelSource, resolve_model

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
)
POINTER = b"version https://git-lfs"
DTYPES = {
    "float32": torch.float32,
    "fp32": torch.float32,
    "bfloat16": torch.bfloat16,
    "bf16": torch.bfloat16,
    "float16": torch.float16,
    "fp16": torch.float16,
}


def pick_device(device: str | torch.device = "auto") -> torch.device:
    """The device asked for; ``auto`` is CUDA, then Apple's MPS, then the CPU."""
    if str(device) == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        wanted = torch.device(device)
    except RuntimeError:
        hint = f"; for the GPU of that number give cuda:{device}" if str(device).isdecimal() else ""
        raise InputError(
            f"device {str(device)!r} cannot be used here: expected auto, cpu, cuda, cuda:1 or mps{hint}"
        ) from None
    try:
        torch.ones(1, device=wanted).item()
    except (RuntimeError, AssertionError, NotImplementedError) as bad:
        reason = str(bad).splitlines()[0].split(". ")[0]
        raise InputError(
            f"device {str(device)!r} cannot be used here: {reason}; --device auto takes what there is"
        ) from None
    return wanted


def pick_dtype(dtype: str | torch.dtype = "auto", device: str | torch.device = "cpu") -> torch.dtype:
    """The dtype asked for; ``auto`` is float32 on the CPU, bfloat16 on a GPU that has it, else float16."""
    if isinstance(dtype, torch.dtype):
        return dtype
    if dtype == "auto":
        if torch.device(device).type != "cuda":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if dtype not in DTYPES:
        raise InputError(f"unknown dtype {dtype!r}; expected auto, float32, bfloat16 or float16")
    return DTYPES[dtype]


def load_tokenizer(
    source: ModelSource | str | os.PathLike[str], trust_remote_code: bool = False
) -> PreTrainedTokenizerBase:
    """The tokenizer of a model (the adapter's own where it has one), with a pad token.

    Raises:
        ModelError: the folder holds no tokenizer, or it cannot be loaded.
    """
    source = source if isinstance(source, ModelSource) else resolve_model(source)
    name = source.base
    if source.adapter is not None and _has_tokenizer(Path(source.adapter)):
        name = source.adapter
    if Path(name).is_dir() and not _has_tokenizer(Path(name)):
        raise ModelError(
            f"{name} holds no tokenizer: expected tokenizer.json\nsave the model's tokenizer in that folder"
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=trust_remote_code)
    except Exception as bad:  # a broken file may fail in any way
        raise ModelError(_cannot_load("tokenizer", name, bad)) from bad
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token is None:
            raise ModelError(f"the tokenizer of {name} has neither a pad token nor an end token; add an end token")
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(
    source: ModelSource | str | os.PathLike[str],
    *,
    dtype: str | torch.dtype = "auto",
    device: str | torch.device = "auto",
    trust_remote_code: bool = False,
    quantization: Literal["4bit"] | None = None,
) -> PreTrainedModel:
    """A causal language model in evaluation mode, with its adapter where the source names one.

    Weights come from safetensors alone, since other formats may run code when they are read.

    Raises:
        ModelError: no such model, no safetensors, remote code not allowed, or an adapter of another base.
    """
    source = source if isinstance(source, ModelSource) else resolve_model(source)
    where = pick_device(device)
    options: dict[str, Any] = {"dtype": pick_dtype(dtype, where)}
    if quantization == "4bit":
        options |= {"quantization_config": _four_bit(where), "device_map": {"": where}}
    loaded: Any
    from transformers import AutoModelForCausalLM  # slow to import, and a tokenizer alone does not need it

    options |= {"ignore_mismatched_sizes": True, "output_loading_info": True}  # what does not fit is told below
    try:
        loaded = AutoModelForCausalLM.from_pretrained(
            source.base, use_safetensors=True, trust_remote_code=trust_remote_code, **options
        )
    except Exception as bad:  # a broken file may fail in any way
        if is_out_of_memory(bad):
            raise
        raise ModelError(_cannot_load("model", source.base, bad)) from bad
    model, info = loaded
    _refuse_half(source.base, info)
    if source.adapter is not None:
        model = _with_adapter(model, source)
    if quantization is None:
        model = model.to(where)
    return model.eval()


def _refuse_half(name: str, info: Mapping[str, Any]) -> None:
    """transformers fills weights that are missing, or of another shape, with random numbers.

    Raises:
        ModelError: there are such weights; names one.
    """
    for key, there, wanted in info["mismatched_keys"]:
        raise ModelError(
            f"{name}: the weight {key} has the shape {tuple(there)}, config.json asks for {tuple(wanted)}\n"
            "save the model again with save_pretrained, or download it again"
        )
    missing = sorted(info["missing_keys"])
    if missing:
        raise ModelError(
            f"{name} lacks {len(missing)} of the weights that config.json asks for, such as {missing[0]}\n"
            "a causal language model, whole, is expected; save it again with save_pretrained, or download it again"
        )


def _has_tokenizer(folder: Path) -> bool:
    return any((folder / name).is_file() for name in TOKENIZER_FILES)


def _four_bit(device: torch.device) -> Any:
    if device.type != "cuda":
        raise InputError("4-bit loading needs a CUDA GPU; leave --qlora out to train plain LoRA")
    try:
        import bitsandbytes  # noqa: F401
    except ImportError:
        raise InputError("4-bit loading needs bitsandbytes: pip install 'paft[qlora]'") from None
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=pick_dtype("auto", device),
    )


def _with_adapter(model: PreTrainedModel, source: ModelSource) -> Any:
    from peft import PeftModel

    adapter = str(source.adapter)
    if Path(adapter).is_dir() and not (Path(adapter) / "adapter_model.safetensors").is_file():
        raise ModelError(f"{adapter} holds no adapter_model.safetensors; only safetensors are loaded")
    refuse_other_architecture(model.config.model_type, adapter, source.base)
    refuse_changed_base(source)
    try:
        loaded = PeftModel.from_pretrained(model, adapter, use_safetensors=True)
    except Exception as bad:  # a broken file may fail in any way
        if is_out_of_memory(bad):
            raise
        reason = next((line.strip() for line in str(bad).splitlines() if "size mismatch" in line), None)
        raise ModelError(
            f"the adapter {adapter} does not fit the base model {source.base}: {reason or _first_line(bad)}"
        ) from bad
    _refuse_unfilled(loaded, adapter, source.base)
    return loaded


def refuse_other_architecture(model_type: str, adapter: str, base: str) -> None:
    """Weights of the right shape can still belong to another kind of model."""
    config = Path(adapter) / ADAPTER_CONFIG
    if not config.is_file():
        return
    recorded = read_json(config).get("base_model_name_or_path") or ""
    if not (Path(recorded) / "config.json").is_file():
        return
    trained_on = read_json(Path(recorded) / "config.json").get("model_type")
    if trained_on != model_type:
        raise ModelError(
            f"the adapter {adapter} does not fit the base model {base}: it was trained on a {trained_on} model "
            f"({recorded}), this one is {model_type}"
        )


def refuse_changed_base(source: ModelSource) -> None:
    """Refuse a run's adapter upon its own base where the weights there are no longer those it was trained on.

    Raises:
        ModelError: says where the base is.
    """
    settings = source.run_settings()
    base = settings.get("base")
    trained_on = base.get("files") if isinstance(base, dict) else None
    if trained_on is None or settings.get("model") != source.base or not Path(source.base).is_dir():
        return
    if folder_digest(Path(source.base)) != trained_on:
        raise ModelError(
            f"{source.run} was trained on other weights than {source.base} holds now\n"
            f"bring them back, or give the base to use as --model with --adapter {source.adapter}"
        )


def _refuse_unfilled(model: Any, adapter: str, base: str) -> None:
    """PEFT only warns where adapter weights found no module, or a module found no weights."""
    from peft import get_peft_model_state_dict
    from peft.utils.save_and_load import load_peft_weights

    wanted = set(get_peft_model_state_dict(model, save_embedding_layers=False))
    embeddings = set(get_peft_model_state_dict(model, save_embedding_layers=True))  # PEFT may have saved them too
    stored = set(load_peft_weights(adapter, device="cpu"))
    missing = sorted(wanted - stored)
    extra = sorted(stored - wanted - embeddings)
    if missing or extra:
        name = (missing or extra)[0]
        raise ModelError(
            f"the adapter {adapter} does not fit the base model {base}: "
            f"{len(missing)} weights are missing and {len(extra)} have no place, such as {name}"
        )


def _cannot_load(what: str, name: str, bad: Exception) -> str:
    text = str(bad)
    if "trust_remote_code" in text:
        return f"{name} wants to run code of its own; give --trust-remote-code if you trust it"
    if "safetensors" in text and "no file named" in text:
        return (
            f"{name} has no model.safetensors; only safetensors are loaded\nsave the model again with save_pretrained"
        )
    if isinstance(bad, ImportError):
        return f"cannot load the {what} of {name}: {missing_package(bad)}"
    hint = "\ncheck the name, the network and your access to it, or give a local folder"
    if Path(name).is_dir():
        pointer = next((path for path in sorted(Path(name).iterdir()) if _is_pointer(path)), None)
        if pointer is not None:
            return f"{pointer} is a Git LFS pointer, not the file itself\nfetch the files with git lfs pull"
        hint = "\na file there is damaged or does not belong to it; save or download it again"
    return f"cannot load the {what} of {name}: {_first_line(bad)}{hint}"


def _is_pointer(path: Path) -> bool:
    """Whether a file is what git leaves in place of a large one that it has not fetched."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(POINTER)) == POINTER


def _first_line(bad: Exception) -> str:
    """What went wrong, in one line; a line that ends in a colon goes on in the next."""
    lines = [line.strip() for line in str(bad).splitlines() if line.strip()]
    told = lines[0] if lines else ""
    for line in lines[1:]:
        if not told.endswith(":"):
            break
        told += f" {line}"
    bare = " " not in told or isinstance(bad, KeyError | TypeError | AttributeError)  # says little without its kind
    return (f"{type(bad).__name__} {told}".strip() if bare else told)[:300]
