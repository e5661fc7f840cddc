"""Settings of a router's training, each with its one default."""

from dataclasses import dataclass

from search_cluster.errors import ConfigError

KEEP_RIGHT, KEEP_CHANGED, KEEP_ALL = "right", "changed", "all"
FEATURE_DTYPES = ("float32", "float16", "bfloat16")


@dataclass(frozen=True, slots=True, kw_only=True)
class FitConfig:
    """What a training run depends on beside the corpus and the model. The defaults follow Dr.LLM (arXiv 2510.12773).

    Raises:
        ConfigError: a value is out of its range.
    """

    router: str = "drllm"
    """Kind of router, a name of `router_train.routers.registry`."""
    seed: int = 0
    """Of the initial weights and of the order of batches."""
    keep: str = KEEP_RIGHT
    """Which examples teach: ``right`` (some path is right: Dr.LLM), ``changed`` (the best path is not identity),
    ``all`` (examples without a right path teach the identity path)."""
    validation_share: float = 0.15
    """Share of questions held out for early stopping, chosen by content hash; in (0, 1)."""
    num_windows: int = 8
    """Mean-pooled windows over a prompt's tokens; at least 1."""
    feature_dtype: str = "float32"
    """How prompt states are kept while training. A demo-size model (30 layers, width 576, 8 windows) takes 553 kB per
    example in float32, half of it in the others; float16 overflows at 65,504, bfloat16 keeps 8 bits."""
    bottleneck: int = 128
    """Width between the two linear maps of a layer's router; at least 1."""
    standardise: bool = True
    """Shift and scale each router's inputs to mean 0 and deviation 1 over the training set. An affine map before a
    linear one: the function class stays Dr.LLM's, but the few huge entries of residual streams no longer stall it."""
    epochs: int = 25
    """Passes over the training set at most; at least 1."""
    patience: int = 5
    """Epochs without a lower validation loss before training stops; at least 1."""
    batch_size: int = 16
    """Examples per step; at least 1."""
    learning_rate: float = 1e-3
    """AdamW's at the start; falls to 0 on a half cosine over ``epochs``."""
    weight_decay: float = 0.01
    """AdamW's; at least 0."""
    focal_gamma: float = 2.0
    """Exponent of the focal loss; 0 (cross-entropy) or at least 1, since the gradient is infinite in between."""
    effective_beta: float = 0.999
    """Beta of the effective-number class weights; in [0, 1); 0 gives every class the same weight."""

    def __post_init__(self) -> None:
        for name in ("num_windows", "bottleneck", "epochs", "patience", "batch_size"):
            _require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        _require(self.weight_decay >= 0, "weight_decay", self.weight_decay, "at least 0")
        _require(self.focal_gamma == 0 or self.focal_gamma >= 1, "focal_gamma", self.focal_gamma, "0, or at least 1")
        _require(self.learning_rate > 0, "learning_rate", self.learning_rate, "above 0")
        _require(0 < self.validation_share < 1, "validation_share", self.validation_share, "between 0 and 1")
        _require(0 <= self.effective_beta < 1, "effective_beta", self.effective_beta, "in [0, 1)")
        keeps = (KEEP_RIGHT, KEEP_CHANGED, KEEP_ALL)
        _require(self.keep in keeps, "keep", self.keep, f"one of {', '.join(keeps)}")
        _require(
            self.feature_dtype in FEATURE_DTYPES,
            "feature_dtype",
            self.feature_dtype,
            f"one of {', '.join(FEATURE_DTYPES)}",
        )


def _require(holds: bool, name: str, value: object, rule: str) -> None:
    if not holds:
        raise ConfigError(f"{name} is {value!r}; it must be {rule}")
