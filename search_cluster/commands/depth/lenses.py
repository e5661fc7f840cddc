"""The lenses of a study: the one that is named, or one that is fitted and kept in its folder."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from search_cluster.errors import ConfigError
from search_cluster.files import write_text_whole
from search_cluster.model.depth_states.tables import LOGIT, REWEIGHTED, TUNED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from search_cluster.model.lens.lens import Lens
    from search_cluster.model.lens.texts import TokenSequence
    from search_cluster.model.loaded import LoadedModel

LENS_FOLDER, TWIN_FOLDER = "lens", "lens-reweighted"
FIT_NAME = "lens-fit.json"
"""Written after both fitted lenses: how many rows they have seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedLens:
    """The lens that a study is given."""

    name: str
    """A lens' folder, or ``logit`` for none."""
    lens: "Lens"

    @property
    def digest(self) -> str:
        """Equal for lenses that read alike."""
        from search_cluster.model.lens.folder import lens_digest

        return LOGIT if self.name == LOGIT else lens_digest(self.lens)


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyLenses:
    """The lenses that a study reads with."""

    read: "Mapping[str, Lens]"
    """By name."""
    pair: "Mapping[str, Lens]"
    """The fitted lens and its twin; empty if the lens' own bias is not checked."""
    said: str
    """Where the tuned lens came from."""
    taught: int
    """Rows of the fit that the frequent word follows."""


def lenses_of(
    loaded: "LoadedModel",
    named: NamedLens | None,
    folder: Path,
    *,
    token: int,
    fit_on: "Callable[[], Sequence[TokenSequence]]",
    source: str,
    needs_pair: bool,
) -> StudyLenses:
    """The lens that is named, and a pair of lenses, fitted if the study needs one.

    Args:
        loaded: the model.
        named: the lens to read with; ``None``: fit one.
        folder: the study's folder, where fitted lenses are kept.
        token: see `fit_pair`.
        fit_on: gives the sequences to fit on.
        source: where they are from, in words.
        needs_pair: whether the lens' own bias is checked.

    Raises:
        ConfigError: a lens that was fitted can't be read.
    """
    from search_cluster.model.lens.lens import Lens

    read = {LOGIT: Lens.logit(loaded.model)}
    if named is not None and named.name == LOGIT:
        return StudyLenses(read=read, pair={}, said="none", taught=0)
    pair: dict[str, Lens] = {}
    rows = taught = 0
    if named is None or needs_pair:
        pair, rows, taught = _fitted(loaded, folder, token, fit_on, with_twin=needs_pair)
    if named is None:
        read[TUNED] = pair[TUNED]
        said = f"ridge, fitted on {rows:,} positions of {source}"
    else:
        read[TUNED] = named.lens
        said = f"{named.name} ({named.lens.kind})"
    if not needs_pair:
        pair = {}
    return StudyLenses(read=read, pair=pair, said=said, taught=taught)


def _fitted(
    loaded: "LoadedModel",
    folder: Path,
    token: int,
    fit_on: "Callable[[], Sequence[TokenSequence]]",
    *,
    with_twin: bool,
) -> "tuple[dict[str, Lens], int, int]":
    from search_cluster.model.depth_states.quick_lens import fit_pair
    from search_cluster.model.lens.folder import load_lens, save_lens

    path = folder / FIT_NAME
    if path.is_file():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            rows, taught = int(found["rows"]), int(found["taught"])
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{path} is damaged; remove it, and the lens is fitted again"
            ) from error
    else:
        fitted = fit_pair(loaded, fit_on(), token, with_twin=with_twin)
        save_lens(folder / LENS_FOLDER, fitted.tuned, loaded)
        if fitted.reweighted is not None:
            save_lens(folder / TWIN_FOLDER, fitted.reweighted, loaded)
        rows, taught = fitted.rows, fitted.taught
        write_text_whole(path, json.dumps({"rows": rows, "taught": taught}) + "\n")
    names = {TUNED: LENS_FOLDER} | ({REWEIGHTED: TWIN_FOLDER} if with_twin else {})
    pair = {name: load_lens(folder / place, loaded) for name, place in names.items()}
    return pair, rows, taught
