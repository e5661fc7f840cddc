import pickle
from dataclasses import replace

import pytest

from search_cluster.errors import EvaluatorError
from search_cluster.identity import ModelIdentity
from search_cluster.workers.messages import WorkerInfo, WorkerSpec, difference_of, require_alike

ONE = WorkerInfo(
    model=ModelIdentity(fingerprint="a", parts={"weights": "1", "tokenizer": "2"}),
    chat=False,
    num_layers=6,
    dtype="bfloat16",
    device="cuda",
    tie_threshold=0.0,
    node="n1",
    arithmetic="NVIDIA H100 (9.0)",
)
UNLIKE = {
    "model": (
        ModelIdentity(fingerprint="b", parts={"weights": "1", "tokenizer": "3"}),
        r"fingerprints a and b \(what differs: tokenizer\); all must hold the same one",
    ),
    "arithmetic": (
        "NVIDIA A100 (8.0)",
        r"compute bfloat16 with unlike kernels \(NVIDIA H100 \(9.0\) and NVIDIA A100 \(8.0\)\)",
    ),
    "tie_threshold": (0.5, "recompute verdicts up to gaps of 0 and 0.5, because their arithmetic"),
}


@pytest.mark.parametrize("name", UNLIKE)
def test_verdicts_of_unlike_workers_are_never_mixed(name: str) -> None:
    value, text = UNLIKE[name]
    other = replace(ONE, node="n2", **{name: value})
    with pytest.raises(EvaluatorError, match=f"^workers on n1 and n2 .*{text}") as caught:
        require_alike([ONE, ONE, other])
    assert "\n" not in str(caught.value)


def test_workers_may_differ_in_where_they_are() -> None:
    other = replace(ONE, node="n2", warnings=("one",))
    assert difference_of(ONE, other) is None
    assert require_alike([ONE, other]) is ONE


def test_what_crosses_the_border_survives_the_journey() -> None:
    spec = WorkerSpec(
        model="m", dtype="auto", device="cpu", revision=None, trust_remote_code=False, chat="auto",
        task="capitals", num_threads=1, tie_threshold=5e-4,
    )  # fmt: skip
    for message in (ONE, spec):
        assert pickle.loads(pickle.dumps(message)) == message  # noqa: S301 - just written
