"""Made-up tables of scores, in which it is known which paths help.

Shapes: Q questions, P paths, C choices.
"""

from collections.abc import Mapping

import numpy as np

from search_cluster.bench.scan.score_table import ScoreTable, StoredQuestion, TableFacts
from search_cluster.bench.scan.stored_answers import single_edit_paths
from search_cluster.paths.layer_path import LayerPath

NUM_CHOICES = 4
KNOWLEDGE = 0.5
"""How much higher the plain model scores the right choice, in nats."""
NOISE = 0.35
"""Standard deviation of what an edited layer does to a score, in nats."""
HARM = 0.05
"""What the right choice loses by each layer that an edit leaves out or repeats, in nats."""


def made_up_table(
    num_questions: int,
    *,
    num_layers: int = 8,
    helps: Mapping[LayerPath, float] | None = None,
    seed: int = 0,
    wordings: int = 1,
) -> ScoreTable:
    """A table as a model would fill it that knows a little.

    Edits add noise to the scores, and take away from the right choice's: the more, the more layers
    they touch.

    Args:
        num_questions: Q.
        num_layers: of the model.
        helps: paths that add to the right choice's score instead, and how much, in nats.
        seed: of all draws.
        wordings: questions that ask for one fact, and are answered alike.
    """
    rng = np.random.default_rng(seed)
    paths = single_edit_paths(num_layers)
    num_facts = -(-num_questions // wordings)
    fact_Q = np.arange(num_facts).repeat(wordings)[:num_questions]
    gold_Q = rng.integers(0, NUM_CHOICES, size=num_facts)[fact_Q]
    plain_QC = rng.normal(size=(num_facts, NUM_CHOICES))[fact_Q]
    is_gold_QC = np.arange(NUM_CHOICES) == gold_Q[:, None]
    plain_QC += KNOWLEDGE * is_gold_QC
    touched_P = np.array([abs(len(path) - num_layers) for path in paths])
    added_P = np.array(
        [(helps or {}).get(path, -HARM * num) for path, num in zip(paths, touched_P, strict=True)]
    )
    noise_QPC = rng.normal(size=(num_facts, len(paths), NUM_CHOICES))[fact_Q]
    scores_QPC = (
        plain_QC[:, None, :]
        + added_P[None, :, None] * is_gold_QC[:, None, :]
        + NOISE * np.sqrt(touched_P)[None, :, None] * noise_QPC
    )
    facts = TableFacts(
        model="made up",
        model_fingerprint=f"seed {seed}",
        num_layers=num_layers,
        dtype="float32",
        arithmetic="",
        chat=False,
        task="toy",
        task_version="1",
        split="train",
        seed=seed,
        paths=tuple(map(str, paths)),
        questions=tuple(
            StoredQuestion(
                example_id=f"{number:04d}",
                num_choices=NUM_CHOICES,
                gold_index=int(gold),
                fact=int(fact),
            )
            for number, (gold, fact) in enumerate(zip(gold_Q, fact_Q, strict=True))
        ),
    )
    return ScoreTable(
        facts=facts,
        paths=paths,
        questions=facts.questions,
        scores_QPC=scores_QPC,
        was_asked_QP=np.ones(scores_QPC.shape[:2], dtype=bool),
    )
