"""What a report finds beside the records."""

from __future__ import annotations

import shutil
from pathlib import Path

from report.making import make_comparison

from paft.prompts import load_prompts
from paft.report.comparison import Comparison, TaskTexts

RECORDS = Path(__file__).resolve().parents[2] / "results" / "trec" / "records"


def test_prompts_that_ship_are_found_by_their_ids(tmp_path: Path) -> None:
    place = tmp_path / "records" / "trec"
    place.mkdir(parents=True)
    for name in ("base-seed0", "paft-seed0"):
        shutil.copy(RECORDS / "trec" / f"{name}.json", place)
    texts = Comparison.load(tmp_path).tasks["trec"]
    assert texts.prompts["unseen"] == load_prompts("trec", "test")
    assert texts.prompts["hostile"] == load_prompts("trec", "hostile")
    assert {p.id for p in texts.prompts["train"]} < set(load_prompts("trec", "train").ids)
    assert texts.training is None  # records do not name the prompts that were trained on
    assert texts.examples == {}


def test_other_prompts_have_no_text_without_their_files(tmp_path: Path) -> None:
    folder = make_comparison(tmp_path / "pets", texts=False)
    assert Comparison.load(folder).tasks["pets"] == TaskTexts()
    folder = make_comparison(tmp_path / "trec", ("trec",), texts=False)
    assert Comparison.load(folder).tasks["trec"] == TaskTexts()


def test_training_prompts_are_all_told_where_a_part_is_swept(tmp_path: Path) -> None:
    texts = Comparison.load(make_comparison(tmp_path)).tasks["pets"]
    assert texts.training is not None
    assert len(texts.training) == len(texts.prompts["train"]) + 3
