import os
from pathlib import Path

import pytest

from search_cluster.depth.conllu import WORD_CLASSES, read_conllu
from search_cluster.errors import ConfigError

ROWS = (
    ("1-2", "Don't", "_", "_"),
    ("1", "Do", "AUX", "_"),
    ("2", "n't", "PART", "_"),
    ("3", "touch", "VERB", "_"),
    ("3.1", "ghost", "X", "_"),
    ("4", "the", "DET", "_"),
    ("5", "cat", "NOUN", "SpaceAfter=No"),
    ("6", ".", "PUNCT", "_"),
)


def conllu(rows: tuple[tuple[str, str, str, str], ...], text: str | None) -> str:
    lines = [] if text is None else [f"# text = {text}"]
    lines += [
        "\t".join([index, form, "_", name, "_", "_", "_", "_", "_", misc])
        for index, form, name, misc in rows
    ]
    return "\n".join(lines) + "\n\n"


@pytest.mark.parametrize("text", ["Don't touch the cat.", None])
def test_words_have_spans_and_gold_classes(text: str | None, tmp_path: Path) -> None:
    path = tmp_path / "a.conllu"
    path.write_text(conllu(ROWS, text))
    (sentence,) = read_conllu(path)
    assert sentence.text == "Don't touch the cat."
    found = [(sentence.text[item.begin : item.end], item.word_class) for item in sentence.words]
    assert found == [
        ("Don't", "AUX"),
        ("touch", "VERB"),
        ("the", "DET"),
        ("cat", "NOUN"),
        (".", "PUNCT"),
    ]
    assert sentence.labels()[6] == WORD_CLASSES.index("VERB")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "holds no sentence"),
        ("1\tthe\tDET\n\n", "3 columns"),
        (conllu((("1", "the", "ARTICLE", "_"),), None), "'ARTICLE'"),
        (conllu((("1", "the", "DET", "_"), ("x", "cat", "NOUN", "_")), None), ":2: the ID is 'x'"),
        (conllu((("2-", "cat", "_", "_"),), None), ":1: the ID is '2-'; it is a word's number"),
        (conllu((("-1", "cat", "NOUN", "_"),), None), ":1: the ID is '-1'"),
        (conllu((("x.y", "cat", "NOUN", "_"),), None), ":1: the ID is 'x.y'"),
        (conllu((("", "cat", "NOUN", "_"),), None), ":1: the ID is ''"),
        (conllu((("1", "cat", "NOUN", "_"),), "the dog"), "not in its sentence's text"),
    ],
)
def test_what_is_no_conllu_is_refused_in_one_line(content: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "a.conllu"
    path.write_text(content)
    with pytest.raises(ConfigError, match=said):
        read_conllu(path)


def test_a_treebank_is_read_whole() -> None:
    folder = os.environ.get("LPS_DATA_DIR")
    path = Path(folder or "") / "depth" / "en_pud.conllu"
    if not folder or not path.is_file():
        pytest.skip("LPS_DATA_DIR with depth/en_pud.conllu is not there")
    sentences = read_conllu(path)
    assert len(sentences) == 1000
    assert sum(len(item.words) for item in sentences) > 20000
    for sentence in sentences:
        assert [word.begin for word in sentence.words] == sorted(sentence.labels())
