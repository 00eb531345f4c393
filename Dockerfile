# Quartet in a container; see docs/docker.md.
FROM python:3.11-slim-bookworm

# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git make \
    && rm -rf /var/lib/apt/lists/* \
    && git config --system --add safe.directory '*'

WORKDIR /quartet

# The environment changes seldom, the code often: this layer is kept until requirements.txt changes.
COPY Makefile requirements.txt ./
RUN make setup

COPY . .

# The pinned torch is built for CUDA: with the host's driver (`docker run --gpus all`) it uses the GPU.
ENV PATH=/quartet/.venv/bin:$PATH \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

EXPOSE 5000 5001
CMD ["make", "repro"]
