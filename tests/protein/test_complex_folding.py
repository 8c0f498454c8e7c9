"""Complexes from the command line to files, by small networks of random parameters."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import pytest
import torch
from Bio.PDB import MMCIFParser, PDBParser

from sciml.cli import main
from sciml.protein import Alignment, StructurePredictor, read_complex
from sciml.protein.alphafold import confidence
from sciml.protein.alphafold.complex_features import merged_templates
from sciml.protein.alphafold.feature_config import FeatureConfig
from sciml.protein.alphafold.job import Job
from sciml.protein.alphafold.model import AlphaFold
from sciml.protein.alphafold.templates import Template
from sciml.protein.io.complexes import complex_of
from sciml.protein.io.residues import ATOM37_MASK, GAP
from sciml.protein.io.structure import read_chains
from sciml.protein.io.structure_writing import chain_name, write_structure

sys.path.insert(0, str(Path(__file__).parent / "alphafold"))
from test_alphafold import SMALL, random_small
from test_multimer import MULTIMER

ONE, TWO = "MKVLAAGIVGLC", "ACDWYRR"
SIZES = FeatureConfig(clusters=4, extra=5, templates=2)


def run(*arguments: str | Path) -> int:
    return main(["protein", "fold", *(os.fspath(part) for part in arguments)])


def calm(config: Any, seed: int = 0) -> AlphaFold:
    """A random network whose coordinates fit into PDB's columns and whose errors are not all the
    largest."""
    model = random_small(seed, config)
    with torch.no_grad():
        for parameter in model.structure_module.parameters():
            parameter.mul_(0.3)
        for name, parameter in model.named_parameters():
            if "pae" in name:
                parameter.mul_(0.1)
    return model


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two multimer networks and a monomer's."""
    folder = tmp_path_factory.mktemp("weights")
    for name, config, seed in (
        ("params_model_1_multimer_v3", MULTIMER, 1),
        ("params_model_2_multimer_v3", MULTIMER, 2),
        ("params_model_1_ptm", SMALL, 3),
    ):
        StructurePredictor(calm(config, seed), "cpu").to_alphafold(folder / f"{name}.npz")
    return folder


def small(*more: str | Path) -> list[str | Path]:
    return ["--recycles", "1", "--clusters", "4", "--extra", "4", "--device", "cpu", *more]


def test_files_of_a_complex(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "in.fasta").write_text(f">trimer\n{TWO}:{ONE}:{TWO}\n")
    out = tmp_path / "out"
    params = weights / "params_model_1_multimer_v3.npz"
    assert run(tmp_path / "in.fasta", "-o", out, *small("--params", params)) == 0

    cif, pdb = (
        gemmi.read_structure(str(out / "trimer.cif")),
        gemmi.read_pdb(str(out / "trimer.pdb")),
    )
    for structure in (cif, pdb):
        structure.setup_entities()
        letters = [gemmi.one_letter_code([r.name for r in chain]) for chain in structure[0]]
        assert [chain.name for chain in structure[0]] == ["A", "B", "C"]
        assert letters == [TWO, TWO, ONE]  # copies stand together
        assert [chain[0].seqid.num for chain in structure[0]] == [1, 1, 1]
    bio = [
        parser.get_structure("x", out / f"trimer.{end}")[0]
        for parser, end in ((MMCIFParser(QUIET=True), "cif"), (PDBParser(QUIET=True), "pdb"))
    ]
    for model in bio:
        assert [(chain.id, len(chain)) for chain in model] == [("A", 7), ("B", 7), ("C", 12)]
    assert [len(chain) for chain in read_chains(out / "trimer.cif")] == [7, 7, 12]

    block = gemmi.cif.read(str(out / "trimer.cif")).sole_block()
    assert [list(row) for row in block.find("_ma_target_entity.", ["entity_id", "data_id"])] == [
        ["1", "2"], ["2", "3"],
    ]  # fmt: skip
    instances = block.find("_ma_target_entity_instance.", ["asym_id", "entity_id"])
    assert [list(row) for row in instances] == [["A", "1"], ["B", "1"], ["C", "2"]]
    local = block.find("_ma_qa_metric_local.", ["label_asym_id", "label_seq_id", "metric_value"])
    scores = json.loads((out / "trimer_scores.json").read_text())
    assert [float(row[2]) for row in local] == pytest.approx(scores["plddt"], abs=0.006)
    assert [row[0] for row in local] == list("A" * 7 + "B" * 7 + "C" * 12)
    mean = float(block.find_values("_ma_qa_metric_global.metric_value")[0])
    assert mean == pytest.approx(np.mean(scores["plddt"]), abs=0.01)

    assert {"plddt", "pae", "max_pae", "ptm", "iptm"} <= scores.keys()  # ColabFold's names
    assert np.shape(scores["pae"]) == (26, 26) and scores["max_pae"] == np.max(scores["pae"])
    assert set(scores["pairwise_actifptm"]) == {"A-B", "A-C", "B-C"}
    (pae,) = json.loads((out / "trimer_pae.json").read_text())
    assert pae["predicted_aligned_error"] == scores["pae"]
    ranking = json.loads((out / "ranking.json").read_text())["predictions"][0]
    assert ranking["ranking_confidence"] == pytest.approx(
        0.8 * scores["iptm"] + 0.2 * scores["ptm"], abs=1e-4
    )
    page = (out / "report.html").read_text()
    for words in ("ipTM of every two chains", "Sequences of each chain", "chain A", "pDockQ"):
        assert words in page


