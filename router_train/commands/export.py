"""``router-train export``: a trained router as a folder for others, and on the hub if asked for."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from router_train.export.evaluations import CardEvaluation, evaluations_of, read_evaluations
from router_train.export.export import ExportOptions, export_reference, export_router
from router_train.export.publish import push_export
from router_train.inference.model_choice import ModelChoice
from router_train.routers.checkpoint import read_meta
from search_cluster.console import print_json, say, show
from search_cluster.errors import ConfigError
from search_cluster.hub.choice import PushChoice
from search_cluster.hub.push import require_token


def run_export(
    router_folder: Path,
    out: Path,
    model: ModelChoice,
    options: ExportOptions,
    *,
    evaluations: Sequence[Path],
    choice: PushChoice,
    json_output: bool,
) -> None:
    """Export a router with the evaluations given, or the one that its run keeps; then upload it.

    Raises:
        ConfigError: others could not load what would be pushed, or there is no token.
    """
    meta = read_meta(router_folder)
    require_token(choice)
    push_to_hub = choice.push_to_hub
    found = _card_evaluations(
        router_folder,
        evaluations,
        kind=meta.kind,
        digest=meta.digest,
        threshold=options.threshold,
    )
    loaded = model.load(meta.model_spec, meta.model_dtype, meta.chat)
    base = export_reference(loaded, with_base=options.with_base, revision=options.revision)
    if push_to_hub is not None and base.is_local and not options.plain:
        raise ConfigError(
            f"the base model {base.spec} is on this machine only, so nobody could load "
            f"{push_to_hub}; add --with-base, or name the model's hub id with --model"
        )
    export_router(
        router_folder, out, loaded, replace(options, evaluations=found, repository=push_to_hub)
    )
    show(
        f"{out} holds {_kind(options, meta.kind)}; how to load it: {out / 'README.md'}",
        json_output=json_output,
    )
    address = None
    if push_to_hub is not None:
        address = push_export(out, choice)
        show(f"uploaded to {address}", json_output=json_output)
    if json_output:
        print_json(
            {
                "out": str(out),
                "router": meta.kind,
                "digest": meta.digest,
                "plain": options.plain,
                "base_model": None if options.plain else base.spec,
                "num_evaluations": len(found),
                "num_bytes": sum(file.stat().st_size for file in out.rglob("*") if file.is_file()),
                "address": address,
            }
        )


def _kind(options: ExportOptions, kind: str) -> str:
    return (
        "a plain checkpoint of the static path"
        if options.plain
        else f"a routed model ({kind} router)"
    )


def _card_evaluations(
    router_folder: Path, files: Sequence[Path], *, kind: str, digest: str, threshold: float
) -> tuple[CardEvaluation, ...]:
    """The evaluations asked for; the run's own is left out, and that is said, if it is unfit."""
    if files:
        return read_evaluations(files, kind=kind, digest=digest, threshold=threshold)
    try:
        kept = evaluations_of(router_folder)
        return read_evaluations(kept, kind=kind, digest=digest, threshold=threshold)
    except ConfigError as error:
        say(f"not on the card: {error}")
        return ()
