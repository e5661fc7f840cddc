"""A lens exit for the tiny model, whose generated tokens stop by themselves."""

import torch

from router_train.routers.lens_exit.choosing import never
from router_train.routers.lens_exit.classifier import CHOICES, TOKENS, VOCABULARY, ExitClassifier
from router_train.routers.lens_exit.readings import FEATURES
from router_train.routers.lens_exit.router import LensExitRouter
from search_cluster.paths.layer_path import LayerPath

NUM_LAYERS, WIDTH = 6, 32
DEPTHS = (3, 4, 5)
PLAIN = LayerPath.identity(NUM_LAYERS)


def router_of(bias: float, *, top: float = 0.0, path: LayerPath = PLAIN) -> LensExitRouter:
    """Tokens stop at the first depth where ``top`` times the highest probability beats ``-bias``.

    Prompts stop nowhere.
    """
    weight = torch.zeros(len(FEATURES))
    weight[FEATURES.index("top")] = top
    depths = tuple(depth for depth in DEPTHS if depth < len(path))
    places = tuple(range(len(depths)))
    classifier = ExitClassifier(
        places=places, weight_F=weight, bias_K=torch.full((len(depths),), bias), threshold=0.5
    )
    generator = torch.Generator().manual_seed(3)
    return LensExitRouter(
        path=path,
        depths=depths,
        weight_KDD=0.05 * torch.randn(len(depths), WIDTH, WIDTH, generator=generator),
        bias_KD=0.05 * torch.randn(len(depths), WIDTH, generator=generator),
        classifiers={CHOICES: never(), VOCABULARY: never(), TOKENS: classifier},
    )
