"""Equality with the published network on random parameters; parameter files; batches.

The fixtures were made by running the public implementation in JAX (PyPI alphafold-colabfold 2.3.6)
on random parameters and features with `tests/fixtures/make/alphafold_network.py`; no trained
weights are in them.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sciml.errors import InputError
from sciml.protein import StructurePredictor
from sciml.protein.alphafold.model import AlphaFold, AlphaFoldConfig, TemplateConfig
from sciml.protein.alphafold.weights.official import (
    array_mappings,
    from_arrays,
    infer_config,
    to_arrays,
)
from sciml.protein.alphafold.weights.openfold import openfold_name
from sciml.protein.io.residues import ATOM14_LOCAL

FIXTURES = Path(__file__).parents[2] / "fixtures" / "protein"
SMALL = AlphaFoldConfig(
    msa_dim=16, pair_dim=8, extra_dim=8, single_dim=12, blocks=1, extra_blocks=1, msa_heads=2,
    column_heads=2, pair_heads=2, outer_dim=3, triangle_dim=6, structure_dim=12, ipa_heads=2,
    scalar_qk=3, scalar_v=4, point_qk=2, point_v=3, angle_dim=8, plddt_dim=8, structure_layers=2,
    templates=TemplateConfig(dim=8, blocks=1, heads=2, head_dim=4, hidden=5, attention_head_dim=2),
)  # fmt: skip


def random_small(seed: int = 0, config: AlphaFoldConfig = SMALL) -> AlphaFold:
    torch.manual_seed(seed)
    model = AlphaFold(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.2)
            if parameter.ndim == 1:
                parameter.add_(0.5)
    return model


def random_batch(n: int = 13, seed: int = 1, templates: int = 0) -> dict[str, np.ndarray]:
    g = np.random.default_rng(seed)
    s, e = 4, 5
    batch = {
        "aatype": g.integers(0, 20, n),
        "residue_index": np.arange(n),
        "seq_mask": np.ones(n, "f4"),
        "target_feat": g.random((n, 22)).astype("f4"),
        "msa_feat": g.random((s, n, 49)).astype("f4"),
        "msa_mask": np.ones((s, n), "f4"),
        "extra_msa": g.integers(0, 22, (e, n)),
        "extra_msa_mask": np.ones((e, n), "f4"),
        "extra_has_deletion": (g.random((e, n)) < 0.1).astype("f4"),
        "extra_deletion_value": g.random((e, n)).astype("f4"),
    }
    if templates:
        batch |= {
            "template_aatype": g.integers(0, 21, (templates, n)),
            "template_mask": np.ones(templates, "f4"),
            "template_all_atom_positions": g.normal(0, 8, (templates, n, 37, 3)).astype("f4"),
            "template_all_atom_masks": (g.random((templates, n, 37)) < 0.9).astype("f4"),
            "template_pseudo_beta": g.normal(0, 8, (templates, n, 3)).astype("f4"),
            "template_pseudo_beta_mask": np.ones((templates, n), "f4"),
        }
    return batch


def assert_equals_reference(folder: Path) -> None:
    predictor = StructurePredictor.from_alphafold(folder / "params.npz", device="cpu")
    batch, expected = (dict(np.load(folder / f"{name}.npz")) for name in ("batch", "expected"))
    passes = 1 + max(int(key.split("/")[0].removeprefix("pass")) for key in expected)
    results = predictor.predict_features(batch, passes - 1)
    assert not set(expected) - set(results)
    real = batch["seq_mask"] > 0
    n = len(real)
    for key, want in expected.items():
        have = results[key]
        assert have.shape == want.shape, key
        axes = [axis for axis, size in enumerate(want.shape) if size == n]
        inside = np.ones(want.shape, bool)
        for axis in axes[:2]:
            shape = [1] * want.ndim
            shape[axis] = n
            inside &= real.reshape(shape)
        for region in (inside, ~inside):  # padding is large: compared by itself
            if region.any():
                scale = np.abs(want[region]).max()
                error = np.abs(have[region] - want[region]).max()
                assert error <= 1e-4 * max(scale, 1e-3), (key, error, scale)


@pytest.mark.parametrize("name", ["templates", "plain", "deep"])
def test_equals_the_published_network(name: str, fixture_file: Callable[[str], Path]) -> None:
    assert_equals_reference(fixture_file(f"protein/{name}"))


@pytest.mark.parametrize("name", ["templates", "no_templates"])
def test_equals_the_published_network_at_more_blocks(shared: Path, name: str) -> None:
    assert_equals_reference(shared / "data/protein/af2_parity" / name)


def test_every_official_array_has_a_place(fixture_file: Callable[[str], Path]) -> None:
    listed = json.loads(fixture_file("protein/official_shapes.json").read_text())
    shapes = {name: tuple(shape) for name, shape in listed}
    config = infer_config(shapes)
    assert config == AlphaFoldConfig()
    assert {mapping.array for mapping in array_mappings(config)} == set(shapes)
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == 93_236_853 or len(shapes) == 338


@pytest.mark.parametrize("fused", [False, True])
def test_round_trip_is_exact(tmp_path: Path, fused: bool) -> None:
    model = random_small()
    arrays = to_arrays(model, fused)
    again = from_arrays(arrays)
    assert again.fused_layout is fused and again.config.triangle_dim == 6
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, dict(again.named_parameters())[name]), name
    path = tmp_path / "params.npz"
    StructurePredictor(again, "cpu").to_alphafold(path)
    with np.load(path) as file:
        assert (
            set(file.files)
            == set(arrays)
            == {mapping.array for mapping in array_mappings(again.config, again.fused_layout)}
        )
        assert all(np.array_equal(file[key], arrays[key]) for key in arrays)


def test_missing_unknown_and_misshapen_arrays_are_named(tmp_path: Path) -> None:
    arrays = to_arrays(random_small())
    less = dict(arrays)
    name = "alphafold/alphafold_iteration/masked_msa_head/logits//bias"
    del less[name]
    with pytest.raises(InputError, match="1 arrays are missing, such as .*masked_msa_head"):
        from_arrays(less)
    with pytest.raises(InputError, match="1 arrays are not known, such as 'extra//bias'"):
        from_arrays(arrays | {"extra//bias": np.zeros(3)})
    with pytest.raises(InputError, match=r"gives \(5,\), \(23,\) is needed"):
        from_arrays(arrays | {name: np.zeros(5, "f4")})
    path = tmp_path / "bad.npz"
    path.write_bytes(b"no npz")
    with pytest.raises(InputError, match="not a readable npz"):
        StructurePredictor.from_alphafold(path)


def openfold_state(model: AlphaFold) -> dict[str, torch.Tensor]:
    """The model under OpenFold's names: the inverse of `openfold_name`, spelled out."""
    rules = [
        ("input_embedder.linear_left", "input_embedder.linear_tf_z_i"),
        ("input_embedder.linear_right", "input_embedder.linear_tf_z_j"),
        ("input_embedder.linear_target_m", "input_embedder.linear_tf_m"),
        ("input_embedder.linear_msa", "input_embedder.linear_msa_m"),
        ("input_embedder.linear_relative", "input_embedder.linear_relpos"),
        ("template_embedder.linear_pair", "template_pair_embedder.linear"),
        ("template_embedder.linear_angle_", "template_angle_embedder.linear_"),
        ("template_embedder.blocks.", "template_pair_stack.blocks."),
        ("template_embedder.layer_norm", "template_pair_stack.layer_norm"),
        ("template_embedder.attention.", "template_pointwise_att.mha."),
        ("linear_extra", "extra_msa_embedder.linear"),
        ("linear_single", "evoformer.linear"),
        ("head_masked_msa", "aux_heads.masked_msa.linear"),
        ("head_distogram", "aux_heads.distogram.linear"),
        ("head_resolved", "aux_heads.experimentally_resolved.linear"),
        ("head_pae", "aux_heads.tm.linear"),
        ("head_plddt", "aux_heads.plddt"),
        ("structure_module.linear_update", "structure_module.bb_update.linear"),
        ("structure_module.layer_norm_transition", "structure_module.transition.layer_norm"),
        ("structure_module.transition.0", "structure_module.transition.layers.0.linear_1"),
        ("structure_module.transition.1", "structure_module.transition.layers.0.linear_2"),
        ("structure_module.transition.2", "structure_module.transition.layers.0.linear_3"),
    ]
    state = {}
    for key, value in model.state_dict().items():
        name = key
        for ours, theirs in rules:
            if name.startswith(ours):
                name = theirs + name[len(ours) :]
                break
        for stack, theirs in (("evoformer", "evoformer"), ("extra_stack", "extra_msa_stack")):
            if name.startswith(f"{stack}.0."):
                inner = name.removeprefix(f"{stack}.0.")
                inner = inner.replace("row_attention", "msa_att_row")
                wrap = "global_attention." if stack == "extra_stack" else ""
                column = "msa_att_col." if stack == "extra_stack" else "msa_att_col._msa_att."
                if inner.startswith("column_attention."):
                    rest = inner.removeprefix("column_attention.")
                    inner = column + ("" if rest.startswith("layer_norm") else wrap) + rest
                inner = inner.replace("pair_update.", "core.")
                if inner.startswith(("msa_transition", "outer_product")):
                    inner = f"core.{inner}"
                name = f"{theirs}.blocks.0.{inner}"
        name = name.replace("structure_module.angles", "structure_module.angle_resnet")
        for layer in (0, 1):
            for part in (0, 1):
                name = name.replace(
                    f"angle_resnet.layers.{layer}.{part}.",
                    f"angle_resnet.layers.{layer}.linear_{part + 1}.",
                )
        state[name] = value
    return state


