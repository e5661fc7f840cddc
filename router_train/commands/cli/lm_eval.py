"""``router-train lm-eval``."""

from importlib.util import find_spec

from router_train.commands.cli.router import OutOption, RouterFolder
from router_train.commands.harness_options import HarnessOptions
from router_train.inference.model_choice import ModelChoice
from search_cluster.console import TRAINING_RESUMES
from search_cluster.errors import ConfigError
from search_cluster.extras import install_command
from search_cluster.options.commands import command
from search_cluster.options.groups import JsonOption


@command(
    "lm-eval",
    epilog="Example: router-train lm-eval --router runs/mine/routers/menu --tasks arc_easy,piqa "
    "--limit 100 --json",
    interrupted=TRAINING_RESUMES,
)
def lm_eval(
    *,
    router: RouterFolder,
    options: HarnessOptions,
    out: OutOption = None,
    model: ModelChoice,
    json_output: JsonOption = False,
) -> None:
    """Run EleutherAI's evaluation harness on the routed model (needs the extra lm-eval)."""
    if find_spec("lm_eval") is None:
        raise ConfigError(f"the harness is not installed; install it: {install_command('lm-eval')}")
    from router_train.commands.lm_eval import run_harness  # torch and transformers: seconds

    run_harness(router, options, model, out=out, json_output=json_output)
