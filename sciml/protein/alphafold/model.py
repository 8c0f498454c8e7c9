"""AlphaFold 2's network: features in, structure and confidences out.

Jumper et al., Nature 596, 583 (2021), supplementary algorithm 2 and section 1.9; by options of its
config AlphaFold-Multimer (Evans et al., bioRxiv 2021.10.04.463034). Every input and output has a
leading batch dimension; `sciml.protein.alphafold.predictor` is the form without one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from sciml.config import Range
from sciml.nn.in_place import slices
from sciml.nn.workers import by_slices
from sciml.protein.alphafold.embedders import (
    MSA_CLASSES,
    TARGET_CLASSES,
    AveragedTemplateEmbedder,
    Features,
    InputEmbedder,
    LanguageModelEmbedder,
    RecyclingEmbedder,
    TemplateEmbedder,
    pseudo_beta,
)
from sciml.protein.alphafold.evoformer import EvoformerBlock, Masks
from sciml.protein.alphafold.structure_module import (
    StructureModule,
    StructureModuleOutput,
    atom14_to_atom37,
)

Positive = Annotated[int, Range(min=1)]


@dataclass(frozen=True)
class TemplateConfig:
    """The template path."""

    dim: Positive = 64
    """Channels of a template's pairs."""
    blocks: Positive = 2
    """Blocks of the template pair stack."""
    heads: Positive = 4
    """Heads of its triangle attention."""
    head_dim: Positive = 16
    """Channels of one of them."""
    hidden: Positive = 64
    """Channels inside its triangle multiplication."""
    factor: Positive = 2
    """Hidden channels of its transition, over `dim`."""
    attention_heads: Positive = 4
    """Heads of the attention over templates."""
    attention_head_dim: Positive = 16
    """Channels of one of them."""
    torsions: bool = True
    """Whether templates' torsion angles become rows of the alignment."""
    average: bool = False
    """Whether templates are averaged, each with the query's pairs, and not attended over, and the
    rows hold chi angles alone (AlphaFold-Multimer)."""


@dataclass(frozen=True)
class AlphaFoldConfig:
    """The published sizes; importers read others from the parameters' shapes."""

    msa_dim: Positive = 256
    """Channels of the MSA representation."""
    pair_dim: Positive = 128
    """Channels of the pair representation."""
    extra_dim: Positive = 64
    """Channels of the extra sequences."""
    single_dim: Positive = 384
    """Channels of the single representation."""
    blocks: Positive = 48
    """Evoformer blocks."""
    extra_blocks: Annotated[int, Range(min=0)] = 4
    """Blocks of the extra sequences' stack; 0: they are not read."""
    msa_heads: Positive = 8
    """Heads of the row attention."""
    column_heads: Positive = 8
    """Heads of the column attention."""
    pair_heads: Positive = 4
    """Heads of the triangle attention."""
    outer_dim: Positive = 32
    """Channels of each side of the outer product mean."""
    triangle_dim: Positive = 128
    """Channels inside the triangle multiplications."""
    structure_dim: Positive = 384
    """Channels of the structure module."""
    structure_layers: Positive = 8
    """Its layers, which share their weights."""
    ipa_heads: Positive = 12
    """Heads of the invariant point attention."""
    scalar_qk: Positive = 16
    """Scalar channels of its queries and keys."""
    scalar_v: Positive = 16
    """Scalar channels of its values."""
    point_qk: Positive = 4
    """Points of its queries and keys."""
    point_v: Positive = 8
    """Points of its values."""
    angle_dim: Positive = 128
    """Channels of the torsion angle network."""
    plddt_dim: Positive = 128
    """Channels of the pLDDT head."""
    plddt_bins: Positive = 50
    """Classes of the pLDDT head."""
    distogram_bins: Positive = 64
    """Classes of the distogram."""
    pae_bins: Annotated[int, Range(min=0)] = 64
    """Classes of the predicted aligned error; 0: the model has no such head."""
    templates: TemplateConfig | None = TemplateConfig()
    """The template path, or none."""
    target_classes: Positive = TARGET_CLASSES
    """Channels of `target_feat`: 22 with a flag of domain breaks in front, 21 without."""
    masked_classes: Positive = MSA_CLASSES
    """Classes of the masked MSA head."""
    chain_positions: bool = False
    """Whether relative positions tell chains and copies of one apart (AlphaFold-Multimer)."""
    outer_product_first: bool = False
    """Whether the outer product mean is the first update of a block (AlphaFold-Multimer)."""
    separate_projections: bool = False
    """Whether queries, keys and values of the point attention have a projection each, the scalars'
    without bias (AlphaFold-Multimer)."""
    embedding_dim: Annotated[int, Range(min=0)] = 0
    """Channels of a protein language model's embedding, which stands in place of the alignment
    (OpenFold's SoloSeq, with no extra sequences and no attention along columns); 0: none."""
    position_scale: Annotated[float, Range(min=0.1)] = 10.0
    """Unit of length of the structure module [A]; 20 in AlphaFold-Multimer."""

    def as_multimer(self) -> AlphaFoldConfig:
        """These sizes with the options of AlphaFold-Multimer."""
        templates = self.templates and replace(self.templates, average=True)
        return replace(
            self, templates=templates, chain_positions=True, target_classes=TARGET_CLASSES - 1,
            masked_classes=MSA_CLASSES - 1, outer_product_first=True, separate_projections=True,
            position_scale=20.0,
        )  # fmt: skip


