"""What a lens reads of one sequence along a path.

Shapes: S states along the path, N positions, D width, K = 2 tokens that are asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from search_cluster.model.lens.lens import Lens
from search_cluster.model.lens.readings import LensReadings, read_states
from search_cluster.model.lens.states import depths_of, walk_states
from search_cluster.paths.layer_path import LayerPath


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TextReadings:
    """The readings of every position at every state along a path."""

    depths: tuple[int, ...]
    """The depth of each state."""
    read: LensReadings
    """The tokens that are asked for are the likeliest at the end of the path, and the next of the
    text, which at its end is the last once more."""


@torch.inference_mode()
def read_sequence(
    model: PreTrainedModel, lens: Lens, ids: Sequence[int], path: LayerPath
) -> TextReadings:
    """Read a sequence after each layer of a path.

    Args:
        model: the plain model.
        lens: its lens.
        ids: the tokens, at least one.
        path: the layers that run.

    Raises:
        InvalidPathError: the path belongs to a model of another depth.
        NonFiniteLogitsError: a logit is NaN or infinite.
    """
    ids_BT = torch.tensor([list(ids)], device=model.device)
    states_SND = torch.stack([hidden[0] for hidden in walk_states(model, ids_BT, path)])
    # The path ends where the head reads, whatever layer is last.
    end = lens.num_layers
    final_N1 = read_states(
        model, Lens.logit(model), states_SND[-1:], [end], ids_BT.new_zeros(len(ids), 0)
    ).top_SN[0][:, None]
    next_N1 = torch.tensor([*ids[1:], ids[-1]])[:, None]
    depths = depths_of(path)
    asked_NK = torch.cat([final_N1.long(), next_N1], dim=1)
    return TextReadings(depths=depths, read=read_states(model, lens, states_SND, depths, asked_NK))
