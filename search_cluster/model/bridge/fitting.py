"""Bridges in closed form: ridge regression from the state before a jump to the state behind it.

Both are the full model's own, on unlabelled text. The sums are those of lenses
(`search_cluster.model.lens.fitting.ridge`), of one depth per jump, and all positions count alike.
(To weigh each by one over the square of its state left the demo model's path without layers 18 to
20 no nearer to the full model: 0.295 nats, in the place of 0.282, of 14,336 tokens.)

Shapes: N rows, D width, S two states of a row.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from search_cluster.bridged_spec import BridgeKind
from search_cluster.errors import ConfigError
from search_cluster.model.bridge.bridges import Bridges
from search_cluster.model.bridge.divergence import path_divergences
from search_cluster.model.lens.fitting.held_out import split_sequences
from search_cluster.model.lens.fitting.ridge import STRENGTHS, RidgeSums
from search_cluster.model.lens.fitting.rows import batches_of, read_rows
from search_cluster.model.lens.fitting.unfinished import UnfinishedFit
from search_cluster.model.lens.texts import TokenSequence
from search_cluster.paths.jumps import Jump, jumps_of
from search_cluster.paths.layer_path import LayerPath

MOST_CHOOSING_ROWS = 2048
"""The largest number of positions by which strengths are chosen; a text is taken whole."""

Maps = dict[Jump, tuple[Tensor, Tensor]]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class BridgeFit:
    """What a fit found."""

    bridges: Bridges
    at_equal_cost: Mapping[BridgeKind, Bridges]
    """What simpler maps would be, fitted to the same rows."""
    strengths: Mapping[Jump, float]
    """The strength of the penalty of each jump, of `STRENGTHS`."""
    num_rows: int
    """The rows that the sums are over."""


def paths_of_jumps(jumps: Sequence[Jump], num_layers: int) -> list[LayerPath]:
    """For each jump the plain model's path with that jump alone.

    Raises:
        ConfigError: no layer would be left.
    """
    paths = []
    for jump in jumps:
        layers = (*range(jump.before + 1), *range(jump.after, num_layers))
        if not layers:
            raise ConfigError(f"jump {jump} leaves no layer; a path runs at least one")
        paths.append(LayerPath(layers, num_layers))
    return paths


def jumps_to_bridge(paths: Sequence[LayerPath]) -> tuple[Jump, ...]:
    """The distinct jumps of some paths.

    Raises:
        ConfigError: they make none.
    """
    jumps = tuple(dict.fromkeys(jump for path in paths for jump in jumps_of(path)))
    if not jumps:
        raise ConfigError(
            f"paths {', '.join(map(str, paths))} leave out no layer, so there is nothing to bridge"
        )
    return jumps


def fit_bridges(
    model: PreTrainedModel,
    paths: Sequence[LayerPath],
    sequences: Sequence[TokenSequence],
    *,
    kind: BridgeKind = BridgeKind.LINEAR,
    unfinished: UnfinishedFit | None = None,
    progress: Callable[[int], None] = lambda num_sequences: None,
) -> BridgeFit:
    """Fit bridges for all jumps of some paths, in one pass of the full model over texts.

    Every tenth text is held out. Its first positions choose the strength of the penalty of each
    jump, in the order of the first path that makes it and with the bridges before it in place, by
    the divergence of that path from the full model.

    Args:
        model: the frozen model, without bridges.
        paths: what will cross them.
        sequences: at least two texts.
        kind: what the maps may do; not `BridgeKind.DISTILLED`, for which
            `search_cluster.model.bridge.distilling` goes on from here.
        unfinished: where the sums are kept on the way; ``None``: nowhere.
        progress: is told how many sequences are summed.

    Raises:
        ConfigError: no path leaves out a layer.
        InvalidValueError: there are too few texts.
        NonFiniteLogitsError: a state leads to logits that are not finite.
    """
    jumps = jumps_to_bridge(paths)
    split = split_sequences(sequences)
    sums = _summed(model, jumps, split.fitted, unfinished, progress)
    choosing = choosing_texts(split.held_out)
    simple = {
        kind_: Bridges({jump: _simple_map(sums[jump], kind_) for jump in jumps}, kind_)
        for kind_ in (BridgeKind.SCALAR, BridgeKind.BIAS)
    }
    chosen, strengths = _chosen(model, paths, sums, choosing)
    linear = Bridges(chosen, BridgeKind.LINEAR)
    every = {BridgeKind.LINEAR: linear, **simple}
    return BridgeFit(
        bridges=every[kind],
        at_equal_cost={name: item for name, item in every.items() if name is not kind},
        strengths=strengths,
        num_rows=sums[jumps[0]].num_rows,
    )


def _summed(
    model: PreTrainedModel,
    jumps: Sequence[Jump],
    sequences: Sequence[TokenSequence],
    unfinished: UnfinishedFit | None,
    progress: Callable[[int], None],
) -> dict[Jump, RidgeSums]:
    done, kept = (0, {}) if unfinished is None else unfinished.read()
    width = int(model.config.hidden_size)
    sums = {
        jump: RidgeSums.of_depths(1, width, _state_of(kept, f"{jump}/"), model.device)
        for jump in jumps
    }

    def keep(now: bool = False) -> None:
        if unfinished is not None:
            state = {
                f"{jump}/{name}": tensor
                for jump in jumps
                for name, tensor in sums[jump].state().items()
            }
            unfinished.keep(done, state, now=now)

    progress(done)
    for batch in batches_of(sequences):
        if batch.start < done:
            continue
        states_SND = read_rows(model, sequences[batch]).states_SND
        for jump in jumps:
            pair_SND = states_SND[[jump.before + 1, jump.after]]
            sums[jump].add(pair_SND, torch.ones(pair_SND.shape[1]))
        done = batch.stop
        keep()
        progress(done)
    if done:
        keep(now=True)
    return sums


def _state_of(kept: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in kept.items()
        if name.startswith(prefix)
    }


def choosing_texts(held_out: Sequence[TokenSequence]) -> list[TokenSequence]:
    """The texts, of those that are held out, that choose strengths: half of them at most, or one.

    Texts of one context stay together.
    """
    limit = min(MOST_CHOOSING_ROWS, sum(sequence.num_rows for sequence in held_out) // 2)
    taken: list[TokenSequence] = []
    num_rows = 0
    for sequence in held_out:
        if taken and num_rows >= limit and not sequence.first:
            break
        taken.append(sequence)
        num_rows += sequence.num_rows
    return taken


def _chosen(
    model: PreTrainedModel,
    paths: Sequence[LayerPath],
    sums: Mapping[Jump, RidgeSums],
    sequences: Sequence[TokenSequence],
) -> tuple[Maps, dict[Jump, float]]:
    chosen: Maps = {}
    strengths: dict[Jump, float] = {}
    for path in paths:
        for jump in jumps_of(path):
            if jump in chosen:
                continue
            weights, biases = sums[jump].solve(0, STRENGTHS)
            maps = [
                (weight_DD.float(), bias_D.float())
                for weight_DD, bias_D in zip(weights, biases, strict=True)
            ]
            sets = [Bridges({**chosen, jump: item}).to(model.device) for item in maps]
            read_C = path_divergences(model, path, sets, sequences).mean_C
            best = read_C.index(min(read_C))
            chosen[jump], strengths[jump] = maps[best], STRENGTHS[best]
    return chosen, strengths


def _simple_map(sums: RidgeSums, kind: BridgeKind) -> tuple[Tensor, Tensor]:
    """The best multiple of the state, or the best vector to add, as weight and bias."""
    before_D, behind_D, product, square = sums.moments(0)
    width = before_D.numel()
    weight_DD = torch.zeros(width, width, device=before_D.device)
    if kind is BridgeKind.BIAS:
        return weight_DD, (behind_D - before_D).float()
    factor = product / square.clamp(min=torch.finfo(torch.float64).tiny)
    weight_DD.fill_diagonal_(float(factor) - 1.0)
    return weight_DD, torch.zeros(width, device=before_D.device)
