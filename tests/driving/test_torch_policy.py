"""The Ray-free network is the trained one, whatever its architecture."""

from __future__ import annotations

import dataclasses
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig

from rllib_integration.driving.torch_policy import (
    DESCRIPTION_FILE,
    WEIGHTS_FILE,
    InferenceModelError,
    choose_device,
    describe_network,
    extract_weights,
    load_inference_model,
)
from rllib_integration.training.rl_modules import PictureDQNModule

SHAPE = (42, 42, 4)
SMALL = [[8, [8, 8], 4, "valid"], [8, [3, 3], 2, "valid"]]
ROOT = Path(__file__).resolve().parents[2]


def build_module(model: dict[str, Any], dueling: bool = True, num_atoms: int = 1) -> PictureDQNModule:
    config = dataclasses.asdict(DefaultModelConfig(**model))
    config |= {"dueling": dueling, "double_q": True, "num_atoms": num_atoms, "epsilon": 0.1, "v_min": -1, "v_max": 1}
    return PictureDQNModule(
        observation_space=gymnasium.spaces.Box(0, 255, SHAPE, np.uint8),
        action_space=gymnasium.spaces.Discrete(29),
        model_config=config,
    )


def save(module: PictureDQNModule, folder: Path) -> None:
    """What DQNTrainer writes into a checkpoint."""
    state = {name: value.numpy() for name, value in module.state_dict().items()}
    (folder / DESCRIPTION_FILE).write_text(json.dumps(describe_network(module, SHAPE)))
    torch.save(extract_weights(module, state), folder / WEIGHTS_FILE)


@pytest.mark.parametrize("dueling", [True, False])
@pytest.mark.parametrize(
    "model",
    [
        {"conv_filters": SMALL, "head_fcnet_hiddens": [32]},
        {"conv_filters": [[8, [8, 8], 4], [8, [3, 3], 2]], "head_fcnet_hiddens": [32, 16]},
        {"conv_filters": SMALL, "head_fcnet_hiddens": [], "conv_activation": "tanh"},
        {"conv_filters": SMALL, "head_fcnet_hiddens": [16], "head_fcnet_activation": "silu"},
    ],
)
def test_fault_22_q_values_are_those_of_the_trained_network(
    model: dict[str, Any], dueling: bool, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    module = build_module(model, dueling)
    save(module, tmp_path)
    pictures = np.random.default_rng(0).integers(0, 256, (16, *SHAPE), np.uint8)
    with torch.inference_mode():
        trained = module.compute_q_values({"obs": torch.from_numpy(pictures)})["qf_preds"]
        chosen = module.forward_inference({"obs": torch.from_numpy(pictures)})["actions"]
    rebuilt = load_inference_model(tmp_path, "cpu")
    assert torch.allclose(rebuilt(torch.from_numpy(pictures)), trained, atol=1e-5)
    assert [rebuilt.compute_action(picture) for picture in pictures] == chosen.tolist()
    assert load_inference_model(tmp_path / WEIGHTS_FILE, "cpu").compute_action(pictures[0]) == int(chosen[0])


def test_fault_22_the_network_needs_no_ray(tmp_path: Path) -> None:
    save(build_module({"conv_filters": SMALL, "head_fcnet_hiddens": [32]}), tmp_path)
    code = f"""
import sys
sys.modules["ray"] = None
import numpy as np
from rllib_integration.driving.torch_policy import load_inference_model
import dqn_inference
print(load_inference_model({str(tmp_path)!r}).compute_action(np.zeros({SHAPE}, np.uint8)))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert 0 <= int(done.stdout) < 29


def test_distributional_networks_are_refused_by_name() -> None:
    module = build_module({"conv_filters": SMALL, "head_fcnet_hiddens": [32]}, num_atoms=5)
    with pytest.raises(InferenceModelError, match="num_atoms"):
        describe_network(module, SHAPE)


def test_another_observation_is_refused_with_both_shapes(tmp_path: Path) -> None:
    save(build_module({"conv_filters": SMALL, "head_fcnet_hiddens": [32]}), tmp_path)
    model = load_inference_model(tmp_path, "cpu")
    with pytest.raises(InferenceModelError, match=r"\(42, 42, 4\).*\(42, 42, 12\)"):
        model.compute_action(np.zeros((42, 42, 12), np.uint8))


def test_missing_and_foreign_files_are_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InferenceModelError, match="does not exist"):
        load_inference_model(tmp_path / "nowhere")
    save(build_module({"conv_filters": SMALL, "head_fcnet_hiddens": [32]}), tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    save(build_module({"conv_filters": SMALL, "head_fcnet_hiddens": [64]}), other)
    (tmp_path / WEIGHTS_FILE).write_bytes((other / WEIGHTS_FILE).read_bytes())
    with pytest.raises(InferenceModelError, match="does not hold the weights of this network"):
        load_inference_model(tmp_path)


class Harmful:
    """Unpickling it would call a function."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("executed",))


def test_fault_22_weights_that_would_execute_code_are_not_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(build_module({"conv_filters": SMALL, "head_fcnet_hiddens": [32]}), tmp_path)
    with (tmp_path / WEIGHTS_FILE).open("wb") as file:
        pickle.dump(Harmful(), file)
    with pytest.raises(InferenceModelError):
        load_inference_model(tmp_path)
    torch.save(Harmful(), tmp_path / WEIGHTS_FILE)
    with pytest.raises(InferenceModelError):
        load_inference_model(tmp_path)
    assert "executed" not in capsys.readouterr().out


def test_fault_22_the_processor_is_used_where_there_is_no_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert choose_device(None) == torch.device("cpu")
    with pytest.raises(InferenceModelError, match="torch sees 0 CUDA devices"):
        choose_device("cuda:0")
    with pytest.raises(InferenceModelError, match="is not a torch device"):
        choose_device("gpu")


def test_soft_q_explores_by_q_values_and_epsilon_greedy_without_a_temperature() -> None:
    model = {"conv_filters": SMALL, "head_fcnet_hiddens": [32]}
    torch.manual_seed(0)
    module = build_module(model)
    pictures = torch.randint(0, 256, (1, *SHAPE), dtype=torch.uint8).repeat(400, 1, 1, 1)
    greedy = int(module.forward_inference({"obs": pictures})["actions"][0])
    module.model_config["softq_temperature"] = 1e-6
    assert set(module.forward_exploration({"obs": pictures}, t=0)["actions"].tolist()) == {greedy}
    module.model_config["softq_temperature"] = 1e6
    assert len(set(module.forward_exploration({"obs": pictures}, t=0)["actions"].tolist())) > 20
    module.model_config["softq_temperature"] = None
    share = (module.forward_exploration({"obs": pictures}, t=0)["actions"] == greedy).float().mean()
    assert 0.8 < float(share) < 0.98
