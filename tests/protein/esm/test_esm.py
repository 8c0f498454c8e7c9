"""ESM-2 and MSA Transformer beside fair-esm and transformers, on random weights.

The fixture was made with `tests/fixtures/make/esm_models.py`: what the packages say of tokens with
masks and padding, and the parameters under the names of their files.
"""

import json
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from sciml.cli import main
from sciml.errors import InputError
from sciml.protein.esm.esm2 import Esm2
from sciml.protein.esm.layers import rotate
from sciml.protein.esm.msa_transformer import MSATransformer
from sciml.protein.esm.predictor import EsmPredictor, different_rows
from sciml.protein.esm.tokens import PAD, alignment_tokens, sequence_tokens
from sciml.protein.esm.weights import read_esm
from sciml.protein.io.alignment import Alignment

Arrays = dict[str, Any]
BOUND = 1e-5


@pytest.fixture(scope="module")
def arrays(fixture_file: Callable[[str], Path]) -> Arrays:
    with np.load(fixture_file("protein/esm.npz")) as file:
        found: Arrays = {k: torch.from_numpy(file[k]) for k in file if "/settings" not in k}
        texts = {k: bytes(file[k]).decode() for k in file if k.endswith(("settings", "texts"))}
    return found | {key: json.loads(text) for key, text in texts.items()}


def part(arrays: Arrays, prefix: str) -> dict[str, torch.Tensor]:
    """The tensors below a name, by the rest of their names."""
    return {k[len(prefix) + 1 :]: v for k, v in arrays.items() if k.startswith(prefix + "/")}


def fair_esm(arrays: Arrays, kind: str, folder: Path, regression: bool = True) -> Path:
    """A checkpoint as fair-esm publishes it."""
    settings = Namespace(**arrays[f"{kind}/settings"])
    held = {"args": settings} if kind == "msa" else {"cfg": {"model": settings}}
    path = folder / f"{kind}.pt"
    torch.save({**held, "model": part(arrays, f"{kind}/model")}, path)
    if regression:
        apart = {"model": part(arrays, f"{kind}/regression")}
        torch.save(apart, folder / f"{kind}-contact-regression.pt")
    return path


