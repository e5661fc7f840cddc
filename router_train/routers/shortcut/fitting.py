"""Fits a shortcut, and what stands beside it at equal cost, to the same rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from router_train.config import (
    READOUT_ATTENTION,
    READOUT_BEST,
    READOUT_MIX,
    READOUT_SINGLE,
    FitConfig,
)
from router_train.routers.curve import CurveWriter
from router_train.routers.shortcut.attention import attention_of
from router_train.routers.shortcut.comparison import (
    FULL_MODEL,
    PATH_ALONE,
    SHORTCUT,
    Candidate,
)
from router_train.routers.shortcut.descent import Taught, teach
from router_train.routers.shortcut.losses import Judge
from router_train.routers.shortcut.readouts import (
    BridgeReadout,
    PathAlone,
    Readout,
    ShortcutReadout,
    Sizes,
    new_linear,
    new_shortcut,
)
from router_train.routers.shortcut.rows import Rows, Unit, index_of
from search_cluster.model.bridge.bridges import Bridge, share_of_layer
from search_cluster.model.lens.fitting.ridge import STRENGTHS, RidgeSums
from search_cluster.model.loaded import LoadedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Which units do what."""

    teaching: tuple[Unit, ...]
    stopping: tuple[Unit, ...]
    judged: tuple[Unit, ...]
    """Held-out questions."""
    judged_texts: tuple[Unit, ...]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class FittedReadouts:
    """The readout that is kept, and what all of them said of the held-out units."""

    kept: ShortcutReadout
    kind: str
    """As `FitConfig.readout` names it."""
    name: str
    """As it is called among the candidates."""
    stopping_losses: Mapping[str, float]
    """The loss, in nats, of each kind that could be kept, on the units that stop the training."""
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Keepable:
    """A readout that a router can be."""

    name: str
    readout: ShortcutReadout
    taught: Taught
    curve: list[Mapping[str, float]]


def fit_readouts(
    loaded: LoadedModel,
    rows: Rows,
    parts: Parts,
    sources: tuple[int, ...],
    config: FitConfig,
    curve: CurveWriter,
) -> FittedReadouts:
    """Teach the shortcut and what is beside it, each from nothing, with the same settings.

    The curve is that of the readout that is kept. Of one source no mix and no single one is made:
    they are what attention is there.

    Raises:
        ConfigError: a loss is not finite.
        NonFiniteLogitsError: a logit is NaN or infinite.
    """
    judge = Judge(model=loaded.model, rows=rows, learn=config.learn)
    taught_N = index_of(parts.teaching)
    sizes = Sizes.of(rows.final_ND[taught_N], rows.change_NSD[taught_N]).to(loaded.model.device)
    candidates: list[Candidate] = []
    keepable: dict[str, _Keepable] = {}

    def take(name: str, readout: Readout, taught: Taught | None, judge: Judge = judge) -> None:
        texts = parts.judged_texts
        products = readout.num_products / int(loaded.model.config.hidden_size) ** 2
        candidates.append(
            Candidate(
                name=name,
                cost_layers=products * share_of_layer(loaded.model),
                said=judge.say(readout, parts.judged),
                of_texts=judge.say(readout, texts) if texts else None,
                taught=taught,
            )
        )

    def fit(
        name: str, readout: Readout, tell: Callable[[Mapping[str, float]], None] | None = None
    ) -> Taught:
        found = teach(judge, readout, parts.teaching, parts.stopping, config, tell, name=name)
        take(name, readout, found)
        return found

    def fit_keepable(kind: str, name: str, readout: ShortcutReadout) -> None:
        told: list[Mapping[str, float]] = []
        taught = fit(name, readout, curve.write if kind == config.readout else told.append)
        keepable[kind] = _Keepable(name=name, readout=readout, taught=taught, curve=told)

    take(PATH_ALONE, PathAlone(), None)
    shortcut = new_shortcut(sources, sizes, seed=config.seed)
    fit_keepable(READOUT_ATTENTION, SHORTCUT, shortcut)
    fit("linear map", new_linear(sizes))
    if len(sources) > 1:
        looked = attention_of(shortcut, rows, parts.stopping, loaded.tokenizer)
        place = int(looked.weight_NS.mean(dim=0).argmax())
        single = new_shortcut(sources, sizes, places=[place], seed=config.seed)
        fit_keepable(READOUT_SINGLE, f"layer {sources[place]} alone", single)
        mix = new_shortcut(sources, sizes, is_mixed=True, seed=config.seed)
        fit_keepable(READOUT_MIX, "constant mix", mix)
    if not torch.equal(rows.full_ND, rows.final_ND):
        take("ridge bridge", _bridge(judge, rows, taught_N, parts.stopping), None)
        whole = replace(judge, rows=replace(rows, final_ND=rows.full_ND))
        take(FULL_MODEL, PathAlone(), None, whole)
    losses = {kind: item.taught.loss for kind, item in keepable.items()}
    kind = config.readout
    if kind == READOUT_BEST:
        kind = min(losses, key=losses.__getitem__)
        for row in keepable[kind].curve:
            curve.write(row)
    return FittedReadouts(
        kept=keepable[kind].readout,
        kind=kind,
        name=keepable[kind].name,
        stopping_losses=losses,
        candidates=tuple(candidates),
    )


def _bridge(judge: Judge, rows: Rows, taught_N: Tensor, stopping: Sequence[Unit]) -> BridgeReadout:
    """The map in closed form to the full model's final states; the nearest to it of all strengths.

    What it learns is fixed, so other units choose its strength by divergence.
    """
    width, device = rows.final_ND.shape[1], judge.model.device
    sums = RidgeSums.of_depths(1, width, {}, device)
    pair_SND = torch.stack([rows.final_ND[taught_N], rows.full_ND[taught_N]]).to(device)
    sums.add(pair_SND, torch.ones(len(taught_N)))
    found = [
        BridgeReadout(Bridge(weight_DD.float(), bias_D.float()))
        for weight_DD, bias_D in zip(*sums.solve(0, STRENGTHS), strict=True)
    ]
    read = [float(judge.say(item, stopping).divergence_U.mean()) for item in found]
    return found[read.index(min(read))]
