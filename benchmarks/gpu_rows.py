"""The rows of `gpu.py`: what is measured on an accelerator, in a process of its own.

Each function makes the contestants of one row on a device. They take turns, after two warm-up calls
each where time allows, and the median counts. A contestant that fails or runs out of memory is
reported and left out of the later turns.
"""

from __future__ import annotations

import functools
import gc
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import gpu
import torch
from machine import forget_peak, processor, resident

Call = Callable[[], object]
ROUNDS = 7


@dataclass
class Setting:
    """Where a row is measured: the device, whether at toy size, and until when."""

    device: torch.device
    tiny: bool
    deadline: float

    @property
    def on_gpu(self) -> bool:
        return self.device.type != "cpu"

    def wait(self) -> None:
        if self.on_gpu:
            getattr(torch, self.device.type).synchronize()

    def autocast(self, dtype: torch.dtype) -> Any:
        """Matrix products in `dtype`; nothing for float32."""
        if dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, dtype)

    def compiled(self, function: Any) -> Any:
        """Compiled; at toy size it is only traced, as a compiler takes its time."""
        return torch.compile(function, backend="eager" if self.tiny else "inductor")

    def forget_memory(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        elif not self.on_gpu:
            forget_peak()

    def peak(self) -> float | None:
        """GiB at the peak since `forget_memory`: of tensors on a GPU, of the process on a CPU."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated() / 2**30
        return None if self.on_gpu else resident("VmHWM") / 1024


def failure(error: BaseException) -> str:
    """One line."""
    if isinstance(error, torch.OutOfMemoryError):
        return "out of memory"
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def take_turns(
    contestants: dict[str, Callable[[], Call]], amount: float, unit: str, at: Setting
) -> dict[str, Any]:
    """Seconds of each contestant, in turns, until the rounds or the time are over.

    Args:
        contestants: makers of a call; none runs before the others are measured once.
        amount: of `unit` in one call.
        unit: what the rate counts.
        at: where.
    """
    calls: dict[str, Call] = {}
    seconds: dict[str, list[float]] = {}
    rows: dict[str, Any] = {}

    def attempt(name: str, work: Callable[[], float]) -> float | None:
        try:
            return work()
        except Exception as error:
            rows[name] = {"failed": failure(error)}
            calls.pop(name, None)
        gc.collect()
        if at.device.type == "cuda":
            torch.cuda.empty_cache()
        return None

    def once(name: str) -> float:
        at.wait()
        began = time.perf_counter()
        calls[name]()
        at.wait()
        return time.perf_counter() - began

    def prepare(name: str) -> float:
        calls[name] = contestants[name]()
        at.forget_memory()
        first = once(name)
        rows[name] = {"first_call_s": first}
        if time.monotonic() + 2 * first > at.deadline:  # no time for another: this one counts
            seconds[name] = [first]
        else:
            at.forget_memory()
            once(name)
        rows[name]["peak_gib"] = at.peak()
        return first

    for name in contestants:
        attempt(name, functools.partial(prepare, name))
    for _ in range(1 if at.tiny else ROUNDS):
        for name in list(calls):
            if time.monotonic() > at.deadline and name in seconds:
                continue
            taken = attempt(name, functools.partial(once, name))
            if taken is not None:
                seconds.setdefault(name, []).append(taken)
    for name, measured in seconds.items():
        if name in calls:
            rows[name] |= {
                "median_s": median(measured), "least_s": min(measured), "most_s": max(measured),
                "rounds": len(measured), f"{unit}_per_s": amount / median(measured),
            }  # fmt: skip
    return {"amount": amount, "unit": unit, "contestants": rows}


# --- jets ---------------------------------------------------------------------------------------


def jets(count: int, longest: int, at: Setting) -> Any:
    """Random jets on the device: (features, four-momenta, mask), lengths as in JetClass."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(longest // 6, longest * 3 // 4, (count,), generator=generator)
    mask = torch.arange(longest) < lengths[:, None]
    features = torch.randn(count, longest, 17, generator=generator)
    momenta = torch.randn(count, longest, 3, generator=generator).exp()
    energy = momenta.square().sum(-1, keepdim=True).add(0.02).sqrt()
    p4 = torch.cat([momenta, energy], -1) * mask[..., None]
    return features.to(at.device), p4.to(at.device), mask.to(at.device)


def part_config(at: Setting) -> Any:
    from sciml.jets.networks.particle_transformer_config import ParTConfig

    small: Any = {"embed": (16, 32, 16), "pair": (8, 8), "heads": 2, "layers": 1, "class_layers": 1}
    return ParTConfig(**small) if at.tiny else ParTConfig()


def weaver_part(ours: Any, at: Setting) -> Any:
    """weaver-core's network with the same weights."""
    import logging
    import tempfile

    from weaver.nn.model.ParticleTransformer import ParticleTransformer

    from sciml.jets.weaver import checkpoints

    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "part.safetensors"
        checkpoints.write(ours, file)
        state = checkpoints.read_state(file)
    c = part_config(at)
    model = ParticleTransformer(
        input_dim=c.features, num_classes=c.classes, embed_dims=list(c.embed), num_heads=c.heads,
        pair_embed_dims=list(c.pair), num_layers=c.layers, num_cls_layers=c.class_layers,
    )  # fmt: skip
    model.load_state_dict(state)
    model.trimmer._counter.fill_(model.trimmer.warmup_steps)
    return model.to(at.device)


def part(at: Setting, training: bool) -> dict[str, Any]:
    """The published Particle Transformer: jets of up to 128 particles, beside weaver-core."""
    from sciml.jets.networks.particle_transformer import ParticleTransformer

    torch.manual_seed(0)
    count, longest = (4, 24) if at.tiny else (512, 128)
    features, p4, mask = jets(count, longest, at)
    labels = torch.arange(count, device=at.device) % 10
    ours = ParticleTransformer(part_config(at)).to(at.device)
    columns = (features.transpose(1, 2), p4.transpose(1, 2), mask[:, None].float())
    columns[0].requires_grad_(training)  # weaver's forward asks it whether to keep a graph

    def trained(model: Any, forward: Callable[[], Any], dtype: torch.dtype) -> Call:
        optimizer = torch.optim.AdamW(model.parameters(), 1e-4, fused=at.on_gpu)

        def step() -> None:
            optimizer.zero_grad(set_to_none=True)
            with at.autocast(dtype):
                loss = torch.nn.functional.cross_entropy(forward().float(), labels)
            loss.backward()
            optimizer.step()

        return step

    def evaluated(forward: Callable[[], Any], dtype: torch.dtype) -> Call:
        def call() -> None:
            with torch.no_grad(), at.autocast(dtype):
                forward()

        return call

    def made(model: Any, forward: Callable[[], Any], dtype: torch.dtype) -> Call:
        model.train(training)
        return trained(model, forward, dtype) if training else evaluated(forward, dtype)

    def grouped(dtype: torch.dtype) -> Call:
        return made(ours, lambda: ours(features, p4, mask), dtype)

    def dense(dtype: torch.dtype) -> Call:
        call = at.compiled(ours.reference)
        return made(ours, lambda: call(features, p4, mask), dtype)

    def weaver(dtype: torch.dtype) -> Call:
        model = weaver_part(ours, at)
        return made(model, lambda: model(*columns), dtype)

    def trunk(dtype: torch.dtype, compiled: bool) -> Call:
        """The package's own trunk at ParT's size, which compiles as one graph."""
        from sciml import graph, trunks

        size: Any = {"dim": 128, "heads": 8, "depth": 8}
        if at.tiny:
            size = {"dim": 16, "heads": 2, "depth": 1}
        model = torch.nn.ModuleDict({
            "trunk": trunks.build("pair_transformer", pair_dim=4, class_depth=2, **size),
            "embed": torch.nn.Linear(17, size["dim"]), "head": torch.nn.Linear(size["dim"], 10),
        }).to(at.device)  # fmt: skip
        pair = torch.randn(count, longest, longest, 4, device=at.device)
        encode = at.compiled(model["trunk"]) if compiled else model["trunk"]
        batch = graph.make_dense([{"x": torch.zeros(longest, 1)}] * count).to(at.device)
        batch.mask, batch.pair = mask, pair

        def forward() -> Any:
            batch.x = model["embed"](features)
            return model["head"](encode(batch).graph)

        return made(model, forward, dtype)

    single, half = torch.float32, torch.bfloat16
    contestants = {
        "sciml fp32": lambda: grouped(single), "sciml bf16": lambda: grouped(half),
        "weaver-core fp32": lambda: weaver(single), "weaver-core bf16": lambda: weaver(half),
        "pair transformer of this size, bf16": lambda: trunk(half, False),
        "pair transformer of this size, bf16, compiled": lambda: trunk(half, True),
    }  # fmt: skip
    if not training:
        contestants["sciml, padded, bf16, compiled"] = lambda: dense(half)
    return take_turns(contestants, count, "jets", at)


def jets_small(at: Setting) -> dict[str, Any]:
    """A training step of the size of `jets-small`, on a batch that is there."""
    from sciml.train.buckets import padded

    torch.manual_seed(0)
    count = 8 if at.tiny else 2048
    batch = padded(small_jets(count)[1], (128,)).to(at.device)

    def step(dtype: torch.dtype, compiled: bool) -> Call:
        model = small_tagger(at)
        call = at.compiled(model) if compiled else model
        optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=at.on_gpu)

        def run() -> None:
            optimizer.zero_grad(set_to_none=True)
            with at.autocast(dtype):
                loss = call(batch)["loss"]
            loss.backward()
            optimizer.step()

        return run

    single, half = torch.float32, torch.bfloat16
    contestants = {
        "fp32": lambda: step(single, False), "bf16": lambda: step(half, False),
        "bf16, compiled": lambda: step(half, True),
    }  # fmt: skip
    return take_turns(contestants, count, "jets", at)


