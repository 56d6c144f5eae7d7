# The image of a cluster of pods: docker build -t registry.example.com/wormwood:0.1 .
FROM python:3.11-slim

# KubeRay's probes call bash and wget; the last two draw without a screen.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends bash wget libegl1 libosmesa6 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home --uid 1000 wormwood \
 && install --directory --owner=1000 --group=1000 /runs

WORKDIR /opt/wormwood
COPY . .
RUN pip install --no-cache-dir --require-hashes -r requirements.lock \
 && pip install --no-cache-dir --no-deps --no-build-isolation .

# As whom `pods.user` of the cluster file says; Kubernetes refuses root.
USER 1000:1000
WORKDIR /runs
ENV MUJOCO_GL=egl PYTHONUNBUFFERED=1
ENTRYPOINT []
CMD ["wormwood", "--help"]
