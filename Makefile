# Racing, see docs/racing.md: make train NAME=mine CONFIG=ppo_example/configs/ppo_camera_config.yaml
NAME ?= ppo_example
CONFIG ?= ppo_example/configs/ppo_vlidar_config.yaml
RUNS ?= $(HOME)/ray_results/carla_rllib
# A run's folder (its best checkpoint) or a checkpoint.
CHECKPOINT ?= $(RUNS)/$(NAME)
ITERATIONS ?= 10
DURATION ?= 1h
EPISODES ?= 2
FILM ?= $(NAME).mp4
# Of a server (mlflow server), or a folder.
MLFLOW_TRACKING_URI ?= mlruns
PYTHON ?= python3
RUN = --directory "$(RUNS)" --name "$(NAME)"

.PHONY: help train train_mlflow train_restore rollout evaluate board last

help:
	@echo "make train | train_mlflow | train_restore | rollout | evaluate | board | last   (NAME, CONFIG, CHECKPOINT)"

train:
	$(PYTHON) ppo_train.py "$(CONFIG)" $(RUN) --stop_iteration $(ITERATIONS) --overwrite --state_log

train_mlflow:
	$(PYTHON) ppo_train.py "$(CONFIG)" $(RUN) --stop_iteration $(ITERATIONS) --overwrite --state_log \
		--mlflow_uri "$(MLFLOW_TRACKING_URI)"

train_restore:
	$(PYTHON) ppo_train.py "$(CONFIG)" $(RUN) --stop_duration $(DURATION) --restore --state_log

rollout:
	$(PYTHON) ppo_inference_ray.py "$(CONFIG)" --checkpoint "$(CHECKPOINT)" --episodes $(EPISODES) --video "$(FILM)"

evaluate:
	$(PYTHON) ppo_evaluate.py "$(CONFIG)" "$(CHECKPOINT)"

board:
	tensorboard --logdir "$(RUNS)"

last:
	@ls -td "$(RUNS)"/*/checkpoint_* | head -1