def hugging_face(arrays: Arrays, folder: Path, suffix: str = ".safetensors") -> Path:
    """A folder as `save_pretrained` writes it."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(arrays["hugging_face/settings"]))
    tensors = {k: v.clone() for k, v in part(arrays, "hugging_face/model").items()}
    if suffix == ".safetensors":
        save_file(tensors, folder / "model.safetensors")
    else:
        torch.save(tensors, folder / "pytorch_model.bin")
    return folder


def close(ours: torch.Tensor | None, theirs: torch.Tensor) -> None:
    assert ours is not None and ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= BOUND * max(1.0, float(theirs.abs().max()))


@pytest.mark.parametrize("kind", ["esm2", "hugging_face"])
def test_esm2_says_what_the_packages_say(kind: str, arrays: Arrays, tmp_path: Path) -> None:
    make = (
        fair_esm(arrays, kind, tmp_path) if kind == "esm2" else hugging_face(arrays, tmp_path / "x")
    )
    model = read_esm(make)
    assert isinstance(model, Esm2)
    tokens = arrays[f"{kind}/tokens"]
    real = tokens != PAD
    assert not real.all() and (tokens == 32).any()
    with torch.no_grad():
        plain, output = model(tokens), model(tokens, contacts=True, maps=True)
    for out in (plain, output):
        close(out.logits[real], arrays[f"{kind}/logits"][real])
    if kind == "esm2":
        close(output.representations[real], arrays["esm2/representations"][real])
    assert output.contacts is not None and output.maps is not None
    residues = (tokens[:, 1:-1] != PAD) & (tokens[:, 1:-1] != 2)
    both = residues[:, :, None] & residues[:, None]
    close(output.contacts.sigmoid()[both], arrays[f"{kind}/contacts"][both])
    assert float(arrays[f"{kind}/contacts"].std()) > 0.05
    head = model.head_contacts
    assert head is not None
    again = torch.einsum("bcij,c->bij", output.maps, head.weight[0]) + head.bias
    close(again, output.contacts)


@pytest.mark.parametrize("batch", ["msa", "msa_padded"])
def test_msa_transformer_says_what_the_package_says(
    batch: str, arrays: Arrays, tmp_path: Path
) -> None:
    model = read_esm(fair_esm(arrays, "msa", tmp_path))
    assert isinstance(model, MSATransformer)
    tokens = arrays[f"{batch}/tokens"]
    real = tokens != PAD
    with torch.no_grad():
        output = model(tokens, contacts=True)
        plain = model(tokens)
    assert output.logits is not None and plain.logits is not None
    for out in (plain, output):
        close(out.logits[real], arrays[f"{batch}/logits"][real])
        close(out.representations[real], arrays[f"{batch}/representations"][real])
    assert output.contacts is not None
    close(output.contacts[0].sigmoid(), arrays[f"{batch}/contacts"][0])


def test_the_published_names_of_both_attentions_are_exchanged(
    arrays: Arrays, tmp_path: Path
) -> None:
    """A control: what fair-esm saves once loaded has the right names, and must not be exchanged."""
    model = read_esm(fair_esm(arrays, "msa", tmp_path))
    plain: dict[str, torch.Tensor] = {}
    other = {"row": "column", "column": "row"}
    for name, value in part(arrays, "msa/model").items():
        short = name.removeprefix("encoder.").removeprefix("sentence_encoder.")
        kind = next((k for k in other if f"{k}_self" in short), "")
        plain[short.replace(kind, other[kind]) if kind else short] = value
    torch.save(plain | part(arrays, "msa/regression"), tmp_path / "plain.pt")
    again = read_esm(tmp_path / "plain.pt").state_dict()
    assert all(torch.equal(value, again[name]) for name, value in model.state_dict().items())
    row, column = (model.layers[0].get_submodule(f"{k}_attention") for k in other)
    assert not torch.equal(row.linear_q.weight, column.linear_q.weight)  # type: ignore[union-attr,arg-type]


def test_tokens_are_those_of_the_package(arrays: Arrays) -> None:
    for row, text in zip(arrays["esm2/tokens"], arrays["esm2/texts"], strict=True):
        ours = sequence_tokens(text)
        same = (row[: len(ours)] == ours) | (row[: len(ours)] == 32)
        assert same.all() and (row[len(ours) :] == PAD).all()
    rows = alignment_tokens(Alignment.from_sequences(arrays["msa/texts"]))
    unlike = rows != arrays["msa/tokens"][0]
    letters = [[" ", *text] for text in arrays["msa/texts"]]
    assert {letters[r][c] for r, c in unlike.nonzero().tolist()} <= {"B", "Z", letters[1][4]}


def test_layouts_of_hugging_face(arrays: Arrays, tmp_path: Path) -> None:
    folder = hugging_face(arrays, tmp_path / "one")
    model = read_esm(folder)
    for path in (folder / "model.safetensors", hugging_face(arrays, tmp_path / "two", ".bin")):
        other = read_esm(path).state_dict()
        assert all(torch.equal(v, other[k]) for k, v in model.state_dict().items())
    trunk = {  # an `EsmModel` alone: no prefix, no head of tokens, a pooler
        k.removeprefix("esm."): v.clone()
        for k, v in part(arrays, "hugging_face/model").items() if k.startswith("esm.")
    }  # fmt: skip
    save_file(trunk | {"pooler.dense.weight": torch.zeros(12, 12)}, tmp_path / "model.safetensors")
    bare = read_esm(tmp_path / "model.safetensors")
    assert isinstance(bare, Esm2) and bare.head_tokens is None
    tokens = arrays["hugging_face/tokens"]
    with torch.no_grad():
        close(bare(tokens).representations, model(tokens).representations)


def test_predictions_of_a_chain(arrays: Arrays, tmp_path: Path) -> None:
    esm2 = EsmPredictor.from_esm(fair_esm(arrays, "esm2", tmp_path), device="cpu")
    text = arrays["esm2/texts"][1]
    contacts = esm2.predict(text)
    assert contacts.shape == (9, 9) and contacts.rows == 1 and contacts.query == text
    assert contacts.table(6)[0][2] == pytest.approx(
        max(contacts[i, i + 6 :].max() for i in range(3))
    )
    close(torch.from_numpy(contacts.probability), arrays["esm2/contacts"][1, :9, :9])
    embedding = esm2.embed(text)
    assert embedding.shape == (9, 16) and embedding.pairs.shape == (9, 9, 6)
    msa = EsmPredictor.from_esm(fair_esm(arrays, "msa", tmp_path), device="cpu")
    rows = ["".join("X" if c in "BZ" else c for c in row) for row in arrays["msa/texts"]]
    path = tmp_path / "x.a3m"
    path.write_text("".join(f">{k}\n{row}\n" for k, row in enumerate(rows)))
    assert np.array_equal(
        msa.predict(path).probability, msa.predict(Alignment.from_sequences(rows))
    )
    assert msa.predict(path, max_rows=2).rows == 2
    assert msa.embed(path).pairs.shape == (11, 11, 6)
    msa.save(tmp_path / "saved.safetensors")
    again = EsmPredictor.from_pretrained(tmp_path / "saved.safetensors", device="cpu")
    assert np.array_equal(again.predict(path), msa.predict(path))


def test_contacts_on_the_command_line(arrays: Arrays, tmp_path: Path, capsys: Any) -> None:
    text = arrays["esm2/texts"][1]
    (tmp_path / "x.fasta").write_text(f">x\n{text}\n")
    model = str(fair_esm(arrays, "esm2", tmp_path))
    command = ["protein", "contacts", str(tmp_path / "x.fasta"), "--model", model]
    assert main([*command, "-o", str(tmp_path / "x.tsv")]) == 0
    lines = (tmp_path / "x.tsv").read_text().splitlines()
    assert lines[0] == "i\tj\tprobability" and len(lines) == 1 + 3 + 2 + 1
    assert main([*command, "-o", str(tmp_path / "x.npz")]) == 0
    with np.load(tmp_path / "x.npz") as file:
        close(torch.from_numpy(file["probability"]), arrays["esm2/contacts"][1, :9, :9])
    assert main([*command, "-o", str(tmp_path / "y.tsv"), "--columns", "all"]) == 2
    assert "query's residues" in capsys.readouterr().err


def test_what_is_refused(arrays: Arrays, tmp_path: Path) -> None:
    alone = fair_esm(arrays, "esm2", tmp_path, regression=False)
    settings = read_esm(alone)  # heads from the settings and the rotary frequencies
    assert isinstance(settings, Esm2) and settings.config.heads == 2
    with pytest.raises(InputError, match="no head of contacts"):
        EsmPredictor(settings, "cpu").predict("ACDEF")
    state = part(arrays, "hugging_face/model")
    for change, message in (
        ({"esm.encoder.layer.0.LayerNorm.bias": None}, "layer_norm_transition"),
        ({"trunk.x": torch.zeros(1)}, "surplus"),
        ({"esm.embeddings.word_embeddings.weight": None}, "33 tokens"),
        ({"lm_head.decoder.weight": torch.zeros(33, 12)}, "weights of its own"),
        ({"esm.encoder.layer.7.LayerNorm.bias": torch.zeros(12)}, "numbers the"),
    ):
        tensors = {k: v for k, v in (state | change).items() if v is not None}
        torch.save(tensors, tmp_path / "x.bin")
        with pytest.raises(InputError, match=message):
            read_esm(tmp_path / "x.bin")
    contradictory = hugging_face(arrays, tmp_path / "odd")
    (contradictory / "config.json").write_text('{"num_attention_heads": 6}')
    with pytest.raises(InputError, match="contradictory"):
        read_esm(contradictory)
    (contradictory / "config.json").write_text('{"position_embedding_type": "absolute"}')
    with pytest.raises(InputError, match="learned positions"):
        read_esm(contradictory)
    msa = read_esm(fair_esm(arrays, "msa", tmp_path))
    with pytest.raises(InputError, match="31 columns; this MSA Transformer takes at most 29"):
        msa(torch.full((1, 2, 32), 5))


def test_rotary_positions_are_relative() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(2, 8, dtype=torch.float64)
    places = rotate(x.expand(30, 8)), rotate(y.expand(30, 8))
    products = places[0] @ places[1].T
    assert torch.allclose(products[3, 10], products[12, 19]) and products[3, 10] != products[3, 11]


def test_rows_that_differ_are_taken() -> None:
    rows = np.array([[0, 0, 0, 0], [0, 0, 0, 1], [2, 2, 2, 2], [2, 2, 2, 3], [0, 1, 1, 1]])
    assert different_rows(rows, 2).tolist() == [0, 2]
    assert different_rows(rows, 3).tolist() == [0, 2, 4]
    assert different_rows(rows, 9).tolist() == [0, 1, 2, 3, 4]
