"""Fixtures that every suite shares: real tokenizers and tiny random models, made in process."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# the same examples on every run, and no limit on the time of one: machines differ
settings.register_profile("paft", derandomize=True, deadline=None)
settings.load_profile("paft")

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started in the background: programs under test inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parents[1]
FAMILIES = ("llama", "qwen3", "mistral", "gemma", "gpt2", "gpt_neox")
LIBRARIES = ("transformers", "peft", "accelerate", "datasets", "huggingface_hub")
KNOWN_DEPRECATIONS: tuple[str, ...] = ()  # parts of logged messages that are not ours to mend, each with its reason
TEXT = (
    "The quick brown fox jumps over the lazy dog. Which of the two is correct? Answer: A or B, not C or D.",
    "Choose the right option from the list below and write only its letter.\nOptions:\nA. one\nB. two\nAnswer:",
    "positive negative person location number entity description abbreviation payment delivery return repair",
    "Question: how far is it from here to there? Read the text, then say what it is about. Text: 3 of 12.",
)


def pytest_configure(config: pytest.Config) -> None:
    """The programs that tests start judge warnings as the tests do."""
    os.environ.setdefault("PYTHONWARNINGS", ",".join(config.getini("filterwarnings")))


class Deprecations(logging.Handler):
    """What libraries log, rather than warn of, about names that go away."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if "deprecated" in message.lower() and not any(known in message for known in KNOWN_DEPRECATIONS):
            self.found.append(f"{record.name}: {message}")


@pytest.fixture(autouse=True)
def no_deprecations_logged() -> Iterator[None]:
    """Fail a test in which a library logs that something is deprecated; most do so once a process."""
    handler = Deprecations()
    loggers = [logging.getLogger(name) for name in LIBRARIES]
    for logger in loggers:
        logger.addHandler(handler)
    yield
    for logger in loggers:
        logger.removeHandler(handler)
    assert not handler.found


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside a checkout; the test is skipped where there is none."""
    folder = Path(os.environ.get("PAFT_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data not present at {folder} (set PAFT_SHARED_DATA)")
    return folder


@pytest.fixture(scope="session")
def tiny_tokenizer():
    """A byte-level BPE tokenizer of 512 tokens with BOS in front, as the Llama family has it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tok.train_from_iterator(TEXT * 4, trainer)
    tok.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", tok.token_to_id("<s>"))]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tok, bos_token="<s>", eos_token="</s>", pad_token="<pad>")


def tiny_config(family: str, vocab_size: int):
    """A config of two small layers for one architecture family."""
    import transformers as hf

    special = {"vocab_size": vocab_size, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    grouped = {"num_key_value_heads": 2, "head_dim": 8}
    match family:
        case "llama":
            return hf.LlamaConfig(**special, **size, num_key_value_heads=2, max_position_embeddings=2048)
        case "qwen3":
            return hf.Qwen3Config(**special, **size, **grouped, max_position_embeddings=2048)
        case "mistral":
            return hf.MistralConfig(**special, **size, **grouped, max_position_embeddings=2048, sliding_window=None)
        case "gemma":
            return hf.GemmaConfig(**special, **size, **grouped, max_position_embeddings=2048)
        case "gpt2":
            return hf.GPT2Config(**special, n_embd=32, n_layer=2, n_head=4, n_positions=2048, n_inner=64)
        case "gpt_neox":
            return hf.GPTNeoXConfig(**special, **size, max_position_embeddings=2048)
    raise ValueError(family)


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer) -> Callable[[str], Path]:
    """``family -> folder`` of a saved tiny random model with its tokenizer; made once a session."""
    made: dict[str, Path] = {}

    def make(family: str = "llama") -> Path:
        if family not in made:
            import torch
            from transformers import AutoModelForCausalLM

            folder = tmp_path_factory.mktemp("models") / family
            torch.manual_seed(7)
            model = AutoModelForCausalLM.from_config(tiny_config(family, len(tiny_tokenizer)))
            with torch.no_grad():  # dropout off and weights large enough that answers differ
                for p in model.parameters():
                    if p.ndim == 2:
                        p.mul_(4)
            model.save_pretrained(folder)
            tiny_tokenizer.save_pretrained(folder)
            made[family] = folder
        return made[family]

    return make