def folded(out: Path) -> dict[str, dict[str, Any]]:
    """Rows of a ranking without what depends on the machine."""
    rows = json.loads((out / "ranking.json").read_text())["predictions"]
    return {row.pop("name"): {k: v for k, v in row.items() if k != "seconds"} for row in rows}


@pytest.mark.slow
def test_models_seeds_and_shards_rank_as_one_run(weights: Path, tmp_path: Path) -> None:
    inputs = tmp_path / "in"
    inputs.mkdir()
    (inputs / "all.csv").write_text(f"id,sequence\ndimer,{ONE}:{TWO}\n")
    more = small("--params", weights, "--seeds", "2", "--dropout")
    assert run(inputs, "-o", tmp_path / "whole", *more) == 0
    whole = folded(tmp_path / "whole")
    models = [f"params_model_{k}_multimer_v3" for k in (1, 2)]
    assert set(whole) == {f"{m}/seed_{s}/dimer" for m in models for s in (0, 1)}
    assert len({row["mean_plddt"] for row in whole.values()}) == 4  # each model and seed differs
    for part in ("2/3", "1/3", "3/3"):
        assert run(inputs, "-o", tmp_path / "parts", *more, "--shard", part) == 0
    assert not (tmp_path / "parts" / "ranking.json").exists()
    done = list((tmp_path / "parts").rglob("*_confidence.json"))
    assert len(done) == 4 and len({path.parents[2].name for path in done}) == 3
    assert run(inputs, "-o", tmp_path / "parts", *more) == 0
    merged = folded(tmp_path / "parts")
    assert list(merged) == list(whole) and merged == whole
    assert (tmp_path / "parts" / "report.html").exists()
    assert run(inputs, "-o", tmp_path / "x", *more, "--shard", "4/3") == 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_folds_on_a_ray_cluster_rank_as_one_run(weights: Path, tmp_path: Path) -> None:
    ray = pytest.importorskip("ray")
    inputs = tmp_path / "in"
    inputs.mkdir()
    for name, sequence in (("a", ONE), ("b", TWO), ("c", ONE[::-1])):
        (inputs / f"{name}.fasta").write_text(f">{name}\n{sequence}\n")
    more = small("--params", weights / "params_model_1_ptm.npz", "--seeds", "2")
    assert run(inputs, "-o", tmp_path / "plain", *more) == 0
    try:
        on_ray = ["--launcher", "ray", "--workers", "2"]
        assert run(inputs, "-o", tmp_path / "ray", *more, *on_ray) == 0
    finally:
        ray.shutdown()
    plain, merged = folded(tmp_path / "plain"), folded(tmp_path / "ray")
    assert len(plain) == 6 and list(merged) == list(plain) and merged == plain
    for path in (tmp_path / "plain").rglob("*.pdb"):
        other = tmp_path / "ray" / path.relative_to(tmp_path / "plain")
        assert other.read_bytes() == path.read_bytes()


def test_one_target_and_many_binders(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "target.a3m").write_text(f">t\n{ONE}\n>A_ECOLI\nMKILAAGIVGLC\n")
    (tmp_path / "binders.fasta").write_text(f">b1\n{TWO}\n>b2\n{TWO[::-1]}\n>b3\n{ONE}\n")
    params = weights / "params_model_1_multimer_v3.npz"
    more = small("--params", params, "--target", tmp_path / "target.a3m", "--recycles", "0")
    assert run(tmp_path / "binders.fasta", "-o", tmp_path / "out", *more) == 0
    rows = folded(tmp_path / "out")
    assert {name: row["residues"] for name, row in rows.items()} == {"b1": 19, "b2": 19, "b3": 24}
    assert rows["b1"]["sequences"] == rows["b3"]["sequences"] == 2


def test_a_monomers_network_sees_a_gap(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "in.fasta").write_text(f">d\n{ONE}:{TWO}\n")
    params = weights / "params_model_1_ptm.npz"
    assert run(tmp_path / "in.fasta", "-o", tmp_path / "out", *small("--params", params)) == 0
    assert [len(c) for c in read_chains(tmp_path / "out" / "d.cif")] == [12, 7]


def test_chains_are_taken_in_every_way(tmp_path: Path) -> None:
    predictor = StructurePredictor(calm(MULTIMER), "cpu")
    (tmp_path / "a.a3m").write_text(f">q\n{ONE}\n")
    (tmp_path / "b.a3m").write_text(f">q\n{TWO}\n")
    ways: list[Any] = [
        [ONE, TWO],
        [tmp_path / "a.a3m", Alignment.from_sequences([TWO])],
        f"{tmp_path / 'a.a3m'}:{tmp_path / 'b.a3m'}",
        complex_of([ONE, TWO], "x"),
    ]
    results = [predictor.predict(way, config=SIZES, recycles=0) for way in ways]
    for result in results[1:]:
        np.testing.assert_array_equal(result.atoms, results[0].atoms)
    assert results[0].chain_names == ["A", "B"]
    single = predictor.predict([ONE], config=SIZES, recycles=0)
    assert single.iptm is None and len(single.plddt) == 12


