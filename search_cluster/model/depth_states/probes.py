"""Probes: prompts with the positions that are read, and what lenses read there.

Each position's states are computed once and read once by each lens.

Shapes: B prompts of a batch, T tokens, N positions, S states of a position, L layers, D width, K
tokens that are asked for, V vocabulary, G groups of tokens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import accumulate, groupby, takewhile

import numpy as np
import torch
from torch import Tensor

from search_cluster.model.depth_states.tables import (
    NO_TOKEN,
    AnyArray,
    DepthReadings,
    Ints,
    ReadingTable,
    joined,
)
from search_cluster.model.lens.fitting.rows import padded
from search_cluster.model.lens.lens import Lens
from search_cluster.model.lens.readings import LensReadings, read_states
from search_cluster.model.lens.states import depths_of, pass_slices, walk_states
from search_cluster.model.lens.texts import TokenSequence
from search_cluster.model.loaded import LoadedModel
from search_cluster.paths.layer_path import LayerPath

BATCH_TOKENS = 2048
"""The tokens of a batch of prompts, padding included."""
READ_POSITIONS = 512
"""Positions of several batches are read together until there are so many: a read of few takes as
long as reading the head's weights does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptProbe:
    """A prompt, and the positions of it that are read."""

    prompt: int
    """Its number; positions of equal numbers are drawn together where intervals are made."""
    ids: tuple[int, ...]
    """Its tokens."""
    positions: tuple[int, ...]
    """The positions; a position's states predict the token after it."""
    labels: tuple[int, ...]
    """What the experiment calls each of them."""
    asked: tuple[tuple[int, ...], ...]
    """The tokens whose rank and probability are read at each of them."""
    shared: int = 0
    """So many of its first tokens, none of which is read, run once for all neighbours that begin
    with the same ones."""


@torch.inference_mode()
def read_probes(
    loaded: LoadedModel,
    lenses: Mapping[str, Lens],
    probes: Sequence[PromptProbe],
    bucket_V: Ints | None = None,
    translators: Sequence[int] | None = None,
) -> ReadingTable:
    """What lenses read at the positions of probes, in their order.

    The first token that is asked for is the model's own prediction at each position.

    Args:
        loaded: the model.
        lenses: by name.
        probes: at least one.
        bucket_V: the frequency bucket of each token, whose probabilities are read; ``None``: none.
        translators: the depth of the translator that reads each depth; ``None``: its own.

    Raises:
        NonFiniteLogitsError: a logit is NaN or infinite.
    """
    identity = LayerPath.identity(loaded.num_layers)
    groups_VG = None
    if bucket_V is not None:
        groups_VG = torch.nn.functional.one_hot(torch.from_numpy(bucket_V)).float()
        groups_VG = groups_VG.to(loaded.model.device)
    tables, waiting, states = [], list[PromptProbe](), list[Tensor]()
    batches = batches_of(probes)
    for number, batch in enumerate(batches):
        waiting += batch
        states.append(states_at(loaded, batch, identity))
        num_positions = sum(part_SND.shape[1] for part_SND in states)
        if num_positions >= READ_POSITIONS or number == len(batches) - 1:
            states_SND = torch.cat(states, dim=1)
            tables.append(table_of(loaded, lenses, waiting, states_SND, groups_VG, translators))
            waiting, states = [], []
    return joined(tables)


def table_of(
    loaded: LoadedModel,
    lenses: Mapping[str, Lens],
    probes: Sequence[PromptProbe],
    states_SND: Tensor,
    groups_VG: Tensor | None = None,
    translators: Sequence[int] | None = None,
) -> ReadingTable:
    """What lenses read of the plain path's states at the positions of probes."""
    depths = depths_of(LayerPath.identity(loaded.num_layers))
    own_NV = Lens.logit(loaded.model).logits(loaded.model, states_SND[-1], depths[-1])
    asked = [tokens for probe in probes for tokens in probe.asked]
    asked_NK = np.full((len(asked), 1 + max(map(len, asked))), NO_TOKEN, dtype=np.int64)
    asked_NK[:, 0] = own_NV.argmax(dim=-1).cpu().numpy()
    for row, tokens in enumerate(asked):
        asked_NK[row, 1 : 1 + len(tokens)] = tokens
    wide_SND = states_SND.float()
    cosine_LN = torch.nn.functional.cosine_similarity(wide_SND[:-1], wide_SND[1:], dim=-1)
    prompts = [probe.prompt for probe in probes for _ in probe.positions]
    labels = [label for probe in probes for label in probe.labels]
    return ReadingTable(
        prompt_N=np.array(prompts, dtype=np.int64),
        label_N=np.array(labels, dtype=np.int64),
        asked_NK=asked_NK,
        influence_LN=(1 - cosine_LN).cpu().numpy(),
        lenses={
            name: _read(loaded, lens, states_SND, translators or depths, asked_NK, groups_VG)
            for name, lens in lenses.items()
        },
    )


