# The project on Ray's own image, for KubeRay (dqn_example/dqn_rayjob.yaml) or any container platform.
FROM rayproject/ray:2.60.0-py311
WORKDIR /home/ray/carla-rllib
COPY --chown=ray:users . .
RUN pip install --no-cache-dir -r requirements.txt