def test_openfold_checkpoints(tmp_path: Path) -> None:
    config = AlphaFoldConfig(
        **{**SMALL.__dict__, "templates": TemplateConfig(8, 1, 2, 4, 5, 2, 4, 2)}
    )
    model = random_small(3, config)
    state = openfold_state(model)
    assert {openfold_name(key) for key in state} == set(model.state_dict())
    state["structure_module.default_frames"] = torch.zeros(21, 8, 4, 4)
    path = tmp_path / "finetuning.pt"
    torch.save(state, path)
    again = StructurePredictor.from_openfold(path, device="cpu").model
    assert all(
        torch.equal(again.state_dict()[key], value) for key, value in model.state_dict().items()
    )


def test_openfold_checkpoints_with_fused_triangles(tmp_path: Path) -> None:
    config = AlphaFoldConfig(
        **{**SMALL.__dict__, "templates": TemplateConfig(8, 1, 2, 4, 5, 2, 4, 2)}
    )
    model = random_small(4, config)
    state = openfold_state(model)
    for key in [k for k in state if "linear_a_" in k]:
        pair = state.pop(key), state.pop(key.replace("linear_a_", "linear_b_"))
        state[key.replace("linear_a_", "linear_ab_")] = torch.cat(pair)
    path = tmp_path / "fused.pt"
    torch.save({"ema": {"params": {f"model.{k}": v for k, v in state.items()}}}, path)
    again = StructurePredictor.from_openfold(path, device="cpu").model
    assert all(
        torch.equal(again.state_dict()[key], value) for key, value in model.state_dict().items()
    )