def small_jets(count: int) -> tuple[Any, Any]:
    """Shipped jets, again and again, as a data set and as one batch."""
    from sciml.jets.data.sample import JetSample, shipped
    from sciml.jets.networks.embedder import collate

    jets = JetSample.read(shipped("train"), max_jets=count)
    return jets, collate([jets[i % len(jets)] for i in range(count)])


def small_tagger(at: Setting) -> Any:
    """A freshly initialised network of the size of `jets-small` with its loss."""
    from sciml import trunks
    from sciml.jets.networks.embedder import JetEmbedder
    from sciml.objectives.supervised import Supervised, SupervisedConfig

    torch.manual_seed(0)
    size: Any = (
        {"dim": 16, "heads": 2, "depth": 1} if at.tiny else {"dim": 96, "heads": 6, "depth": 3}
    )
    trunk = trunks.build(
        "pair_transformer", pair_dim=4, bias_hidden=32, symmetric_pairs=True, class_depth=1, **size
    )
    embedder = JetEmbedder(trunk.dim, 4, "full")
    return Supervised(trunk, embedder, SupervisedConfig(outputs=10)).to(at.device).train()


def jets_small_fit(at: Setting) -> dict[str, Any]:
    """The engine with everything: reading, features, steps; jets a second over the last half."""
    import tempfile

    from sciml.jets.networks.embedder import collate
    from sciml.train import TrainConfig, fit

    data, _ = small_jets(16 if at.tiny else 1 << 14)
    size, steps = (4, 2) if at.tiny else (1024, 40)
    workers = 0 if at.tiny else min(12, (os.cpu_count() or 2) - 1)

    def run(precision: Any, compiled: bool) -> Call:
        def call() -> None:
            config = TrainConfig(
                steps=steps, batch_size=size, precision=precision, compile=compiled,
                buckets=(128,) if compiled else (), workers=workers, device=str(at.device),
                checkpoint_every=10**6,
            )  # fmt: skip
            with tempfile.TemporaryDirectory() as folder:
                fit(small_tagger(at), data, config, out=Path(folder), collate=collate,
                    lengths=data.lengths, quiet=True)  # fmt: skip

        return call

    contestants = {"fp32": lambda: run("fp32", False), "bf16": lambda: run("bf16", False)}
    if not at.tiny:
        contestants["bf16, compiled"] = lambda: run("bf16", True)
    return take_turns(contestants, size * steps, "jets", at)


