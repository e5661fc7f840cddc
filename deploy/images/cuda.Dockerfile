# search-cluster on NVIDIA GPUs: docker build -f deploy/images/cuda.Dockerfile -t
# search-cluster:cuda .
#
# torch's wheels bring the CUDA libraries; the host brings the driver (NVIDIA container toolkit or
# GPU operator).
FROM python:3.11-slim-bookworm AS wheel
WORKDIR /source
COPY pyproject.toml MANIFEST.in README.md LICENSE ./
COPY search_cluster search_cluster
COPY router_train router_train
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.11-slim-bookworm

# wget: the operator's health probes use it. The folders are where volumes are mounted, which take
# over their owner.
RUN apt-get update && apt-get install -y --no-install-recommends wget \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home --uid 1000 ray \
 && install -d -o ray -g ray /shared /tmp/ray

WORKDIR /opt/search-cluster
COPY constraints.txt ./
COPY --from=wheel /wheels /wheels
RUN pip install --no-cache-dir --constraint constraints.txt "$(echo /wheels/*.whl)[search,train]"
COPY deploy deploy

ENV RAY_USAGE_STATS_ENABLED=0 TOKENIZERS_PARALLELISM=false \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER ray
