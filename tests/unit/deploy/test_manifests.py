"""What deploy/ ships is well-formed, and its parts agree with each other."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema
from kubernetes_validate import utils as kubernetes
from pydantic import BaseModel, ValidationError
from support.kuberay import PodMonitor, RayCluster, RayJob

from search_cluster.config import read_config

REPOSITORY = Path(__file__).parents[3]
DEPLOY = REPOSITORY / "deploy"
KUBERNETES_VERSION = kubernetes.latest_version()
CUSTOM: dict[str, type[BaseModel]] = {
    "RayCluster": RayCluster,
    "RayJob": RayJob,
    "PodMonitor": PodMonitor,
}


def manifests() -> list[tuple[str, dict[str, Any]]]:
    """(file, object) of every Kubernetes manifest."""
    return [
        (path.name, document)
        for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text())
    ]


def cluster_specs() -> Iterator[dict[str, Any]]:
    for _, document in manifests():
        if document["kind"] == "RayCluster":
            yield document["spec"]
        if document["kind"] == "RayJob":
            yield document["spec"]["rayClusterSpec"]


def pod_specs() -> Iterator[dict[str, Any]]:
    for spec in cluster_specs():
        for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
            yield group["template"]["spec"]


def require_valid(document: dict[str, Any]) -> None:
    """Pass if Kubernetes, or an operator, would take it without dropping a field."""
    if document["kind"] in CUSTOM:
        CUSTOM[document["kind"]].model_validate(document)
    else:
        kubernetes.validate(document, KUBERNETES_VERSION, strict=True)


@pytest.mark.parametrize(
    ("name", "document"),
    [pytest.param(*item, id=f"{item[0]}:{item[1]['kind']}") for item in manifests()],
)
def test_every_manifest_is_valid(name: str, document: dict[str, Any]) -> None:
    require_valid(document)


def test_the_pods_of_the_ray_clusters_are_valid_pods() -> None:
    specs = list(pod_specs())
    assert len(specs) == 4
    for spec in specs:
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": spec}
        kubernetes.validate(pod, KUBERNETES_VERSION, strict=True)


def test_a_misspelt_field_is_noticed() -> None:
    by_kind = {document["kind"]: document for _, document in manifests()}
    cluster = by_kind["RayCluster"]
    cluster["spec"]["authOption"] = cluster["spec"].pop("authOptions")
    with pytest.raises(ValidationError, match="authOption"):
        require_valid(cluster)
    server = by_kind["StatefulSet"]
    server["spec"]["template"]["spec"]["containers"][0]["volumeMount"] = []
    with pytest.raises(kubernetes.ValidationError):
        require_valid(server)


def test_ray_clusters_ask_for_a_token_scale_and_run_nothing_on_the_head() -> None:
    for spec in cluster_specs():
        assert spec["authOptions"] == {"mode": "token"}
        assert spec["enableInTreeAutoscaling"]
        assert spec["autoscalerOptions"]["version"] == "v2"
        assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
        (group,) = spec["workerGroupSpecs"]
        limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        assert limits["nvidia.com/gpu"] == 1
        pinned = re.search(
            r"^ray==(.*)$", (REPOSITORY / "constraints.txt").read_text(), re.MULTILINE
        )
        assert pinned
        assert spec["rayVersion"] == pinned[1]


def test_what_the_pods_name_exists() -> None:
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for _, document in manifests():
        by_kind.setdefault(document["kind"], []).append(document)
    (service,) = by_kind["Service"]
    (server,) = by_kind["StatefulSet"]
    (claim,) = by_kind["PersistentVolumeClaim"]
    (monitor,) = by_kind["PodMonitor"]
    port = service["spec"]["ports"][0]["port"]
    assert server["spec"]["template"]["spec"]["containers"][0]["ports"][0]["containerPort"] == port
    assert re.search(rf"^port {port}$", (DEPLOY / "redis/redis.conf").read_text(), re.MULTILINE)
    for spec in pod_specs():
        (container,) = spec["containers"]
        environment = {item["name"]: item for item in container["env"]}
        address = f"@{service['metadata']['name']}:{port}/0"
        assert (
            environment["LPS_REDIS_URL"]["value"] == f"redis://search:$(SEARCH_PASSWORD){address}"
        )
        assert list(environment).index("SEARCH_PASSWORD") < list(environment).index("LPS_REDIS_URL")
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
        assert volumes["shared"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        ports = [item["name"] for item in container["ports"]]
        assert monitor["spec"]["podMetricsEndpoints"][0]["port"] in ports


def test_the_ray_job_runs_a_shipped_run_on_shared_storage() -> None:
    (job,) = (document for _, document in manifests() if document["kind"] == "RayJob")
    words = shlex.split(job["spec"]["entrypoint"])
    flags = dict(zip(words[2::2], words[3::2], strict=False))
    assert words[:2] == ["search-cluster", "search"]
    config = read_config(REPOSITORY / Path(flags["--config"]).relative_to("/opt/search-cluster"))
    assert config.device == "cuda"
    assert flags["--run"].startswith("/shared/")
    assert flags["--ray"] == "auto"
    (group,) = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    assert int(flags["--workers"]) <= group["maxReplicas"]


def test_alert_rules_fit_into_a_prometheus_rule_as_the_comment_says() -> None:
    comment = (DEPLOY / "kubernetes/monitoring.yaml").read_text()
    command = "\n".join(line[4:] for line in comment.splitlines() if line.startswith("#   "))
    shown = command.removesuffix("| kubectl apply -f -").rstrip()
    done = subprocess.run(
        ["bash", "-ec", shown], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    rule = yaml.safe_load(done.stdout)
    assert rule["kind"] == "PrometheusRule"
    assert rule["spec"] == yaml.safe_load((DEPLOY / "prometheus/rules.yml").read_text())


@pytest.mark.parametrize("name", ["compose.yaml", "compose.gpu.yaml"])
def test_compose_files_follow_the_specification(name: str) -> None:
    jsonschema.validate(
        yaml.safe_load((DEPLOY / name).read_text()), get_builtin_schema("vendor.compose-spec")
    )


def test_compose_publishes_on_loopback_alone_and_mounts_what_exists() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    for name, service in compose["services"].items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in compose["volumes"] or (DEPLOY / source).exists(), volume
        for key, value in service.get("environment", {}).items():
            if "PASSWORD" in key or "TOKEN" in key:
                assert str(value).startswith("${"), f"{name}: {key} is written down"


@pytest.mark.parametrize("name", ["cpu.Dockerfile", "cuda.Dockerfile"])
def test_images_copy_what_exists_pin_their_base_and_run_as_a_user(name: str) -> None:
    text = (DEPLOY / "images" / name).read_text().replace("\\\n", " ")
    instructions = [
        line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")
    ]
    bases = [rest for word, rest in instructions if word == "FROM"]
    assert bases == ["python:3.11-slim-bookworm AS wheel", "python:3.11-slim-bookworm"]
    assert instructions[-1] == ["USER", "ray"]
    for word, rest in instructions:
        if word == "COPY":
            *sources, _ = rest.split()
            if sources[0] == "--from=wheel":
                continue
            assert all((REPOSITORY / source).exists() for source in sources), rest
    (extras,) = re.findall(r'\.whl\)\[(.*)\]"', text)
    assert set(extras.split(",")) <= set(metadata("search-cluster").get_all("Provides-Extra") or ())


@pytest.mark.parametrize(
    "path", [*DEPLOY.rglob("*.sh"), *DEPLOY.rglob("*.sbatch")], ids=lambda path: path.name
)
def test_scripts_parse(path: Path) -> None:
    shell = path.read_text().splitlines()[0].split("/")[-1].split()[-1]
    done = subprocess.run([shell, "-n", str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert path.stat().st_mode & 0o111, f"{path} is not executable"
