"""How often the demo model is right on each task as it is (identity path).

These are the numbers of the tasks guide's table.

One thread, test questions drawn with seed 0, greedy. Prints one JSON object a task as it ends, and
all of them as the last line. Benchmark tasks are measured if LPS_DATA_DIR names their files; the
others are skipped, by name.

Usage: python tests/bench/bench_tasks.py [TASK ...]
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

from search_cluster.errors import TaskError
from search_cluster.model.load.loading import load_model
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.runtime import limit_threads
from search_cluster.model.scoring import evaluate_path
from search_cluster.paths.layer_path import LayerPath
from search_cluster.stats import wilson_interval
from search_cluster.tasks.data_dir import resolve_data_dir
from search_cluster.tasks.registry import get_task, list_tasks
from search_cluster.tasks.selection import select_examples
from search_cluster.tasks.task import Task

NUM_QUESTIONS = 200
NO_DATA = Path("/nonexistent")
"""Stands for the missing data folder, so that nothing is asked of the hub."""


def measure(loaded: LoadedModel, task: Task) -> dict[str, Any]:
    """Accuracy with its 95 % interval, chance level (``None`` without choices), s per question."""
    examples = select_examples(
        task.load("test", resolve_data_dir(None) or NO_DATA).examples, NUM_QUESTIONS, 0
    )
    identity = LayerPath.identity(loaded.num_layers)
    started_s = time.perf_counter()
    num_right = sum(
        evaluate_path(loaded, task, example, identity).is_correct for example in examples
    )
    elapsed_s = time.perf_counter() - started_s
    low, high = wilson_interval(num_right, len(examples))
    has_choices = all(example.choices for example in examples)
    return {
        "task": task.name,
        "num_questions": len(examples),
        "accuracy": round(num_right / len(examples), 3),
        "interval": [round(low, 3), round(high, 3)],
        "chance": round(sum(1 / len(e.choices) for e in examples) / len(examples), 3)
        if has_choices
        else None,
        "seconds_per_question": round(elapsed_s / len(examples), 2),
    }


def main() -> None:
    """Measure the named tasks, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="*", help="names, .py or .toml files; default: all")
    specs = parser.parse_args().tasks
    limit_threads(1)
    loaded = load_model("demo", device="cpu")
    rows = []
    for task in [get_task(spec) for spec in specs] or list_tasks():
        try:
            rows.append(measure(loaded, task))
        except TaskError as error:
            rows.append({"task": task.name, "skipped": str(error)})
        print(json.dumps(rows[-1]), flush=True)
    print(json.dumps({"model": loaded.spec, "dtype": loaded.dtype, "tasks": rows}))


if __name__ == "__main__":
    main()
