"""Each block of the Evoformer alone against the public JAX code, in both of its forms."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from sciml.protein.alphafold.evoformer import (
    EvoformerBlock,
    outer_product_mean,
    pair_bias,
    transition,
    triangle_attention,
    triangle_multiplication,
)
from sciml.protein.alphafold.official_weights import read_alphafold

FIXTURES = Path(__file__).parents[1] / "fixtures"
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


def update(name: str, block: EvoformerBlock, given: dict[str, Tensor]) -> Tensor:
    """What the block adds to its input."""
    z, cells, pairs = given["z"].clone(), given["cells"] > 0, given["pairs"] > 0
    m = given["e" if "global" in name else "m"].clone()
    start = z.clone() if "triangle" in name or name.startswith(("outer", "pair")) else m.clone()
    pair = block.pair_update
    if name.startswith("msa_row"):
        row = block.row_attention
        return row(m, cells, pair_bias(row.layer_norm_z, row.linear_z, z)) - start
    if name.startswith("msa_column"):
        return block.column_attention(m, cells) - start
    if name == "msa_transition":
        return transition(block.msa_transition, m) - start
    if name == "outer_product_mean":
        return outer_product_mean(block.outer_product_mean, m, cells, z) - start
    if name.startswith("triangle_mult"):
        outgoing = name.endswith("outgoing")
        return (
            triangle_multiplication(pair.tri_mul_out if outgoing else pair.tri_mul_in, z, pairs)
            - start
        )
    if name.startswith("triangle_att"):
        starting = "starting" in name
        return (
            triangle_attention(pair.tri_att_start if starting else pair.tri_att_end, z, pairs)
            - start
        )
    return transition(pair.pair_transition, z) - start


@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_block_equals_the_published_one(
    name: str,
    gradients: bool,
    published: dict[str, Tensor],
    blocks: tuple[EvoformerBlock, EvoformerBlock],
) -> None:
    with torch.set_grad_enabled(gradients):
        found = update(name, blocks["global" in name], published)
    want = published[name]
    real = torch.ones_like(want[..., 0], dtype=torch.bool)
    if name == "outer_product_mean":  # padded pairs are divided by 1e-3: compared relatively
        real = published["pairs"] > 0
        seen = torch.einsum("bsi,bsj->bij", published["cells"], published["cells"]) > 0
        real &= seen
        assert torch.allclose(found[~real], want[~real], rtol=1e-4, atol=1e-3)
    assert want[real].abs().max() > 0.1
    assert (found - want)[real].abs().max() <= 1e-5
