"""AlphaFold-Multimer beside the published network on random parameters; its features and files.

The fixtures were made with `tests/fixtures/make/alphafold_multimer.py`: a dimer, three chains of
which two are equal, with templates, padding and three passes, and version 2's arrays.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sciml.errors import InputError
from sciml.protein import StructurePredictor
from sciml.protein.alphafold import confidence
from sciml.protein.alphafold.complex_features import (
    CHAIN_KEYS,
    chain_numbers,
    complex_features,
    network_features,
)
from sciml.protein.alphafold.feature_config import FeatureConfig
from sciml.protein.alphafold.job import Job
from sciml.protein.alphafold.model import AlphaFold, AlphaFoldConfig, TemplateConfig
from sciml.protein.alphafold.weights.official import array_mappings, from_arrays, to_arrays
from sciml.protein.alphafold.weights.sizes import infer_config
from sciml.protein.io.alignment import Alignment
from sciml.protein.io.complex_rows import merged_alignment
from sciml.protein.io.complexes import read_complex

ROWS = {"dimer": (5, 7), "trimer": (5, 7), "trimer_v2": (4, 5)}
Arrays = dict[str, np.ndarray]
MULTIMER = AlphaFoldConfig(
    msa_dim=16, pair_dim=8, extra_dim=8, single_dim=12, blocks=1, extra_blocks=1, msa_heads=2,
    column_heads=2, pair_heads=2, outer_dim=3, triangle_dim=6, structure_dim=12, ipa_heads=2,
    scalar_qk=3, scalar_v=4, point_qk=2, point_v=3, angle_dim=8, plddt_dim=8, structure_layers=8,
    templates=TemplateConfig(
        dim=8, blocks=1, heads=2, head_dim=4, hidden=5, attention_heads=1, attention_head_dim=1,
        average=True,
    ),
    target_classes=21, masked_classes=22, chain_positions=True, outer_product_first=True,
    separate_projections=True, position_scale=20.0,
)  # fmt: skip


def random_model(seed: int = 0) -> AlphaFold:
    torch.manual_seed(seed)
    model = AlphaFold(MULTIMER).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3)
    return model


def read(folder: Path) -> tuple[StructurePredictor, Arrays, Arrays]:
    predictor = StructurePredictor.from_alphafold(folder / "params.npz", device="cpu")
    batch, expected = (dict(np.load(folder / f"{name}.npz")) for name in ("batch", "expected"))
    return predictor, batch, expected


def differences(results: Arrays, expected: Arrays, batch: Arrays, rows: int) -> dict[str, float]:
    """Largest difference over the largest value, where residues, rows and atoms are real."""
    real = np.asarray(batch["seq_mask"] > 0)
    cells = np.asarray(batch["msa_mask"][:rows].any(1))
    n = len(real)
    worst = {}
    for key, want in expected.items():
        if not key.startswith("pass"):
            continue
        assert results[key].shape == want.shape, key
        keep = np.ones(want.shape, bool)
        for axis in [axis for axis, size in enumerate(want.shape) if size == n][:2]:
            keep &= real.reshape([-1 if k == axis else 1 for k in range(want.ndim)])
        if key.endswith(("representations/msa", "masked_msa/logits")):
            keep &= cells[:, None, None]
        if key.endswith("final_atom14_positions"):
            number = key.split("/")[0]
            mask = results[f"{number}/structure_module/final_atom14_mask"]
            keep &= mask[..., None] > 0
        difference = float(np.abs(results[key] - want)[keep].max())
        worst[key] = difference / max(float(np.abs(want[keep]).max()), 1e-6)
    return worst


def assert_equals_reference(folder: Path, rows: int, extra: int) -> None:
    predictor, batch, expected = read(folder)
    passes = 1 + max(int(k.split("/")[0][4:]) for k in expected if k.startswith("pass"))
    results = predictor.predict_features(batch, passes - 1, num_msa=rows, num_extra_msa=extra)
    worst = differences(results, expected, batch, rows)
    assert max(worst.values()) < 3e-5, sorted(worst.items(), key=lambda item: -item[1])[:5]


@pytest.mark.parametrize("name", ROWS)
def test_equals_the_published_network(name: str, fixture_file: Callable[[str], Path]) -> None:
    assert_equals_reference(fixture_file(f"protein/{name}"), *ROWS[name])


@pytest.mark.parametrize("name", ["hetero", "homo_templates"])
def test_equals_the_published_network_elsewhere(shared: Path, name: str) -> None:
    folder = shared / "data/protein/af_multimer_parity" / name
    config = json.loads((folder / "config.json").read_text())
    rows, extra = config["num_msa"], config["num_extra_msa"]
    assert_equals_reference(folder, rows, extra)
    expected = dict(np.load(folder / "expected.npz"))
    features = network_features(dict(np.load(folder / "batch.npz")), rows, extra)
    for key in ("target_feat", "msa_feat", "msa_mask", "extra_msa_mask"):
        np.testing.assert_allclose(features[key], expected[f"features/{key}"], atol=2e-7)


@pytest.mark.parametrize(
    "change",
    [
        {"sym_id": lambda b: np.minimum(b["sym_id"], 1)},
        {"entity_id": lambda b: b["asym_id"]},
        {"asym_id": lambda b: np.minimum(b["asym_id"], 1)},
        {"msa": lambda b: np.where(b["msa"] == 22, 0, b["msa"])},
        {"template_aatype": lambda b: np.minimum(b["template_aatype"], 20)},
        {"deletion_matrix": lambda b: b["deletion_matrix"] * 0},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_every_input_counts(
    change: dict[str, Callable[[Arrays], np.ndarray]], fixture_file: Callable[[str], Path]
) -> None:
    predictor, batch, expected = read(fixture_file("protein/trimer"))
    expected = {k: v for k, v in expected.items() if k.startswith("pass0")}
    changed = batch | {key: value(batch) for key, value in change.items()}
    results = predictor.predict_features(changed, 0, num_msa=5, num_extra_msa=7)
    assert differences(results, expected, batch, 5)["pass0/representations/pair"] > 1e-3


def test_every_official_array_has_a_place(fixture_file: Callable[[str], Path]) -> None:
    listed = json.loads(fixture_file("protein/multimer_shapes.json").read_text())
    shapes = {name: tuple(shape) for name, shape in listed}
    assert len(shapes) == 330 and sum(int(np.prod(s)) for s in shapes.values()) == 93_223_705
    config = infer_config(shapes)
    assert config.blocks == 48 and config.extra_blocks == 4 and config.point_v == 8
    assert config.templates is not None and config.templates.average
    assert {mapping.array for mapping in array_mappings(config, fused=True)} == set(shapes)


@pytest.mark.parametrize("name", ["trimer", "trimer_v2"])
def test_official_files_are_written_back(
    name: str, tmp_path: Path, fixture_file: Callable[[str], Path]
) -> None:
    arrays = dict(np.load(fixture_file(f"protein/{name}") / "params.npz"))
    predictor = StructurePredictor(from_arrays(arrays), "cpu", name=name)
    path = tmp_path / "params.npz"
    predictor.to_alphafold(path)
    with np.load(path) as file:
        assert set(file.files) == set(arrays)
        assert all(np.array_equal(file[key], arrays[key]) for key in arrays)
    predictor.save(tmp_path / "saved.safetensors")
    again = StructurePredictor.from_pretrained(tmp_path / "saved.safetensors", device="cpu")
    assert again.model.config == predictor.model.config
    back = to_arrays(again.model)
    assert all(np.array_equal(back[key], arrays[key]) for key in arrays)


def test_a_missing_and_an_unknown_array_are_named() -> None:
    arrays = to_arrays(random_model(), fused=True)
    name = next(key for key in arrays if key.endswith("template_pair_embedding_5//bias"))
    with pytest.raises(InputError, match="template_pair_embedding_5"):
        from_arrays({key: value for key, value in arrays.items() if key != name})
    with pytest.raises(InputError, match="pair_activiations"):
        extra = "alphafold/alphafold_iteration/evoformer/pair_activiations//bias"
        from_arrays(arrays | {extra: np.zeros(8, "f4")})


def test_with_gradients_the_numbers_are_the_same(fixture_file: Callable[[str], Path]) -> None:
    predictor, batch, _ = read(fixture_file("protein/trimer"))
    tensors = predictor.tensors(network_features(batch, 5, 7))
    with torch.no_grad():
        fast = predictor.model(tensors)
    slow = predictor.model(tensors)
    real = tensors["seq_mask"][0] > 0
    assert torch.allclose(fast.z[0][real][:, real], slow.z[0][real][:, real], atol=1e-4)
    slow.atoms.square().mean().backward()
    for key in ("template_embedder.linear_query", "structure_module.ipa.linear_v_points"):
        gradient = predictor.model.get_parameter(f"{key}.weight").grad
        assert gradient is not None and gradient.abs().max() > 0


def test_confidence_of_interfaces() -> None:
    torch.manual_seed(0)
    chains = torch.tensor([1] * 8 + [2] * 7 + [3] * 5)
    logits, mask = torch.randn(20, 20, 64), torch.ones(20)
    table = confidence.chain_pair_iptm(logits, mask, chains)
    assert torch.equal(table, table.T) and table.shape == (3, 3)
    two = chains < 3
    whole = confidence.ptm(logits[two][:, two][None], mask[two][None], chains[two][None])
    assert torch.isclose(table[0, 1], whole[0])
    assert confidence.ptm(logits[None], mask[None], torch.ones(1, 20))[0] == 0
    logits[:8, 8:15, 0] += 30  # the first chain is sure of where the second is
    assert confidence.chain_pair_iptm(logits, mask, chains)[0, 1] > table[0, 1] + 0.1
    assert confidence.ranking(0.5, 1.0) == pytest.approx(0.9)


def letters(n: int, seed: int) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACDEFGHIKLMNPQRSTVWY"), n))


def three_chains(folder: Path) -> Path:
    """A complex of one chain and two copies of another, as ColabFold's A3M."""
    a, b = letters(12, 1), letters(10, 2)
    path = folder / "complex.a3m"
    path.write_text(
        f"#12,10\t1,2\n>101\t102\n{a}{b}\n>p1\tp2\n{a[:6]}AAAAAA{b[:9]}K\n>101\n{a}{'-' * 10}\n"
        f">u1\n{a[:-2]}aa--{'-' * 10}\n>102\n{'-' * 12}{b}\n>u2\n{'-' * 12}WW{b[2:]}\n"
    )
    return path


