"""The file of a finished scan: there and back, and what else may lie in its place."""

import json
from pathlib import Path

import pytest
from support.scans import scan_result

from search_cluster.errors import CorpusError
from search_cluster.scan.result import SCAN_NAME
from search_cluster.scan.result_file import is_finished, read_result, write_result


@pytest.mark.parametrize("is_sure", [True, False])
def test_there_and_back(tmp_path: Path, is_sure: bool) -> None:
    result = scan_result(is_sure=is_sure)
    assert not is_finished(tmp_path)
    assert write_result(tmp_path, result) == tmp_path / SCAN_NAME
    assert is_finished(tmp_path)
    assert read_result(tmp_path) == result


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": "1"}, r"scan\.json: seed: Input should be a valid integer; .*scan again"),
        ({"colour": 1}, r"scan\.json: colour: Unexpected keyword argument; .*another version"),
        ({"schema": 2}, r"scan\.json has schema 2; this version reads schema 1: scan again"),
        (
            {"candidates": [{}]},
            r"scan\.json: candidates\.0\.path: Field required; .*run the same scan again",
        ),
    ],
)
def test_other_values_are_refused(tmp_path: Path, change: dict[str, object], words: str) -> None:
    path = write_result(tmp_path, scan_result())
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CorpusError, match=words):
        read_result(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]"])
def test_what_is_no_result_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / SCAN_NAME).write_bytes(content)
    with pytest.raises(CorpusError, match=r"scan\.json: .*run the same scan again"):
        read_result(tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"can't read .*scan\.json: No such file"):
        read_result(tmp_path)
