"""Probes of a task's questions: where the answer begins, and each later token of each choice.

Texts are scored as the product scores them.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from search_cluster.errors import NonFiniteLogitsError
from search_cluster.model.depth_states.later_tokens import DECISION, LaterTokens, all_later
from search_cluster.model.depth_states.probes import (
    PromptProbe,
    batches_of,
    states_at,
    table_of,
)
from search_cluster.model.depth_states.tables import AnyArray, ReadingTable, joined
from search_cluster.model.lens.lens import Lens
from search_cluster.model.lens.states import depths_of
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.prompting import encode_example
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.task import Task


def question_probes(
    loaded: LoadedModel, task: Task, example: Example, number: int
) -> tuple[PromptProbe, ...]:
    """The probes of one question, a sequence for each choice.

    The first one's first position is labelled `DECISION`: there the first tokens of all choices are
    asked for.

    Raises:
        PromptError: the question can't be asked.
    """
    encoded = encode_example(loaded, task, example)
    last = len(encoded.context_ids) - 1
    probes = []
    for choice, ids in enumerate(encoded.choice_ids):
        positions = [last + at for at in range(1, len(ids))]
        labels = [choice] * len(positions)
        asked = [(token,) for token in ids[1:]]
        if choice == 0:
            positions, labels = [last, *positions], [DECISION, *labels]
            first_tokens: list[tuple[int, ...]] = [tuple(ids[0] for ids in encoded.choice_ids)]
            asked = [*first_tokens, *asked]  # type: ignore[list-item]
        if positions:
            probes.append(
                PromptProbe(
                    prompt=number,
                    ids=(*encoded.context_ids, *ids[:-1]),
                    positions=tuple(positions),
                    labels=tuple(labels),
                    asked=tuple(asked),
                )
            )
    return tuple(probes)


@torch.inference_mode()
def read_questions(
    loaded: LoadedModel, lenses: Mapping[str, Lens], probes: Sequence[PromptProbe]
) -> tuple[ReadingTable, LaterTokens]:
    """What lenses read where answers begin, and how likely they find the choices' later tokens.

    Args:
        loaded: the model.
        lenses: by name.
        probes: of whole questions, at least one.

    Raises:
        NonFiniteLogitsError: a logit is NaN or infinite.
    """
    identity = LayerPath.identity(loaded.num_layers)
    depths = depths_of(identity)
    tables, parts = [], []
    for batch in batches_of(probes):
        states_SND = states_at(loaded, batch, identity)
        labels = [label for probe in batch for label in probe.labels]
        prompts = [probe.prompt for probe in batch for _ in probe.positions]
        asked = [tokens[0] for probe in batch for tokens in probe.asked]
        decisions = [row for row, label in enumerate(labels) if label == DECISION]
        later = [row for row, label in enumerate(labels) if label != DECISION]
        if decisions:
            starts = [
                PromptProbe(
                    prompt=probe.prompt,
                    ids=probe.ids,
                    positions=probe.positions[:1],
                    labels=probe.labels[:1],
                    asked=probe.asked[:1],
                )
                for probe in batch
                if probe.labels[0] == DECISION
            ]
            tables.append(table_of(loaded, lenses, starts, states_SND[:, decisions]))
        tokens_M1 = torch.tensor([asked[row] for row in later], dtype=torch.long)[:, None]
        parts.append(
            LaterTokens(
                prompt_M=np.array([prompts[row] for row in later], dtype=np.int64),
                choice_M=np.array([labels[row] for row in later], dtype=np.int64),
                log_SM={
                    name: np.stack(
                        [
                            token_log_probabilities(
                                loaded, lens, states_ND[later], depth, tokens_M1
                            )
                            for states_ND, depth in zip(states_SND, depths, strict=True)
                        ]
                    )
                    for name, lens in lenses.items()
                },
            )
        )
    return joined(tables), all_later(parts)


def token_log_probabilities(
    loaded: LoadedModel, lens: Lens, states_ND: Tensor, depth: int, tokens_N1: Tensor
) -> AnyArray:
    """How likely a lens finds one token at each position, in nats.

    Raises:
        NonFiniteLogitsError: a logit is NaN or infinite.
    """
    logits_NV = lens.logits(loaded.model, states_ND, depth)
    sums_N1 = logits_NV.logsumexp(dim=-1, keepdim=True)
    if not bool(sums_N1.isfinite().all()):
        raise NonFiniteLogitsError(
            f"a logit that the lens reads at depth {depth} is not finite; check the model's dtype, "
            "and the lens"
        )
    log_N1 = logits_NV.gather(1, tokens_N1.to(logits_NV.device)) - sums_N1
    return np.asarray(log_N1[:, 0].cpu().numpy())
