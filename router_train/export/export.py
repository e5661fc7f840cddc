"""A trained router as a folder for others: a routed model, or a static path as a plain checkpoint.

The router's weights and its description are copied byte by byte. The base model is named, not
copied, unless asked for.
"""

import json
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from router_train.auto import RoutedConfig, RoutedForCausalLM
from router_train.export.card import plain_card, routed_card
from router_train.export.evaluations import CardEvaluation
from router_train.inference.export_folder import BASE_FOLDER, BRIDGES_FOLDER
from router_train.routers.checkpoint import META_NAME, WEIGHTS_NAME, RouterMeta, load_router
from router_train.routers.fixed import FixedRouter
from search_cluster.bridged_spec import spec_with_bridges
from search_cluster.errors import ConfigError, ModelError
from search_cluster.files import new_folder_whole, require_new
from search_cluster.hub.folders import local_folder
from search_cluster.hub_spec import FolderKind
from search_cluster.model.bridge.folder import CONFIG_NAME, TENSORS_NAME
from search_cluster.model.load.fingerprint import REMOTE_MODULES
from search_cluster.model.load.hub import TEMPLATES_FOLDER, WANTED
from search_cluster.model.load.loading import load_model
from search_cluster.model.load.place import place_of
from search_cluster.model.load.weight_files import weight_files
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.portable.base import (
    BaseReference,
    base_reference,
    card_base,
    copy_licence,
)
from search_cluster.model.portable.card import CARD_NAME
from search_cluster.model.portable.path_folder import write_path
from search_cluster.model.portable.tokenizer import save_tokenizer

