"""Prompt embeddings against plain transformers, one text at a time."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from paft.errors import InputError, ModelError
from paft.models import TooLongError, load_model, load_tokenizer
from paft.models.embedding import hidden_state_embeddings, sentence_embeddings
from paft.prompts import Prompt

TEXTS = ("{text}\nWhat is it about? Answer:", "Read: {text}", "Say </s> of {text} and name it. " * 6, "{text}?")
PROMPTS = [Prompt.from_text(text) for text in TEXTS]
needs_package = pytest.mark.skipif(
    find_spec("sentence_transformers") is None, reason="sentence-transformers is not installed"
)


def by_hand(folder, tokenizer, text):
    """The mean of the last hidden states of one text without its BOS, from the decoder itself."""
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    ids = tokenizer(text, return_tensors="pt", split_special_tokens=True)["input_ids"]
    assert ids[0, 0] == tokenizer.bos_token_id
    assert (ids[0, 1:] != tokenizer.bos_token_id).all()
    with torch.no_grad():
        return model.base_model(ids).last_hidden_state[0, 1:].mean(0).numpy()


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_equals_the_mean_of_the_decoders_states_one_text_at_a_time(tiny_model_dir, tiny_tokenizer, family, batch_size):
    folder = tiny_model_dir(family)
    model = load_model(folder, device="cpu")
    got = hidden_state_embeddings(model, load_tokenizer(folder), PROMPTS, batch_size=batch_size)
    wanted = np.stack([by_hand(folder, tiny_tokenizer, text) for text in TEXTS])
    assert got.dtype == np.float32
    assert got.shape == (len(TEXTS), 32)
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)
    assert np.abs(got[0] - got[1]).max() > 0.01
    assert all(p.grad is None for p in model.parameters())


def test_a_model_in_bfloat16_gives_float32(tiny_model_dir):
    folder = tiny_model_dir("llama")
    full, half = (
        hidden_state_embeddings(load_model(folder, dtype=dtype, device="cpu"), load_tokenizer(folder), PROMPTS)
        for dtype in ("float32", "bfloat16")
    )
    assert half.dtype == np.float32
    assert np.corrcoef(full.ravel(), half.ravel())[0, 1] > 0.95


def test_a_chat_template_is_embedded_as_its_text(tiny_model_dir):
    folder = tiny_model_dir("llama")
    model, tokenizer = load_model(folder, device="cpu"), load_tokenizer(folder)
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "{text}"}]
    chat, plain = hidden_state_embeddings(
        model, tokenizer, [Prompt.from_text(turns), Prompt.from_text("Be brief.\n{text}")]
    )
    np.testing.assert_allclose(chat, plain, rtol=1e-5, atol=1e-6)


def test_what_cannot_be_embedded_is_refused(tiny_model_dir):
    folder = tiny_model_dir("llama")
    model, tokenizer = load_model(folder, device="cpu"), load_tokenizer(folder)
    with pytest.raises(TooLongError):
        hidden_state_embeddings(model, tokenizer, PROMPTS, max_length=5)
    with pytest.raises(InputError, match="batch_size"):
        hidden_state_embeddings(model, tokenizer, PROMPTS, batch_size=0)
    assert hidden_state_embeddings(model, tokenizer, []).shape == (0, 32)


@pytest.mark.skipif(find_spec("sentence_transformers") is not None, reason="sentence-transformers is installed")
def test_without_sentence_transformers_the_message_says_what_to_install():
    with pytest.raises(InputError, match="pip install sentence-transformers"):
        sentence_embeddings("org/some-model", PROMPTS)


@needs_package
def test_a_sentence_transformers_folder_gives_its_embeddings(tiny_model_dir, tiny_tokenizer, tmp_path):
    from sentence_transformers import SentenceTransformer

    SentenceTransformer(str(tiny_model_dir("llama")), device="cpu").save(str(tmp_path / "saved"))
    got = sentence_embeddings(tmp_path / "saved", PROMPTS, device="cpu")
    again = SentenceTransformer(str(tmp_path / "saved"), device="cpu").encode(list(TEXTS))
    assert got.shape == (len(TEXTS), 32)
    np.testing.assert_allclose(got, again, rtol=1e-4, atol=1e-5)
    with pytest.raises(ModelError, match="cannot load the embedding model"):
        sentence_embeddings(tmp_path / "nothing", PROMPTS, device="cpu")