def test_openfold_checkpoints_of_the_multimer(tmp_path: Path) -> None:
    """Names and layouts of OpenFold's import of AlphaFold-Multimer's arrays."""
    template = TemplateConfig(8, 1, 2, 4, 5, 2, 1, 1)
    config = AlphaFoldConfig(**{**SMALL.__dict__, "templates": template}).as_multimer()
    model = random_small(5, config)
    inputs = (
        "dgram_linear pseudo_beta_mask_linear aatype_linear_1 aatype_linear_2 x_linear y_linear "
        "z_linear backbone_mask_linear"
    ).split()
    rules = [(f"template_embedder.inputs.{k}.", f"template_pair_embedder.{name}.")
             for k, name in enumerate(inputs)]  # fmt: skip
    rules += [
        ("template_pair_stack.", "template_pair_stack."),
        ("template_pair_stack.layer_norm_query.",
         "template_pair_embedder.query_embedding_layer_norm."),
        ("template_embedder.linear_query.", "template_pair_embedder.query_embedding_linear."),
        ("template_embedder.linear_out.", "linear_t."),
        ("template_angle_embedder.linear_1.", "template_single_embedder.template_single_embedder."),
        ("template_angle_embedder.linear_2.", "template_single_embedder.template_projector."),
    ]  # fmt: skip
    official = StructurePredictor(model, "cpu").to_alphafold()
    ipa = "alphafold/alphafold_iteration/structure_module/fold_iteration/invariant_point_attention/"
    state = {}
    for key, value in openfold_state(model).items():
        name = key
        for ours, theirs in rules:
            if key.startswith(ours):
                name = "template_embedder." + theirs + key[len(ours) :]
        if ".ipa.linear_" in name and "_points." in name:  # as OpenFold takes it from AlphaFold's
            kind, end = name.split(".ipa.linear_")[1][0], name.rsplit(".", 1)[1]
            array = official[
                f"{ipa}{kind}_point_projection/point_projection//"
                + ("weights" if end == "weight" else "bias")
            ]
            flat = array.reshape(len(array), -1).T if end == "weight" else array.reshape(-1)
            name = name.replace("_points.", "_points.linear.")
            value = torch.as_tensor(np.ascontiguousarray(flat))
        state[name] = value
    for key in [k for k in state if "linear_a_" in k]:
        pair = state.pop(key), state.pop(key.replace("linear_a_", "linear_b_"))
        state[key.replace("linear_a_", "linear_ab_")] = torch.cat(pair)
    path = tmp_path / "multimer.pt"
    torch.save(state, path)
    again = StructurePredictor.from_openfold(path, device="cpu").model
    assert replace(again.config, structure_layers=config.structure_layers) == model.config
    named = again.state_dict()
    assert all(torch.equal(named[key], value) for key, value in model.state_dict().items())