# --- proteins -----------------------------------------------------------------------------------


def alphafold(at: Setting, residues: int) -> dict[str, Any]:
    """One pass of AlphaFold 2's published size on random weights: 512 clusters, 1,024 extra."""
    from sciml.protein.alphafold import memory
    from sciml.protein.alphafold.feature_config import FeatureConfig
    from sciml.protein.alphafold.model import AlphaFold, AlphaFoldConfig

    torch.manual_seed(0)
    small: Any = dict(
        msa_dim=16, pair_dim=8, extra_dim=8, single_dim=16, blocks=1, extra_blocks=1, msa_heads=2,
        column_heads=2, pair_heads=2, outer_dim=4, triangle_dim=8, structure_dim=16, ipa_heads=2,
        angle_dim=8, plddt_dim=8, structure_layers=1, templates=None,
    )  # fmt: skip
    config = AlphaFoldConfig(**small) if at.tiny else AlphaFoldConfig(templates=None)
    clusters, extra = (3, 4) if at.tiny else (512, 1024)
    residues = residues // 64 if at.tiny else residues
    with at.device:
        model = AlphaFold(config).eval()
        features = {
            "aatype": torch.randint(20, (1, residues)),
            "residue_index": torch.arange(residues)[None],
            "seq_mask": torch.ones(1, residues),
            "target_feat": torch.rand(1, residues, 22),
            "msa_feat": torch.rand(1, clusters, residues, 49),
            "msa_mask": torch.ones(1, clusters, residues),
            "extra_msa": torch.randint(22, (1, extra, residues)),
            "extra_msa_mask": torch.ones(1, extra, residues),
            "extra_has_deletion": torch.zeros(1, extra, residues),
            "extra_deletion_value": torch.zeros(1, extra, residues),
        }

    def fold(dtype: torch.dtype) -> Call:
        def call() -> None:
            with torch.inference_mode(), at.autocast(dtype):
                model(features)

        return call

    contestants = {"bf16": lambda: fold(torch.bfloat16)}
    if residues <= 1024:
        contestants["fp32"] = lambda: fold(torch.float32)
    row = take_turns(contestants, residues, "residues", at)
    sizes = FeatureConfig(clusters=clusters, extra=extra)
    for width, name in ((2, "bf16"), (4, "fp32")):
        if name in row["contestants"]:
            guess = memory.estimate(config, residues, sizes, width=width)
            row["contestants"][name]["estimate_gib"] = guess.bytes / 2**30
    return row


