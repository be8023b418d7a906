"""Text dealt out anew: every document in one place, sizes and label shares as promised, equal for equal seeds."""

from __future__ import annotations

import importlib.util
import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlora_tui.config import Setting, load
from fedlora_tui.errors import UserError
from fedlora_tui.organizations.partition import PartitionedSource, deal, partition_names, power_law
from fedlora_tui.organizations.roster import call_roster
from fedlora_tui.organizations.text import notice

KINDS = ("iid", "dirichlet", "quantity")
needs_extra = pytest.mark.skipif(not importlib.util.find_spec("flwr_datasets"), reason="needs fedlora-tui[partitions]")
LABELS = st.lists(st.sampled_from("abcde"), min_size=60, max_size=300).filter(lambda labels: len(set(labels)) > 1)
quick = settings(max_examples=25, deadline=None)


def configured(**changes):
    given = {"federation.batch_size": "4"} | {name.replace("__", "."): str(value) for name, value in changes.items()}
    return load(None, [Setting(name, text, name) for name, text in given.items()])


def roster(**changes):
    return call_roster(configured(**changes))


def dealt(partition, labels, count, **changes):
    """The parts, or nothing where it was refused."""
    return deal(labels, count, configured(data__partition=partition, **changes))


def dealt_texts(called):
    return {name: [document.text for document in called.source.documents(name).texts] for name in called.names}


@needs_extra
@pytest.mark.parametrize("partition", KINDS)
@quick
@given(labels=LABELS, count=st.integers(2, 8), seed=st.integers(0, 2**63 - 1))
def test_every_document_is_in_exactly_one_place_and_the_seed_says_where(partition, labels, count, seed):
    settings = {"federation__seed": seed, "data__dirichlet_alpha": 5.0}
    try:
        parts = dealt(partition, labels, count, **settings)
        others = dealt(partition, labels, count, **settings | {"federation__seed": seed ^ 1})
    except UserError:
        assert partition == "dirichlet"
        return
    assert len(parts) == count
    assert sorted(place for part in parts for place in part) == list(range(len(labels)))
    assert min(len(part) for part in parts) >= 6
    assert dealt(partition, labels, count, **settings) == parts
    assert others != parts


@needs_extra
@quick
@given(labels=LABELS, count=st.integers(2, 8))
def test_iid_sizes_differ_by_one_at_most(labels, count):
    sizes = [len(part) for part in dealt("iid", labels, count)]
    assert max(sizes) - min(sizes) <= 1


@needs_extra
def test_iid_gives_everybody_the_same_labels():
    labels = ["a"] * 6000 + ["b"] * 3000 + ["c"] * 1000
    for part in dealt("iid", labels, 5):
        shares = Counter(labels[place] for place in part)
        assert [shares[label] / len(part) for label in "abc"] == pytest.approx([0.6, 0.3, 0.1], abs=0.04)


@given(total=st.integers(400, 10**6), count=st.integers(1, 60), skew=st.floats(0, 5), fewest=st.integers(1, 6))
def test_a_power_law_adds_up_and_keeps_its_shares(total, count, skew, fewest):
    sizes = power_law(total, count, skew, fewest)
    weights = [number**-skew for number in range(1, count + 1)]
    rest = total - fewest * count
    assert sum(sizes) == total
    for size, weight in zip(sizes, weights, strict=True):
        assert abs(size - fewest - rest * weight / sum(weights)) <= 1


@needs_extra
@pytest.mark.parametrize("skew", [0.0, 1.0, 2.5])
def test_quantity_has_the_sizes_of_its_skew_and_the_labels_of_all(skew):
    labels = ["a", "b"] * 3000
    parts = dealt("quantity", labels, 4, data__quantity_skew=skew)
    assert [len(part) for part in parts] == power_law(6000, 4, skew, 6)
    assert sum(labels[place] == "a" for place in parts[0]) == pytest.approx(len(parts[0]) / 2, rel=0.1)


@needs_extra
def test_dirichlet_is_nearer_to_iid_the_larger_alpha_is():
    labels = [label for label in "abcdefgh" for _ in range(500)]

    def largest_share(alpha):
        """Of a label, the share of the organization that has most of it; the mean over labels."""
        parts = dealt("dirichlet", labels, 8, data__dirichlet_alpha=alpha)
        counts = [Counter(labels[place] for place in part) for part in parts]
        return sum(max(count[label] for count in counts) / 500 for label in "abcdefgh") / 8

    few, some, even = largest_share(0.1), largest_share(1.0), largest_share(10000.0)
    assert few > 0.6
    assert few > some > even
    assert even < 1 / 8 + 0.02


@needs_extra
@pytest.mark.parametrize("partition", KINDS)
def test_synthetic_text_is_dealt_out_whole(partition):
    natural = roster(federation__organizations=3)
    called = roster(federation__organizations=3, data__partition=partition)
    assert called.names == ("org-1", "org-2", "org-3")
    texts = dealt_texts(called)
    every = sorted(text for texts in dealt_texts(natural).values() for text in texts)
    assert sorted(text for part in texts.values() for text in part) == every
    labels = Counter(document.label for name in called.names for document in called.source.documents(name).texts)
    assert labels == {name: len(natural.source.documents(name).texts) for name in natural.names}


