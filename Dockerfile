# infertui with Transformers. On a GPU box: docker compose run --rm infertui run gpu-medium
#   docker build --build-arg INFERTUI_GIT_REVISION=$(git rev-parse HEAD) -t infertui .
# PyTorch's wheels bring CUDA's libraries; the driver comes from the host (NVIDIA Container Toolkit).
ARG BASE=python:3.12-slim

FROM ${BASE} AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY infertui infertui
COPY data data
COPY themes themes
RUN python3 -m venv /build && /build/bin/pip install --no-cache-dir build==1.3.0 \
    && /build/bin/python -m build --wheel --outdir /wheels

FROM ${BASE}
ARG EXTRAS=[transformers]
ARG INFERTUI_GIT_REVISION=""
ENV INFERTUI_GIT_REVISION=${INFERTUI_GIT_REVISION} \
    PATH=/opt/infertui/bin:${PATH} \
    HF_HOME=/models \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=build /wheels /wheels
RUN python3 -m venv /opt/infertui \
    && /opt/infertui/bin/pip install --no-cache-dir "$(echo /wheels/*.whl)${EXTRAS}" \
    && rm -r /wheels \
    && useradd --create-home --uid 1000 infertui \
    && install -d -o infertui /models /runs
USER 1000
WORKDIR /runs
VOLUME ["/models", "/runs"]
ENTRYPOINT ["infertui"]
CMD ["doctor"]
