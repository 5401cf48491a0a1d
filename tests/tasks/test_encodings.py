"""Tables in old encodings: read as they were written, or refused with the flag that decides; never altered."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paft.errors import DataError, InputError
from paft.tasks import SPLITS, load_task
from paft.tasks.dialect import Told
from paft.tasks.encodings import tell_encoding
from paft.tasks.init import init_task

LANGUAGES = {  # encodings, then sentences and two labels
    "russian": (
        "cp1251 koi8_r cp866 iso8859_5",
        "Лампа пришла с трещиной, и я жду ответа.|"
        "Это очень удобный стол, но он шатается.|"
        "Не открывается дверца шкафа.",
        "жалоба похвала",
    ),
    "ukrainian": (
        "cp1251 koi8_u",
        "Лампа приїхала з тріщиною, і я чекаю на відповідь.|"
        "Це дуже зручний стіл, але він хитається.|"
        "Не працює ящик у шафі.",
        "скарга подяка",
    ),
    "polish": (
        "cp1250 iso8859_2",
        "Lampa jest pęknięta i nie świeci się wcale.|"
        "To bardzo wygodny stół, ale się chwieje.|"
        "Szafka nie zamyka się już na klucz, żal.",
        "skarga pochwała",
    ),
    "czech": (
        "cp1250 iso8859_2",
        "Lampa přišla rozbitá a já čekám na odpověď.|"
        "To je velmi pohodlný stůl, ale viklá se.|"
        "Skříňka se nedá zavřít.",
        "stížnost pochvala",
    ),
    "hungarian": (
        "cp1250 iso8859_2",
        "A lámpa törötten érkezett, és nem világít.|"
        "Ez egy nagyon kényelmes asztal, őszintén örülök.|"
        "Nem zárható a szekrény, sőt a fiók sem.",
        "panasz dicséret",
    ),
    "french": (
        "cp1252 latin-1 cp850 mac_roman",
        "La lampe est arrivée cassée et je n'ai pas de réponse.|"
        "C'est une table très commode, mais elle bouge.|"
        "Le tiroir ne ferme plus à clé, ça gêne.",
        "plainte félicitation",
    ),
    "spanish": (
        "cp1252 latin-1",
        "La lámpara llegó rota y no hay respuesta.|"
        "Es una mesa muy cómoda, ¿por qué se mueve?|"
        "El cajón no cierra con la llave pequeña.",
        "queja elogio",
    ),
    "german": (
        "cp1252 latin-1 cp850",
        "Die Lampe kam mit einem Riß an, und ich höre nichts.|"
        "Das ist ein sehr schöner Tisch für die Küche.|"
        "Die Tür geht nicht zu.",
        "Beschwerde Lob",
    ),
    "swedish": (
        "cp1252",
        "Lampan är sprucken och lyser inte på kvällen.|"
        "Det är ett mycket skönt bord för köket.|"
        "Jag får inte igen lådan.",
        "klagomål beröm",
    ),
    "turkish": (
        "cp1254",
        "Lamba kırık geldi ve yanmıyor.|"
        "Bu çok rahat bir masa ama biraz sallanıyor.|"
        "Dolabın kapağı için yeni bir vida gerek, değil mi?",
        "şikayet övgü",
    ),
    "greek": (
        "cp1253 iso8859_7",
        "Η λάμπα ήρθε σπασμένη και δεν ανάβει.|"
        "Το τραπέζι είναι πολύ άνετο για την κουζίνα.|"
        "Να με πάρετε για το ντουλάπι.",
        "παράπονο έπαινος",
    ),
    "chinese": (
        "gbk gb18030",
        "灯一到就是坏的，我很失望。|"
        "这是一个很好的桌子。|"
        "柜子的门关不上了，有人来修吗？",
        "投诉 表扬",
    ),
    "chinese, traditional": (
        "big5",
        "燈一到就是壞的，我很失望。|"
        "這是一個很好的桌子。|"
        "櫃子的門關不上了，有人來修嗎？",
        "投訴 表揚",
    ),
    "japanese": (
        "shift_jis euc_jp",
        "電気スタンドが割れて届きました。|"
        "とても使いやすい机です。|"
        "引き出しがしまらないので、直してください。",
        "苦情 感謝",
    ),
    "korean": (
        "euc_kr",
        "전등이 깨진 채로 왔습니다.|"
        "이 책상은 아주 편하고 좋아요.|"
        "서랍이 안 닫혀서 다시 고쳐야 한다.",
        "불만 칭찬",
    ),
    "english": (
        "cp1252",
        "The lamp is cracked – and it’s dark in here.|"
        "I like the “big” table, not the small one.|"
        "It cost €40 and was worth that.",
        "complaint praise",
    ),
}  # fmt: skip
CASES = [(name, encoding) for name, (encodings, _, _) in LANGUAGES.items() for encoding in encodings.split()]


def rows_of(name: str, count: int = 12) -> list[tuple[str, str]]:
    _, texts, labels = LANGUAGES[name]
    sentences, words = texts.split("|"), labels.split()
    return [(f"{sentences[n % 3]} ({n})", words[n % 2]) for n in range(count)]


def as_csv(rows: list[tuple[str, str]]) -> str:
    return "text,label\n" + "".join(f'"{text.replace(chr(34), chr(34) * 2)}",{label}\n' for text, label in rows)


def read_back(task_file: Path) -> list[tuple[str, str]]:
    task = load_task(task_file)
    examples = [example for split in SPLITS for example in task.examples(split)]
    examples.sort(key=lambda example: int(example.id.split(":")[1]))
    return [(example.slots["text"], example.answer) for example in examples]


@pytest.mark.parametrize(("name", "encoding"), CASES)
def test_a_table_in_an_old_encoding_is_read_as_it_was_written(tmp_path: Path, name: str, encoding: str) -> None:
    rows = rows_of(name)
    path = tmp_path / "t.csv"
    path.write_bytes(as_csv(rows).encode(encoding))
    report = init_task(path, tmp_path / "out")
    assert read_back(report.task_file) == rows
    assert any(line.startswith("encoding: ") for line in report.guesses)
    assert "\nencoding: " in report.task_file.read_text(encoding="utf-8")


@settings(max_examples=60)
@given(st.data())
def test_what_is_told_is_right_or_asked_for(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """A few words of any language in any of its encodings: never another text."""
    name, encoding = data.draw(st.sampled_from(CASES))
    _, texts, labels = LANGUAGES[name]
    words = st.sampled_from([*texts.replace("|", " ").split(), *labels.split(), "ok", "2"])
    text = "text\n" + "\n".join(" ".join(data.draw(st.lists(words, min_size=1, max_size=6))) for _ in range(3)) + "\n"
    if data.draw(st.booleans()):
        text = text.lower()
    path = tmp_path_factory.mktemp("e") / "t.csv"
    try:
        path.write_bytes(text.encode(encoding))
    except UnicodeEncodeError:  # the small form of a letter that the encoding lacks
        return
    try:
        told, _ = tell_encoding(path)
    except InputError:
        return
    assert path.read_bytes().decode(told) == text


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "iso2022_jp"])
def test_unicode_in_other_forms(tmp_path: Path, encoding: str) -> None:
    rows = rows_of("japanese")
    (tmp_path / "t.csv").write_bytes(as_csv(rows).encode(encoding))
    assert read_back(init_task(tmp_path / "t.csv", tmp_path / "out").task_file) == rows


def test_what_two_encodings_read_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rows = [(f"item {n}", ["дом", "сад"][n % 2]) for n in range(12)]
    path.write_bytes(as_csv(rows).encode("cp1251"))
    with pytest.raises(InputError) as asks:
        init_task(path, tmp_path / "out")
    assert "cp1251 reads 'дом сад'" in str(asks.value)
    assert "say which it is with --encoding" in str(asks.value)
    assert not (tmp_path / "out").exists()
    report = init_task(path, tmp_path / "out", told=Told(encoding="cp1251"))
    assert read_back(report.task_file) == rows
    with pytest.raises(DataError, match="unknown encoding 'cp1521'; expected one such as cp1252"):
        init_task(path, tmp_path / "other", told=Told(encoding="cp1521"))


def test_bytes_of_no_language(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"text,label\n" + bytes(range(128, 256)) * 3 + b",a\n")
    with pytest.raises(InputError, match="the file is not UTF-8, and its encoding cannot be told"):
        init_task(path, tmp_path / "out")


def test_a_byte_that_does_not_fit_is_named(tmp_path: Path) -> None:
    """The end of a long file in another encoding than its beginning."""
    path = tmp_path / "t.csv"
    path.write_bytes(as_csv(rows_of("german", 12)).encode("cp1252") + b'"caf\x81",Lob\n')
    with pytest.raises(DataError, match="line 14: byte 0x81 is not cp1252"):
        init_task(path, tmp_path / "out", told=Told(encoding="cp1252"))
