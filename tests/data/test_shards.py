"""Parquet shards: rows by number, each shard the same made alone or with the others."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from sciml.cli import main
from sciml.data import shards
from sciml.errors import InputError

KINDS = {
    "expressions": ("--kind", "bwd", "--count", "90"),
    "netlists": ("--count", "5", "--scale", "0.2"),
}


def test_rows_are_read_by_number_across_groups_and_files(tmp_path: Path) -> None:
    for k, size in enumerate((5, 1, 7)):
        things = [{"a": f"{k}-{i}", "b": i} for i in range(size)]
        shards.write(tmp_path / shards.name(k, 3), "things", things, {"seed": 1}, group=3)
    rows = shards.Rows(shards.files(tmp_path), "a", "b")
    expected = [f"{k}-{i}" for k, size in enumerate((5, 1, 7)) for i in range(size)]
    order = np.random.default_rng(0).permutation(13)
    assert [rows[i]["a"] for i in order] == [expected[i] for i in order]
    assert len(rows) == 13 and rows[6]["b"] == 0 and rows[12].number == 6
    assert str(rows[12]) == f"{tmp_path / shards.name(2, 3)}, row 6"
    with pytest.raises(IndexError):
        rows[13]
    assert shards.kind(tmp_path) == "things"


def test_other_files_are_refused(tmp_path: Path) -> None:
    shards.write(tmp_path / "a.parquet", "things", [{"a": 1}], {})
    with pytest.raises(InputError, match="lacks the column 'b'"):
        shards.Rows([tmp_path / "a.parquet"], "b")
    (tmp_path / "b.parquet").write_text("no")
    with pytest.raises(InputError, match="no whole Parquet file"):
        shards.Rows([tmp_path / "b.parquet"], "a")
    with pytest.raises(InputError, match="nothing to write"):
        shards.write(tmp_path / "c.parquet", "things", [], {})
    assert not (tmp_path / "c.parquet").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_a_shard_alone_is_the_shard_among_others(kind: str, tmp_path: Path) -> None:
    make = ["data", "make", kind, *KINDS[kind], "--seed", "3", "--shards", "3"]
    assert main([*make, "-o", str(tmp_path / "all")]) == 0
    assert main([*make, "--shard", "1", "-o", str(tmp_path / "one")]) == 0
    (alone,) = (tmp_path / "one").iterdir()
    among = tmp_path / "all" / alone.name
    assert alone.read_bytes() == among.read_bytes()
    assert len(list((tmp_path / "all").iterdir())) == 3
    sizes = [pq.read_metadata(path).num_rows for path in sorted((tmp_path / "all").iterdir())]
    assert sum(sizes) == int(KINDS[kind][KINDS[kind].index("--count") + 1])
    facts = shards.facts_of(alone)
    assert facts["shard"] == 1 and facts["shards"] == 3 and facts["seed"] == 3

    # What is there is kept, what is missing is made; other options are refused.
    before = among.stat().st_mtime_ns
    (tmp_path / "all" / shards.name(0, 3)).unlink()
    assert main([*make, "-o", str(tmp_path / "all")]) == 0
    assert among.stat().st_mtime_ns == before
    assert len(list((tmp_path / "all").iterdir())) == 3
    changed = ["4" if word == "3" and make[k - 1] == "--seed" else word
               for k, word in enumerate(make)]  # fmt: skip
    assert main([*changed, "-o", str(tmp_path / "all")]) == 2
    assert main([*make, "--shard", "3", "-o", str(tmp_path / "all")]) == 2


def test_shards_are_read_for_pretraining(tmp_path: Path) -> None:
    from sciml.placement.learning.pretraining import read_netlists
    from sciml.symbolic.neural.pretraining import Expressions

    for kind in KINDS:
        make = ["data", "make", kind, *KINDS[kind], "--shards", "2", "-o", str(tmp_path / kind)]
        assert main(make) == 0
    assert main(["data", "make", "expressions", *KINDS["expressions"],
                 "-o", str(tmp_path / "plain.jsonl")]) == 0  # fmt: skip
    sharded, plain = (
        Expressions(tmp_path / name, memory=0) for name in ("expressions", "plain.jsonl")
    )
    assert len(sharded) == len(plain) == 90
    # The first shard's samples are the first of the plain file.
    assert sharded.line(40) == json.loads(plain.line(40))["problem"]
    assert sharded[89][-1] == plain[0][-1]
    corpus = read_netlists(tmp_path / "netlists")
    assert len(corpus.dataset) == 5
    from sciml.placement.generate import synthetic
    from sciml.placement.learning.embedder import netlist_graph

    graph = netlist_graph(synthetic(3, 0.2))
    assert corpus.dataset[3].x.shape == graph.x.shape


def test_memory_of_a_file_does_not_grow_with_what_was_read_of_it(tmp_path: Path) -> None:
    import pyarrow as pa

    random = np.random.default_rng(0)
    path = tmp_path / "a.parquet"
    rows = ({"a": random.bytes(50_000)} for _ in range(200))  # 10 MB that no compression shortens
    shards.write(path, "things", rows, {}, group=4)

    def held() -> list[int]:
        with shards.opened(path) as file:
            batches = file.iter_batches(batch_size=4, use_threads=False)
            return [pa.total_allocated_bytes() for _ in batches]

    of_steps = held()
    assert len(of_steps) == 50 and of_steps[-1] - of_steps[2] < 1 << 20


@pytest.mark.parametrize("fault", ["cut", "changed", "gone"])
def test_a_shard_that_is_damaged_while_it_is_read_is_named(tmp_path: Path, fault: str) -> None:
    path = tmp_path / "a.parquet"
    text = np.random.default_rng(0).bytes(100_000).hex()  # hardly shortened by compression
    shards.write(path, "things", ({"a": f"{i}{text}"} for i in range(8)), {}, group=1)
    rows = shards.Rows([path], "a")
    assert rows[0]["a"][0] == "0"
    content = bytearray(path.read_bytes())
    if fault == "gone":
        path.unlink()
    elif fault == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    with pytest.raises(InputError, match="a.parquet"):
        for row in rows:
            row["a"]
