# Engines on CPUs: to try jobs out, and as the image of prepare nodes.
#   docker build -f deploy/docker/cpu.Dockerfile -t internvl-batch:cpu .
FROM python:3.11.14-slim-bookworm AS build
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# g++: for packages without a wheel.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/venv && pip install --no-cache-dir uv==0.13.9
ENV VIRTUAL_ENV=/opt/venv
COPY requirements/cpu.txt /build/requirements/
# torch first, as its build for CPUs; the list is exact and complete, hence --no-deps.
RUN uv pip install --no-cache --torch-backend=cpu torch==2.13.0 \
    && uv pip install --no-cache --no-deps -r /build/requirements/cpu.txt
COPY pyproject.toml README.md LICENSE /build/
COPY internvl_batch /build/internvl_batch
COPY internvl_ops /build/internvl_ops
COPY pipelines /build/pipelines
RUN uv pip install --no-cache --no-deps --no-build-isolation /build

FROM python:3.11.14-slim-bookworm
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# fonts-noto-cjk, fonts-dejavu-core: for PDF pages whose fonts are not embedded, and labels of boxes. libgomp1,
# libnuma1, libtcmalloc-minimal4: what vLLM's CPU build loads. wget: KubeRay's probes.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        fonts-noto-cjk fonts-dejavu-core libgomp1 libnuma1 libtcmalloc-minimal4 tini wget \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 ray
COPY --from=build /opt/venv /opt/venv
COPY --chown=ray examples/demo /opt/demo
COPY --chown=ray examples/nano/checkpoint /opt/demo/checkpoint
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 RAY_USAGE_STATS_ENABLED=0
USER 1000
WORKDIR /home/ray
ENTRYPOINT ["tini", "-g", "--"]
CMD ["internvl-batch", "--help"]
