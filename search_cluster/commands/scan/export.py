"""``search-cluster scan export``: the path of a scan for other tools, or as a plain checkpoint."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from shlex import join
from typing import Any

from search_cluster.bridged_spec import DEMO_SPEC, spec_again, split_spec
from search_cluster.commands.provenance import installed_versions
from search_cluster.console import print_json, say
from search_cluster.errors import ConfigError, ModelError
from search_cluster.files import new_folder_whole, require_new, write_text_whole
from search_cluster.hub.folders import fetched_from, shown_folder
from search_cluster.model.load.demo import demo_model_dir, find_demo_gguf
from search_cluster.model.load.loading import load_model
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.portable.base import CardBase, card_base
from search_cluster.model.portable.card import (
    CARD_NAME,
    base_facts,
    named_versions,
    plain_use,
    plain_what,
    render_export_card,
)
from search_cluster.model.portable.checkpoint import WrittenCheckpoint
from search_cluster.model.portable.layer_kinds import config_at_hand, layer_kinds
from search_cluster.model.portable.path_folder import write_path
from search_cluster.paths.jumps import jumps_of
from search_cluster.paths.layer_path import LayerPath
from search_cluster.report.scan.next_step import static_router
from search_cluster.scan.result import SCAN_NAME, ScanResult
from search_cluster.scan.result_file import read_result
from search_cluster.scan.specs.chosen import path_to_export
from search_cluster.scan.specs.evidence import evidence_line, evidence_table
from search_cluster.scan.specs.traps import ModelFacts, SpecFormat, traps_of
from search_cluster.scan.specs.writing import SpecTarget, write_spec

_GGUF_FORMATS = (SpecFormat.GGUF_PATH, SpecFormat.PRUNE_LAYERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedModel:
    """How the command line names the model of an export."""

    spec: str | None
    """``None``: the model of the scan."""
    revision: str | None
    trust_remote_code: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PathExport:
    """A written path, as ``--json`` has it."""

    format: str
    path: str
    layers: int
    num_layers: int
    """Of the model."""
    sure: bool
    """Whether the path is the scan's choice, and the scan is sure of it."""
    out: str | None
    """The file or folder; ``None``: it is in ``text``."""
    text: str | None
    """What was written; ``None`` for a checkpoint."""
    command: str
    """What to run with it; empty if there is nothing to run."""
    mind: tuple[str, ...]
    """What goes wrong elsewhere without a word."""
    router_command: str
    """What makes a router of ``router-train`` of the path."""


def export_path(
    run: Path,
    spec_format: SpecFormat,
    *,
    named: str | None,
    best: bool,
    out: Path | None,
    model: ExportedModel,
) -> PathExport:
    """Write the path of a finished scan.

    Args:
        run: the scan's folder.
        spec_format: how it is written.
        named: another path, in any notation; ``None``: the scan's choice.
        best: whether the first finalist will do where the scan is not sure.
        out: the file, or the folder of a checkpoint, which must be new; ``None``: nowhere.
        model: where the model is now.

    Raises:
        CorpusError: the scan is unfinished, or its folder is damaged.
        ConfigError: the scan is not sure and the user named no path, or the format can't say it.
        ModelError: the model is another one than the scan's, or its family can't express the path.
    """
    result = read_result(run)
    path = path_to_export(result, named=named, best=best, folder=str(run))
    text, command = None, ""
    if spec_format is SpecFormat.HF:
        if out is None:
            raise ConfigError("--format hf writes a folder; name a new one with --out")
        traps = traps_of(spec_format, path, _target(result, spec_format, out, model).facts)
        _write_checkpoint(result, path, out, model, traps)
    else:
        _require_bare(spec_again(result.model, model.spec), path)
        said = (
            f"Path {path}: {len(path)} layers; the plain model has {path.num_layers}.",
            evidence_line(result, path),
        )
        written = write_spec(spec_format, path, _target(result, spec_format, out, model), said=said)
        text, command, traps = written.text, written.command, written.traps
        if out is not None:
            write_text_whole(out, text)
    return PathExport(
        format=spec_format.value,
        path=str(path),
        layers=len(path),
        num_layers=path.num_layers,
        sure=result.sure and str(path) == result.chosen,
        out=None if out is None else str(out),
        text=text,
        command=command,
        mind=traps,
        router_command=_router_command(run, named=named, best=best),
    )


def _require_bare(spec: str, path: LayerPath) -> None:
    """Pass if other tools would run the path as the scan did."""
    _, bridges = split_spec(spec)
    if bridges is not None and jumps_of(path):
        raise ConfigError(
            f"path {path} was found with the bridges of {bridges}, which other tools don't have; "
            "make a router of it (router-train static) and export that, or scan without --bridges"
        )


