"""Damages files of weights at random and loads them, in a process of its own.

    python hostile.py FIRST LAST FOLDER

For every number a good file of one of the loaders is cut, its bytes are changed, or, as somebody
with bad intentions would, its settings, names, shapes, types and numbers; then it is loaded. One
JSON line a file: what came out. The process limits its own memory and time, so that a loader that
hangs or asks for gigabytes is found out.
"""

import copy
import json
import resource
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from sciml import trunks
from sciml.errors import InputError
from sciml.files import tensors

MEMORY, SECONDS = 1 << 30, 5
"""Address space on top of what libraries and good files take [bytes]; processor time a file [s]."""
ABSURD: tuple[Any, ...] = (
    0, -1, 1, 3, 7, 100, 4097, 10**6, 10**9, 10**12, 2**31, 2**63 - 1, 2**63, 10**40, 0.5, 1e308,
    float("nan"), float("inf"), True, None, "8", "", [], [1], {}, "x:y", "os:system", "../a.py:B",
)  # fmt: skip
DTYPES = (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int8, torch.bool)


def sources(folder: Path) -> dict[str, tuple[Path, Callable[[Path], Any]]]:
    """Name -> (a good file, its loader), for every loader of weights."""
    from sciml.jets.networks.classifier import WeaverNetwork, default_trunk
    from sciml.jets.networks.embedder import JetEmbedder
    from sciml.jets.networks.particle_net import ParticleNet, ParticleNetConfig
    from sciml.jets.networks.particle_transformer import ParTConfig, ParticleTransformer
    from sciml.jets.tagger import JetTagger
    from sciml.jets.weaver import checkpoints as weaver
    from sciml.placement.learning.policy import GridPolicy, PolicyConfig
    from sciml.protein.alphafold.model import AlphaFold, AlphaFoldConfig, TemplateConfig
    from sciml.protein.alphafold.weights.official import (
        read_alphafold,
        read_config,
        write_alphafold,
    )
    from sciml.protein.alphafold.weights.openfold import read_openfold
    from sciml.protein.contacts.network import ContactConfig, ContactNet
    from sciml.protein.contacts.predictor import ContactPredictor
    from sciml.symbolic.neural.model import ModelConfig, Seq2Seq
    from sciml.symbolic.neural.official import SymbolicMathematics, from_symbolicmathematics
    from sciml.symbolic.neural.skeletons import SkeletonConfig, SkeletonModel
    from sciml.trunks.message_passing import MessagePassingConfig
    from sciml.trunks.pair_transformer import PairTransformerConfig
    from sciml.trunks.start import Start

    files: dict[str, tuple[Path, Callable[[Path], Any]]] = {}

    def tagger(name: str, made: JetTagger) -> None:
        files[name] = (made.save(folder / f"{name}.safetensors"), JetTagger.from_pretrained)

    for name in trunks.names():
        more = {"heads": 2} if name in ("pair_transformer", "message_passing", "sequence") else {}
        trunk = trunks.build(name, dim=8, **more)
        files[f"trunk {name}"] = (trunks.save(trunk, folder / name), trunks.load)
        files[f"settings of {name}"] = ((folder / name / "trunk.yaml"), trunks.load)
    tagger("tagger", JetTagger.build({"name": "pair_transformer", "dim": 8, "heads": 2}, "ab"))
    sizes = ParTConfig(layers=2, embed=(8, 8), pair=(4,), heads=2, class_layers=1)
    part = ParticleTransformer(sizes)
    net = ParticleNet(ParticleNetConfig(channels=((4, 4), (6, 6)), hidden=(5,), neighbours=4))
    for name, network in (("part", part), ("particle_net", net)):
        tagger(f"tagger {name}", JetTagger(WeaverNetwork(network), [f"c{i}" for i in range(10)]))
        for suffix in (".pt", ".safetensors"):
            weaver.write(network, folder / f"{name}_weaver{suffix}")
            files[f"{name}{suffix}"] = (folder / f"{name}_weaver{suffix}", JetTagger.from_weaver)
    start = folder / "start"
    trunks.save(trunks.build("lorentz", dim=8, depth=1), start / "trunk")
    tensors.write(start / "embedder.safetensors", JetEmbedder(8, 0, "kin").state_dict())
    files["embedder"] = (
        start / "embedder.safetensors",
        lambda p: Start(
            "jets", JetEmbedder, default_trunk(), str(p.parent), settings={"features": "kin"}
        ).load(),
    )
    small = PairTransformerConfig(dim=8, pair_dim=8, depth=1, heads=2, pair_update="triangle")
    contacts = ContactConfig(pair_dim=8, convolutions=2, trunk=small)
    nets = [ContactNet(contacts), ContactNet(contacts)]
    ContactPredictor(nets, "cpu").save(folder / "contacts.safetensors")
    files["contacts"] = (folder / "contacts.safetensors", ContactPredictor.from_pretrained)
    of = ModelConfig()
    shallow = {"dim": 16, "heads": 2, "groups": 2, "encoder_layers": 1, "decoder_layers": 1}
    of = type(of)(trunk=type(of.trunk)(**{**vars(of.trunk), **shallow}))
    files["symbolic"] = (Seq2Seq(of).save(folder / "symbolic"), Seq2Seq.from_pretrained)
    skeletons = SkeletonModel(SkeletonConfig(dim=8, depth=1, decoder_layers=1, heads=2))
    files["skeletons"] = (skeletons.save(folder / "skeletons"), SkeletonModel.from_pretrained)
    graph = MessagePassingConfig(dim=8, pair_dim=8, depth=1, heads=2, hypergraph=True, kinds=2)
    policy = GridPolicy(PolicyConfig(trunk=graph, channels=4))
    files["policy"] = (policy.save(folder / "policy.safetensors"), GridPolicy.from_pretrained)
    fold = AlphaFold(AlphaFoldConfig(
        msa_dim=8, pair_dim=8, extra_dim=8, single_dim=8, blocks=2, extra_blocks=1, msa_heads=2,
        column_heads=2, pair_heads=2, outer_dim=3, triangle_dim=6, structure_dim=8, ipa_heads=2,
        scalar_qk=3, scalar_v=4, point_qk=2, point_v=3, angle_dim=8, plddt_dim=8,
        templates=TemplateConfig(dim=8, blocks=1, heads=2, head_dim=4, hidden=5,
                                 attention_head_dim=2),
    ))  # fmt: skip
    write_alphafold(fold, folder / "params.npz")
    files["alphafold"] = (folder / "params.npz", read_alphafold)
    files["alphafold sizes"] = (folder / "params.npz", read_config)
    torch.save(fold.state_dict(), folder / "openfold.pt")
    files["openfold"] = (folder / "openfold.pt", read_openfold)
    math = SymbolicMathematics(20, dim=8, heads=2, encoder_layers=2, decoder_layers=1, positions=16)
    sides = {side: getattr(math, side).state_dict() for side in ("encoder", "decoder")}
    torch.save(sides, folder / "math.pth")
    torch.save(sides, folder / "old.pth", _use_new_zipfile_serialization=False)
    for name in ("math", "old"):
        files[f"{name}.pth"] = (
            folder / f"{name}.pth", lambda p: from_symbolicmathematics(p, heads=2)
        )  # fmt: skip
    return files