@dataclass
class Recycled:
    """What is recycled to the next pass: [B, N, c], [B, N, N, p] and atoms [B, N, 37, 3]."""

    msa_row: Tensor
    pair: Tensor
    atoms: Tensor


@dataclass
class Output:
    """Results of one pass; shapes as in `AlphaFold.forward`."""

    m: Tensor
    z: Tensor
    single: Tensor
    structure: StructureModuleOutput
    atoms: Tensor
    atom_mask: Tensor
    logits: dict[str, Tensor]

    def recycle(self) -> Recycled:
        """For the next pass, without gradient."""
        return Recycled(self.m[:, 0].detach().clone(), self.z.detach(), self.atoms.detach())


class PlddtHead(nn.Module):
    """Algorithm 29: classes of the lDDT of each residue."""

    def __init__(self, dim: int, hidden: int, bins: int) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(dim)
        self.linear_1 = nn.Linear(dim, hidden)
        self.linear_2 = nn.Linear(hidden, hidden)
        self.linear_3 = nn.Linear(hidden, bins)

    def forward(self, s: Tensor) -> Tensor:
        """[B, N, c] -> [B, N, bins]."""
        s = F.relu(self.linear_1(self.layer_norm(s)))
        return self.linear_3(F.relu(self.linear_2(s)))


def _template_embedder(c: AlphaFoldConfig) -> TemplateEmbedder | AveragedTemplateEmbedder | None:
    t = c.templates
    if t is None:
        return None
    sizes = {
        "heads": t.heads, "head_dim": t.head_dim, "hidden": t.hidden, "blocks": t.blocks,
        "factor": t.factor, "msa_dim": c.msa_dim,
    }  # fmt: skip
    if t.average:
        return AveragedTemplateEmbedder(c.pair_dim, t.dim, torsions=t.torsions, **sizes)
    return TemplateEmbedder(
        c.pair_dim,
        t.dim,
        attention_heads=t.attention_heads,
        attention_head_dim=t.attention_head_dim,
        torsions=t.torsions,
        **sizes,
    )