# --- layers and decoding ------------------------------------------------------------------------


def equivariant_layer(at: Setting) -> dict[str, Any]:
    """One layer, l <= 2, 64 channels, forward and backward, beside e3nn's convolution."""
    import equivariant

    equivariant.NODES, equivariant.EDGES = (32, 128) if at.tiny else (16_384, 262_144)
    equivariant.CHANNELS = 4 if at.tiny else 64

    def trained(make: Callable[[], Callable[[], torch.Tensor]]) -> Call:
        with at.device:
            step = make()

        def call() -> None:
            with at.device:
                step().backward()

        return call

    ours = equivariant.ours
    contestants = {
        "sciml": lambda: trained(ours), "e3nn": lambda: trained(equivariant.e3nn_default)
    }  # fmt: skip
    if not at.tiny:
        contestants["sciml, compiled"] = lambda: trained(lambda: ours(compiled=True))
        contestants["sciml, l <= 3"] = lambda: trained(lambda: ours(3))
        contestants["sciml, l <= 3, SO(2)"] = lambda: trained(lambda: ours(3, so2=True))
    return take_turns(contestants, equivariant.EDGES, "edges", at)


class NeverEnd:
    """A grammar that allows the end token at the last position only."""

    def __init__(self, words: int, end: int, at: Setting) -> None:
        ids = torch.arange(words, device=at.device)
        self.last, self.others = ids == end, ids != end

    def start(self, hypotheses: int, device: torch.device) -> torch.Tensor:
        return torch.zeros(hypotheses, 1, device=device)

    def allowed(self, state: torch.Tensor, remaining: int) -> torch.Tensor:
        return (self.last if remaining == 1 else self.others).expand(len(state), -1)

    def advance(self, state: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        return state

    def paths(self, state: torch.Tensor) -> None:
        return None


def decoding(at: Setting) -> dict[str, Any]:
    """Beam search with a cache of keys and values, beside computing every prefix anew."""
    from sciml.trunks.sequence import Sequence, SequenceConfig

    torch.manual_seed(0)
    words = 91
    sources, beam, length = (2, 2, 4) if at.tiny else (32, 10, 64)
    size: Any = {"dim": 16, "heads": 2} if at.tiny else {"dim": 512, "heads": 8}
    layers = 1 if at.tiny else 6
    model = Sequence(SequenceConfig(
        vocabulary=words, groups=2, encoder_layers=layers, decoder_layers=layers, **size
    )).eval().to(at.device)  # fmt: skip
    source = torch.randint(3, words, (sources, length), device=at.device)
    grammar = NeverEnd(words, model.config.end, at)

    def cached(dtype: torch.dtype) -> Call:
        def call() -> None:
            with torch.no_grad(), at.autocast(dtype):
                model.beam_search(source, beam, length, grammar)

        return call

    def anew(dtype: torch.dtype) -> Call:
        def call() -> None:
            with torch.no_grad(), at.autocast(dtype):
                every = source.repeat_interleave(beam, 0)
                tokens, memory = every[:, :1], model.encode(every)
                for _ in range(length):
                    best = model.decode(tokens, memory)[:, -1].argmax(-1, keepdim=True)
                    tokens = torch.cat([tokens, best], 1)

        return call

    contestants = {
        "fp32": lambda: cached(torch.float32), "bf16": lambda: cached(torch.bfloat16),
        "every prefix anew, greedy, bf16": lambda: anew(torch.bfloat16),
    }  # fmt: skip
    return take_turns(contestants, sources * beam * length, "tokens", at)


# --- all ----------------------------------------------------------------------------------------

ROWS: dict[str, Callable[[Setting], dict[str, Any]]] = {
    "particle transformer, forward": functools.partial(part, training=False),
    "particle transformer, training": functools.partial(part, training=True),
    "jets-small, training step": jets_small,
    "jets-small, fit": jets_small_fit,
    **{f"alphafold, {n} residues": functools.partial(alphafold, residues=n) for n in gpu.RESIDUES},
    "equivariant layer": equivariant_layer,
    "decoding": decoding,
}


def facts(device: torch.device) -> dict[str, Any]:
    """What the numbers depend on."""
    name = processor() if device.type == "cpu" else str(device)
    if device.type in ("cuda", "xpu"):
        name = getattr(torch, device.type).get_device_name()
    return {
        "device": name, "torch": torch.__version__, "cuda": torch.version.cuda,
        "python": platform.python_version(), "cores": os.cpu_count(),
    }  # fmt: skip


def main() -> None:
    """`gpu_rows.py DEVICE TINY NAME ...`: a line of JSON at the begin and end of every row."""
    device, tiny, *names = sys.argv[1:]
    chosen = torch.device(device)
    if tiny == "1":
        torch.set_num_threads(1)
    print(json.dumps({"facts": facts(chosen)}), flush=True)
    for name in names:
        print(json.dumps({"begin": name}), flush=True)
        at = Setting(chosen, tiny == "1", time.monotonic() + 0.6 * gpu.BUDGETS[name])
        try:
            row = ROWS[name](at)
        except Exception as error:
            row = {"failed": failure(error)}
        print(json.dumps({"row": name, "result": row}), flush=True)
        gc.collect()
        if chosen.type == "cuda":
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
