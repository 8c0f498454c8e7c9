"""Makes the hostile files beside it: `python tests/corpus/jets/make.py`.

Six small jets; then copies with one fault each. `EXPECTED` in tests/jets/test_corpus.py says what
must happen with each of them.
"""

from pathlib import Path

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sciml.jets.data.io import create

HERE = Path(__file__).parent
PARTICLE = (
    "d0val", "d0err", "dzval", "dzerr", "charge", "isChargedHadron", "isNeutralHadron", "isPhoton",
    "isElectron", "isMuon",
)  # fmt: skip


def jets(counts=(5, 3, 8, 4, 6, 7), phi_at=0.3) -> ak.Array:
    """Jets of photons around (eta, phi) = (0.5, phi_at)."""
    rng = np.random.default_rng(1)
    counts = np.array(counts)
    total = int(counts.sum())
    pt = rng.exponential(50, total) + 1
    eta = 0.5 + rng.normal(0, 0.2, total)
    phi = phi_at + rng.normal(0, 0.2, total)
    flat = {
        "part_px": pt * np.cos(phi),
        "part_py": pt * np.sin(phi),
        "part_pz": pt * np.sinh(eta),
        "part_energy": pt * np.cosh(eta) * (1 + 1e-6),
        **{f"part_{name}": np.zeros(total) for name in PARTICLE},
    }
    flat["part_isPhoton"] = np.ones(total)
    columns = {n: ak.unflatten(v.astype(np.float32), counts) for n, v in flat.items()}
    columns["jet_eta"] = np.full(len(counts), 0.5, np.float32)
    columns["jet_phi"] = np.full(len(counts), phi_at, np.float32)
    columns["label_QCD"] = np.ones(len(counts), np.int32)
    columns["event"] = np.arange(len(counts))
    return ak.zip(columns, depth_limit=1)


def changed(events: ak.Array, column: str, jet: int, value: float) -> ak.Array:
    """The first constituent of one jet gets another value."""
    lists = ak.to_list(events[column])
    lists[jet][0] = value
    return ak.with_field(events, ak.values_astype(ak.Array(lists), np.float32), column)


def write(name: str, events: ak.Array) -> None:
    with create(HERE / name) as writer:
        writer.write(events)


def make() -> None:
    good = jets()
    write("good.parquet", good)
    write("good.root", good)
    # faults of single jets
    write("empty_jet.parquet", jets((5, 0, 8, 4, 6, 7)))
    write("all_jets_empty.root", jets((0, 0, 0)))
    write("nan.parquet", changed(good, "part_px", 2, np.nan))
    write("inf.root", changed(good, "part_energy", 3, np.inf))
    zero = changed(changed(good, "part_px", 1, 0.0), "part_py", 1, 0.0)
    write("zero_pt.parquet", zero)
    write("energy_below_momentum.parquet", changed(good, "part_energy", 4, 0.01))
    write("overflow.parquet", changed(good, "part_px", 0, 3e38))
    write("many.parquet", jets((5, 200, 3)))
    write("phi_wrap.parquet", jets(phi_at=3.14))
    write("one_jet.root", good[:1])
    # faults of the file
    write("missing_column.parquet", good[[n for n in good.fields if n != "part_energy"]])
    lists = {n: ak.to_list(good[n]) for n in good.fields}
    lists["part_energy"][2] = lists["part_energy"][2][:-1]
    pq.write_table(pa.table(lists), HERE / "jagged_mismatch.parquet")
    text = {n: ak.to_list(good[n]) for n in good.fields} | {"part_px": ["a"] * len(good)}
    pq.write_table(pa.table(text), HERE / "text_column.parquet")
    nulls = {n: ak.to_list(good[n]) for n in good.fields}
    nulls["part_px"][1][0] = None
    nulls["part_py"] = [None if i == 3 else v for i, v in enumerate(nulls["part_py"])]
    for n in nulls:
        if n.startswith("part_") and n != "part_py":
            nulls[n] = [[] if i == 3 else v for i, v in enumerate(nulls[n])]
    pq.write_table(pa.table(nulls), HERE / "nulls.parquet")
    pq.write_table(
        pa.table({n: good_column(good, n)[:0] for n in good.fields}), HERE / "no_rows.parquet"
    )
    for kind in ("parquet", "root"):
        data = (HERE / f"good.{kind}").read_bytes()
        (HERE / f"truncated.{kind}").write_bytes(data[: len(data) * 2 // 3])
        (HERE / f"head_only.{kind}").write_bytes(data[:8])
    damaged = bytearray((HERE / "good.root").read_bytes())
    damaged[300:700] = bytes(400)
    (HERE / "zeroed.root").write_bytes(damaged)
    (HERE / "empty.root").write_bytes(b"")
    (HERE / "empty.parquet").write_bytes(b"")
    (HERE / "text.root").write_text("this is not a ROOT file\n")
    (HERE / "text.parquet").write_text("PAR1 this is not a Parquet file\n")
    (HERE / "text.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + b"nothing" * 9)
    (HERE / "text.npz").write_bytes(b"PK\x03\x04" + b"nothing" * 9)
    histogram_only()


def good_column(events: ak.Array, name: str) -> pa.Array:
    return ak.to_arrow(events[name], extensionarray=False)


def histogram_only() -> None:
    """A ROOT file without a tree."""
    import uproot

    with uproot.recreate(HERE / "no_tree.root") as file:
        file["h"] = np.histogram(np.arange(10.0))


if __name__ == "__main__":
    make()