def show_export(done: PathExport, *, json_output: bool) -> None:
    """Print an export; what went to no file is all of standard output, so that it can be piped."""
    if json_output:
        print_json(asdict(done))
        return
    if done.out is None:
        print(done.text, end="", flush=True)
    else:
        print(
            f"{done.out} holds path {done.path}: {done.layers} layers; the plain model has "
            f"{done.num_layers}"
        )
        if done.command:
            print(f"run: {done.command}")
        for trap in done.mind:
            print(f"mind: {trap}")
    line = f"as a router: {done.router_command}"
    if done.out is None:
        say(line)
    else:
        print(line)


def _target(
    result: ScanResult, spec_format: SpecFormat, out: Path | None, model: ExportedModel
) -> SpecTarget:
    spec, _ = split_spec(model.spec or result.model)
    config = config_at_hand(spec, model.revision, trust_remote_code=model.trust_remote_code)
    facts = None
    if config is not None:
        _require_depth(spec, config.num_hidden_layers, result)
        facts = ModelFacts(
            layer_kinds=layer_kinds(config),
            lists_layer_types=getattr(config, "layer_types", None) is not None,
        )
    return SpecTarget(
        model=_place(spec, is_gguf=spec_format in _GGUF_FORMATS),
        dtype=result.dtype,
        facts=facts,
        file=None if out is None else str(out),
    )


def _place(spec: str, *, is_gguf: bool) -> str:
    """Where another tool finds the model."""
    if spec == DEMO_SPEC:
        return str(find_demo_gguf() if is_gguf else demo_model_dir())
    place = Path(spec).expanduser()
    return str(place.resolve()) if place.exists() else spec


def _require_depth(spec: str, num_layers: int, result: ScanResult) -> None:
    if num_layers != result.num_layers:
        raise ModelError(
            f"model {spec!r} has {num_layers} layers; the scan was of {result.model!r} with "
            f"{result.num_layers}: name that model with --model"
        )


def _write_checkpoint(
    result: ScanResult,
    path: LayerPath,
    out: Path,
    model: ExportedModel,
    traps: tuple[str, ...],
) -> None:
    require_new(out)
    loaded = load_model(
        spec_again(result.model, model.spec),
        dtype=result.dtype,
        device="cpu",
        revision=model.revision,
        trust_remote_code=model.trust_remote_code,
        chat=result.chat or "auto",
    )
    _require_same(loaded, result)
    base = card_base(loaded, model.revision)
    with new_folder_whole(out) as folder:
        written = write_path(folder, loaded, path, base)
        (folder / SCAN_NAME).write_text(_provenance(result, path, base), encoding="utf-8")
        card = _card(out.name, result, path, base, written, traps)
        (folder / CARD_NAME).write_text(card, encoding="utf-8")


def _require_same(loaded: LoadedModel, result: ScanResult) -> None:
    if not loaded.identity.is_known_as(result.model_fingerprint):
        raise ModelError(
            f"the scan was of model {result.model!r} ({result.dtype}, fingerprint "
            f"{result.model_fingerprint}); the loaded model {loaded.spec!r} has fingerprint "
            f"{loaded.fingerprint}: name that model with --model"
        )


def _provenance(result: ScanResult, path: LayerPath, base: CardBase) -> str:
    """The scan without its other candidates, and without a place of this machine."""
    found = asdict(
        replace(
            result,
            model=base.hub_id or base.title,
            candidates=tuple(item for item in result.candidates if item.path == str(path)),
        )
    )
    return json.dumps({"exported": str(path), **found}, indent=2) + "\n"


def _card(
    name: str,
    result: ScanResult,
    path: LayerPath,
    base: CardBase,
    written: WrittenCheckpoint,
    traps: tuple[str, ...],
) -> str:
    minded = "\n".join(f"- Mind: {trap}." for trap in traps)
    facts = {
        **base_facts(base, fingerprint=result.model_fingerprint, dtype=result.dtype),
        "scan": f"digest `{result.digest}`, seed {result.seed}, families "
        f"{', '.join(result.families)}, {result.num_candidates} paths, {result.verdicts} verdicts",
        "searched with": named_versions(dict(result.versions)),
        "exported with": named_versions(installed_versions()),
    }
    return render_export_card(
        name=name,
        what=plain_what(
            str(path), length=len(path), num_layers=path.num_layers, base=base, written=written
        ),
        use=f"{plain_use(name, written)}\n\n{minded}",
        measured=evidence_table(result, path),
        provenance=facts,
        base=base,
    )


def _router_command(run: Path, *, named: str | None, best: bool) -> str:
    own = Path() if fetched_from(run) else run
    words: list[Any] = ["router-train", "static", shown_folder(run)]
    words += ["--out", static_router(own)]
    words += ["--path", named] if named is not None else ["--best"] if best else []
    return join(map(str, words))
