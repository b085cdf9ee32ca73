# infertui with Transformers; docs/containers.md tells how it is used.
#   docker build --build-arg INFERTUI_GIT_REVISION=$(git rev-parse HEAD) -t infertui .
#   ... --build-arg BASE=python@sha256:DIGEST                                     always the same base
#   ... --build-arg EXTRAS=transformers,report,quantization                       other engines and options
#   ... --build-arg PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu      PyTorch without CUDA: much smaller
# PyTorch's wheels bring CUDA's libraries; the driver comes from the host (NVIDIA Container Toolkit).
ARG BASE=python:3.12-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
RUN python3 -m venv /build && /build/bin/pip install --no-cache-dir --progress-bar off build==1.3.0 hatchling==1.33.0
COPY pyproject.toml README.md LICENSE ./
COPY infertui infertui
COPY data data
COPY themes themes
RUN /build/bin/python -m build --wheel --no-isolation --outdir /wheels

FROM ${BASE}
# torch.compile and Triton compile C++; a base with Debian's own Python needs its headers, too: "g++ python3-dev".
ARG PACKAGES="g++"
RUN apt-get update && apt-get install -y --no-install-recommends ${PACKAGES} && rm -rf /var/lib/apt/lists/*
# What the program needs changes rarely, the program often: each has a layer. An empty package stands for the latter.
ARG EXTRAS=transformers,report
ARG PIP_EXTRA_INDEX_URL=""
COPY pyproject.toml constraints.txt README.md LICENSE /opt/needs/
RUN cd /opt/needs && mkdir infertui data themes && echo '__version__ = "0"' > infertui/__init__.py \
    && extras="${EXTRAS#[}" && python3 -m venv /opt/infertui \
    && /opt/infertui/bin/pip install --no-cache-dir --progress-bar off -c constraints.txt "/opt/needs[${extras%]}]"
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    /opt/infertui/bin/pip install --no-cache-dir --no-deps /wheels/*.whl
# Whoever it runs as can write where it keeps things: `--user` may name somebody whom the image does not know.
RUN useradd --create-home --uid 1000 infertui && chmod 0777 /home/infertui \
    && install -d -m 0777 /models /cache /state /runs
ARG BASE
ARG INFERTUI_GIT_REVISION=""
LABEL org.opencontainers.image.title="infertui" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.revision="${INFERTUI_GIT_REVISION}" \
      org.opencontainers.image.base.name="${BASE}"
ENV INFERTUI_GIT_REVISION=${INFERTUI_GIT_REVISION} \
    PATH=/opt/infertui/bin:${PATH} \
    HOME=/home/infertui \
    USER=infertui \
    HF_HOME=/models \
    XDG_CACHE_HOME=/cache \
    XDG_CONFIG_HOME=/state/config \
    XDG_STATE_HOME=/state \
    TORCHINDUCTOR_CACHE_DIR=/cache/inductor \
    TRITON_CACHE_DIR=/cache/triton \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 1000:1000
WORKDIR /runs
# A runner that is there has to answer; a container of one command has none.
HEALTHCHECK --interval=30s --timeout=20s --start-period=30s CMD ["infertui", "status", "--check"]
ENTRYPOINT ["infertui"]
CMD ["doctor"]
