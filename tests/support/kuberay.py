"""The fields of KubeRay's ``ray.io/v1`` that manifests may use; others are refused.

The fields are those of its API reference of v1.6. The operator's own schemas are in no registry
that a test can install from, so this is written by hand; names are spelt as Kubernetes does. Pod
templates are checked against Kubernetes' own schema by the caller.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt


class Strict(BaseModel):
    """Unknown fields and coerced types are errors: Kubernetes would prune or refuse them."""

    model_config = ConfigDict(extra="forbid", strict=True)


class AuthOptions(Strict):
    mode: Literal["disabled", "token"]
    secretName: str | None = None


class AutoscalerOptions(Strict):
    version: Literal["v1", "v2"] | None = None
    resources: dict[str, dict[str, Any]] | None = None
    image: str | None = None
    imagePullPolicy: Literal["Always", "IfNotPresent", "Never"] | None = None
    securityContext: dict[str, Any] | None = None
    idleTimeoutSeconds: NonNegativeInt | None = None
    upscalingMode: Literal["Default", "Aggressive", "Conservative"] | None = None
    env: list[dict[str, Any]] | None = None
    envFrom: list[dict[str, Any]] | None = None
    volumeMounts: list[dict[str, Any]] | None = None


class HeadGroupSpec(Strict):
    template: dict[str, Any]
    headService: dict[str, Any] | None = None
    enableIngress: bool | None = None
    labels: dict[str, str] | None = None
    resources: dict[str, str] | None = None
    rayStartParams: dict[str, str] = Field(default_factory=dict)
    serviceType: Literal["ClusterIP", "NodePort", "LoadBalancer"] | None = None


class WorkerGroupSpec(Strict):
    groupName: str
    replicas: NonNegativeInt
    minReplicas: NonNegativeInt
    maxReplicas: NonNegativeInt
    idleTimeoutSeconds: NonNegativeInt | None = None
    numOfHosts: PositiveInt | None = None
    labels: dict[str, str] | None = None
    resources: dict[str, str] | None = None
    rayStartParams: dict[str, str] = Field(default_factory=dict)
    template: dict[str, Any]


class RayClusterSpec(Strict):
    rayVersion: str
    authOptions: AuthOptions | None = None
    suspend: bool | None = None
    managedBy: str | None = None
    enableInTreeAutoscaling: bool | None = None
    autoscalerOptions: AutoscalerOptions | None = None
    headServiceAnnotations: dict[str, str] | None = None
    gcsFaultToleranceOptions: dict[str, Any] | None = None
    headGroupSpec: HeadGroupSpec
    workerGroupSpecs: list[WorkerGroupSpec]


class RayJobSpec(Strict):
    entrypoint: str
    submissionMode: Literal["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"] | None = (
        None
    )
    activeDeadlineSeconds: PositiveInt | None = None
    backoffLimit: NonNegativeInt | None = None
    shutdownAfterJobFinishes: bool | None = None
    ttlSecondsAfterFinished: NonNegativeInt | None = None
    suspend: bool | None = None
    managedBy: str | None = None
    metadata: dict[str, str] | None = None
    runtimeEnvYAML: str | None = None
    jobId: str | None = None
    clusterSelector: dict[str, str] | None = None
    submitterPodTemplate: dict[str, Any] | None = None
    submitterConfig: dict[str, int] | None = None
    entrypointNumCpus: float | None = None
    entrypointNumGpus: float | None = None
    entrypointResources: str | None = None
    rayClusterSpec: RayClusterSpec


class Metadata(Strict):
    name: str = Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,48}[a-z0-9])?$")
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class RayCluster(Strict):
    apiVersion: Literal["ray.io/v1"]
    kind: Literal["RayCluster"]
    metadata: Metadata
    spec: RayClusterSpec


class RayJob(Strict):
    apiVersion: Literal["ray.io/v1"]
    kind: Literal["RayJob"]
    metadata: Metadata
    spec: RayJobSpec


class Relabeling(Strict):
    sourceLabels: list[str]
    targetLabel: str


class PodMetricsEndpoint(Strict):
    port: str
    interval: str
    relabelings: list[Relabeling]


class PodMonitorSpec(Strict):
    selector: dict[str, dict[str, str]]
    podMetricsEndpoints: list[PodMetricsEndpoint]


class PodMonitor(Strict):
    """Of the Prometheus operator; the few fields that are used."""

    apiVersion: Literal["monitoring.coreos.com/v1"]
    kind: Literal["PodMonitor"]
    metadata: Metadata
    spec: PodMonitorSpec
