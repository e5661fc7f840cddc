"""What a prompt answers if its last state at some depth is that of another prompt.

The *recipient* runs; the *donor* gives the state at its last position, which takes the place of the
recipient's last one at one depth, for each depth by itself. No position sees one behind it, so that
all depths run in one pass: the recipient's last token stands in its row once for each of them, and
once as it is.

Shapes: N pairs, S = L + 2 answers of a pair (patched at depth 0..L, then the recipient's own), B
rows, T tokens, D width, K tokens that are asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from search_cluster.model.depth_states.patch_readings import PatchReadings
from search_cluster.model.depth_states.probes import (
    BATCH_TOKENS,
    PromptProbe,
    batches_of,
    states_at,
)
from search_cluster.model.layerwise import BranchLayout, LayerwisePass
from search_cluster.model.lens.lens import Lens
from search_cluster.model.lens.readings import read_states
from search_cluster.model.lens.states import pad_right, pass_slices
from search_cluster.model.loaded import LoadedModel
from search_cluster.paths.layer_path import LayerPath


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchPair:
    """Two prompts; the last position of each is read."""

    donor: PromptProbe
    recipient: PromptProbe


@torch.inference_mode()
def read_patched(loaded: LoadedModel, pairs: Sequence[PatchPair]) -> PatchReadings:
    """How likely each recipient finds the options of both, with the donor's state at each depth.

    Args:
        loaded: the model.
        pairs: at least one; all ask for as many tokens.

    Raises:
        NonFiniteLogitsError: a logit is NaN or infinite.
    """
    states_SND = patched_states(loaded, pairs)
    asked = [(*pair.donor.asked[0], *pair.recipient.asked[0]) for pair in pairs]
    found = read_states(
        loaded.model,
        Lens.logit(loaded.model),
        states_SND,
        [loaded.num_layers] * len(states_SND),
        torch.tensor(asked),
    )
    return PatchReadings(
        prompt_N=np.array([pair.recipient.prompt for pair in pairs], dtype=np.int64),
        log_SNK=found.log_probability_SNK.numpy(),
    )


@torch.inference_mode()
def patched_states(loaded: LoadedModel, pairs: Sequence[PatchPair]) -> Tensor:
    """The recipients' last states at the end ``[S, N, D]``, as `read_patched` reads them."""
    identity = LayerPath.identity(loaded.num_layers)
    donors = [pair.donor for pair in pairs]
    donor_SND = torch.cat(
        [states_at(loaded, batch, identity) for batch in batches_of(donors)], dim=1
    )
    num_answers = loaded.num_layers + 2
    lengths = [len(pair.recipient.ids) - 1 + num_answers for pair in pairs]
    return torch.cat(
        [
            _run(loaded, [pair.recipient.ids for pair in pairs[part]], donor_SND[:, part])
            for part in pass_slices(lengths, BATCH_TOKENS)
        ],
        dim=1,
    )


def _run(loaded: LoadedModel, recipients: Sequence[tuple[int, ...]], donor_SBD: Tensor) -> Tensor:
    """The states ``[S, B, D]`` of some recipients, one row each."""
    num_depths = len(donor_SBD)
    num_answers = num_depths + 1
    device = loaded.model.device
    ids_BT, mask_BT = pad_right([(*ids, *ids[-1:] * num_depths) for ids in recipients], device)
    positions_BT = torch.arange(ids_BT.shape[1]).repeat(len(recipients), 1)
    branches_BT = torch.zeros_like(positions_BT)
    for row, ids in enumerate(recipients):
        last = len(ids) - 1
        positions_BT[row, last:] = last
        branches_BT[row, last : last + num_answers] = torch.arange(1, 1 + num_answers)
    layout = BranchLayout(positions_BT=positions_BT.to(device), branches_BT=branches_BT.to(device))
    run = LayerwisePass(loaded.model, ids_BT, mask_BT, layout)
    rows_B = torch.arange(len(recipients))
    lasts_B = torch.tensor([len(ids) - 1 for ids in recipients])
    for depth in range(num_depths):
        if depth:
            run.step(depth - 1)
        hidden_BTD = run.hidden_BTD.clone()
        hidden_BTD[rows_B, lasts_B + depth] = donor_SBD[depth].to(hidden_BTD.device)
        run.hidden_BTD = hidden_BTD
    places_SB = lasts_B + torch.arange(num_answers)[:, None]
    return run.hidden_BTD[rows_B, places_SB]
