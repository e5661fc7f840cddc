from pathlib import Path

import pytest

from search_cluster.depth.result import (
    DEPTH_NAME,
    DepthResult,
    TextPart,
    holds_study,
    read_depth_result,
    write_depth_result,
)
from search_cluster.errors import CorpusError


def made_up_result() -> DepthResult:
    return DepthResult(
        model="tiny",
        model_fingerprint="0",
        num_layers=6,
        dtype="float32",
        seed=0,
        lens="none",
        thresholds=(1, 10),
        text=TextPart(
            source="made up", corpus_tokens=1, buckets=(), guesses=(), onsets=(), bias=None
        ),
        word_classes=None,
        facts=(),
        questions=None,
        paths=(),
        layers=(),
        prior_checks=(),
        notes=("a line",),
        counts={"positions": 3},
        versions={"python": "3.11"},
    )


def test_a_result_reads_back_as_it_was_written(tmp_path: Path) -> None:
    assert not holds_study(tmp_path)
    write_depth_result(tmp_path, made_up_result())
    assert holds_study(tmp_path)
    assert read_depth_result(tmp_path) == made_up_result()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"schema":1', '"schema":9', "has schema 9; this version reads schema 1"),
        ('"seed":0', '"seed":"0"', "seed: Input should be a valid integer"),
        ('"seed":0', '"seeds":0', "the file was changed or written by another version"),
    ],
)
def test_another_schema_or_a_changed_file_is_refused(
    old: str, new: str, said: str, tmp_path: Path
) -> None:
    path = write_depth_result(tmp_path, made_up_result())
    text = (tmp_path / DEPTH_NAME).read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(CorpusError, match=said):
        read_depth_result(tmp_path)
