"""The results of one pass under the names that AlphaFold's own code gives them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sciml.nn.frames import rotation_from_quaternion
from sciml.protein.alphafold import confidence
from sciml.protein.alphafold.model import Output
from sciml.protein.io.residues import ATOM14_MASK, UNKNOWN


def named_outputs(
    output: Output, features: dict[str, Tensor], tol: Tensor
) -> dict[str, np.ndarray]:
    """One chain's results under AlphaFold's names, without batch dimension and pass number.

    Args:
        output: of `AlphaFold.forward` on one chain.
        features: that it was given.
        tol: [1] change of the CA distances since the pass before [A].
    """
    mask = features["seq_mask"]
    logits, structure = output.logits, output.structure
    plddt = confidence.plddt(logits["plddt"])
    mean = (plddt * mask).sum() / mask.sum()
    exists = torch.as_tensor(_atom14_exists(features), device=mask.device)
    named: dict[str, Tensor] = {
        "representations/msa": output.m[0],
        "representations/msa_first_row": output.m[0, 0],
        "representations/pair": output.z[0],
        "representations/single": output.single[0],
        "representations/structure_module": structure.single[0],
        "structure_module/traj": structure.frames[:, 0],
        "structure_module/final_affines": structure.frames[-1, 0],
        "structure_module/final_atom14_positions": structure.atoms[-1, 0],
        "structure_module/final_atom14_mask": exists,
        "structure_module/final_atom_positions": output.atoms[0],
        "structure_module/final_atom_mask": output.atom_mask[0],
        "structure_module/sidechains/angles_sin_cos": structure.angles[:, 0],
        "structure_module/sidechains/unnormalized_angles_sin_cos": structure.raw_angles[:, 0],
        "distogram/logits": logits["distogram"][0],
        "distogram/bin_edges": confidence.distogram_edges(logits["distogram"].shape[-1]),
        "masked_msa/logits": logits["masked_msa"][0],
        "experimentally_resolved/logits": logits["resolved"][0],
        "predicted_lddt/logits": logits["plddt"][0],
        "plddt": plddt[0],
        "mean_plddt": mean,
        "ranking_confidence": mean,
        "tol": tol[0].float(),
    }
    for number, axis in enumerate("xyz"):
        named[f"structure_module/sidechains/atom_pos/{axis}"] = structure.atoms[:, 0, ..., number]
        named[f"structure_module/sidechains/frames/trans/{axis}"] = structure.group_origins[
            :, 0, ..., number
        ]
        for other, name in enumerate("xyz"):
            key = f"structure_module/sidechains/frames/rot/{axis}{name}"
            named[key] = structure.group_rotations[:, 0, ..., number, other]
    if "asym_id" in features:
        named |= _of_complex(output, features)
    elif "pae" in logits:
        pae = logits["pae"]
        centers = confidence.pae_centers(pae.shape[-1])
        named |= {
            "predicted_aligned_error_head/logits": pae[0],
            "predicted_aligned_error_head/breaks": confidence.pae_breaks(pae.shape[-1]),
            "aligned_confidence_probs": pae[0].float().softmax(-1),
            "predicted_aligned_error": confidence.predicted_aligned_error(pae[0]),
            "max_predicted_aligned_error": centers[-1],
            "ptm": confidence.ptm(pae, mask)[0],
        }
    return {key: value.float().cpu().numpy() for key, value in named.items()}


def _of_complex(output: Output, features: dict[str, Tensor]) -> dict[str, Tensor]:
    """What AlphaFold-Multimer's code names otherwise than the monomer's."""
    structure = output.structure
    rotation = rotation_from_quaternion(structure.frames[:, 0, :, :4])
    traj = torch.cat([rotation, structure.frames[:, 0, :, 4:, None]], -1)
    groups = torch.cat([structure.group_rotations, structure.group_origins[..., None]], -1)
    named = {
        "structure_module/traj": traj,
        "structure_module/final_rigids": traj[-1],
        "structure_module/sidechains/atom_pos": structure.atoms[:, 0],
        "structure_module/sidechains/frames": groups[:, 0],
    }
    if "pae" in output.logits:
        pae, mask = output.logits["pae"], features["seq_mask"]
        ptm, iptm = (confidence.ptm(pae, mask, c)[0] for c in (None, features["asym_id"]))
        name = "predicted_aligned_error"
        named |= {
            f"{name}/logits": pae[0],
            f"{name}/breaks": confidence.pae_breaks(pae.shape[-1]),
            f"{name}/pae": confidence.predicted_aligned_error(pae[0]),
            f"{name}/max_pae": confidence.pae_centers(pae.shape[-1])[-1],
            "ptm": ptm,
            "iptm": iptm,
            "ranking_confidence": 100 * (0.8 * iptm + 0.2 * ptm),
        }
    return named


def _atom14_exists(features: dict[str, Tensor]) -> np.ndarray:
    types = features["aatype"][0].clamp(max=UNKNOWN).cpu().numpy()
    return ATOM14_MASK[types] * features["seq_mask"][0].cpu().numpy()[:, None]
