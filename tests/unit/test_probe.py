"""The Probe: what a machine without a GPU tells, what a driver that fails tells, and which GPUs are shown."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from fedlora_tui.telemetry import nvml
from fedlora_tui.telemetry.probe import Probe


class FakeNvml:
    """NVIDIA's library with so many GPUs; `broken` names the queries that fail."""

    NVML_TEMPERATURE_GPU = 0

    class NVMLError(Exception):
        pass

    def __init__(self, count, broken=(), total=80 * 2**30):
        self.count, self.broken, self.total = count, broken, total

    def __getattr__(self, name):
        if not name.startswith("nvml"):
            raise AttributeError(name)

        def query(*arguments):
            if name in self.broken or "all" in self.broken:
                raise self.NVMLError(name)
            return self.answer(name, *arguments)

        return query

    def answer(self, name, *arguments):
        if name == "nvmlDeviceGetCount":
            return self.count
        if name == "nvmlDeviceGetHandleByIndex":
            return f"gpu{arguments[0]}"
        if name == "nvmlDeviceGetHandleByUUID":
            known = {f"GPU-{index}": f"gpu{index}" for index in range(self.count)} | {"MIG-x": "mig"}
            if arguments[0] not in known:
                raise self.NVMLError("no such uuid")
            return known[arguments[0]]
        return {
            "nvmlInit": None,
            "nvmlDeviceGetName": "NVIDIA H200",
            "nvmlDeviceGetMemoryInfo": SimpleNamespace(used=3, total=self.total),
            "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=42),
            "nvmlDeviceGetPowerUsage": 350_000,
            "nvmlDeviceGetEnforcedPowerLimit": 700_000,
            "nvmlDeviceGetTemperature": 61,
        }[name]


@pytest.fixture
def machine(monkeypatch):
    """Put a machine with these GPUs, and with CUDA_VISIBLE_DEVICES as given, in place."""

    def make(count, visible=None, **more):
        monkeypatch.setattr(nvml, "pynvml", FakeNvml(count, **more))
        if visible is None:
            monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        else:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    return make


def test_without_a_gpu_there_are_the_processs_memory_and_its_share_of_the_processors(machine, tmp_path):
    machine(0, broken=("nvmlInit",))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "x").write_bytes(b"12345")
    probe = Probe(tmp_path)
    sum(range(200_000))
    look = probe.look()
    assert look.gpus == ()
    assert 10 * 2**20 < look.memory_process < look.memory_total
    assert look.cpus >= 1
    assert 0 <= look.cpu <= 1
    assert look.disk_run == 5
    assert look.disk_free > 0


def test_without_a_folder_or_with_one_that_is_gone_the_disk_is_unknown(machine, tmp_path):
    machine(0)
    assert (Probe().look().disk_free, Probe().look().disk_run) == (None, None)
    assert Probe(tmp_path / "gone").look().disk_free is None


def test_a_gpu_is_told_whole(machine):
    machine(1)
    (gpu,) = Probe(ours=lambda index: 7).look().gpus
    assert (gpu.name, gpu.index) == ("NVIDIA H200", 0)
    assert (gpu.memory_used, gpu.memory_total, gpu.memory_ours) == (3, 80 * 2**30, 7)
    assert (gpu.busy, gpu.celsius, gpu.watts, gpu.watts_limit) == (0.42, 61.0, 350.0, 700.0)


@pytest.mark.parametrize(
    ("query", "unknown"),
    [
        ("nvmlDeviceGetMemoryInfo", ("memory_used", "memory_total")),
        ("nvmlDeviceGetUtilizationRates", ("busy",)),
        ("nvmlDeviceGetPowerUsage", ("watts",)),
        ("nvmlDeviceGetEnforcedPowerLimit", ("watts_limit",)),
        ("nvmlDeviceGetTemperature", ("celsius",)),
    ],
)
def test_what_the_driver_does_not_tell_is_none_and_the_rest_is_there(machine, query, unknown):
    machine(1, broken=(query,))
    (gpu,) = Probe().look().gpus
    fields = ("memory_used", "memory_total", "busy", "watts", "watts_limit", "celsius")
    assert {name for name in fields if getattr(gpu, name) is None} == set(unknown)
    machine(1, broken=("nvmlDeviceGetName",))
    assert Probe().look().gpus[0].name == "GPU"


def test_a_driver_that_dies_after_the_start_gives_none_and_never_raises(machine, monkeypatch):
    machine(2)
    probe = Probe(ours=lambda index: 1 / 0 if index == 9 else 5)
    monkeypatch.setattr(nvml, "pynvml", FakeNvml(2, broken=("all",)))
    gpus = probe.look().gpus
    assert [gpu.index for gpu in gpus] == [0, 1]
    assert all(gpu.memory_total is None and gpu.busy is None for gpu in gpus)


def test_a_total_of_zero_is_unified_memory_and_so_unknown(machine):
    machine(1, total=0)
    (gpu,) = Probe().look().gpus
    assert (gpu.memory_used, gpu.memory_total) == (None, None)


def test_torchs_own_memory_is_asked_by_torchs_index_and_may_fail(machine):
    machine(3, visible="2,0")

    def ours(index):
        if index == 1:
            raise RuntimeError("torch has not been there")
        return 100 + index

    assert [gpu.memory_ours for gpu in Probe(ours=ours).look().gpus] == [100, None]


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        (None, ["gpu0", "gpu1", "gpu2"]),
        ("", []),
        ("0", ["gpu0"]),
        ("2,0", ["gpu2", "gpu0"]),
        (" 1 , 2 ", ["gpu1", "gpu2"]),
        ("GPU-1,0", ["gpu1", "gpu0"]),
        ("MIG-x", ["mig"]),
        # CUDA stops at the first name that it does not know.
        ("0,7,1", ["gpu0"]),
        ("-1", []),
        ("GPU-9,0", []),
        ("NoDevFiles", []),
    ],
)
def test_cuda_visible_devices_says_which_gpus_are_shown_and_in_which_order(machine, asked, shown):
    machine(3, visible=asked)
    assert [handle for _, handle in nvml.visible()] == shown
    assert [index for index, _ in nvml.visible()] == list(range(len(shown)))


def test_a_machine_without_the_library_has_no_gpu(machine):
    machine(3, broken=("all",))
    assert nvml.visible() == []


def test_a_checkpoint_that_is_given_its_name_amid_a_look_leaves_the_size_of_the_rest(tmp_path, monkeypatch):
    part = tmp_path / "checkpoints" / ".round-0001.part"
    part.mkdir(parents=True)
    (part / "state.json").write_bytes(b"x" * 7)
    (tmp_path / "events.jsonl").write_bytes(b"y" * 5)
    scandir = os.scandir

    def renamed(folder):
        if str(folder).endswith(".part"):
            part.rename(part.with_name("round-0001"))
        return scandir(folder)

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", renamed)
        assert Probe(tmp_path).look().disk_run == 5
    assert Probe(tmp_path).look().disk_run == 12
    assert Probe(tmp_path / "gone").look().disk_run is None