def test_rows_of_a_complex_stand_side_by_side(tmp_path: Path) -> None:
    complex_ = read_complex(three_chains(tmp_path))
    merged, numbers = merged_alignment(complex_), chain_numbers(complex_)
    a, b = complex_.sequences[0], complex_.sequences[1]
    assert merged.row(0) == a + b + b
    assert [merged.row(k) for k in range(1, merged.depth)] == [
        f"{a[:6]}AAAAAA" + f"{b[:9]}K" * 2,
        f"{a[:-2]}--" + "-" * 20,
        "-" * 12 + f"WW{b[2:]}" * 2,
    ]
    assert merged.deletions is not None and merged.deletions[2].sum() == 2
    assert numbers.lengths == [12, 10, 10]
    assert list(numbers.entity_id[[0, 12, 22]]) == [1, 2, 2]
    assert list(numbers.sym_id[[0, 12, 22]]) == [1, 1, 2]
    assert list(numbers.residue_index[[0, 11, 12, 31]]) == [0, 11, 0, 9]
    assert list(numbers.broken()[[11, 12, 21, 22]]) == [11, 212, 221, 422]


def test_features_of_a_complex(tmp_path: Path) -> None:
    complex_ = read_complex(three_chains(tmp_path))
    sizes = FeatureConfig(clusters=2, extra=5, masked=0.0, templates=2)
    merged, numbers = merged_alignment(complex_), chain_numbers(complex_)
    first, *others = (complex_features(merged, numbers, sizes, seed=k) for k in range(6))
    assert first["msa_feat"].shape == (2, 32, 49) and first["extra_msa"].shape == (2, 32)
    assert first["template_aatype"].shape == (2, 32) and first["target_feat"].shape == (32, 21)
    assert np.array_equal(first["msa_feat"][0, :, :23].argmax(-1), merged.rows[0])
    assert any(not np.array_equal(first["msa_feat"], other["msa_feat"]) for other in others)
    # Half of the residues of a row that ties between two centres counts for each of them.
    batch = {
        "msa": np.array([[0, 0, 1, 1], [0, 0, 2, 2], [0, 0, 3, 3]]), "msa_mask": np.ones((3, 4)),
        "deletion_matrix": np.zeros((3, 4)), "aatype": np.zeros(4, int), "seq_mask": np.ones(4),
        "residue_index": np.arange(4), **{k: np.ones(4, int) for k in CHAIN_KEYS},
    }  # fmt: skip
    shares = network_features(batch, 2, 1)["msa_feat"][:, 2, 25:48]
    np.testing.assert_allclose(shares[0, [1, 3]], [1 / 3, 2 / 3], rtol=1e-6)