def test_bfloat16_runs_near_the_full_precision() -> None:
    model = random_small()
    tensors = StructurePredictor(model, "cpu").tensors(random_batch(templates=1))
    with torch.no_grad():
        want = model(tensors)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = model(tensors)
    assert output.z.dtype in (torch.float32, torch.bfloat16) and output.atoms.isfinite().all()
    difference = (output.z.float() - want.z).norm() / want.z.norm()
    assert 1e-5 < float(difference) < 0.05  # lower precision is in use, and does no more harm
    # Atoms are built in full precision: rigid groups keep their shape.
    assert output.atoms.dtype == torch.float32
    step = output.structure.atoms[-1, 0, :, 1] - output.structure.atoms[-1, 0, :, 0]  # N to CA
    local = torch.as_tensor(ATOM14_LOCAL)[tensors["aatype"][0]]
    assert torch.allclose(step.norm(dim=-1), (local[:, 1] - local[:, 0]).norm(dim=-1), atol=1e-4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(tensors).z.float().square().mean()
    loss.backward()
    gradients = [p.grad for p in model.evoformer.parameters() if p.grad is not None]
    assert gradients and all(g.isfinite().all() for g in gradients)


def test_pickled_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "evil.pt"
    torch.save({"x": Path("a")}, path)
    with pytest.raises(InputError, match="plain tensors"):
        StructurePredictor.from_openfold(path)


def test_batch_of_chains_equals_one_at_a_time() -> None:
    from sciml.protein import Alignment
    from sciml.protein.alphafold.feature_config import FeatureConfig
    from sciml.protein.alphafold.job import Job

    predictor = StructurePredictor(random_small(), "cpu")
    config = FeatureConfig(clusters=3, extra=4)
    jobs = [
        Job(Alignment.from_sequences(rows, source=name), (), name)
        for name, rows in (
            ("a", ["ACDEFGHIKLMN", "ACD-FGHIKLMN", "AC-EFGHIKLMN", "GGDEFGHIKLMN", "ACDEFG------"]),
            ("b", ["MKVLAAG", "MKVLAA-"]),
            ("c", ["WWWYYPPP"]),
        )
    ]
    together = predictor.predict_many(jobs, config=config, recycles=1)
    for job, prediction in zip(jobs, together, strict=True):
        alone = predictor.predict(job.alignment, config=config, recycles=1)
        assert np.abs(prediction.atoms - alone.atoms).max() < 1e-3
        assert np.abs(prediction.plddt - alone.plddt).max() < 1e-3
        assert prediction.pae is not None and alone.pae is not None
        assert np.abs(prediction.pae - alone.pae).max() < 1e-3


def test_slices_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from sciml.nn import in_place

    predictor = StructurePredictor(random_small(), "cpu")
    batch = random_batch(templates=2)
    whole = predictor.predict_features(batch, 1)
    monkeypatch.setattr(in_place, "SLICE_BYTES", 1 << 10)
    sliced = predictor.predict_features(batch, 1)
    for key, want in whole.items():
        scale = max(1.0, np.abs(want).max())
        assert np.abs(sliced[key] - want).max() <= 1e-5 * scale, key


def test_gradient_path_equals_inference_path() -> None:
    model = random_small()
    predictor = StructurePredictor(model, "cpu")
    tensors = predictor.tensors(random_batch(templates=1))
    with torch.no_grad():
        inference = model(tensors)
    training = model(tensors)
    pairs = [(getattr(inference, name), getattr(training, name)) for name in ("atoms", "m", "z")]
    pairs += [(inference.logits[name], value) for name, value in training.logits.items()]
    for one, other in pairs:
        assert (one - other).abs().max() <= 1e-5 * other.detach().abs().max()
    training.atoms.square().mean().backward()
    want = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    model.checkpoint_blocks = True
    again = model(tensors)
    again.atoms.square().mean().backward()
    assert torch.allclose(again.atoms, training.atoms, atol=1e-5)
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert set(gradients) == set(want) and len(want) > 150
    largest = max(float(g.abs().max()) for g in want.values())
    for name, gradient in want.items():
        assert (gradients[name] - gradient).abs().max() <= 1e-5 * largest, name


def test_rotating_a_template_changes_nothing() -> None:
    model = random_small()
    predictor = StructurePredictor(model, "cpu")
    batch = random_batch(templates=1)
    turned = dict(batch)
    q, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    q = q if np.linalg.det(q) > 0 else -q
    for key in ("template_all_atom_positions", "template_pseudo_beta"):
        turned[key] = (batch[key] @ q.T).astype("f4")
    one, other = (predictor.predict_features(b, 0) for b in (batch, turned))
    key = "pass0/representations/pair"
    assert np.abs(one[key] - other[key]).max() < 1e-2 * np.abs(one[key]).max()


def test_too_long_chains_are_refused_at_once() -> None:
    import time

    from sciml.protein.alphafold import memory
    from sciml.protein.alphafold.feature_config import FeatureConfig

    config, features = AlphaFoldConfig(), FeatureConfig()
    started = time.perf_counter()
    needed = memory.estimate(config, 5000, features)
    with pytest.raises(
        InputError, match=r"5000 residues need about .* Chains of up to \d+ residues"
    ):
        memory.check(needed, config, 5000, features, 24 * 2**30)
    assert time.perf_counter() - started < 1
    memory.check(memory.estimate(config, 300, features), config, 300, features, 24 * 2**30)


def test_missing_features_are_named() -> None:
    batch = random_batch()
    del batch["msa_feat"]
    with pytest.raises(InputError, match="lack msa_feat"):
        StructurePredictor(random_small(), "cpu").predict_features(batch, 0)
