# Engines on NVIDIA GPUs. The wheels of torch and vLLM bring CUDA; the node brings the driver.
#   docker build -f deploy/docker/gpu.Dockerfile -t internvl-batch:gpu .
FROM python:3.11.14-slim-bookworm AS build
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/venv && pip install --no-cache-dir uv==0.13.9
ENV VIRTUAL_ENV=/opt/venv
COPY requirements/gpu.txt /build/requirements/
# The list is exact and complete, hence --no-deps.
RUN uv pip install --no-cache --no-deps -r /build/requirements/gpu.txt
COPY pyproject.toml README.md LICENSE /build/
COPY internvl_batch /build/internvl_batch
COPY internvl_ops /build/internvl_ops
COPY pipelines /build/pipelines
RUN uv pip install --no-cache --no-deps --no-build-isolation /build

FROM python:3.11.14-slim-bookworm
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# fonts-noto-cjk, fonts-dejavu-core: for PDF pages whose fonts are not embedded, and labels of boxes. gcc, libc6-dev:
# Triton compiles its launchers with them. wget: KubeRay's probes.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        fonts-noto-cjk fonts-dejavu-core gcc libc6-dev libgomp1 libnuma1 tini wget \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 ray
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 RAY_USAGE_STATS_ENABLED=0
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 1000
WORKDIR /home/ray
ENTRYPOINT ["tini", "-g", "--"]
CMD ["internvl-batch", "--help"]
