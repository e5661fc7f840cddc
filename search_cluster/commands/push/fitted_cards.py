"""The cards of what is fitted to a model, on the hub: lenses and bridges."""

from collections.abc import Mapping, Sequence
from typing import Any

from search_cluster.hub.card import Card, hub_id_of, model_facts, model_title
from search_cluster.model.bridge.folder import BridgesRecord
from search_cluster.model.fitted import FittedRecord
from search_cluster.model.lens.record import LensRecord

_RIGHTS = "What is fitted here is of the model named above; its licence applies."


def lens_card(record: LensRecord, location: str) -> Card:
    """What the card of a lens says, from its own files; ``location``: how it is named."""
    found, title = record.found, model_title(record.model_spec)
    request = found.get("request")
    fit = request.get("fit", {}) if isinstance(request, Mapping) else {}
    return Card(
        title=f"Tuned lens of {title} ({record.kind})",
        what=f"A map for each layer of {title} from its state to the final one "
        f"(`{record.kind}`), in the keys of tuned-lens.",
        use=(
            f"search-cluster lens show --lens {location} --model MODEL --text 'The capital of'",
            f"search-cluster lens eval --lens {location} --model MODEL --text FILE",
        ),
        measured=_lens_figures(found),
        how={
            "model": _model_facts(record),
            "fitted to": _texts(found.get("texts"), found.get("tokens"), found.get("texts_digest")),
            "judged on": f"{found['held_out']}, which did not teach it"
            if "held_out" in found
            else "",
            "settings": f"`{_flat(fit)}`" if fit else "",
            "digest": f"`{record.digest}`",
        },
        rights=_RIGHTS,
        data={"base_model": hub_id_of(record.model_spec)},
    )


def _lens_figures(found: Mapping[str, Any]) -> str:
    if "divergence" not in found:
        return "Its folder does not say how good it is."
    lines = [
        f"On {found['held_out_tokens']} positions of {found['held_out_texts']} held-out texts; the "
        "divergence is that of the final prediction from what is read, in nats.",
        "",
        f"The lens takes away {found['mean_cut']:.1%}{_interval(found)} of the logit lens' "
        f"divergence, as a mean over depths; it is lower at {found['depths_lower_than_logit']} of "
        f"{found['depths_with_translator']} depths, and agrees more often in the likeliest token "
        f"at {found['depths_top1_higher']}.",
        "",
        "| depth | divergence | of the logit lens | same likeliest token | of the logit lens |",
        "|---:|---:|---:|---:|---:|",
    ]
    columns = ("divergence", "divergence_logit", "top1", "top1_logit")
    for depth, row in enumerate(zip(*(found[name] for name in columns), strict=True)):
        divergences = " | ".join("" if item is None else f"{item:.3f}" for item in row[:2])
        shares = " | ".join("" if item is None else f"{item:.1%}" for item in row[2:])
        lines.append(f"| {depth} | {divergences} | {shares} |")
    return "\n".join(lines)


def _interval(found: Mapping[str, Any]) -> str:
    low, high = found.get("mean_cut_low"), found.get("mean_cut_high")
    if low is None or high is None:
        return " (too few texts for an interval)"
    return f" (95 % interval over texts: {low:.1%} to {high:.1%})"


def bridges_card(record: BridgesRecord, location: str) -> Card:
    """What the card of a set of bridges says; ``location``: how it is named."""
    found, title = record.found, model_title(record.model_spec)
    jumps = ", ".join(record.jumps)
    return Card(
        title=f"Bridges of {title} over {jumps}",
        what=f"Maps ({record.kind.value}) that stand for layers which a path of {title}, a frozen "
        f"language model of {record.num_layers} layers, leaves out: {jumps}.",
        use=(
            f"search-cluster scan --task TASK --bridges {location}",
            f"router-train evaluate --router ROUTER --bridges {location}",
        ),
        measured=_bridge_figures(found.get("paths", ())),
        how={
            "model": _model_facts(record),
            "fitted to": _texts(found.get("text"), found.get("tokens"), None),
            "judged on": f"{found['held_out_text']}, which did not teach them"
            if "held_out_text" in found
            else "",
            "strengths": f"`{_flat(found['strengths'])}`" if found.get("strengths") else "",
            "digest": f"`{record.digest}`",
        },
        rights=_RIGHTS,
        data={"base_model": hub_id_of(record.model_spec)},
    )


def _bridge_figures(paths: Sequence[Mapping[str, Any]]) -> str:
    if not paths:
        return "Their folder does not say how good they are."
    lines = [
        "Divergence of the path's predictions from the full model's on held-out text, in nats. No "
        "interval is known of it.",
        "",
        "| path | held-out tokens | with the bridges | without | taken away | layers saved |",
        "|---|---:|---:|---:|---:|---:|",
        *(
            f"| {row['path']} | {row['held_out_tokens']} | {row['divergence']:.4f} | "
            f"{row['divergence_bare']:.4f} | {row['cut']:.1%} | {row['layers_saved']:.2f} |"
            for row in paths
        ),
    ]
    return "\n".join(lines)


def _model_facts(record: FittedRecord) -> str:
    return model_facts(record.model_spec, record.model_fingerprint, record.model_dtype)


def _texts(source: object, tokens: object, digest: object) -> str:
    if source is None:
        return ""
    return (
        f"{source}"
        + (f", {tokens} tokens" if tokens is not None else "")
        + (f", digest `{digest}`" if digest is not None else "")
    )


def _flat(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
