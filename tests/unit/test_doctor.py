"""The doctor: it looks at everything, breaks on nothing, and says what to do about what is slow or missing."""

from __future__ import annotations

import io
import os
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import psutil
import pytest
import tomli
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from rich.console import Console

from fedlora_tui import doctor
from fedlora_tui.cli import main
from fedlora_tui.doctor import ASIDE, LOOK, OK, Line, print_report, report
from fedlora_tui.telemetry import nvml


@pytest.fixture(autouse=True)
def _quiet_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine at rest, without a GPU, in a UTF-8 locale, with an empty hub cache."""
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    monkeypatch.setattr(nvml, "driver", lambda: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(doctor, "_codeset", lambda: "UTF-8")
    for name in ("HF_HUB_OFFLINE", "OMP_WAIT_POLICY", "SSH_CONNECTION", "SSH_TTY", "TMUX", "STY", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def by_name(lines: list[Line]) -> dict[str, Line]:
    return {line.name: line for line in lines}


def test_names_all_that_a_run_stands_on(tmp_path: Path) -> None:
    found = by_name(report(str(tmp_path)))
    for name in ("Python", "fedlora-tui", "flwr", "peft", "torch", "transformers", "tokenizers", "safetensors"):
        assert found[name].state == OK, name
    for name in ("textual", "rich", "psutil", "nvidia-ml-py", "gguf", "processors", "memory", "runs", "colours"):
        assert name in found
    assert found["torch"].found == torch.__version__
    assert "bfloat16" in found["processors"].found or not Path("/proc/cpuinfo").exists()


def test_loads_the_embedded_base(tmp_path: Path) -> None:
    embedded = by_name(report(str(tmp_path)))["embedded"]
    assert embedded.state == OK
    assert "parameters" in embedded.found


def test_a_missing_embedded_base_is_a_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from fedlora_tui.lora import base_model

    monkeypatch.setattr(base_model, "EMBEDDED", tmp_path / "nothing")
    embedded = by_name(report(str(tmp_path)))["embedded"]
    assert embedded.state == LOOK
    assert "install" in embedded.advice


def test_never_raises_however_broken_the_machine_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(*arguments: object, **named: object) -> None:
        raise RuntimeError("gone")

    for owner, name in [
        (doctor, "_version"),
        (doctor.platform, "python_version"),
        (os, "getloadavg"),
        (torch, "get_num_threads"),
        (psutil, "virtual_memory"),
        (psutil, "disk_usage"),
        (torch.cuda, "is_available"),
        (os, "isatty"),
        (doctor, "_codeset"),
    ]:
        monkeypatch.setattr(owner, name, broken)
    broken_lines = [line for line in report(str(tmp_path)) if "could not be found out" in line.found]
    assert len(broken_lines) >= 8
    assert all(line.state == LOOK and "gone" in line.found for line in broken_lines)


def test_a_missing_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "_version", lambda name: None)
    found = by_name(report(str(tmp_path)))
    assert found["flwr"].state == LOOK
    assert found["flwr"].advice.startswith('pip install "flwr')
    for name, extra in (("gguf", "gguf"), ("bitsandbytes", "quantized"), ("flwr-datasets", "partitions")):
        assert found[name].state == ASIDE
        assert found[name].advice.endswith(f'pip install "fedlora-tui[{extra}]"')


def test_a_package_of_another_version_is_named_with_the_wanted_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(doctor, "_wanted_versions", lambda: {"flwr": "<1.42,>=1.41"})
    monkeypatch.setattr(doctor, "_version", lambda name: "1.42.0")
    flower = by_name(report(str(tmp_path)))["flwr"]
    assert (flower.state, flower.advice) == (LOOK, 'pip install "flwr<1.42,>=1.41"')


def test_a_runs_folder_that_cannot_be_written(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    runs = by_name(report(str(file / "runs")))["runs"]
    assert runs.state == LOOK
    assert "--runs-dir" in runs.advice
    assert not (tmp_path / "new").exists()
    assert by_name(report(str(tmp_path / "new")))["runs"].found.endswith("made by the first run")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("threads", "usable"), [(1, 8), (16, 4)])
def test_threads_that_do_not_suit_the_processors(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, threads: int, usable: int
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(doctor, "_usable_processors", lambda: usable)
    found = by_name(report(str(tmp_path)))["threads"]
    assert found.state == LOOK
    assert f"OMP_NUM_THREADS={usable}" in found.advice


def test_spinning_threads_and_a_busy_machine_are_slow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    monkeypatch.setattr(os, "getloadavg", lambda: (99.0, 99.0, 99.0))
    found = by_name(report(str(tmp_path)))
    assert found["waiting"].state == LOOK
    assert found["load"].state == LOOK


def test_gpus_are_named_with_memory_and_formats(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    card = SimpleNamespace(name="Card", total_memory=80 * 2**30, major=9)
    monkeypatch.setattr(nvml, "driver", lambda: "580.1")
    monkeypatch.setattr(nvml, "visible", lambda: [(0, "handle")])
    monkeypatch.setattr(nvml, "look", lambda *asked: SimpleNamespace(memory_used=2**31))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: card)
    found = by_name(report(str(tmp_path)))
    assert found["driver"].found == "NVIDIA 580.1"
    assert found["cuda:0"].found == "Card, 80.0 GiB, 2.0 GiB in use, bfloat16"


def test_a_gpu_that_torch_does_not_see(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(nvml, "driver", lambda: "580.1")
    monkeypatch.setattr(torch.version, "cuda", None)
    found = by_name(report(str(tmp_path)))["GPU"]
    assert found.state == LOOK
    assert "build without CUDA" in found.found
    monkeypatch.setattr(torch.version, "cuda", "12.9")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert 'hidden by CUDA_VISIBLE_DEVICES=""' in by_name(report(str(tmp_path)))["GPU"].found
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert "built for CUDA 12.9" in by_name(report(str(tmp_path)))["GPU"].found


def test_over_ssh_tmux_is_advised(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.1 50000 10.0.0.2 22")
    assert "tmux" in by_name(report(str(tmp_path)))["SSH"].advice
    monkeypatch.setenv("TMUX", "somewhere")
    found = by_name(report(str(tmp_path)))
    assert (found["SSH"].advice, found["tmux"].found) == ("", "yes")


def test_offline_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert by_name(report(str(tmp_path)))["HF_HUB_OFFLINE"].state == ASIDE


def printed(lines: list[Line], monkeypatch: pytest.MonkeyPatch, encoding: str) -> str:
    monkeypatch.setattr(doctor, "report", lambda runs_dir, base: lines)
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, errors="strict")
    print_report(Console(file=file, width=80, force_terminal=False), "runs")
    file.flush()
    return raw.getvalue().decode(encoding)


LINES = [
    Line("software", "torch", "2.13.0"),
    Line("software", "gguf", "not installed", ASIDE, "pip install it"),
    Line("machine", "runs", "r\u00e9sultats: cannot be written", LOOK, "name another"),
]


def test_printed_lines_are_aligned_and_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    text = printed(LINES, monkeypatch, "utf-8")
    assert [line.rstrip() for line in text.splitlines()] == [
        "software",
        "  ✓  torch  2.13.0",
        "  ·  gguf   not installed",
        "            pip install it",
        "",
        "machine",
        "  !  runs   r\u00e9sultats: cannot be written",
        "            name another",
        "",
        "! worth a look: runs",
    ]


def test_printed_in_ascii_where_the_encoding_is_not_utf8(monkeypatch: pytest.MonkeyPatch) -> None:
    text = printed(LINES, monkeypatch, "ascii")
    assert text.isascii()
    assert "  v  torch  2.13.0" in text
    assert "r?sultats" in text


def test_says_so_when_nothing_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert printed(LINES[:2], monkeypatch, "utf-8").rstrip().endswith("✓ nothing that a run needs is missing")


def test_every_extra_that_can_be_installed_is_listed() -> None:
    pyproject = Path(__file__).parents[2] / "pyproject.toml"
    extras = tomli.loads(pyproject.read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert {extra for extra, _ in doctor.EXTRAS.values()} == extras.keys() - {"dev"}


def base_line(base: object, tmp_path: Path) -> Line:
    return by_name(report(str(tmp_path), str(base)))["model.base"]


def test_a_folder_that_is_asked_for_is_looked_at_without_reading_its_weights(tmp_path: Path) -> None:
    folder = tmp_path / "base"
    folder.mkdir()
    assert "no config.json" in base_line(folder, tmp_path).found
    (folder / "config.json").write_text("{}")
    assert base_line(folder, tmp_path).found == f"{folder}: folder without weights"
    (folder / "model.safetensors").write_bytes(bytes(3 << 20))
    assert base_line(folder, tmp_path) == Line("base models", "model.base", f"{folder}: folder, 3 MiB of weights")
    missing = base_line(tmp_path / "gone", tmp_path)
    assert (missing.state, "no such folder" in missing.found) == (LOOK, True)


def test_a_gguf_file_that_is_asked_for_needs_its_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "base.gguf"
    assert "no such file" in base_line(file, tmp_path).found
    file.write_bytes(bytes(2 << 20))
    monkeypatch.setattr(doctor, "_version", lambda name: None)
    lacking = base_line(file, tmp_path)
    assert (lacking.state, lacking.found) == (LOOK, f"{file}: .gguf file, 2 MiB")
    assert lacking.advice.endswith('pip install "fedlora-tui[gguf]"')
    monkeypatch.setattr(doctor, "_version", lambda name: "1.0")
    assert base_line(file, tmp_path).state == OK


def test_a_hub_id_is_here_or_downloaded_or_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cached: list[str] = []

    def snapshot(base: str, **how: object) -> str:
        if not cached:
            raise LocalEntryNotFoundError("not here")
        return cached[0]

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    away = base_line("someone/model", tmp_path)
    assert (away.state, away.found) == (
        ASIDE,
        "someone/model: a hub id that is not here; downloaded when it is first used",
    )
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert base_line("someone/model", tmp_path).state == LOOK
    (tmp_path / "model.safetensors").write_bytes(bytes(1 << 20))
    cached.append(str(tmp_path))
    assert base_line("someone/model", tmp_path).found == "someone/model: in the hub cache, 1 MiB of weights"


def test_the_base_that_the_configuration_names_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["doctor"]) == 0
    assert "model.base" not in capsys.readouterr().out
    assert main(["doctor", "--model", "gone.gguf"]) == 0
    assert 'model.base = "gone.gguf": no such file' in " ".join(capsys.readouterr().out.split())


def test_a_wrong_configuration_is_said_after_the_report_and_in_the_status(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text("[lora]\nrnk = 3\n")
    assert main(["doctor", "-c", "mine.toml", "--model", "gone.gguf", "--runs-dir", "elsewhere"]) == 2
    said = capsys.readouterr()
    assert "safetensors" in said.out
    assert "elsewhere," in said.out
    assert "gone.gguf" in said.out
    assert said.err.startswith("fedlora-tui: mine.toml:2: ")
    assert len(said.err.splitlines()) == 1