PROVENANCE_NAME = "provenance.json"
"""The file of the router's description in a plain checkpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """The kind of export that is wanted."""

    threshold: float = 0.0
    with_base: bool = False
    """Whether the base model is copied into the export."""
    plain: bool = False
    """Whether to write a plain checkpoint of a static path instead of a routed model."""
    revision: str | None = None
    """The revision of a base model from the hub."""
    evaluations: tuple[CardEvaluation, ...] = ()
    """The evaluations that the card shows."""
    repository: str | None = None
    """Where on the hub it goes, if it does; the card then says so."""


def export_router(
    router_folder: Path, out: Path, loaded: LoadedModel, options: ExportOptions
) -> RouterMeta:
    """Write an export; ``out`` appears when it is complete.

    Args:
        router_folder: a finished checkpoint.
        out: a folder that must not exist yet.
        loaded: the router's model.
        options: see `ExportOptions`.

    Raises:
        ConfigError: ``out`` exists, the checkpoint is damaged, or a plain checkpoint is asked of a
            router that chooses.
        ModelError: the model is another one, or its family's configuration can't express the path.
    """
    require_new(out)
    router, meta = load_router(router_folder, loaded)
    if options.plain and options.with_base:
        raise ConfigError(
            "a plain checkpoint is a model of its own; leave out --with-base or --plain"
        )
    if options.plain:
        if not isinstance(router, FixedRouter):
            raise ConfigError(
                f"{router_folder} holds a {meta.kind} router, which chooses a path per prompt; "
                "only a static path is a plain checkpoint: export it without --plain, or fit "
                "--router static"
            )
        with new_folder_whole(out) as folder:
            _write_plain(folder, out.name, router, meta, loaded, options)
    else:
        with new_folder_whole(out) as folder:
            _write_routed(folder, out.name, router_folder, meta, loaded, options)
    return meta


def export_reference(
    loaded: LoadedModel, *, with_base: bool, revision: str | None
) -> BaseReference:
    """The words with which an export names its base model, which it may hold itself."""
    base = base_reference(loaded, revision)
    if not with_base:
        return base
    return BaseReference(
        spec=BASE_FOLDER,
        title=base.title,
        sentence="The base model is inside, in the folder `base`, with its own settings: alone "
        "it should be opened with transformers 5, too.",
    )


def _write_routed(
    folder: Path,
    name: str,
    router_folder: Path,
    meta: RouterMeta,
    loaded: LoadedModel,
    options: ExportOptions,
) -> None:
    base = export_reference(loaded, with_base=options.with_base, revision=options.revision)
    config = RoutedConfig(
        base_model=base.spec,
        base_revision=options.revision if base.hub_id else None,
        base_dtype=loaded.dtype,
        threshold=options.threshold,
        architectures=[RoutedForCausalLM.__name__],
    )
    config.save_pretrained(folder)
    for file in (META_NAME, WEIGHTS_NAME):
        shutil.copyfile(router_folder / file, folder / file)
    if options.with_base:
        _copy_base(folder / BASE_FOLDER, loaded, options.revision)
    _copy_bridges(folder, loaded)
    save_tokenizer(loaded.tokenizer, folder)
    of_base = card_base(loaded, options.revision)
    if options.with_base:
        copy_licence(folder / BASE_FOLDER, of_base)
    card = routed_card(
        meta,
        options.evaluations,
        name=name,
        location=options.repository or name,
        where=base.sentence,
        base=of_base,
        threshold=options.threshold,
    )
    (folder / CARD_NAME).write_text(card, encoding="utf-8")


def _write_plain(
    folder: Path,
    name: str,
    router: FixedRouter,
    meta: RouterMeta,
    loaded: LoadedModel,
    options: ExportOptions,
) -> None:
    of_base = card_base(loaded, options.revision)
    written = write_path(folder, loaded, router.path, of_base)
    provenance = asdict(replace(meta, model_spec=of_base.hub_id or of_base.title))
    (folder / PROVENANCE_NAME).write_text(f"{json.dumps(provenance, indent=2)}\n", encoding="utf-8")
    card = plain_card(
        meta,
        options.evaluations,
        name=name,
        location=options.repository or name,
        path=str(router.path),
        num_layers=len(router.path),
        base=of_base,
        written=written,
    )
    (folder / CARD_NAME).write_text(card, encoding="utf-8")


def _copy_bridges(folder: Path, loaded: LoadedModel) -> None:
    """Copy the bridges of the model, which are as much a part of it as its weights."""
    if loaded.bridges_folder is not None:
        bridges = local_folder(loaded.bridges_folder, FolderKind.BRIDGES)
        (folder / BRIDGES_FOLDER).mkdir()
        for name in (CONFIG_NAME, TENSORS_NAME):
            shutil.copyfile(bridges / name, folder / BRIDGES_FOLDER / name)


def _copy_base(folder: Path, loaded: LoadedModel, revision: str | None) -> None:
    """Copy the files that make up the model, and check that the copy is the model."""
    place = place_of(loaded.bare_spec, revision)
    folder.mkdir()
    if place.is_file():
        copied = Path(shutil.copyfile(place, folder / place.name))
    else:
        # What transformers may read of a folder: all of its files but other sets of weights. They
        # stay as they are, or a router of a former version would not know its model in the copy.
        weights = weight_files(place)
        for path in place.iterdir():
            is_left = path.suffix == ".safetensors" and path not in weights
            if path.is_file() and any(map(path.match, WANTED)) and not is_left:
                shutil.copyfile(path, folder / path.name)
        if (place / TEMPLATES_FOLDER).is_dir():
            shutil.copytree(place / TEMPLATES_FOLDER, folder / TEMPLATES_FOLDER)
        copied = folder
    copy = load_model(
        spec_with_bridges(str(copied), loaded.bridges_folder),
        dtype=loaded.dtype,
        trust_remote_code=type(loaded.model).__module__.startswith(REMOTE_MODULES),
        chat="always" if loaded.chat else "never",
        self_test=False,
    )
    if copy.fingerprint != loaded.fingerprint:
        raise ModelError(
            f"the copy of {place} is another model"
            f"{loaded.identity.differences(copy.parts)}; did its files change? Export again"
        )