# ------------------------------------------------------------------------------------- damage


def bytes_changed(rng: np.random.Generator, data: bytearray) -> bytearray:
    """Cut, flipped, overwritten or lengthened; more often where formats keep their sizes."""
    kind = rng.integers(5)
    if kind == 0:
        return data[: rng.integers(0, len(data))]
    if kind == 1:
        return data + rng.bytes(int(rng.integers(1, 100)))
    where = (len(data), min(400, len(data)), min(4000, len(data)))[rng.integers(3)]
    for at in rng.integers(0, where, rng.integers(1, 9)):
        at = len(data) - 1 - at if kind == 2 else at
        data[at] = rng.integers(256) if kind < 4 else data[at] ^ 1 << int(rng.integers(8))
    return data


def setting_changed(rng: np.random.Generator, value: Any) -> Any:
    """Plain nested values with one of them replaced, dropped or added."""
    value = copy.deepcopy(value)
    settings: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            settings.append((node, key))
            if isinstance(node[key], dict | list) and node[key]:
                walk(node[key])

    walk(value)
    for _ in range(rng.integers(1, 3)):
        node, key = settings[rng.integers(len(settings))]
        act = rng.integers(8)
        if act == 0 and isinstance(node, dict):
            node.pop(key, None)
        elif act == 1 and isinstance(node, dict):
            node[str(rng.integers(100))] = 1
        elif act == 2:
            nested: Any = []
            for _ in range(300):
                nested = [nested]
            node[key] = nested
        else:
            node[key] = ABSURD[rng.integers(len(ABSURD))]
    return value


