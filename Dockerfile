# Builds one image for each kind of process: gateway, ops (also beat and migrations), worker-cpu, worker-cuda, trainer,
# trainer-cuda, demo.
#
#   docker build --target worker-cpu -t triagem/worker-cpu .
#
# Dependencies are a separate layer, built from pyproject.toml: a code change rebuilds only a small layer.
# The images contain no models: these come from a volume at /models or from TRIAGEM_REGISTRY_URL. For a bucket,
# `--build-arg STORAGE=s3fs` (or gcsfs) adds the bucket's client library.
ARG PYTHON=3.11-slim-bookworm

FROM python:${PYTHON} AS base
# Packages are not pinned: Debian deletes old versions, so a later build could not install a pinned version.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --home-dir /app --create-home triagem \
    && install -d -o triagem -g triagem /models /hub /state /secrets/redis /secrets/postgres /secrets/grafana /secrets/triagem
ENV PATH=/opt/triagem/bin:$PATH \
    HF_HUB_OFFLINE=1 \
    OMP_WAIT_POLICY=PASSIVE \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TRIAGEM_BASE_CACHE=/tmp/bases \
    TRIAGEM_REGISTRY_CACHE=/tmp/models \
    TRIAGEM_REGISTRY_URL=/models
WORKDIR /app
LABEL org.opencontainers.image.title="Triagem" \
      org.opencontainers.image.description="Classifies the messages customers send to a CRM as support or sales" \
      org.opencontainers.image.licenses="Apache-2.0"
ENTRYPOINT ["/usr/bin/tini", "--", "triagem"]

FROM base AS builder
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/triagem
COPY pyproject.toml deploy/docker/requirements.py /build/
WORKDIR /build

FROM builder AS wheel
COPY . .
RUN /opt/triagem/bin/pip wheel --no-deps --wheel-dir /dist .

FROM builder AS gateway-packages
ARG STORAGE
RUN python requirements.py gateway > requirements.txt && /opt/triagem/bin/pip install -r requirements.txt ${STORAGE:+"$STORAGE"}

FROM builder AS ops-packages
ARG STORAGE
RUN python requirements.py worker drift > requirements.txt && /opt/triagem/bin/pip install -r requirements.txt ${STORAGE:+"$STORAGE"}

# torch has its own layer, because it is by far the largest package and its CPU build comes from a separate index.
FROM builder AS torch-cpu
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN /opt/triagem/bin/pip install ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "torch>=2.6,<2.14"

FROM torch-cpu AS worker-cpu-packages
ARG STORAGE
RUN python requirements.py worker engine > requirements.txt && /opt/triagem/bin/pip install -r requirements.txt ${STORAGE:+"$STORAGE"}

# On Linux the default index has torch's CUDA build, which includes CUDA's libraries: the host needs only the driver.
FROM builder AS worker-cuda-packages
ARG STORAGE
RUN python requirements.py worker engine gpu > requirements.txt && /opt/triagem/bin/pip install -r requirements.txt ${STORAGE:+"$STORAGE"}

FROM worker-cpu-packages AS demo-packages
RUN python requirements.py worker trainer bases > requirements.txt && /opt/triagem/bin/pip install -r requirements.txt

FROM worker-cpu-packages AS trainer-packages
RUN python requirements.py trainer > requirements.txt && /opt/triagem/bin/pip install -r requirements.txt

FROM worker-cuda-packages AS trainer-cuda-packages
RUN python requirements.py trainer > requirements.txt && /opt/triagem/bin/pip install -r requirements.txt

FROM base AS gateway
COPY --from=gateway-packages /opt/triagem /opt/triagem
COPY --from=wheel /dist /dist
RUN pip install --no-cache-dir --no-deps /dist/*.whl
USER 10001:10001
ENV TRIAGEM_GATEWAY_HOST=0.0.0.0
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s CMD ["triagem", "gateway", "--check"]
CMD ["gateway"]

FROM base AS ops
COPY --from=ops-packages /opt/triagem /opt/triagem
COPY --from=wheel /dist /dist
RUN pip install --no-cache-dir --no-deps /dist/*.whl
USER 10001:10001
ENV TRIAGEM_OPS_HEARTBEAT_FILE=/tmp/heartbeat
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s CMD ["triagem", "ops", "--check"]
CMD ["ops"]

FROM base AS worker-cuda
COPY --from=worker-cuda-packages /opt/triagem /opt/triagem
COPY --from=wheel /dist /dist
RUN pip install --no-cache-dir --no-deps /dist/*.whl
USER 10001:10001
ENV TRIAGEM_HEARTBEAT_FILE=/tmp/heartbeat NVIDIA_DRIVER_CAPABILITIES=compute,utility NVIDIA_VISIBLE_DEVICES=all
HEALTHCHECK --interval=30s --timeout=10s --start-period=5m CMD ["triagem", "worker", "--check"]
CMD ["worker"]

# Trains on request from the original specification's base model, which it downloads to the volume /hub at first use.
FROM base AS trainer
COPY --from=trainer-packages /opt/triagem /opt/triagem
COPY --from=wheel /dist /dist
RUN pip install --no-cache-dir --no-deps /dist/*.whl
USER 10001:10001
ENV HF_HOME=/hub HF_HUB_OFFLINE=0 TRIAGEM_TRAIN_BASE=google-bert/bert-base-uncased
CMD ["trainer"]

FROM base AS trainer-cuda
COPY --from=trainer-cuda-packages /opt/triagem /opt/triagem
COPY --from=wheel /dist /dist
RUN pip install --no-cache-dir --no-deps /dist/*.whl
USER 10001:10001
ENV HF_HOME=/hub HF_HUB_OFFLINE=0 TRIAGEM_TRAIN_BASE=google-bert/bert-base-uncased \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility NVIDIA_VISIBLE_DEVICES=all
CMD ["trainer"]

# A worker that can also train, with the sample data and a small BERT.
FROM base AS demo
COPY --from=demo-packages /opt/triagem /opt/triagem
COPY --from=wheel /dist /dist
RUN pip install --no-cache-dir --no-deps /dist/*.whl
USER 10001:10001
CMD ["demo", "--attach"]

# The last stage, so that `docker build .` builds it.
FROM base AS worker-cpu
COPY --from=worker-cpu-packages /opt/triagem /opt/triagem
COPY --from=wheel /dist /dist
RUN pip install --no-cache-dir --no-deps /dist/*.whl
USER 10001:10001
ENV TRIAGEM_HEARTBEAT_FILE=/tmp/heartbeat
HEALTHCHECK --interval=30s --timeout=10s --start-period=2m CMD ["triagem", "worker", "--check"]
CMD ["worker"]
