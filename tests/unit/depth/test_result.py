from pathlib import Path

import pytest
from support.depth_studies import made_up_study

from search_cluster.depth.result import (
    DEPTH_NAME,
    holds_study,
    read_depth_result,
    write_depth_result,
)
from search_cluster.errors import CorpusError


def test_a_result_reads_back_as_it_was_written(tmp_path: Path) -> None:
    assert not holds_study(tmp_path)
    write_depth_result(tmp_path, made_up_study())
    assert holds_study(tmp_path)
    assert read_depth_result(tmp_path) == made_up_study()


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
    path = write_depth_result(tmp_path, made_up_study())
    text = (tmp_path / DEPTH_NAME).read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(CorpusError, match=said):
        read_depth_result(tmp_path)
