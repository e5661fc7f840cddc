"""``router-train generate``: the routed model's answer to one prompt."""

from pathlib import Path

from router_train.inference.model_choice import ModelChoice
from router_train.inference.routed_model import RoutedModel
from router_train.training.checkpoint import load_router, read_meta
from search_cluster.console import print_json, say


def run_generate(
    router_folder: Path,
    prompt: str,
    model: ModelChoice,
    *,
    max_new_tokens: int,
    threshold: float,
    json_output: bool,
) -> None:
    """``router-train generate``: the answer goes to standard output."""
    meta = read_meta(router_folder)
    loaded = model.load(meta.model_spec, meta.model_dtype, meta.chat)
    router, meta = load_router(router_folder, loaded)
    answer = RoutedModel(loaded, router, threshold=threshold).answer(
        [prompt], max_new_tokens=max_new_tokens
    )[0]
    path = answer.routed.path
    say(
        f"path {path}: {len(path)} of {loaded.num_layers} layers, confidence "
        f"{answer.routed.confidence:.2f}"
    )
    if not json_output:
        print(answer.text)
        return
    print_json(
        {
            "text": answer.text,
            "path": list(path.layers),
            "num_layers": loaded.num_layers,
            "confidence": answer.routed.confidence,
            "num_fallbacks": answer.routed.num_fallbacks,
            "new_tokens": len(answer.token_ids),
        }
    )