class AlphaFold(nn.Module):
    """The network. Heads: masked MSA, distogram, pLDDT, predicted aligned error, resolved atoms."""

    def __init__(self, config: AlphaFoldConfig | None = None) -> None:
        super().__init__()
        c = self.config = config or AlphaFoldConfig()
        self.input_embedder = (
            LanguageModelEmbedder(c.embedding_dim, c.msa_dim, c.pair_dim)
            if c.embedding_dim
            else InputEmbedder(
                c.msa_dim, c.pair_dim, c.target_classes, chain_positions=c.chain_positions
            )
        )
        self.recycling_embedder = RecyclingEmbedder(c.msa_dim, c.pair_dim)
        self.template_embedder = _template_embedder(c)
        self.linear_extra = nn.Linear(MSA_CLASSES + 2, c.extra_dim) if c.extra_blocks else None

        def block(extra: bool) -> EvoformerBlock:
            return EvoformerBlock(
                c.extra_dim if extra else c.msa_dim,
                c.pair_dim,
                c.msa_heads,
                c.pair_heads,
                column_heads=c.column_heads,
                outer_dim=c.outer_dim,
                triangle_dim=c.triangle_dim,
                extra=extra,
                outer_first=c.outer_product_first,
                columns=not c.embedding_dim,
            )

        self.extra_stack = nn.ModuleList(block(True) for _ in range(c.extra_blocks))
        self.evoformer = nn.ModuleList(block(False) for _ in range(c.blocks))
        self.linear_single = nn.Linear(c.msa_dim, c.single_dim)
        self.structure_module = StructureModule(
            c.single_dim,
            c.pair_dim,
            c.structure_dim,
            heads=c.ipa_heads,
            scalar_qk=c.scalar_qk,
            scalar_v=c.scalar_v,
            point_qk=c.point_qk,
            point_v=c.point_v,
            angle_dim=c.angle_dim,
            layers=c.structure_layers,
            separate=c.separate_projections,
            position_scale=c.position_scale,
        )
        self.head_masked_msa = nn.Linear(c.msa_dim, c.masked_classes)
        self.head_distogram = nn.Linear(c.pair_dim, c.distogram_bins)
        self.head_resolved = nn.Linear(c.single_dim, 37)
        self.head_plddt = PlddtHead(c.structure_dim, c.plddt_dim, c.plddt_bins)
        self.head_pae = nn.Linear(c.pair_dim, c.pae_bins) if c.pae_bins else None
        self.checkpoint_blocks = False
        self.fused_layout = False

    def initial(self, features: Features) -> Recycled:
        """The input of the first pass: zeros."""
        types = features["aatype"]
        batch, n = types.shape
        weight = self.linear_single.weight
        return Recycled(
            weight.new_zeros(batch, n, self.config.msa_dim),
            weight.new_zeros(batch, n, n, self.config.pair_dim),
            torch.zeros(batch, n, 37, 3, device=types.device),
        )

    def forward(
        self, features: Features, previous: Recycled | None = None, *, heads: bool = True
    ) -> Output:
        """One pass (algorithm 2, lines 5 to 19).

        Args:
            features: aatype [B, N], residue_index [B, N], seq_mask [B, N], target_feat [B, N, 22]
                (21 of AlphaFold-Multimer, which takes asym_id, entity_id and sym_id [B, N], too),
                msa_feat [B, S, N, 49], msa_mask [B, S, N], extra_msa [B, E, N] classes 0..22,
                extra_has_deletion, extra_deletion_value and extra_msa_mask [B, E, N]; with
                templates: template_aatype [B, T, N], template_mask [B, T],
                template_all_atom_positions [B, T, N, 37, 3] [A], template_all_atom_masks
                [B, T, N, 37], template_pseudo_beta [B, T, N, 3] [A], template_pseudo_beta_mask;
                of a network of embeddings seq_embedding [B, N, e] in place of all of the alignment.
            previous: recycled from the pass before; without gradients its pairs are released once
                they have been read.
            heads: whether to compute the heads' logits (passes before the last do not need them).

        Returns:
            m [B, S, N, c], z [B, N, N, p], single [B, N, s], the structure, atoms [B, N, 37, 3]
            [A], and logits by head: masked_msa [B, S, N, 23 or 22], distogram [B, N, N, bins],
            resolved [B, N, 37], plddt [B, N, bins], pae [B, N, N, bins].
        """
        previous = previous or self.initial(features)
        real = features["seq_mask"] > 0
        cells = real[:, None] if self.config.embedding_dim else features["msa_mask"] > 0
        extra = cells if self.linear_extra is None else features["extra_msa_mask"] > 0
        m, z = self.embed(features, previous)
        depth = m.shape[1]
        templates = self._templates(features)
        present = real[:, :0] if templates is None else templates.present(features)
        if templates is not None:
            rows, row_mask = templates.rows(features)
            m = torch.cat([m, rows], 1)
            cells = torch.cat([cells, row_mask > 0], 1)
        # Upon these the operations depend; an accelerator is waited for once.
        whole = torch.stack([mask.all() for mask in (real, extra, cells)])
        flags = torch.cat([whole, present.flatten()]).cpu()
        all_residues, all_extra, all_cells = flags[:3].tolist()
        pair_mask = None if all_residues else real[:, :, None] & real[:, None, :]
        if templates is not None:
            with by_slices(z.device):
                z = templates(z, features, pair_mask, flags[3:].view(present.shape))

        masks = Masks(None if all_extra else extra, pair_mask)
        if self.linear_extra is not None:
            e = self._extra(features, self.linear_extra)
            with by_slices(z.device):
                for block in self.extra_stack:
                    e, z = self._run(block, e, z, masks)
            del e

        masks = Masks(None if all_cells else cells, pair_mask)
        with by_slices(z.device):
            for block in self.evoformer:
                m, z = self._run(block, m, z, masks)
        # Coordinates and confidences need the full precision, as in the published network.
        with torch.autocast(z.device.type, enabled=False):
            m, z = m[:, :depth].to(self.exact), z.to(self.exact)
            single = self.linear_single(m[:, 0])
            types = features["aatype"]
            structure = self.structure_module(single, z, types, real)
            atoms, atom_mask = atom14_to_atom37(structure.atoms[-1], types)
            seen = real[..., None].to(atoms.dtype)
            atoms, atom_mask = atoms * seen[..., None], atom_mask * seen
            logits = self.logits(m, z, single, structure) if heads else {}
        return Output(m, z, single, structure, atoms, atom_mask, logits)

    def _templates(self, features: Features) -> TemplateEmbedder | AveragedTemplateEmbedder | None:
        """The template path, where there are templates."""
        embedder = self.template_embedder
        key = "template_mask" if isinstance(embedder, TemplateEmbedder) else "template_aatype"
        return embedder if key in features else None

    @property
    def exact(self) -> torch.dtype:
        """That of the parameters, which autocast does not change."""
        return self.linear_single.weight.dtype

    def embed(self, features: Features, previous: Recycled) -> tuple[Tensor, Tensor]:
        """Algorithm 2, lines 5 and 6."""
        m, z = self.input_embedder(features)
        recycle = self.recycling_embedder
        first = m[:, 0] + recycle.layer_norm_m(previous.msa_row.to(m.dtype))
        m = torch.cat([first[:, None], m[:, 1:]], 1)
        beta = pseudo_beta(features["aatype"], previous.atoms)
        parts = []
        for rows in slices(z, 1, 4):
            update = recycle.pairs(beta, previous.pair.to(z.dtype), rows)
            update = update + self.input_embedder.relative(features, rows)
            if torch.is_grad_enabled():
                parts.append(z[:, rows] + update)
            else:
                z[:, rows] += update
        if not torch.is_grad_enabled():
            previous.pair = previous.pair.new_empty(0)
        return m, torch.cat(parts, 1) if parts else z

    def _extra(self, features: Features, linear: nn.Linear) -> Tensor:
        """One-hot classes, deletion flag and value through one linear layer, [B, E, N, c]."""
        weight = linear.weight.T
        e = (weight[:MSA_CLASSES] + linear.bias)[features["extra_msa"]]
        for number, key in enumerate(("extra_has_deletion", "extra_deletion_value")):
            value, channel = features[key][..., None].to(e.dtype), weight[MSA_CLASSES + number]
            if torch.is_grad_enabled():
                e = torch.addcmul(e, value, channel)
            else:
                e.addcmul_(value, channel)
        return e

    def _run(self, block: nn.Module, m: Tensor, z: Tensor, masks: Masks) -> tuple[Tensor, Tensor]:
        if self.checkpoint_blocks and torch.is_grad_enabled():
            return checkpoint(block, m, z, masks, use_reentrant=False)
        return block(m, z, masks)

    def logits(
        self, m: Tensor, z: Tensor, single: Tensor, structure: StructureModuleOutput
    ) -> dict[str, Tensor]:
        """The heads (supplement 1.9)."""
        half = self.head_distogram(z)
        logits = {
            "masked_msa": self.head_masked_msa(m),
            "distogram": half + half.transpose(1, 2),
            "resolved": self.head_resolved(single),
            "plddt": self.head_plddt(structure.single),
        }
        if self.head_pae is not None:
            logits["pae"] = self.head_pae(z)
        return logits
