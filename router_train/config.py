"""Settings of a router's training, each with its one default."""

from dataclasses import dataclass

from search_cluster.errors import ConfigError

KEEP_RIGHT, KEEP_CHANGED, KEEP_ALL = "right", "changed", "all"
FEATURE_DTYPES = ("float32", "float16", "bfloat16")
LABELS_BEST, LABELS_UNGUARDED = "best", "unguarded"
BALANCE_EFFECTIVE, BALANCE_INVERSE = "effective", "inverse"
LOSS_VERDICT, LOSS_MARGIN = "verdict", "margin"
AIM_LAYERS, AIM_ACCURACY = "layers", "accuracy"


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
    labels: str = LABELS_BEST
    """``best``: the credible best paths; ``unguarded``: those that are right, luck included (an ablation)."""
    train_limit: int | None = None
    """Training questions at most, drawn by ``seed``; validation keeps its own (an ablation of the corpus' size)."""
    validation_share: float = 0.15
    """Share of questions held out for early stopping, chosen by content hash; in (0, 1)."""
    num_windows: int = 8
    """Mean-pooled windows over a prompt's tokens; at least 1. A `menu` router reads the last token on top."""
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
    class_balance: str = BALANCE_EFFECTIVE
    """``effective``: as published, close to no balance on thousands of labels; ``inverse``: by inverse frequency."""
    feature_layer: int | None = None
    """How many layers of the plain model are read before the choice; ``None``: for `menu` those with which every path
    of the menu begins, for `polar` a sixth of the model, with which all its paths begin."""
    loss: str = LOSS_MARGIN
    """What a `menu` router regresses on: ``verdict`` (right minus identity's right) or ``margin`` (the same, softened
    by the distance to the decision boundary)."""
    num_folds: int = 5
    """Parts of the table of verdicts; each is judged by models that have seen the others only; at least 2."""
    aim: str = AIM_LAYERS
    """What the operating point of a router is chosen for, on validation data: ``layers`` (the fewest within the
    accuracy floor) or ``accuracy`` (the highest within the floor, then the fewest layers)."""
    max_drop: float = 0.5
    """The accuracy floor: percentage points below the plain model's validation accuracy; negative: above it."""
    floor_errors: float = 1.0
    """Standard errors by which the validation accuracy must clear the floor; 0 takes it at its word, which broke the
    floor on held-out questions where a threshold was chosen on 200."""
    max_layers_share: float = 1.0
    """The layer budget: mean layers per question over the plain model's; in (0, 1] or more where paths repeat."""

    def __post_init__(self) -> None:
        for name in ("num_windows", "bottleneck", "epochs", "patience", "batch_size"):
            _require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        _require(self.num_folds >= 2, "num_folds", self.num_folds, "at least 2")
        _require(self.train_limit is None or self.train_limit >= 1, "train_limit", self.train_limit, "at least 1")
        _require(self.feature_layer is None or self.feature_layer >= 0, "feature_layer", self.feature_layer, ">= 0")
        _require(-100 <= self.max_drop <= 100, "max_drop", self.max_drop, "percentage points, in [-100, 100]")
        _require(self.floor_errors >= 0, "floor_errors", self.floor_errors, "at least 0")
        _require(self.max_layers_share > 0, "max_layers_share", self.max_layers_share, "above 0")
        _require(self.weight_decay >= 0, "weight_decay", self.weight_decay, "at least 0")
        _require(self.focal_gamma == 0 or self.focal_gamma >= 1, "focal_gamma", self.focal_gamma, "0, or at least 1")
        _require(self.learning_rate > 0, "learning_rate", self.learning_rate, "above 0")
        _require(0 < self.validation_share < 1, "validation_share", self.validation_share, "between 0 and 1")
        _require(0 <= self.effective_beta < 1, "effective_beta", self.effective_beta, "in [0, 1)")
        for name, allowed in _CHOICES.items():
            _require(getattr(self, name) in allowed, name, getattr(self, name), f"one of {', '.join(allowed)}")


_CHOICES = {
    "keep": (KEEP_RIGHT, KEEP_CHANGED, KEEP_ALL),
    "feature_dtype": FEATURE_DTYPES,
    "labels": (LABELS_BEST, LABELS_UNGUARDED),
    "class_balance": (BALANCE_EFFECTIVE, BALANCE_INVERSE),
    "loss": (LOSS_VERDICT, LOSS_MARGIN),
    "aim": (AIM_LAYERS, AIM_ACCURACY),
}


def _require(holds: bool, name: str, value: object, rule: str) -> None:
    if not holds:
        raise ConfigError(f"{name} is {value!r}; it must be {rule}")