def sharing_their_beginning(probes: Sequence[PromptProbe]) -> tuple[PromptProbe, ...]:
    """The probes, whose common first tokens run once for all of a batch.

    No position that is read is shared.
    """
    if not probes:
        return ()
    every = [probe.ids for probe in probes]
    # What the first and the last in alphabetical order begin with, all of them begin with.
    pairs = zip(min(every), max(every), strict=False)
    common = len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))
    shared = min(common, *(min(probe.positions) for probe in probes))
    return tuple(replace(probe, shared=shared) for probe in probes)


def batches_of(probes: Sequence[PromptProbe]) -> list[Sequence[PromptProbe]]:
    """Neighbours that fit into a batch; those that share their beginning are a batch of its own."""
    batches: list[Sequence[PromptProbe]] = []
    for beginning, neighbours in groupby(probes, key=lambda probe: probe.ids[: probe.shared]):
        group = tuple(neighbours)
        if beginning:
            batches += _rows_of(group, len(beginning))
        else:
            slices = pass_slices([len(probe.ids) for probe in group], BATCH_TOKENS)
            batches += [group[part] for part in slices]
    return batches


def _rows_of(group: Sequence[PromptProbe], shared: int) -> list[Sequence[PromptProbe]]:
    """Rows of one beginning and as many probes as fit behind it, at least one."""
    rows: list[list[PromptProbe]] = [[]]
    num_tokens = shared
    for probe in group:
        num_tokens += len(probe.ids) - shared
        if rows[-1] and num_tokens > BATCH_TOKENS:
            rows.append([])
            num_tokens = len(probe.ids)
        rows[-1].append(probe)
    return list(rows)


def states_at(loaded: LoadedModel, batch: Sequence[PromptProbe], path: LayerPath) -> Tensor:
    """The states ``[S, N, D]`` at the positions of a batch, along a path."""
    device = loaded.model.device
    tokens = padded([TokenSequence(ids=item.ids, first=item.shared) for item in batch], device)
    own = [len(probe.ids) - probe.shared for probe in batch]
    firsts = accumulate(own[:-1], initial=0)
    places_N = torch.tensor(
        [
            first + place - probe.shared
            for first, probe in zip(firsts, batch, strict=True)
            for place in probe.positions
        ]
    ).to(device)
    read_N = tokens.counts_BT.flatten().nonzero()[:, 0][places_N]
    walk = walk_states(loaded.model, tokens.ids_BT, path, tokens.mask_BT, tokens.layout)
    return torch.stack([hidden_BTD.flatten(0, 1)[read_N] for hidden_BTD in walk])


def _read(
    loaded: LoadedModel,
    lens: Lens,
    states_SND: Tensor,
    depths: Sequence[int],
    asked_NK: AnyArray,
    groups_VG: Tensor | None,
) -> DepthReadings:
    """Read all positions; those that ask for equally many tokens are read together."""
    num_N = (asked_NK != NO_TOKEN).sum(axis=1)
    arrays: dict[str, AnyArray] = {}
    for num_asked in np.unique(num_N):
        rows = np.flatnonzero(num_N == num_asked)
        found = read_states(
            loaded.model,
            lens,
            states_SND[:, torch.from_numpy(rows).to(states_SND.device)],
            depths,
            torch.from_numpy(asked_NK[rows, :num_asked]),
            groups_VG=groups_VG,
        )
        for item in fields(LensReadings):
            value = getattr(found, item.name).numpy()
            if item.name not in arrays:
                arrays[item.name] = _empty(item.name, value, asked_NK)
            if item.name.endswith("SNK"):
                arrays[item.name][:, rows, :num_asked] = value
            else:
                arrays[item.name][:, rows] = value
    return DepthReadings(**arrays)


def _empty(name: str, like: AnyArray, asked_NK: AnyArray) -> AnyArray:
    shape = [len(like), len(asked_NK), *like.shape[2:]]
    if name.endswith("SNK"):
        shape[2] = asked_NK.shape[1]
    filler = NO_TOKEN if np.issubdtype(like.dtype, np.integer) else np.nan
    return np.full(shape, filler, dtype=like.dtype)
