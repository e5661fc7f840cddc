"""The file in which a scan says what it found."""

from pathlib import Path

from pydantic import TypeAdapter

from search_cluster.corpus.json_files import read_value, require_schema, write_value
from search_cluster.scan.result import SCAN_NAME, SCAN_SCHEMA, ScanResult

_RESULT = TypeAdapter(ScanResult)
_SCAN_AGAIN = "run the same scan again, which asks nothing twice"


def is_finished(folder: Path) -> bool:
    """Whether a scan has ended in this folder."""
    return (folder / SCAN_NAME).is_file()


def write_result(folder: Path, result: ScanResult) -> Path:
    """Write what a scan found, atomically; returns the file.

    Raises:
        CorpusError: the operating system refused.
    """
    target = folder / SCAN_NAME
    write_value(target, _RESULT, result)
    return target


def read_result(folder: Path) -> ScanResult:
    """What the scan of a folder found.

    Raises:
        CorpusError: there is no such file, it holds something else, or another version wrote it.
    """
    path = folder / SCAN_NAME
    result = read_value(path, _RESULT, remedy=_SCAN_AGAIN)
    require_schema(path, result.schema, SCAN_SCHEMA, again="scan again")
    return result
