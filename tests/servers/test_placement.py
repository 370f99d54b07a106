"""GPUs and cores: spread over the workers of a machine, and given back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rllib_integration.servers import ServerSettingsError, placement
from rllib_integration.servers.ports import ByteLocks
from tests.known import present


@pytest.fixture(autouse=True)
def own_locks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("rllib_integration.servers.ports.lock_folder", lambda: tmp_path)
    monkeypatch.setattr(placement, "_GPU_LOCKS", ByteLocks("gpus.lock"))
    monkeypatch.setattr(placement, "_CORE_LOCKS", ByteLocks("cores.lock"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with three GPUs, of which the second is the emptiest."""
    script = tmp_path / "nvidia-smi"
    script.write_text("#!/bin/sh\nprintf '0, 3000\\n1, 10\\n2, 500\\n'\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.usefixtures("smi")
def test_servers_spread_over_the_gpus_starting_with_the_emptiest() -> None:
    slots = [present(placement.choose_gpu("auto")) for _ in range(7)]
    assert [slot.index for slot in slots] == [1, 2, 0, 1, 2, 0, 1]
    slots[2].release()
    assert present(placement.choose_gpu("auto")).index == 0


@pytest.mark.usefixtures("smi")
def test_only_the_gpus_that_ray_gave_the_worker_are_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,2")
    assert [present(placement.choose_gpu("auto")).index for _ in range(4)] == [2, 0, 2, 0]


@pytest.mark.usefixtures("smi")
def test_a_gpu_can_be_chosen_by_index_any_number_of_times() -> None:
    assert [present(placement.choose_gpu(2)).index for _ in range(3)] == [2, 2, 2]


@pytest.mark.usefixtures("smi")
def test_a_gpu_that_is_not_there_gets_a_sentence() -> None:
    with pytest.raises(ServerSettingsError, match=r"gpu is 5, but this machine's GPUs are \[0, 1, 2\]"):
        placement.choose_gpu(5)


def test_an_only_gpu_is_left_to_carlas_own_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "gpu_memory_in_use", lambda: {0: 10})
    assert placement.choose_gpu("auto") is None
    assert present(placement.choose_gpu(0)).index == 0


def test_without_nvidia_smi_the_choice_is_left_to_carla(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert placement.choose_gpu("auto") is None


def test_every_worker_gets_a_core_of_its_own_while_some_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(6)))
    slots = [placement.lease_core("auto") for _ in range(5)]
    assert [slot and slot.index for slot in slots] == [5, 4, 3, 2, None]
    present(slots[1]).release()
    assert present(placement.lease_core("auto")).index == 4


def test_a_small_machine_keeps_its_cores_shared_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    assert placement.lease_core("auto") is None
    assert placement.lease_core(False) is None
    assert present(placement.lease_core(True)).index in {0, 1}
