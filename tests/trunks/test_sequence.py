"""Sequence: cached decoding equals uncached, beam search equals brute force and a plain one."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from sciml import trunks
from sciml.errors import InputError
from sciml.graph import make_dense, ragged
from sciml.nn.decoding import PrefixGrammar
from sciml.nn.tree import distance_bucket, prefix_paths, tree_bucket
from sciml.trunks.sequence import Memory, Sequence, SequenceConfig, _Steps

PAD, START, END = 0, 1, 2
# x, 1 (leaves), neg (unary), + (binary)
ARITY = torch.tensor([-1, -1, -1, 0, 0, 1, 2])


def model(seed: int = 0, sharpness: float = 4.0, **settings) -> Sequence:
    torch.manual_seed(seed)
    defaults = dict(
        dim=16,
        heads=4,
        groups=2,
        encoder_layers=2,
        decoder_layers=2,
        vocabulary=7,
        buckets=8,
        reach=16,
    )
    sequence = Sequence(SequenceConfig(**{**defaults, **settings})).double().eval()
    with torch.no_grad():  # confident enough that beams differ
        sequence.get_parameter("tokens.weight").mul_(sharpness)
    return sequence


def sources(seed: int = 0, batch: int = 3, length: int = 6) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    tokens = torch.randint(3, 7, (batch, length), generator=random)
    tokens[1:, -2:] = PAD
    return tokens


@torch.no_grad()
def log_probabilities(
    net: Sequence, memory: Memory, row: int, outputs: list[list[int]], legal=None
) -> list[float]:
    """Of each output, without a cache, pad and start excluded, under `legal(prefix) -> [V]`."""
    longest = max(map(len, outputs))
    tokens = torch.full((len(outputs), longest), PAD)
    for line, output in zip(tokens, outputs):
        line[: len(output)] = torch.tensor(output)
    part = Memory(*(m[row : row + 1].expand(len(outputs), *m.shape[1:]) for m in memory))
    shifted = torch.cat([torch.full((len(outputs), 1), START), tokens[:, :-1]], 1)
    logits = net.decode(shifted, part, mask=torch.ones_like(shifted, dtype=torch.bool))
    logits[..., [PAD, START]] = -torch.inf
    if legal is not None:
        for line, output in zip(logits, outputs):
            for step in range(len(output)):
                line[step].masked_fill_(~legal(output[:step]), -torch.inf)
    scores = logits.log_softmax(-1).gather(-1, tokens[..., None])[..., 0]
    return [float(line[: len(output)].sum()) for line, output in zip(scores, outputs)]


def all_outputs(vocabulary: int, longest: int) -> list[list[int]]:
    words = range(3, vocabulary)
    return [[*middle, END] for n in range(longest) for middle in itertools.product(words, repeat=n)]


@pytest.mark.parametrize("tree_reach", [0, 3])
def test_cached_steps_equal_teacher_forcing(tree_reach):
    net = model(tree_reach=tree_reach)
    memory = net.encode(sources())
    expression = torch.tensor([[6, 5, 3, 6, 4, 3], [5, 6, 3, 3, 4, 3], [6, 3, 6, 3, 4, 3]])
    tokens = torch.cat([torch.full((3, 1), START), expression], 1)
    paths = prefix_paths(tokens, ARITY, 5) if tree_reach else None
    teacher_forced = net.decode(tokens, memory, positions=paths)
    for share in (True, False):
        steps = _Steps(net, memory, 3, 2, share=share)
        for t in range(tokens.shape[1]):
            path = None if paths is None else paths[:, t, None].expand(-1, 2, -1)
            logits = steps.step(tokens[:, t, None].expand(-1, 2), path)
            for w in range(2):
                torch.testing.assert_close(logits[:, w], teacher_forced[:, t], rtol=0, atol=1e-10)


def test_tree_positions_change_the_output_and_float32_agrees_to_1e_5():
    net = model(tree_reach=3).float()
    tokens = torch.cat([torch.full((3, 1), START), sources(2)[:, :4]], 1)
    memory = net.encode(sources())
    paths = prefix_paths(tokens, ARITY, 4)
    teacher_forced = net.decode(tokens, memory, positions=paths)
    assert (teacher_forced - net.decode(tokens, memory)).abs().max() > 1e-3
    steps = _Steps(net, memory, 3, 1, share=True)
    for t in range(5):
        logits = steps.step(tokens[:, t, None], paths[:, t, None])[:, 0]
        torch.testing.assert_close(logits, teacher_forced[:, t], rtol=0, atol=1e-5)


@torch.no_grad()
def test_reordered_and_compacted_cache_equals_teacher_forcing():
    net = model()
    memory = net.encode(sources())
    every = Memory(*(m.repeat_interleave(4, 0) for m in memory))
    steps = _Steps(net, memory, 3, 4, share=True)
    random = torch.Generator().manual_seed(0)
    written = torch.full((3, 4, 1), START)
    shrunk = False
    for step in range(1, 31):
        logits = steps.step(written[:, :, -1], None)
        if step % 5 == 0:
            teacher_forced = net.decode(written.flatten(0, 1), every)[:, -1]
            torch.testing.assert_close(logits.flatten(0, 1), teacher_forced, rtol=0, atol=1e-10)
        shrunk = shrunk or steps.cache.length < 4 * step
        parents = torch.randint(4, (3, 4), generator=random)
        steps.reorder(parents)
        written = written.gather(1, parents[..., None].expand(written.shape))
        new = torch.randint(3, 7, (3, 4, 1), generator=random)
        written = torch.cat([written, new], 2)
    assert shrunk, "the pool was never compacted, so this test did not test it"


@pytest.mark.parametrize("penalty", [0.0, 0.7, 1.0])
def test_beam_search_equals_brute_force(penalty):
    net = model()
    memory = net.encode(sources())
    longest = 4
    # Wide enough that nothing is ever cut: 4 ** 4 hypotheses without an end, 85 with.
    hypotheses = net.beam_search(memory, beam=4**4 + 85, max_length=longest, length_penalty=penalty)
    outputs = all_outputs(7, longest)
    for row in range(3):
        exact = sorted(
            (
                (score / len(y) ** penalty, y)
                for score, y in zip(log_probabilities(net, memory, row, outputs), outputs)
            ),
            reverse=True,
        )
        number = int(hypotheses.finished[row].sum())
        assert number == len(exact)
        scores = torch.tensor([score for score, _ in exact])
        torch.testing.assert_close(hypotheses.scores[row, :number], scores, rtol=0, atol=1e-5)
        assert hypotheses.lists(row)[0] == exact[0][1][:-1]


def reference_beam(net, memory, row, beam, longest, penalty):
    """One source, plain lists, no early stop."""
    alive: list[Any] = [(0.0, [])]
    done: list[Any] = []
    for step in range(1, longest + 1):
        outputs = [[*tokens, token] for _, tokens in alive for token in range(2, 7)]
        options = list(zip(log_probabilities(net, memory, row, outputs), outputs))
        options = sorted(options, reverse=True)[: 2 * beam]
        done += [(s / step**penalty, y) for s, y in options if y[-1] == END]
        alive = [(s, y) for s, y in options if y[-1] != END][:beam]
    return sorted(done, reverse=True)[:beam]


@pytest.mark.parametrize("beam", [1, 2, 3])
@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_beam_search_equals_a_plain_one(beam, penalty):
    net = model(seed=3, sharpness=3.0)
    memory = net.encode(sources(1))
    hypotheses = net.beam_search(memory, beam=beam, max_length=6, length_penalty=penalty)
    for row in range(3):
        exact = reference_beam(net, memory, row, beam, 6, penalty)
        assert hypotheses.lists(row) == [y[:-1] for _, y in exact]
        for rank, (score, _) in enumerate(exact):
            assert float(hypotheses.scores[row, rank]) == pytest.approx(score, abs=1e-5)


def test_batch_composition_does_not_change_the_result():
    net = model(seed=3, sharpness=3.0)
    tokens = sources(1)
    together = net.beam_search(tokens, beam=3, max_length=12)
    for row in range(3):
        alone = net.beam_search(tokens[row : row + 1], beam=3, max_length=12)
        assert together.lists(row) == alone.lists(0)
        torch.testing.assert_close(together.scores[row], alone.scores[0], rtol=0, atol=1e-6)


class Endless(PrefixGrammar):
    """Anything may come but the end."""

    def allowed(self, state, remaining):
        fits = torch.ones(len(state["open"]), 7, dtype=torch.bool)
        fits[:, END] = False
        return fits


def test_what_does_not_end_in_time_is_marked():
    grammar = Endless(ARITY, END)
    for hypotheses in (
        model().beam_search(sources(), beam=2, max_length=3, grammar=grammar),
        model().sample(sources(), samples=2, max_length=3, grammar=grammar),
    ):
        assert not hypotheses.finished.any() and hypotheses.lists(0) == []
        assert (hypotheses.lengths == 3).all() and (hypotheses.tokens > END).all()
        assert hypotheses.scores.isfinite().all()


def complete(tokens: list[int]) -> bool:
    slots = 1
    for token in tokens:
        if slots == 0:
            return False
        slots += int(ARITY[token]) - 1
    return slots == 0


@pytest.mark.parametrize("depth", [0, 6])
def test_grammar_gives_whole_expressions_only(depth):
    net = model(tree_reach=3 if depth else 0, sharpness=1.0)
    grammar = PrefixGrammar(ARITY, END, depth=depth)
    hypotheses = net.beam_search(sources(), beam=5, max_length=9, grammar=grammar)
    assert hypotheses.finished.all()
    drawn = net.sample(sources(), samples=50, max_length=9, grammar=grammar)
    assert drawn.finished.all()
    for result in (hypotheses, drawn):
        for row in range(3):
            for tokens in result.lists(row):
                assert complete(tokens), tokens
    assert len({tuple(t) for row in range(3) for t in drawn.lists(row)}) > 10


def test_grammar_beam_search_equals_brute_force_over_legal_outputs():
    net = model()
    memory = net.encode(sources())
    longest = 5

    def legal(prefix: list[int]) -> Tensor:
        slots = 1 + sum(int(ARITY[t]) - 1 for t in prefix)
        room = longest - len(prefix)
        allowed = (ARITY >= 0) & (slots > 0) & (slots + ARITY + 1 <= room)
        allowed[END] = slots == 0
        return allowed

    hypotheses = net.beam_search(
        memory, beam=100, max_length=longest, length_penalty=0, grammar=PrefixGrammar(ARITY, END)
    )
    outputs = [y for y in all_outputs(7, longest) if complete(y[:-1])]
    for row in range(3):
        scores = log_probabilities(net, memory, row, outputs, legal)
        exact = sorted(zip(scores, outputs), reverse=True)
        assert hypotheses.lists(row) == [y[:-1] for _, y in exact]
        total = sum(math.exp(score) for score, _ in exact)
        assert total == pytest.approx(1, abs=1e-9)
        torch.testing.assert_close(
            hypotheses.scores[row, : len(exact)].double(),
            torch.tensor([s for s, _ in exact], dtype=torch.float64),
            rtol=0,
            atol=1e-5,
        )


@torch.no_grad()
def test_grammar_with_tree_positions_feeds_the_right_paths():
    net = model(tree_reach=3)
    grammar = PrefixGrammar(ARITY, END, depth=8)
    memory = net.encode(sources())
    hypotheses = net.beam_search(memory, beam=4, max_length=9, grammar=grammar, length_penalty=0)
    for row in range(3):
        part = Memory(*(m[row : row + 1] for m in memory))
        for rank, expression in enumerate(hypotheses.lists(row)):
            tokens = torch.tensor([[START, *expression]])
            logits = net.decode(tokens, part, positions=prefix_paths(tokens, ARITY, 8))[0]
            total, state = 0.0, grammar.start(1, torch.device("cpu"))
            for step, token in enumerate([*expression, END]):
                line = logits[step].masked_fill(~grammar.allowed(state, 9 - step)[0], -torch.inf)
                line[[PAD, START]] = -torch.inf
                total += float(line.log_softmax(-1)[token])
                state = grammar.advance(state, torch.tensor([token]))
            assert float(hypotheses.scores[row, rank]) == pytest.approx(total, abs=1e-5)


def test_samples_follow_the_model():
    net = model(sharpness=2.0)
    torch.manual_seed(0)
    memory = Memory(*(m[:1] for m in net.encode(sources())))
    drawn = net.sample(memory, samples=4000, max_length=3)
    counts: dict[tuple, int] = {}
    for tokens, length in zip(drawn.tokens[0].tolist(), drawn.lengths[0].tolist()):
        counts[tuple(tokens[:length])] = counts.get(tuple(tokens[:length]), 0) + 1
    outputs = [[END], [4, END], [6, 5, END]]
    for y, score in zip(outputs, log_probabilities(net, memory, 0, outputs)):
        p = math.exp(score)
        deviation = math.sqrt(p * (1 - p) / 4000)
        assert abs(counts.get(tuple(y), 0) / 4000 - p) < 4.5 * deviation + 1e-9
    greedy = net.sample(memory, samples=4, max_length=6, top_k=1)
    assert len({tuple(t) for t in greedy.tokens[0].tolist()}) == 1
    tight = net.sample(memory, samples=4, max_length=6, top_p=1e-6)
    assert tight.tokens[0].tolist() == greedy.tokens[0].tolist()
    best = net.beam_search(memory, beam=1, max_length=6)
    assert best.tokens[0, 0].tolist()[:3] == greedy.tokens[0, 0].tolist()[:3]


def test_decoding_has_no_dropout_and_leaves_the_mode():
    net = model(dropout=0.5)
    calm = net.beam_search(sources(), beam=3, max_length=6)
    net.train()
    assert net.encoder is not None and net.decoder is not None
    net.encoder.eval()
    again = net.beam_search(sources(), beam=3, max_length=6)
    assert torch.equal(calm.scores, again.scores)
    assert net.training and net.decoder.training and not net.encoder.training


def test_decoder_only_with_a_prompt():
    net = model(kind="decoder")
    prompt = torch.tensor([[6, 3], [5, 6]])
    grammar = PrefixGrammar(ARITY, END)
    hypotheses = net.beam_search(None, beam=3, max_length=8, prompt=prompt, grammar=grammar)
    for row in range(2):
        for tokens in hypotheses.lists(row):
            assert tokens[:2] == prompt[row].tolist() and complete(tokens)


def test_as_a_trunk_on_dense_and_ragged_batches():
    net = trunks.build("sequence", dim=16, heads=4, groups=2, encoder_layers=2, pair_dim=3)
    net.eval()
    items = [{"x": torch.randn(n, 16), "pair": torch.randn(n, n, 3)} for n in (5, 3)]
    batch = make_dense(items)
    encoded = net(batch)
    assert encoded.nodes.shape == (2, 5, 16) and encoded.graph.shape == (2, 16)
    assert (encoded.nodes[1, 3:] == 0).all()
    alone = net(make_dense(items[1:]))
    torch.testing.assert_close(encoded.nodes[1, :3], alone.nodes[0], rtol=0, atol=1e-5)
    rows = net(ragged(batch))
    torch.testing.assert_close(rows.nodes, encoded.nodes[batch.mask], rtol=0, atol=1e-5)
    batch.pair = batch.pair + 1 * torch.randn_like(batch.pair)
    assert (net(batch).graph - encoded.graph).abs().max() > 1e-4
    reversed_ = make_dense([{**item, "x": item["x"].flip(0)} for item in items])
    assert (net(reversed_).graph - encoded.graph).abs().max() > 1e-4


def test_only_the_decoder_kind_is_causal():
    for kind, causal in (("decoder", True), ("encoder", False)):
        net = trunks.build("sequence", dim=16, heads=4, kind=kind).eval()
        assert net.causal is causal
        x = torch.randn(2, 6, 16)
        other = x.clone()
        other[:, 4:] += 1
        first, second = (net(make_dense([{"x": row} for row in v])).nodes for v in (x, other))
        unchanged = torch.allclose(first[:, :4], second[:, :4], atol=1e-6)
        assert unchanged is causal
        assert not torch.allclose(first[:, 4:], second[:, 4:], atol=1e-3)


def test_every_parameter_learns_and_saves(tmp_path):
    net = model(tree_reach=2).float()
    tokens = torch.cat([torch.full((3, 1), START), sources(2)], 1)
    paths = prefix_paths(tokens, ARITY, 6)
    memory = net.encode(sources(), positions=prefix_paths(sources(), ARITY, 6))
    net.decode(tokens, memory, positions=paths).logsumexp(-1).sum().backward()
    idle = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []
    trunks.save(net, tmp_path / "trunk")
    again: Any = trunks.load(tmp_path / "trunk").eval()
    torch.testing.assert_close(again.decode(tokens, memory), net.decode(tokens, memory))


def test_prefix_paths():
    # + neg x + 1 x
    paths = prefix_paths(torch.tensor([[START, 6, 5, 3, 6, 4, 3, END, PAD]]), ARITY, 3)[0]
    assert paths.tolist() == [
        [0, 0, 0],
        [0, 0, 0],
        [1, 0, 0],
        [1, 1, 0],
        [2, 0, 0],
        [2, 1, 0],
        [2, 2, 0],
        [0, 0, 0],
        [0, 0, 0],
    ]
    cut = prefix_paths(torch.tensor([[6, 5, 3, 6, 4, 3]]), ARITY, 1)[0]
    assert cut.tolist() == [[0], [1], [1], [2], [2], [2]]


def test_tree_bucket_counts_steps_up_and_down():
    paths = torch.tensor([[0, 0], [1, 0], [1, 1], [2, 0]])
    relation = tree_bucket(paths, paths, reach=5)
    up, down = relation // 6, relation % 6
    assert up.tolist() == [[0, 0, 0, 0], [1, 0, 0, 1], [2, 1, 0, 2], [1, 1, 1, 0]]
    assert torch.equal(up.T, down)


def test_distance_buckets_are_exact_when_near_and_monotonic():
    offset = torch.arange(-200, 1)
    bucket = distance_bucket(offset, 32, 128, causal=True)
    assert bucket.flip(0)[:16].tolist() == list(range(16))
    assert (bucket.flip(0).diff() >= 0).all() and int(bucket.max()) == 31
    both = distance_bucket(torch.tensor([-1, 0, 1]), 32, 128, causal=False)
    assert len(set(both.tolist())) == 3


def test_wrong_use_says_what_to_do():
    with pytest.raises(InputError, match="multiple of `heads`"):
        SequenceConfig(dim=10, heads=4)
    with pytest.raises(InputError, match="kind 'encoder' cannot decode"):
        model(kind="encoder").beam_search(sources())
    with pytest.raises(InputError, match="without a source"):
        net = model(kind="decoder")
        net.decode(sources(), Memory(torch.zeros(3, 2, 16), torch.ones(3, 2).bool()))
    with pytest.raises(InputError, match="length_penalty"):
        model().beam_search(sources(), length_penalty=-1)
    with pytest.raises(InputError, match="temperature > 0"):
        model().sample(sources(), temperature=0)
    with pytest.raises(InputError, match="leaves nothing"):
        model().beam_search(sources(), max_length=2, prompt=torch.tensor([[3, 3]] * 3))
    with pytest.raises(InputError, match="arity 0"):
        PrefixGrammar(torch.tensor([-1, 1, 2]), END)
    with pytest.raises(InputError, match="no tokens"):
        untold: Any = trunks.build("sequence")
        untold.beam_search(torch.ones(1, 3, dtype=torch.int64))
