"""``router-train generate``: the routed model's answer to one prompt."""

from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from router_train.inference.model_choice import ModelChoice
from router_train.inference.routed_model import RoutedAnswer, RoutedModel
from router_train.routers.checkpoint import load_router, read_meta
from router_train.routers.fixed import FixedRouter
from search_cluster.console import print_json, say
from search_cluster.model.decoding import end_ids
from search_cluster.paths.layer_path import LayerPath


def run_generate(
    router_folder: Path,
    prompt: str,
    model: ModelChoice,
    *,
    max_new_tokens: int,
    threshold: float,
    compare: bool,
    json_output: bool,
) -> None:
    """``router-train generate``: the answer goes to standard output."""
    meta = read_meta(router_folder)
    loaded = model.load(meta.model_spec, meta.model_dtype, meta.chat)
    router, meta = load_router(router_folder, loaded)
    answer = RoutedModel(loaded, router, threshold=threshold).answer(
        [prompt], max_new_tokens=max_new_tokens
    )[0]
    plain: RoutedAnswer | None = None
    if compare:
        alone = RoutedModel(loaded, FixedRouter(LayerPath.identity(loaded.num_layers)))
        plain = alone.answer([prompt], max_new_tokens=max_new_tokens)[0]
    ends = end_ids(loaded.model, loaded.tokenizer)
    is_cut, is_plain_cut = (
        found is not None
        and len(found.token_ids) >= max_new_tokens
        and found.token_ids[-1] not in ends
        for found in (answer, plain)
    )
    for name, cut in (("", is_cut), ("plain ", is_plain_cut)):
        if cut:
            say(
                f"the {name}answer is cut after {max_new_tokens} tokens; raise --max-new-tokens "
                "for the rest"
            )
    path, work = answer.routed.path, answer.work
    say(
        f"path {path}: {len(path)} of {loaded.num_layers} layers, confidence "
        f"{answer.routed.confidence:.2f}"
    )
    if work is not None:
        say(
            f"tokens stopped behind {' '.join(map(str, work.depths))} layers; layers ran for "
            f"{work.num_layer_tokens} tokens in {work.num_layer_calls} calls"
        )
    if not json_output:
        if plain is None:
            print(answer.text)
        else:
            Console().print(_side_by_side(prompt, plain, answer))
        return
    print_json(
        {
            "text": answer.text,
            "path": list(path.layers),
            "num_layers": loaded.num_layers,
            "confidence": answer.routed.confidence,
            "num_fallbacks": answer.routed.num_fallbacks,
            "new_tokens": len(answer.token_ids),
            "is_cut": is_cut,
            **(
                {}
                if work is None
                else {f"token_{name}": value for name, value in asdict(work).items()}
            ),
            **({} if plain is None else {"plain_text": plain.text, "plain_is_cut": is_plain_cut}),
        }
    )


def _side_by_side(prompt: str, plain: RoutedAnswer, routed: RoutedAnswer) -> Table:
    """The two answers in columns of one width."""
    table = Table(title=escape(prompt), title_justify="left", expand=True)
    for name, answer in (("plain model", plain), ("routed", routed)):
        table.add_column(f"{name}, {len(answer.routed.path)} layers", ratio=1)
    table.add_row(escape(plain.text.strip()), escape(routed.text.strip()))
    return table
