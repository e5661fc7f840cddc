"""What looking at a model and at its prompts costs, in both dtypes of the demo model.

Prints one JSON object: seconds (medians of several) of the self-test, of hashing all tensors, of
looking at the chat template, and milliseconds an example of encoding with and without what is
looked at in a prompt.

Usage: python tests/bench/bench_front_door.py
"""

import json
import time
from collections.abc import Callable
from statistics import median
from unittest.mock import patch

from search_cluster.model import chat_style, prompting
from search_cluster.model.load import fingerprint, selftest
from search_cluster.model.load.loading import load_model
from search_cluster.tasks.registry import get_task

NUM_ROUNDS = 5
NUM_EXAMPLES = 500
LOOKS = ("_require_question", "_require_different", "require_known_tokens")


def seconds(action: Callable[[], object]) -> float:
    """The median time of an action that has run once before."""
    action()
    times = []
    for _ in range(NUM_ROUNDS):
        started_s = time.perf_counter()
        action()
        times.append(time.perf_counter() - started_s)
    return round(median(times), 4)


def main() -> None:
    """Measure, and print."""
    result: dict[str, dict[str, float]] = {}
    task = get_task("capitals")
    examples = task.load("train", None).examples[:NUM_EXAMPLES]
    for dtype in ("float32", "bfloat16"):
        loaded = load_model("demo", device="cpu", dtype=dtype)
        template = chat_style.chat_style(loaded.tokenizer).template

        def encode(loaded=loaded) -> None:  # type: ignore[no-untyped-def]
            for example in examples:
                prompting.encode_example(loaded, task, example)

        figures = {
            "self_test_s": seconds(lambda: selftest.check_model(loaded.model)),  # noqa: B023
            "tensors_s": seconds(lambda: fingerprint._weights_digest(loaded.model)),  # noqa: B023
            "template_s": seconds(lambda: chat_style._look_at(loaded.tokenizer, template)),  # noqa: B023
            "encode_ms": 1e3 * seconds(encode) / len(examples),
        }
        with (
            patch.multiple(prompting, **dict.fromkeys(LOOKS, lambda *_: None)),
            patch.object(prompting, "mark_data", lambda _, text: text),
        ):
            figures["encode_without_looking_ms"] = 1e3 * seconds(encode) / len(examples)
        result[dtype] = {name: round(value, 4) for name, value in figures.items()}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
