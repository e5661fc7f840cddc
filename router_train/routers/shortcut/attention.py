"""Who looked where: the attention of a shortcut by source, token class and place.

Shapes: N rows, H heads, S sources.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from router_train.routers.shortcut.readouts import ShortcutReadout
from router_train.routers.shortcut.rows import Rows, Unit, index_of

COLLAPSED_SHARE = 0.9
"""The share of all attention that one source has where attention has collapsed on it."""
UNIFORM_MARGIN = 0.05
"""How far above an equal share the largest weight of a row has to be in the mean."""
TEXT_BANDS = (16, 64, 256)
"""Places in a text, in bands that end below these."""
LATER_ANSWER = 3
"""Tokens of an answer from here on count together."""
_FUNCTION_WORDS = (
    "a about after all also although am an and any are as at be because been before being between "
    "both but by can could did do does down each either else ever every few for from had has have "
    "he her here hers him his how i if in into is it its just may me might mine more most much "
    "must my neither no nor not of off on once only or other our out over own per shall she "
    "should since so some such than that the their them then there these they this those though "
    "through to too under until up upon us was we were what when where whether which while who "
    "whom whose why will with within without would yet you your"
)
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Attention:
    """The attention of some rows, in the mean over heads."""

    sources: tuple[int, ...]
    weight_NS: Tensor
    token_class_N: tuple[str, ...]
    place_N: tuple[str, ...]
    is_mixed: bool
    """Whether the weights are the same for all rows, because nothing asks."""
    is_off: bool
    """Whether the shortcut changes nothing, so that it does not matter who looks where."""

    def table(self) -> list[dict[str, Any]]:
        """A row for all rows together, for each token class and for each place."""
        found = [self._row("all", "all", [True] * len(self.token_class_N))]
        for by, names_N in (("token class", self.token_class_N), ("place", self.place_N)):
            for name in sorted(set(names_N)):
                found.append(self._row(by, name, [other == name for other in names_N]))
        return found

    def _row(self, by: str, name: str, taken: Sequence[bool]) -> dict[str, Any]:
        weight_NS = self.weight_NS[torch.tensor(taken)].double()
        entropy_N = -(weight_NS * weight_NS.clamp(min=1e-30).log()).sum(dim=-1)
        return {
            "by": by,
            "name": name,
            "num_rows": len(weight_NS),
            "share": weight_NS.mean(dim=0).tolist(),
            "largest": float(weight_NS.max(dim=-1).values.mean()),
            "entropy_bits": float(entropy_N.mean()) / float(torch.tensor(2.0).log()),
        }

    def alarms(self) -> list[str]:
        """What a user should know before believing the map; empty if nothing."""
        num_sources = len(self.sources)
        if self.is_off:
            return [
                "the shortcut is switched off: no epoch was better than the path alone on the "
                "questions that stop the training, so where it looks means nothing"
            ]
        if num_sources < 2:
            return []
        share_S = self.weight_NS.double().mean(dim=0)
        largest = float(self.weight_NS.double().max(dim=-1).values.mean())
        place = int(share_S.argmax())
        alarms = []
        what = "the constant mix" if self.is_mixed else "attention"
        if float(share_S[place]) >= COLLAPSED_SHARE:
            alarms.append(
                f"{what} has collapsed on layer {self.sources[place]}: "
                f"{100 * float(share_S[place]):.1f} % of all weight; a single source (--sources "
                f"{self.sources[place]}) would do the same"
            )
        if not self.is_mixed and largest < 1 / num_sources + UNIFORM_MARGIN:
            alarms.append(
                f"attention does not choose: the largest weight of a row is {largest:.3f} in the "
                f"mean, an equal share is {1 / num_sources:.3f}; a constant mix "
                "(--readout mix) would do the same"
            )
        return alarms


def attention_of(
    readout: ShortcutReadout,
    rows: Rows,
    units: Sequence[Unit],
    tokenizer: PreTrainedTokenizerBase,
) -> Attention:
    """The attention of the rows of some units."""
    index_N = index_of(units)
    device = readout.shortcut.deviation_D.device
    with torch.no_grad():
        weight_NHS = readout.shortcut.weights(
            rows.final_ND[index_N].to(device),
            readout.carried(rows.change_NSD[index_N].to(device)),
        ).cpu()
    texts: dict[int, str] = {}
    classes, places = [], []
    for unit in units:
        for token, place in zip(unit.tokens, unit.places, strict=True):
            if token not in texts:
                texts[token] = token_class(str(tokenizer.decode([token])))
            classes.append(texts[token])
            places.append(place_name(place, is_text=unit.is_text))
    return Attention(
        sources=readout.shortcut.sources,
        weight_NS=weight_NHS.mean(dim=1),
        token_class_N=tuple(classes),
        place_N=tuple(places),
        is_mixed=readout.is_mixed,
        is_off=readout.shortcut.is_off,
    )


def token_class(text: str) -> str:
    """What kind of thing a token is, by its text alone."""
    bare = text.strip()
    if not bare:
        return "space"
    if bare.isnumeric():
        return "number"
    if not any(letter.isalnum() for letter in bare):
        return "punctuation"
    if bare.startswith("<") and bare.endswith(">"):
        return "control token"
    if not text[0].isspace():
        return "word piece"
    return "function word" if bare.lower() in FUNCTION_WORDS else "content word"


def place_name(place: int, *, is_text: bool) -> str:
    """Where a row stands, in a question's answer or in a text."""
    if not is_text:
        if place == 0:
            return "prompt's end"
        return f"answer token {min(place, LATER_ANSWER)}" + " on" * (place >= LATER_ANSWER)
    begin = 0
    for end in TEXT_BANDS:
        if place < end:
            return f"text {begin:03d}-{end - 1:03d}"
        begin = end
    return f"text {begin:03d} on"


def as_json(attention: Attention) -> Mapping[str, Any]:
    """As ``shortcut.json`` has it."""
    return {
        "sources": list(attention.sources),
        "rows": attention.table(),
        "alarms": attention.alarms(),
    }