@needs_extra
def test_nobody_joins_at_the_others_cost_but_who_left_may_come_back():
    source = roster(federation__organizations=3, data__partition="iid").source
    assert source.another(["org-1", "org-2", "org-3"]) is None
    assert source.another(["org-1", "org-3"]) == "org-2"
    assert 'org-1 to org-3 (data.partition = "iid")' in source.names_left_reason()
    with pytest.raises(UserError, match="no organization is called 'org-4': all text is dealt out"):
        source.documents("org-4")


def table(folder, rows):
    (folder / "all.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"data__source": "folder", "data__path": folder, "federation__organizations": 4}


@needs_extra
def test_one_file_of_the_users_is_dealt_out_by_its_label_column(tmp_path):
    rows = [{"text": f"record {n} of kind {n % 3}", "kind": n % 3} for n in range(600)]
    asked = table(tmp_path, [*rows, rows[0], {"text": ""}]) | {"data__partition": "dirichlet"}
    called = roster(**asked, data__label_field="kind", data__dirichlet_alpha=1.0)
    documents = [called.source.documents(name) for name in called.names]
    assert sorted(document.text for own in documents for document in own.texts) == sorted(row["text"] for row in rows)
    assert all(document.text.endswith(document.label) for own in documents for document in own.texts)
    assert [own.dropped for own in documents] == [{"duplicate": 1, "empty": 1}, {}, {}, {}]
    assert notice("org-1", documents[0], 64) == "documents of all: 2 dropped (1 duplicate, 1 empty)"
    with pytest.raises(UserError, match=r"set data\.label_field"):
        roster(**asked).source.documents("org-1")


@needs_extra
def test_files_are_labels_where_no_column_is_named(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text(
            "id,text,kind\n" + "".join(f"{n},text {name} {n},{n % 2}\n" for n in range(90))
        )
    asked = {"data__source": "folder", "data__path": tmp_path, "data__partition": "iid"}
    by_file, by_column = roster(**asked), roster(**asked, data__label_field="kind")
    assert by_file.names == ("org-1", "org-2")
    own = by_file.source.documents("org-1")
    assert all(document.label == document.text.split()[1] for document in own.texts)
    assert {document.label for document in by_column.source.documents("org-1").texts} == {"0", "1"}


@needs_extra
def test_what_cannot_be_dealt_out_says_what_to_change(tmp_path):
    few = table(tmp_path, [{"text": f"record {n}", "kind": n % 2} for n in range(20)])
    with pytest.raises(UserError, match="20 documents are too few for 4 organizations with 6 each"):
        roster(**few, data__partition="iid").source.documents("org-1")
    some = table(tmp_path, [{"text": f"record {n}", "kind": n % 2} for n in range(40)])
    asked = some | {"data__label_field": "kind", "data__dirichlet_alpha": 0.001, "data__partition": "dirichlet"}
    with pytest.raises(UserError, match=r"data\.dirichlet_alpha = 0\.001 leaves one of 4"):
        roster(**asked).source.documents("org-1")


def test_without_the_extra_the_error_names_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'fedlora-tui\[partitions\]'"):
        roster(data__partition="iid")


def test_nothing_is_read_before_text_is_asked_for(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: True)
    called = roster(data__partition="iid", federation__organizations=100_000)
    assert isinstance(called.source, PartitionedSource)
    assert (called.names[0], called.names[-1]) == ("org-000001", "org-100000")
    assert list(partition_names(12)) == sorted(partition_names(12))


@needs_extra
@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("source", ["table", "hub"])
def test_the_rows_of_a_table_keep_their_labels(tmp_path, source, kind):
    rows = [{"who": f"office {n % 2}", "text": f"record {n} of kind {n % 3}", "kind": n % 3} for n in range(120)]
    file = tmp_path / f"all.{kind}"
    if kind == "parquet":
        pytest.importorskip("pyarrow", reason="needs fedlora-tui[parquet]")
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    elif kind == "csv":
        file.write_text("who,text,kind\n" + "".join(",".join(map(str, row.values())) + "\n" for row in rows))
    else:
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = {"data__source": source, "data__path": file, "data__organization_field": "who"}
    called = roster(**asked, data__partition="iid", data__label_field="kind")
    documents = [document for name in called.names for document in called.source.documents(name).texts]
    assert len(documents) == 120
    assert all(document.text.endswith(f"kind {document.label}") for document in documents)


@needs_extra
def test_what_was_dropped_is_told_of_those_whose_text_it_was(tmp_path):
    for place, name in enumerate("abcdef"):
        texts = [f"text {name} {number}" for number in range(40)]
        texts += ["text a 0"] * (place > 0) + [""] * place
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    called = roster(data__source="folder", data__path=tmp_path, data__partition="iid")
    first, *others = [called.source.documents(name) for name in called.names]
    assert notice(called.names[0], first, 64) == (
        "documents of b: 2 dropped (1 duplicate, 1 empty); documents of c: 3 dropped (2 empty, 1 duplicate); "
        "documents of d: 4 dropped (3 empty, 1 duplicate); and of 2 more"
    )
    assert [notice(name, own, 64) for name, own in zip(called.names[1:], others, strict=True)] == [""] * 5