def test_a_complex_is_folded_by_either_network(tmp_path: Path) -> None:
    path, sizes = three_chains(tmp_path), FeatureConfig(clusters=3, extra=2, templates=1)
    multimer = StructurePredictor(random_model(), "cpu", name="params_model_1_multimer_v3")
    assert (multimer.sizes.clusters, multimer.sizes.extra) == (508, 2048)
    options: dict[str, Any] = {"config": sizes, "recycles": 1}
    prediction = multimer.predict(path, **options)
    assert prediction.atoms.shape == (32, 37, 3) and prediction.iptm is not None
    assert prediction.chain_iptm is not None and prediction.chain_iptm.shape == (3, 3)
    assert prediction.ptm is not None
    mean = 0.8 * prediction.iptm + 0.2 * prediction.ptm
    assert prediction.ranking_confidence == pytest.approx(mean)
    assert prediction.summary()["iptm"] == pytest.approx(prediction.iptm, abs=1e-4)
    # Swapping the two equal chains changes nothing; numbering them as different ones does.
    job = Job.of(read_complex(path))
    assert job.chains is not None
    apart = replace(job.chains, entity_id=job.chains.asym_id, sym_id=job.chains.asym_id * 0 + 1)
    both = multimer.predict_many([job, replace(job, chains=apart)], **options)
    np.testing.assert_allclose(both[0].atoms, prediction.atoms, atol=2e-3)
    assert np.abs(both[1].atoms - prediction.atoms).max() > 1e-2

    chain = Alignment.from_sequences([letters(12, 1)], ["a"])
    alone = multimer.predict(chain, **options)
    assert alone.iptm is None and alone.ranking_confidence == alone.mean_plddt / 100

    torch.manual_seed(1)
    monomer = AlphaFold(
        replace(
            MULTIMER, target_classes=22, masked_classes=23, chain_positions=False,
            outer_product_first=False, separate_projections=False, templates=None,
        )
    )  # fmt: skip
    for parameter in monomer.parameters():
        parameter.data.normal_(0, 0.3)
    broken = StructurePredictor(monomer, "cpu").predict(path, **options)
    assert broken.iptm is not None and broken.asym_id is not None
    joined = StructurePredictor(monomer, "cpu").predict(job.alignment, **options)
    assert np.abs(broken.atoms - joined.atoms).max() > 1e-2  # the gap is seen


def test_without_padding_the_numbers_are_the_same(fixture_file: Callable[[str], Path]) -> None:
    predictor, batch, expected = read(fixture_file("protein/trimer"))
    real = np.asarray(batch["seq_mask"] > 0)
    n, cut = len(real), {}
    assert not real.all()
    for key, value in batch.items():
        for axis in [axis for axis, size in enumerate(value.shape) if size == n]:
            value = np.compress(real, value, axis)
        cut[key] = value
    results = predictor.predict_features(cut, 0, num_msa=5, num_extra_msa=7)
    for key in ("representations/pair", "structure_module/final_atom_positions"):
        want = expected[f"pass0/{key}"][real]
        want = want[:, real] if key.endswith("pair") else want
        scale = np.abs(want).max()
        assert np.abs(results[f"pass0/{key}"] - want).max() <= 3e-5 * scale
