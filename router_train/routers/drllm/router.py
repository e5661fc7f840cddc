"""Dr.LLM's router, which decides before each layer: skip, execute or repeat.

The decisions depend on the prompt's states alone and hold for all tokens that are generated after
it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor

from router_train.data.feature_store import stored_rows
from router_train.data.features import Features, compute_features
from router_train.data.labels import PathLabel
from router_train.data.layer_walk import pool_windows
from router_train.routers.base import FitInputs, Fitted, RoutedPath, Settings
from router_train.routers.curve import CurveWriter
from router_train.routers.drllm.network import LayerRouters
from router_train.routers.drllm.training import train_routers
from router_train.routers.online import route_online
from router_train.routers.threshold import tune_threshold, validation_examples
from search_cluster.errors import ConfigError, NonFiniteLogitsError
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.online.chooser import OnlineRouting
from search_cluster.model.prompting import PROMPTING_VERSION
from search_cluster.paths.layer_path import EXECUTE, LayerPath


@dataclass(frozen=True, slots=True)
class DrLLMRouter:
    """Per-layer routers and the pooling that they were trained with."""

    routers: LayerRouters
    num_windows: int
    threshold: float = 0.0
    """The threshold that was chosen on validation data; a higher one may be asked for."""

    def route(
        self, loaded: LoadedModel, context_ids: Sequence[int], *, threshold: float
    ) -> RoutedPath:
        """The path that the routers choose in one pass over the prompt.

        Where the routers would skip every layer, the answer is the identity path.

        Raises:
            NonFiniteLogitsError: a router's logits are NaN or infinite.
        """
        return route_online(
            loaded, context_ids, self.begin_routing(loaded, context_ids, threshold=threshold)
        )

    def begin_routing(
        self, loaded: LoadedModel, context_ids: Sequence[int], *, threshold: float
    ) -> OnlineRouting:
        """Decide layer by layer from the states that the layers before have left; see `route`."""
        threshold = max(threshold, self.threshold)
        self.routers.to(loaded.model.device)
        chosen: list[float] = []
        decisions: list[int] = []
        hidden_TD = yield ()
        for layer, router in enumerate(self.routers.layers):
            windows_1WD = pool_windows(hidden_TD, self.num_windows)[None]
            logits = router(windows_1WD)[0]
            if not bool(logits.isfinite().all()):
                raise NonFiniteLogitsError(
                    f"the router of layer {layer} gives {logits.tolist()}; logits are finite"
                )
            probability, decision = logits.softmax(dim=-1).max(dim=-1)
            chosen.append(float(probability))
            decisions.append(EXECUTE if chosen[-1] < threshold else int(decision))
            hidden_TD = yield (layer,) * decisions[-1]
        num_fallbacks = sum(probability < threshold for probability in chosen)
        empty = not any(decisions)
        return RoutedPath(
            path=LayerPath.identity(loaded.num_layers)
            if empty
            else LayerPath.from_decisions(tuple(decisions)),
            confidence=min(chosen),
            num_fallbacks=loaded.num_layers if empty else num_fallbacks,
            num_layer_tokens=0,
        )

    def settings(self) -> Settings:
        """The depth, width, bottleneck, windows and threshold."""
        return {
            "num_layers": len(self.routers.layers),
            "width": self.routers.width,
            "bottleneck": self.routers.bottleneck,
            "num_windows": self.num_windows,
            "threshold": self.threshold,
        }

    def tensors(self) -> dict[str, Tensor]:
        """The weights of all routers, on the CPU."""
        return {
            name: tensor.detach().cpu().contiguous()
            for name, tensor in self.routers.state_dict().items()
        }


@dataclass(frozen=True, slots=True)
class DrLLMKind:
    """The kind that trains and restores `DrLLMRouter`."""

    name: str = "drllm"
    needs_model: bool = True

    def fit(self, inputs: FitInputs) -> Fitted:
        """Train the routers with early stopping, then choose their threshold.

        The features are computed once.
        """
        config = inputs.config
        train = _features(inputs, "train")
        validation = _features(inputs, "validation")
        with CurveWriter(inputs.curve_file) as curve:
            result = train_routers(
                train,
                validation,
                class_counts=inputs.labels.class_counts(),
                config=config,
                device=_model(inputs).model.device,
                on_epoch=lambda epoch: curve.write(asdict(epoch)),
            )
        router = DrLLMRouter(result.routers, config.num_windows)
        held_out = validation_examples(inputs)
        point = tune_threshold(router, _model(inputs), inputs.task, held_out, config)
        metrics = {**asdict(result.best), **point.metrics(), "threshold": point.threshold}
        return Fitted(
            router=replace(router, threshold=point.threshold),
            metrics=metrics,
            judged_on="the validation questions, which chose the epoch and the threshold",
        )

    def restore(self, settings: Settings, tensors: Mapping[str, Tensor]) -> DrLLMRouter:
        """The router of these weights."""
        sizes = {
            name: settings.get(name)
            for name in ("num_layers", "width", "bottleneck", "num_windows")
        }
        threshold = settings.get("threshold", 0.0)
        if not all(isinstance(size, int) and size >= 1 for size in sizes.values()) or isinstance(
            threshold, str
        ):
            raise ConfigError(
                f"router settings {settings} lack a size of {', '.join(sizes)}; fit the router "
                "again"
            )
        num_layers, width, bottleneck, num_windows = (int(size or 0) for size in sizes.values())
        routers = LayerRouters(num_layers, width, bottleneck)
        try:
            routers.load_state_dict(dict(tensors))
        except RuntimeError as error:
            raise ConfigError(
                f"the router's weights do not fit its settings {settings}: {error}"
            ) from error
        return DrLLMRouter(routers.eval().requires_grad_(False), num_windows, threshold)


def _model(inputs: FitInputs) -> LoadedModel:
    assert inputs.loaded is not None, "the kind says that it needs a model"
    return inputs.loaded


def _features(inputs: FitInputs, side: str) -> Features:
    labels = inputs.labels.train if side == "train" else inputs.labels.validation
    loaded, task, config = _model(inputs), inputs.task, inputs.config

    def compute(part: Sequence[PathLabel]) -> dict[str, Tensor]:
        features = compute_features(
            loaded,
            task,
            part,
            num_windows=config.num_windows,
            dtype=getattr(torch, config.feature_dtype),
            description=f"prompt states ({side})",
        )
        return {"windows_NLWD": features.windows_NLWD}

    key = {
        "what": "along labels",
        "model": loaded.fingerprint,
        "task": [task.name, task.version, PROMPTING_VERSION],
        "num_windows": config.num_windows,
        "dtype": config.feature_dtype,
    }
    windows_NLWD = stored_rows(
        inputs.feature_folder,
        key,
        labels,
        seed=config.seed,
        name=lambda label: [label.example.example_id, *label.decisions],
        compute=compute,
    )["windows_NLWD"]
    decisions_NL = torch.tensor([label.decisions for label in labels], dtype=torch.int64)
    return Features(windows_NLWD=windows_NLWD, decisions_NL=decisions_NL)
