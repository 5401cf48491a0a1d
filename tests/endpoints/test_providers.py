"""The providers file."""

from __future__ import annotations

from pathlib import Path

import pytest

from paft.endpoints import Price, Provider, load_providers
from paft.errors import DataError, InputError, MissingFileError

ROOT = Path(__file__).resolve().parents[2]
GOOD = """\
- name: one
  model: m-1
  base_url: http://localhost:8000/v1/
  price: {prompt: 0.5, completion: 1.5}
  requests_per_minute: 30
  temperature: 0.9
  stream: true
  extra_body: {reasoning_effort: low, top_k: 40, deep: {on: true}}
- {name: two, model: m-2, api_key_env: TWO_KEY, max_tokens: 2000, concurrency: 2, timeout: 60, json_mode: true}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "providers.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_words_of_a_body_stay_words(tmp_path: Path) -> None:
    body = (
        "{thinking: off, verbosity: no, seed: 7, top_p: .5, tag: 007, at: 12:30, stop: null, deep: [yes, true, 1e-1]}"
    )
    (one,) = load_providers(write(tmp_path, f"- {{name: a, model: b, extra_body: {body}}}\n"))
    assert one.extra_body == {
        "thinking": "off", "verbosity": "no", "seed": 7, "top_p": 0.5, "tag": "007", "at": "12:30", "stop": None,
        "deep": ["yes", True, 0.1],
    }  # fmt: skip


def test_a_file(tmp_path: Path, monkeypatch) -> None:
    one, two = load_providers(write(tmp_path, GOOD))
    extra = {"reasoning_effort": "low", "top_k": 40, "deep": {"on": True}}
    assert one == Provider(
        "one", "m-1", "http://localhost:8000/v1", None, Price(0.5, 1.5), 30.0,
        temperature=0.9, stream=True, extra_body=extra,
    )  # fmt: skip
    assert (two.max_tokens, two.concurrency, two.timeout, two.json_mode) == (2000, 2, 60.0, True)
    assert one.key is None
    assert two.key is None
    monkeypatch.setenv("TWO_KEY", "sk-1\n")
    assert two.key == "sk-1"
    assert "sk-1" not in repr(two)
    assert load_providers(write(tmp_path, "providers:\n" + GOOD)) == [one, two]


def test_the_example_file() -> None:
    providers = load_providers(ROOT / "examples" / "providers.example.yaml")
    assert len(providers) == 10
    assert len({(p.name, p.model) for p in providers}) == 10


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected `key: value` lines, found nothing"),
        ("[]", "expected a list of providers"),
        ("- one", "expected a provider with name and model, found 'one'"),
        ("- {name: a}", "line 1: a provider needs a model"),
        ("- {model: a}", "line 1: a provider needs a name"),
        ("- name: a\n  model: b\n  api_key: sk-needle", "line 3: `api_key`: keys do not belong in a file"),
        ("- name: a\n  model: b\n  api_key_env: sk-needle", "line 3: `api_key_env`: expected the name of an env"),
        ("- name: a\n  model: b\n  pricee: 1", "line 3: unknown key 'pricee'"),
        ("- name: a\n  model: b\n  price: 1", "line 3: `price`: expected dollars per million tokens"),
        ("- name: a\n  model: b\n  price: {prompt: -1, completion: 2}", "`price`: expected dollars"),
        ("- name: a\n  model: b\n  base_url: localhost:8000", "line 3: `base_url`: expected an address"),
        ("- name: a\n  model: b\n  base_url: http://u:p@x/v1", "expected an address without user, password"),
        ("- name: a\n  model: b\n  concurrency: 0", "`concurrency`: expected a whole number from 1"),
        ("- name: a\n  model: b\n  concurrency: 1.5", "`concurrency`: expected a whole number from 1"),
        ("- name: a\n  model: b\n  timeout: never", "`timeout`: expected a number above 0, found 'never'"),
        ("- name: a\n  model: b\n  stream: maybe", "`stream`: expected true or false"),
        ("- name: a\n  model: b\n  extra_body: {model: c}", "`extra_body`: model cannot be set here"),
        ("- {name: a, model: b}\n- {name: a, model: b}", "provider 'a b' is listed twice"),
        ("- {name: a, name: b}", "the key 'name' stands twice"),
    ],
)
def test_files_that_do_not_fit(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises((DataError, InputError)) as bad:
        load_providers(write(tmp_path, text))
    assert words in str(bad.value)
    assert "needle" not in str(bad.value)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError):
        load_providers(tmp_path / "no.yaml")