def state_changed(rng: np.random.Generator, state: dict[str, Any]) -> dict[str, Any]:
    """Tensors with names, shapes, types or numbers that do not belong."""
    state = dict(state)
    for _ in range(rng.integers(1, 4)):
        name = list(state)[rng.integers(len(state))]
        value = state[name]
        act = rng.integers(12)
        if act == 0:
            del state[name]
        elif act == 1:
            digits = [part for part in name.split(".") if part.isdigit()]
            number = ("999999999", "7", "-1", "x", "\u0663")[rng.integers(5)]
            swap = digits[rng.integers(len(digits))] if digits else ""
            state[name.replace(f".{swap}.", f".{number}.", 1)] = value
        elif act == 2:
            state[f"{name}.more"] = value
        elif act == 3:
            state[name] = value.reshape(-1)
        elif act == 4:
            state[name] = value.new_zeros(())
        elif act == 5:
            state[name] = value.new_zeros((0, *value.shape[1:]))
        elif act == 6:
            state[name] = value.new_zeros((int(rng.integers(1, 50)), *value.shape[1:]))
        elif act == 7 and value.is_floating_point() and value.numel():
            worse = (float("nan"), float("inf"), -float("inf"))[rng.integers(3)]
            state[name] = value.clone().reshape(-1).index_fill(0, torch.tensor([0]), worse)
            state[name] = state[name].reshape(value.shape)
        elif act == 8:
            state[name] = value.to(DTYPES[rng.integers(len(DTYPES))])
        elif act == 9:
            state[name] = value.new_zeros((10**15, 0))
        elif act == 10:
            state[name] = value.unsqueeze(0)
        else:
            state[name] = value.T if value.ndim == 2 else value
        if not state:
            break
    return state


