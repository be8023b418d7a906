"""Which bases lie on a disk: folders that transformers saved, .gguf files, the hub's cache."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
from huggingface_hub.errors import CacheNotFound

from fedlora_tui.advising import bases_here
from fedlora_tui.console.setup.offer import Choice
from fedlora_tui.lora.bases_here import CACHE, FOLDER, GGUF, BaseHere, bases_below, cached_bases


def base(folder: Path, weights: str = "model.safetensors", size: int = 100) -> None:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / weights).write_bytes(bytes(size))


def test_folders_with_a_configuration_and_weights_are_bases(tmp_path: Path) -> None:
    base(tmp_path / "tiny")
    base(tmp_path / "models" / "older", "pytorch_model.bin", 30)
    assert bases_below(tmp_path) == [BaseHere("./models/older", FOLDER, 30), BaseHere("./tiny", FOLDER, 100)]


def test_what_lacks_one_of_them_is_none_and_neither_is_an_adapter(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "config.json").write_text("{}")
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter" / "adapter_model.safetensors").write_bytes(b"x")
    base(tmp_path / ".hidden")
    base(tmp_path / "too" / "deep" / "here")
    assert bases_below(tmp_path) == []


def test_a_gguf_file_is_a_base_and_a_folder_of_that_name_is_not(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "one.gguf").write_bytes(bytes(7))
    (tmp_path / "folder.gguf").mkdir()
    assert bases_below(tmp_path) == [BaseHere("./models/one.gguf", GGUF, 7)]


def test_a_folder_that_cannot_be_read_or_is_not_there_offers_nothing(tmp_path: Path) -> None:
    assert bases_below(tmp_path / "gone") == []


def cache(*repositories: tuple[str, str, int]) -> SimpleNamespace:
    keys = ("repo_id", "repo_type", "size_on_disk")
    return SimpleNamespace(repos=[SimpleNamespace(**dict(zip(keys, one, strict=True))) for one in repositories])


def test_models_in_the_hubs_cache_are_bases(monkeypatch: pytest.MonkeyPatch) -> None:
    found = cache(("gpt2", "model", 500), ("a/texts", "dataset", 9), ("a/half", "model", 0), ("a/model", "model", 4))
    monkeypatch.setattr(huggingface_hub, "scan_cache_dir", lambda: found)
    assert cached_bases() == [BaseHere("a/model", CACHE, 4), BaseHere("gpt2", CACHE, 500)]


def test_where_there_is_no_cache_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def scan() -> None:
        raise CacheNotFound("none", "nowhere")

    monkeypatch.setattr(huggingface_hub, "scan_cache_dir", scan)
    assert cached_bases() == []


def test_the_embedded_one_comes_first_and_a_broken_cache_takes_no_folder_away(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def scan() -> None:
        raise OSError("broken")

    monkeypatch.setattr(huggingface_hub, "scan_cache_dir", scan)
    base(tmp_path / "tiny", size=3 << 20)
    assert bases_here(tmp_path) == (
        Choice("embedded", "comes along"),
        Choice("./tiny", "folder, 3 MiB of weights"),
    )
