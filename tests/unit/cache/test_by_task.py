"""A store over the stores of several tasks keeps them apart."""

from pathlib import Path

import pytest

from search_cluster.cache.by_task import StoreByTask, open_stores
from search_cluster.cache.keys import VerdictContext
from search_cluster.cache.memory import MemoryStore
from search_cluster.cache.open import open_store
from search_cluster.cache.store import Claim
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict

PATH, OTHER = LayerPath((0, 2), 3), LayerPath((0, 1), 3)
EXAMPLES = [
    Example(task=task, question=f"{task} {number}", gold="g", split="train", source="s")
    for number in range(2)
    for task in ("a", "b")
]
IDS = [example.example_id for example in EXAMPLES]


def verdict(number: int) -> Verdict:
    return Verdict(reward=1.0, margin=None, output=str(number), num_layer_tokens=number)


def context(task: str) -> VerdictContext:
    return VerdictContext(
        schema=1,
        model_fingerprint="f",
        task=task,
        task_version="1",
        decoding="greedy",
        tie_threshold=0.0,
        num_layers=3,
    )


def test_each_task_has_its_own_store_and_answers_come_in_the_order_of_the_questions() -> None:
    parts = {"a": MemoryStore(), "b": MemoryStore()}
    store = StoreByTask(parts, EXAMPLES)
    store.put_many([(IDS[number], PATH, verdict(number)) for number in (3, 0, 1)])
    assert parts["a"].get_many([(IDS[0], PATH), (IDS[1], PATH)]) == [verdict(0), None]
    assert parts["b"].get_many([(key, PATH) for key in IDS]) == [
        None, verdict(1), None, verdict(3),
    ]  # fmt: skip
    asked = [(IDS[3], PATH), (IDS[2], PATH), (IDS[1], PATH), (IDS[0], OTHER), (IDS[0], PATH)]
    wanted = [verdict(3), None, verdict(1), None, verdict(0)]
    assert store.get_many(asked) == wanted
    assert store.claim_many(asked) == [item or Claim.OURS for item in wanted]
    store.keep_claims()
    store.release_many(asked)
    assert store.errors.num_failed == 0
    store.close()
    assert parts["a"].get_many([(IDS[0], PATH)]) == [None]  # a memory store forgets


@pytest.mark.server
def test_one_server_holds_the_stores_of_all_tasks_and_each_task_finds_its_own(
    tmp_path: Path,
) -> None:
    contexts = {"a": context("a"), "b": context("b")}
    with open_stores("embedded", contexts=contexts, examples=EXAMPLES, run_dir=tmp_path) as store:
        store.put_many([(key, PATH, verdict(number)) for number, key in enumerate(IDS)])
        store.close()
    with open_store("embedded", context=contexts["b"], run_dir=tmp_path) as alone:
        assert alone.get_many([(key, PATH) for key in IDS]) == [None, verdict(1), None, verdict(3)]


def test_one_task_has_a_plain_store_whatever_its_examples_call_themselves(tmp_path: Path) -> None:
    with open_stores(
        "none", contexts={"c": context("c")}, examples=EXAMPLES, run_dir=tmp_path
    ) as store:
        store.put_many([(IDS[0], PATH, verdict(7))])
        assert store.get_many([(IDS[0], PATH)]) == [verdict(7)]