def safetensors_changed(rng: np.random.Generator, path: Path) -> None:
    state, header = tensors.read(path)
    if rng.random() < 0.5:
        state = state_changed(rng, state)
    described = [key for key in header if header[key].startswith("{")]
    if described and rng.random() < 0.7:
        text = json.dumps(setting_changed(rng, json.loads(header[described[0]])))
        header[described[0]] = text[: len(text) // 2] if rng.random() < 0.05 else text
    if rng.random() < 0.5:
        tensors.write(path, state, header)
        return
    save_file({k: v.contiguous().clone() for k, v in state.items()}, path, metadata=header)
    if rng.random() < 0.5:  # the header's own numbers
        data = path.read_bytes()
        size = int.from_bytes(data[:8], "little")
        text = json.dumps(setting_changed(rng, json.loads(data[8 : 8 + size])))
        path.write_bytes(len(text).to_bytes(8, "little") + text.encode() + data[8 + size :])


def pickle_changed(rng: np.random.Generator, path: Path) -> None:
    state = torch.load(path, weights_only=True)
    nested = next((value for value in state.values() if isinstance(value, dict)), None)
    changed: Any = state_changed(rng, state if nested is None else nested)
    if nested is not None:
        state[next(k for k, v in state.items() if v is nested)] = changed
        changed = state
    act = rng.integers(8)
    if act == 0:
        changed = {rng.choice(["state_dict", "model", "ema", "x"]): changed}
    elif act == 1:
        changed = list(changed.values())
    elif act == 2:
        changed["extra"] = ABSURD[rng.integers(len(ABSURD))]
    elif act == 3 and nested is None:
        name = list(changed)[0]
        value = changed[name]
        value = value if value.is_floating_point() and value.numel() else torch.ones(3, 3)
        changed[name] = (
            value.to_sparse(), value.to(torch.complex64), value.reshape(-1)[:1].expand(10**6, 10**6)
        )[rng.integers(3)]  # fmt: skip
    torch.save(changed, path, _use_new_zipfile_serialization=bool(rng.integers(2)))


def npz_changed(rng: np.random.Generator, path: Path) -> None:
    with np.load(path) as file:
        state = {name: torch.from_numpy(file[name].copy()) for name in file.files}
    arrays = {
        name: value.float().numpy() if value.dtype == torch.bfloat16 else value.numpy()
        for name, value in state_changed(rng, state).items()
    }
    if arrays and rng.random() < 0.2:
        name = list(arrays)[0]
        arrays[name] = (
            np.array(["a"]), np.array([object()]), arrays[name].astype(np.complex64),
            arrays[name].astype(">f4"), np.zeros(3, "f4,i4"), np.zeros(10**7, "f4"),
        )[rng.integers(6)]  # fmt: skip
    (np.savez if rng.random() < 0.5 else np.savez_compressed)(path, **arrays)


def yaml_changed(rng: np.random.Generator, path: Path) -> None:
    import yaml

    content = setting_changed(rng, yaml.safe_load(path.read_text()))
    text = yaml.safe_dump(content)
    if rng.random() < 0.1:
        text = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\nb: &b [*a, *a, *a, *a, *a, *a, *a]\n" + text
    path.write_text(text)


CHANGES = {
    ".safetensors": safetensors_changed, ".pt": pickle_changed, ".pth": pickle_changed,
    ".npz": npz_changed, ".yaml": yaml_changed,
}  # fmt: skip


def damage(number: int, path: Path) -> None:
    """Damage the file `path` in place."""
    rng = np.random.default_rng([17, number])
    if rng.random() < 0.3:
        path.write_bytes(bytes_changed(rng, bytearray(path.read_bytes())))
    else:
        CHANGES[path.suffix](rng, path)


# --------------------------------------------------------------------------------------- process


class Hang(BaseException):
    """The loader took too long."""


def _hang(*_: Any) -> None:
    raise Hang


def mapped() -> int:
    """Address space of this process [bytes]."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def peak_mb() -> int:
    """This program's own peak [MB]."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


def outcome(load: Callable[[Path], Any], path: Path) -> str:
    """ "loaded", "refused: ..." or what went wrong."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        load(path)
        return "loaded"
    except InputError as error:
        message = str(error)
        is_one_line = "\n" not in message and len(message) < 3000
        return (
            f"refused: {message}"
            if is_one_line
            else f"WRONG: {len(message)} characters of an error"
        )
    except Hang:
        return f"WRONG: more than {SECONDS} s"
    except BaseException as error:
        return f"WRONG: {type(error).__name__}: {error}\n{traceback.format_exc()[-1500:]}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def main(first: int, last: int, folder: Path) -> None:
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    folder.mkdir(exist_ok=True)
    made = sources(folder / "good")
    for name, (path, load) in made.items():
        if (message := outcome(load, path)) != "loaded":
            raise SystemExit(f"the good file of {name}: {message}")
    base = peak_mb()
    resource.setrlimit(resource.RLIMIT_AS, (mapped() + MEMORY, resource.RLIM_INFINITY))
    for number in range(first, last):
        name = list(made)[number % len(made)]
        path, load = made[name]
        # Beside a damaged file lies what belongs to it.
        beside = path.parent if path.parent.name not in ("good",) else None
        content = path.read_bytes()
        before = {p: p.stat().st_mtime_ns for p in (beside or folder / "good").rglob("*")}
        damage(number, path)
        message = outcome(load, path)
        after = set((beside or folder / "good").rglob("*"))
        path.write_bytes(content)
        if after != set(before):
            message = f"WRONG: files were left behind: {sorted(map(str, after - set(before)))}"
        used = peak_mb() - base
        print(
            json.dumps({"number": number, "loader": name, "said": message, "MB": used}), flush=True
        )


if __name__ == "__main__":
    signal.signal(signal.SIGPROF, _hang)
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
