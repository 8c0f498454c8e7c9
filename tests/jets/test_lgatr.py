"""L-GATr: the outputs of its package, and jets as its authors' code describes them."""

import json
from typing import Any

import numpy as np
import pytest
import torch

from sciml.errors import InputError
from sciml.jets import JetTagger
from sciml.jets.lgatr import LGATrInputs, config_of
from sciml.jets.networks.geometric_algebra import BLADES, INNER, REVERSAL, geometric_product
from sciml.jets.networks.lgatr import LGATr, LGATrConfig

NAMES = ("default", "mirrors", "no bivectors", "no product", "multi-query", "head scale",
         "no gains", "reinserted", "dropout", "no scalars in", "deeper", "one layer")  # fmt: skip
TOLD: dict[str, dict] = {"no bivectors": {"bivector": False}, "deeper": {"activation": "silu"},
        "reinserted": {"reinserted": (0, 2), "reinserted_scalars": (1,)}}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_outputs_of_the_package(name, fixture_script, fixture_file):
    script, draw = fixture_script("lgatr_outputs"), fixture_script("weaver_core").draw
    stored = np.load(fixture_file("jets/lgatr.npz"))
    shapes = json.loads(str(stored["shapes"]))
    assert tuple(script.CASES) == tuple(shapes) == NAMES
    state = {k: torch.from_numpy(v) for k, v in draw(shapes[name], 300 + NAMES.index(name)).items()}
    network = LGATr(config_of(state, 2, **TOLD.get(name, {}))).eval()
    network.load_state_dict(state)
    made = {k: torch.from_numpy(v) for k, v in script.inputs().items()}
    scalars = made["scalars"] if network.config.scalar_inputs else None
    with torch.no_grad():
        x, s = network(made["multivectors"], scalars, made["mask"])
    assert np.abs(x[made["mask"]].numpy() - stored[f"{name}: multivectors"]).max() < 1e-5
    if f"{name}: scalars" in stored:
        assert s is not None
        assert np.abs(s[made["mask"]].numpy() - stored[f"{name}: scalars"]).max() < 1e-5
    else:
        assert s is None


def test_products_are_associative_and_give_the_metric():
    x, y, z = torch.randn(3, 5, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    left = geometric_product(geometric_product(x, y), z)
    torch.testing.assert_close(left, geometric_product(x, geometric_product(y, z)))
    p = torch.zeros(16, dtype=torch.float64)
    p[1:5] = torch.tensor([5.0, 1.0, 2.0, 3.0])
    assert geometric_product(p, p)[0] == 25 - 14 and BLADES[8] == (1, 2)
    torch.testing.assert_close(geometric_product(REVERSAL * x, x)[:, 0], (INNER * x * x).sum(-1))


def small(inputs, classes=2):
    """Weights of a network for these inputs, in a wrapper as in the authors' checkpoints."""
    torch.manual_seed(0)
    channels = 1 if inputs.reference_tokens else 1 + len(inputs.references())
    config = LGATrConfig(
        inputs=channels, outputs=classes, channels=4, scalars=8, blocks=1, heads=2, head_channels=2,
        scalar_inputs=int(inputs.global_token), head_scalars=4, hidden=8, hidden_scalars=16,
    )  # fmt: skip
    return {f"net.{name}": value for name, value in LGATr(config).state_dict().items()}


@pytest.mark.parametrize("options", [{}, {"beam": "lightlike", "reference_tokens": True},
                                     {"global_token": False, "time": False}])  # fmt: skip
def test_jets_are_described_as_in_the_authors_code(options, jets, tmp_path):
    state = small(LGATrInputs(**options), classes=1)
    torch.save({"model": state}, tmp_path / "best.pt")
    tagger = JetTagger.from_lgatr(tmp_path / "best.pt", num_heads=2, classes=["one"], **options)
    columns = jets([7, 3])
    network: Any = tagger.network.network
    chosen = {n: torch.tensor(np.asarray(columns[f"part_{n}"][1])) for n in
              ("energy", "px", "py", "pz")}  # fmt: skip
    items = torch.zeros(1, 3, 1, 16)
    items[0, :, 0, 1:5] = torch.stack(list(chosen.values()), 1) / 20
    beams = {"lightlike": [[1.0, 0, 0, 1], [1.0, 0, 0, -1]], "xyplane": []}
    rows = [np.eye(16)[8]] if options.get("beam", "xyplane") == "xyplane" else []
    for beam in beams[options.get("beam", "xyplane")] + [[1, 0, 0, 0]] * options.get("time", True):
        rows.append(np.concatenate([[0], beam, np.zeros(11)]))
    references = torch.tensor(np.array(rows), dtype=torch.float32)
    if options.get("reference_tokens"):
        items = torch.cat([references[None, :, None], items], 1)
    else:
        items = torch.cat([items, references.expand(1, 3, -1, -1)], 2)
    scalars = None
    if options.get("global_token", True):
        items = torch.cat([torch.zeros_like(items[:, :1]), items], 1)
        scalars = torch.zeros(1, items.shape[1], 1)
        scalars[0, 0] = 1
    with torch.no_grad():
        out = network(items, scalars, torch.ones(items.shape[:2], dtype=torch.bool))[0][0, ..., 0]
        want = out[0] if scalars is not None else out.mean(0)
        batch = tagger._batch(dense_of(columns, tagger))
        logits = tagger(batch)[1]  # with a temperature of 1
        assert torch.allclose(logits, want, atol=1e-5)


def dense_of(columns, tagger):
    from sciml.jets.data.ragged import dense, to_ragged

    return dense(to_ragged(columns, features=tagger._columns(), limit=128))


def test_scores_survive_saving_and_what_does_not_fit_is_refused(jets, tmp_path):
    torch.save(small(LGATrInputs()), tmp_path / "best.pt")
    tagger = JetTagger.from_lgatr(tmp_path / "best.pt", num_heads=2, classes=("QCD", "Tbqq"))
    scores = tagger.predict(jets([7, 0, 3]))
    assert scores.flags.tolist() == [0, 1, 0] and np.isnan(scores[1]).all()
    tagger.save(tmp_path / "ours")
    again = JetTagger.from_pretrained(tmp_path / "ours", device="cpu").predict(jets([7, 0, 3]))
    np.testing.assert_array_equal(again, scores)
    with pytest.raises(InputError, match="attention heads do not share"):
        JetTagger.from_lgatr(tmp_path / "best.pt", num_heads=3)
    with pytest.raises(InputError, match="has 2 outputs, 1 are named"):
        JetTagger.from_lgatr(tmp_path / "best.pt", num_heads=2, classes=["QCD"])
    with pytest.raises(InputError, match="reads 3 multivectors per particle"):
        JetTagger.from_lgatr(tmp_path / "best.pt", num_heads=2, beam="none").predict(jets([3]))
    torch.save({"a": torch.ones(3)}, tmp_path / "other.pt")
    with pytest.raises(InputError, match="holds no weights of L-GATr"):
        JetTagger.from_lgatr(tmp_path / "other.pt")
