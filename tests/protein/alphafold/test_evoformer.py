"""Each block of the Evoformer alone against the public JAX code, in both of its forms."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sciml.nn import in_place
from sciml.protein.alphafold import evoformer_in_place
from sciml.protein.alphafold.evoformer import EvoformerBlock, Masks
from sciml.protein.alphafold.weights.official import read_alphafold

FIXTURES = Path(__file__).parents[2] / "fixtures" / "protein"
NAMES = (
    "msa_row_attention_with_pair_bias", "msa_column_attention", "msa_column_global_attention",
    "msa_transition", "outer_product_mean", "triangle_multiplication_outgoing",
    "triangle_multiplication_incoming", "triangle_attention_starting_node",
    "triangle_attention_ending_node", "pair_transition",
)  # fmt: skip


@pytest.fixture(scope="module")
def published() -> dict[str, Tensor]:
    with np.load(FIXTURES / "modules.npz") as file:
        return {key: torch.as_tensor(value)[None] for key, value in file.items()}


@pytest.fixture(scope="module")
def blocks() -> tuple[EvoformerBlock, EvoformerBlock]:
    """The first block and the first block for extra sequences."""
    model = read_alphafold(FIXTURES / "plain" / "params.npz").eval()
    return model.evoformer[0], model.extra_stack[0]  # type: ignore[return-value]


def update(name: str, block: EvoformerBlock, inputs: dict[str, Tensor], form: str) -> Tensor:
    """What a module returns, or what its form in place adds."""
    z, cells, pairs = inputs["z"].clone(), inputs["cells"] > 0, inputs["pairs"] > 0
    m = inputs["e" if "global" in name else "m"].clone()
    start = z.clone() if "triangle" in name or name.startswith(("outer", "pair")) else m.clone()
    of_pairs = block.pair_update
    modules: dict[str, tuple[Any, Any, tuple[Any, ...]]] = {
        "msa_row_attention_with_pair_bias":
            (block.row_attention, evoformer_in_place.row_attention, (m, z, cells)),
        "msa_column_attention":
            (block.column_attention, evoformer_in_place.column_attention, (m, cells)),
        "msa_column_global_attention":
            (block.column_attention, evoformer_in_place.column_attention, (m, cells)),
        "msa_transition": (block.msa_transition, in_place.transition, (m,)),
        "outer_product_mean": (block.outer_product_mean, in_place.outer_product_mean, (m, cells)),
        "triangle_multiplication_outgoing":
            (of_pairs.tri_mul_out, in_place.triangle_multiplication, (z, pairs)),
        "triangle_multiplication_incoming":
            (of_pairs.tri_mul_in, in_place.triangle_multiplication, (z, pairs)),
        "triangle_attention_starting_node":
            (of_pairs.tri_att_start, in_place.triangle_attention, (z, pairs)),
        "triangle_attention_ending_node":
            (of_pairs.tri_att_end, in_place.triangle_attention, (z, pairs)),
        "pair_transition": (of_pairs.pair_transition, in_place.transition, (z,)),
    }  # fmt: skip
    module, add, arguments = modules[name]
    if form == "module":
        return module(*arguments)
    if name == "outer_product_mean":
        arguments = (*arguments, z)
    return add(module, *arguments) - start


@pytest.mark.parametrize("form", ["module", "in place"])
@pytest.mark.parametrize("name", NAMES)
def test_block_equals_the_published_one(
    name: str,
    form: str,
    published: dict[str, Tensor],
    blocks: tuple[EvoformerBlock, EvoformerBlock],
) -> None:
    with torch.set_grad_enabled(form == "module"):
        computed = update(name, blocks["global" in name], published, form)
    want = published[name]
    real = torch.ones_like(want[..., 0], dtype=torch.bool)
    if name == "outer_product_mean":  # padded pairs are divided by 1e-3: compared relatively
        real = published["pairs"] > 0
        seen = torch.einsum("bsi,bsj->bij", published["cells"], published["cells"]) > 0
        real &= seen
        assert torch.allclose(computed[~real], want[~real], rtol=1e-4, atol=1e-3)
    assert want[real].abs().max() > 0.1
    assert (computed - want)[real].abs().max() <= 1e-5


@pytest.mark.parametrize("name", [n for n in NAMES if n.startswith("triangle_multiplication")])
def test_factors_in_groups_of_channels_give_the_same(
    name: str,
    published: dict[str, Tensor],
    blocks: tuple[EvoformerBlock, EvoformerBlock],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert in_place.factor_groups(1 << 29) == 4 and in_place.factor_groups(1 << 26) == 1
    with torch.no_grad():
        whole = update(name, blocks[0], published, "in place")
        monkeypatch.setattr(in_place, "FACTOR_BYTES", 1)
        parts = update(name, blocks[0], published, "in place")
    assert (parts - whole).abs().max() < 2e-6 and (published[name] - parts).abs().max() <= 1e-5


@pytest.mark.parametrize("gradients", [True, False])
def test_a_block_compiles_without_a_graph_break(
    gradients: bool, published: dict[str, Tensor], blocks: tuple[EvoformerBlock, EvoformerBlock]
) -> None:
    masks = Masks(published["cells"] > 0, published["pairs"] > 0)
    compiled = torch.compile(blocks[0], backend="eager", fullgraph=True)
    with torch.set_grad_enabled(gradients):
        one = compiled(published["m"].clone(), published["z"].clone(), masks)
        two = blocks[0](published["m"].clone(), published["z"].clone(), masks)
    real = masks.pair
    assert real is not None and (one[0] - two[0]).abs().max() < 2e-5
    assert (one[1] - two[1])[real].abs().max() < 2e-5
