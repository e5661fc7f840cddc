"""What a layer is beside its weights, which other tools take from its position in the model."""

from pathlib import Path

from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import HFValidationError
from transformers import AutoConfig, PreTrainedConfig

from search_cluster.bridged_spec import DEMO_SPEC
from search_cluster.errors import ModelError
from search_cluster.model.anatomy import anatomy_of, layer_type_of
from search_cluster.model.load.demo import demo_model_dir
from search_cluster.model.load.folder import load_config
from search_cluster.model.portable.checkpoint import CONFIG_FILE


def layer_kinds(config: PreTrainedConfig) -> tuple[str, ...]:
    """For each layer its attention, and whether it lacks a rotary embedding or experts.

    Raises:
        UnsupportedFamilyError: the family has no anatomy entry.
    """
    rope = getattr(config, "no_rope_layers", None)
    dense = getattr(config, "mlp_only_layers", None)
    kinds = []
    for layer in range(config.num_hidden_layers):
        kind = layer_type_of(config, layer)
        if rope is not None and not rope[layer]:
            kind += " without rotary embedding"
        if dense is not None and (layer in dense or (layer + 1) % config.decoder_sparse_step):
            kind += " without experts"
        kinds.append(kind)
    return tuple(kinds)


def config_at_hand(
    spec: str, revision: str | None, *, trust_remote_code: bool = False
) -> PreTrainedConfig | None:
    """The configuration of a model, if it is on this machine; nothing is downloaded.

    Args:
        spec: what `search_cluster.model.load.loading.load_model` takes.
        revision: the branch, tag or commit of a hub id.
        trust_remote_code: whether to run Python code that the model brings along.

    Raises:
        ModelError: it is there and can't be read.
    """
    place = demo_model_dir() if spec == DEMO_SPEC else Path(spec).expanduser()
    if place.suffix == ".gguf" and place.is_file():
        return _gguf_config(place)
    if not place.is_dir():
        try:
            cached = try_to_load_from_cache(spec, CONFIG_FILE, revision=revision)
        except HFValidationError:
            return None
        if not isinstance(cached, str):
            return None
        place = Path(cached).parent
    return load_config(place, trust_remote_code=trust_remote_code)[1]


def _gguf_config(file: Path) -> PreTrainedConfig:
    try:
        config: PreTrainedConfig = AutoConfig.from_pretrained(file.parent, gguf_file=file.name)
    except Exception as error:  # a damaged file fails anywhere in its readers
        raise ModelError(
            f"{file} can't be read as a GGUF model ({error}); name the model's folder with --model"
        ) from error
    anatomy_of(config)
    return config
