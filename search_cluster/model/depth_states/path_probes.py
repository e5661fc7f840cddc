"""What lenses read along a path, beside the plain model's states at the same depths.

Shapes: N positions, P states of the path, S states of the plain model, V vocabulary.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from search_cluster.model.depth_states.probes import PromptProbe, batches_of, states_at
from search_cluster.model.depth_states.tables import PathReadings
from search_cluster.model.lens.lens import Lens
from search_cluster.model.lens.readings import LOGIT_BYTES
from search_cluster.model.lens.states import depths_of
from search_cluster.model.loaded import LoadedModel
from search_cluster.paths.layer_path import LayerPath


@torch.inference_mode()
def read_path(
    loaded: LoadedModel,
    lenses: Mapping[str, Lens],
    probes: Sequence[PromptProbe],
    path: LayerPath,
) -> dict[str, PathReadings]:
    """What each lens reads along a path at the positions of probes, by the lens' name.

    Args:
        loaded: the model.
        lenses: by name.
        probes: at least one.
        path: the layers that run.
    """
    depths = depths_of(path)
    identity = LayerPath.identity(loaded.num_layers)
    parts: dict[str, list[dict[str, Tensor]]] = {name: [] for name in lenses}
    prompts = []
    rows = max(1, LOGIT_BYTES // (16 * int(loaded.model.config.vocab_size)))
    for batch in batches_of(probes):
        plain_SND = states_at(loaded, batch, identity)
        path_PND = states_at(loaded, batch, path)
        prompts += [probe.prompt for probe in batch for _ in probe.positions]
        for start in range(0, plain_SND.shape[1], rows):
            chunk = slice(start, start + rows)
            for name, lens in lenses.items():
                parts[name].append(
                    _read(loaded, lens, plain_SND[:, chunk], path_PND[:, chunk], depths)
                )
    prompt_N = np.array(prompts, dtype=np.int64)
    return {
        name: PathReadings(
            prompt_N=prompt_N,
            **{key: torch.cat([part[key] for part in found], dim=1).numpy() for key in found[0]},
        )
        for name, found in parts.items()
    }


def _read(
    loaded: LoadedModel, lens: Lens, plain_SND: Tensor, path_PND: Tensor, depths: Sequence[int]
) -> dict[str, Tensor]:
    def log_probabilities(states_ND: Tensor, depth: int) -> Tensor:
        return lens.logits(loaded.model, states_ND, depth).log_softmax(dim=-1)

    end_NV = log_probabilities(plain_SND[-1], lens.num_layers)
    own_N1 = end_NV.argmax(dim=-1, keepdim=True)
    rows: dict[str, list[Tensor]] = {
        key: [] for key in ("rank_PN", "end_divergence_PN", "apart_PN", "distance_PN")
    }
    known_NV: dict[int, Tensor] = {}
    for state_ND, depth in zip(path_PND, depths, strict=True):
        plain_ND = plain_SND[depth]
        path_NV = log_probabilities(state_ND, depth)
        if depth not in known_NV:  # a repeated layer is read beside the same plain state again
            known_NV = {depth: log_probabilities(plain_ND, depth)}
        rows["rank_PN"].append((path_NV > path_NV.gather(1, own_N1)).sum(dim=1).int())
        rows["end_divergence_PN"].append(_divergence(end_NV, path_NV))
        rows["apart_PN"].append(_divergence(known_NV[depth], path_NV))
        rows["distance_PN"].append(
            1 - torch.nn.functional.cosine_similarity(state_ND.float(), plain_ND.float(), dim=-1)
        )
    return {key: torch.stack(values).cpu() for key, values in rows.items()}


def _divergence(one_NV: Tensor, other_NV: Tensor) -> Tensor:
    """KL(one || other) in nats."""
    return (one_NV.exp() * (one_NV - other_NV)).sum(dim=-1).clamp(min=0)