def test_packed_jobs_equal_single_ones_and_dropout_its_seed() -> None:
    predictor = StructurePredictor(calm(MULTIMER), "cpu")
    jobs = [
        Job.of(complex_of(c, n))
        for n, c in (("d", [ONE, TWO]), ("h", [TWO, TWO]), ("l", [ONE] * 2))
    ]
    packed = predictor.predict_many(jobs, config=SIZES, recycles=1)
    for job, result in zip(jobs, packed, strict=True):
        alone = predictor.predict_many([job], config=SIZES, recycles=1)[0]
        np.testing.assert_allclose(result.plddt, alone.plddt, rtol=0, atol=1e-3)
        scale = np.abs(alone.atoms).max()
        np.testing.assert_allclose(result.atoms, alone.atoms, rtol=0, atol=1e-4 * scale)
    state = torch.random.get_rng_state()
    wild = [
        predictor.predict_many(jobs[k:], config=SIZES, recycles=1, dropout=True) for k in (0, 1)
    ]
    np.testing.assert_array_equal(wild[0][1].atoms, wild[1][0].atoms)
    assert np.abs(wild[0][1].atoms - packed[1].atoms).max() > 0.01
    assert torch.equal(torch.random.get_rng_state(), state) and not predictor.model.training


def test_templates_of_chains_stand_side_by_side() -> None:
    asym = np.array([1] * 3 + [2] * 2)

    def template(start: int, n: int, weight: float) -> Template:
        types = np.full(n, 5)
        return Template(types, np.ones((n, 37, 3)), np.ones((n, 37)), f"t{weight}", weight).placed(
            start, 5
        )

    merged = merged_templates([template(0, 3, 1), template(3, 2, 3), template(0, 3, 2)], asym)
    assert [t.name for t in merged] == ["t2 t3", "t1"]
    assert (merged[0].mask > 0).all() and (merged[0].types == 5).all()
    assert merged[1].mask[:3].all() and not merged[1].mask[3:].any()
    assert merged[1].types.tolist() == [5, 5, 5, 0, 0]
    assert template(3, 2, 1).types.tolist() == [GAP] * 3 + [5] * 2


def test_templates_of_a_users_folder_reach_a_complex(weights: Path, tmp_path: Path) -> None:
    types = read_complex_types(ONE)
    write_structure(
        tmp_path / "AF-known.cif", types, np.random.default_rng(0).normal(0, 9, (12, 37, 3)),
        ATOM37_MASK[types],
    )  # fmt: skip
    (tmp_path / "in.fasta").write_text(f">d\n{ONE}:{TWO}:{ONE}\n")
    params = weights / "params_model_1_multimer_v3.npz"
    results = []
    options: list[list[str | Path]] = [[], ["--templates", tmp_path / "AF-known.cif"]]
    for more in options:
        out = tmp_path / f"out{len(more)}"
        assert run(tmp_path / "in.fasta", "-o", out, *small("--params", params, *more)) == 0
        results.append(json.loads((out / "d_scores.json").read_text())["plddt"])
    assert results[0] != results[1]


def read_complex_types(sequence: str) -> np.ndarray:
    return Alignment.from_sequences([sequence]).rows[0].astype(np.int64)


def test_actifptm_is_colabfolds(fixture_file: Any) -> None:
    with np.load(fixture_file("protein/actifptm.npz")) as file:
        pae = torch.as_tensor(file["pae"].astype("f4") / 16)
        distances = torch.as_tensor(file["distogram"].astype("f4") / 16).softmax(-1)
        chains = torch.as_tensor(file["asym_id"].astype("i8"))
        expected = file["actifptm"]
    found = confidence.chain_pair_actifptm(pae, distances, chains).numpy()
    np.testing.assert_allclose(np.triu(found), expected, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(found, found.T)


def test_names_of_chains() -> None:
    names = [chain_name(k) for k in range(3000)]
    assert names[:2] + names[25:27] + names[61:64] == ["A", "B", "Z", "a", "9", "AA", "AB"]
    assert len(set(names)) == 3000


def test_a_complex_is_written_once_for_all_readers(tmp_path: Path) -> None:
    complex_ = read_complex(_written(tmp_path / "x.fasta", f">x\n{ONE}:{TWO}\n"))
    assert complex_.sequences == [ONE, TWO]
    types = read_complex_types(ONE + TWO)
    chains = np.array([1] * 12 + [2] * 7)
    atoms = np.random.default_rng(0).normal(0, 9, (19, 37, 3))
    write_structure(
        tmp_path / "x.cif", types, atoms, ATOM37_MASK[types], chains=chains, chain=["H", "L"]
    )
    parts = read_chains(tmp_path / "x.cif")
    assert [(p.name, p.sequence) for p in parts] == [("H", ONE), ("L", TWO)]


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path
