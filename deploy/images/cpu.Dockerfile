# search-cluster on CPUs:  docker build -f deploy/images/cpu.Dockerfile -t search-cluster:cpu .
#
# The Python of constraints.txt; a node of Ray, a job's driver and the command line all run from
# this image.
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
# torch without CUDA is a tenth of the size and comes from PyTorch's own index; the rest is pinned
# by constraints.txt.
RUN pip install --no-cache-dir --index-url https://download.pytorch.org/whl/cpu torch==2.13.0
COPY constraints.txt ./
COPY --from=wheel /wheels /wheels
RUN pip install --no-cache-dir --constraint constraints.txt "$(echo /wheels/*.whl)[search,train]"
COPY deploy deploy

ENV RAY_USAGE_STATS_ENABLED=0 TOKENIZERS_PARALLELISM=false
USER ray
