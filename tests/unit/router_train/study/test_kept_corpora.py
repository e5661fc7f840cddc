"""The corpora that the repository carries: they can be read, and give what was kept."""

from pathlib import Path

import pytest

import router_train.study
from router_train.study.textless import read_provenance, restore_corpus
from search_cluster.corpus.reader import read_corpus
from search_cluster.tasks.registry import get_task

CORPORA = Path(router_train.study.__file__).parent / "corpora"


@pytest.mark.parametrize("name", sorted(path.name for path in CORPORA.iterdir()))
def test_identity_a_carried_corpus_is_of_todays_task(name: str) -> None:
    provenance = read_provenance(CORPORA / name)
    task = get_task(name)
    assert (provenance.task, provenance.task_version) == (task.name, task.version)


@pytest.mark.parametrize("name", ["capitals", "elements"])
def test_identity_a_carried_corpus_of_built_in_questions_is_restored(
    name: str, tmp_path: Path
) -> None:
    restored = read_corpus(restore_corpus(CORPORA / name, tmp_path, get_task(name), None))
    assert restored.manifest.num_examples == 1000
