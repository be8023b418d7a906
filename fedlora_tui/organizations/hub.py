"""A Hugging Face dataset, by its id or as a local folder, row by row through `datasets`."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from fedlora_tui.errors import UserError
from fedlora_tui.organizations.passages import DAMAGED, ROWS_LOOKED_AT, Fields, Passage, of_row, settled
from fedlora_tui.organizations.table import TableSource
from fedlora_tui.place import look

logger = logging.getLogger(__name__)

FILES = {".jsonl": "json", ".json": "json", ".csv": "csv", ".parquet": "parquet", ".jsonl.gz": "json", ".csv.gz": "csv"}
"""What a local file may end in, and which of `datasets`' readers it is for."""

SECONDS_TO_ANSWER = 10.0


def open_hub(path: str, subset: str, split: str, fields: Fields, most: int) -> TableSource:
    """Load the dataset as a source, a hub id being downloaded once. What cannot be had is a UserError."""
    dataset = load(path, subset, split)
    columns = list(dataset.features or ())
    fields = settled(fields, islice(dataset, ROWS_LOOKED_AT)) if columns and fields.text not in columns else fields
    missing = [name for name in _wanted(fields) if name not in columns]
    if columns and missing:
        raise UserError(
            f"data.path = {path!r}: none of its {len(columns)} columns is called {' or '.join(map(repr, missing))}; "
            "set data.organization_field, data.text_field, data.prompt_field, data.response_field to the columns' names"
        )
    return TableSource(f"{path!r}", lambda: _passages(dataset, fields), fields.organization, most)


def open_whole(path: str, subset: str, split: str, fields: Fields) -> Iterator[Passage]:
    """Read all rows of a dataset, whoever's they are."""
    dataset = load(path, subset, split)
    whole = replace(fields, organization="")
    columns = list(dataset.features or ())
    found = settled(whole, islice(dataset, ROWS_LOOKED_AT)) if columns and whole.text not in columns else whole
    yield from _passages(dataset, found)


def _wanted(fields: Fields) -> list[str]:
    return [*((fields.prompt, fields.response) if fields.prompt else (fields.text,)), fields.organization]


def _passages(dataset: Any, fields: Fields) -> Iterator[Passage]:
    features = dataset.features or {}
    coded = {field: getattr(features.get(field), "names", None) for field in (fields.organization, fields.label)}
    names = {field: told for field, told in coded.items() if told}
    try:
        for row in dataset:
            yield from of_row({**row, **_decoded(row, names)} if names else row, fields)
    except UserError:
        raise
    except Exception as error:  # whatever its builders and pyarrow raise; their words may quote what is in a file
        logger.warning("reading the dataset: %s", type(error).__name__)
        yield Passage(None, DAMAGED)


def _decoded(row: dict[str, Any], names: dict[str, list[str]]) -> dict[str, str | None]:
    """The names of what the dataset stores as numbers."""
    numbers = ((field, told, row.get(field)) for field, told in names.items())
    return {
        field: told[number] if isinstance(number, int) and 0 <= number < len(told) else None
        for field, told, number in numbers
    }


def load(path: str, subset: str, split: str) -> Any:
    """Load one split. A local folder or file is read in place, and leaves no copy of its text in a cache."""
    where = f"data.path = {path!r}"
    if not path.strip():
        raise UserError('data.path is empty, and data.source = "hub" needs one: name a dataset like "user/name"')
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        import datasets
    except ImportError:
        raise UserError(
            f"{where}: data.source = \"hub\" needs one more package: pip install 'fedlora-tui[hub]'"
        ) from None
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity_error()
    place, kind = _local(path)
    try:
        if kind:
            return datasets.load_dataset(kind, data_files={split: str(place)}, split=split, streaming=True)
        if place is None and not _reachable(path):
            # Asked now, it would try again for half a minute; what is in its cache it gives without the hub too.
            datasets.config.HF_HUB_OFFLINE = True
        return datasets.load_dataset(str(place or path), subset or None, split=split, streaming=place is not None)
    except Exception as error:
        raise _refusal(where, split, error) from None


def _local(path: str) -> tuple[Path | None, str]:
    """The folder or file of that name, None where there is neither; and how `datasets` calls the file's kind."""
    place = look(path, f"data.path: cannot look at {path!r}", "name a dataset that can be read")
    if not place.is_file:
        return (place.path if place.is_folder else None), ""
    kind = FILES.get("".join(place.path.suffixes[-2:]).lower()) or FILES.get(place.path.suffix.lower())
    if kind is None:
        raise UserError(f"data.path = {path!r}: not a file of rows; name one ({', '.join(FILES)}), or a folder of them")
    return place.path, kind


def _reachable(path: str) -> bool:
    """Whether the hub answers at all, be it that it has no such dataset."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    from huggingface_hub.utils import logging as hub_logging

    hub_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        HfApi().dataset_info(path, timeout=SECONDS_TO_ANSWER)
    except (HfHubHTTPError, HFValidationError):
        return True
    except Exception as error:  # whatever its client raises without a network
        logger.warning("the hub does not answer: %s", type(error).__name__)
        return False
    return True


def _refusal(where: str, split: str, error: Exception) -> UserError:
    """Say in one line why there is no dataset and what to do."""
    import datasets
    from huggingface_hub import errors

    logger.warning("%s: %s", where, type(error).__name__)
    chain = [error, error.__cause__, error.__context__]
    if any(isinstance(link, errors.GatedRepoError) for link in chain):
        return UserError(f"{where}: the hub wants you to accept its terms and log in (hf auth login)")
    if any(isinstance(link, errors.RepositoryNotFoundError) for link in chain):
        return UserError(f"{where}: no such dataset on the hub, or it is private; check the name or log in")
    offline = datasets.config.HF_HUB_OFFLINE or os.environ.get("HF_DATASETS_OFFLINE", "")
    if isinstance(error, ConnectionError | TimeoutError | errors.OfflineModeIsEnabled) or offline:
        return UserError(
            f"{where}: not here, and the hub cannot be reached; connect and unset HF_HUB_OFFLINE, or name a local "
            "folder of .parquet, .csv or .jsonl files"
        )
    if isinstance(error, datasets.exceptions.DatasetNotFoundError | FileNotFoundError):
        return UserError(f"{where}: no such dataset here or on the hub; check the name, or name a local folder")
    if isinstance(error, ValueError) and "split" in str(error):
        return UserError(f"{where}: it has no split {split!r}; set data.split to one that it has")
    if isinstance(error, ValueError) and "onfig" in str(error):
        return UserError(f"{where}: it has several subsets, or not the one asked for; set data.subset to one of them")
    return UserError(f"{where}: cannot be loaded ({type(error).__name__}); check its files, or name another")
