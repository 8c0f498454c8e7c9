"""Pairing of a complex's rows: AlphaFold-Multimer's own, operons, and what pairs may not do."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sciml.protein.io.alignment import Alignment
from sciml.protein.io.complex_rows import merged_alignment
from sciml.protein.io.complexes import Complex, ComplexChain
from sciml.protein.io.pairing import ABSENT, PairingConfig, by_genome, by_species, pair_chains
from sciml.protein.io.residues import GAP
from sciml.protein.io.species import accession_number, organisms


def chain_of(text: str, copies: int = 1) -> ComplexChain:
    """A chain from A3M."""
    records = [record.split("\n") for record in text.lstrip(">").rstrip("\n").split("\n>")]
    rows = Alignment.from_sequences([row for _, row in records], [name for name, _ in records])
    return ComplexChain(rows.row(0), copies, rows)


def named(names: Sequence[str], residues: int = 6) -> Alignment:
    """Rows that differ from the first in as many residues as they stand below it."""
    rows = ["M" * max(residues - k, 0) + "A" * min(k, residues) for k in range(len(names) + 1)]
    return Alignment.from_sequences(rows, ["query", *names])


@pytest.mark.parametrize("case", ["dimer", "copies", "three", "equal", "cropped"])
def test_rows_are_those_of_the_published_pipeline(
    case: str, fixture_file: Callable[[str], Path]
) -> None:
    with np.load(fixture_file("protein/complex_rows.npz")) as file:
        arrays = {k.split("/", 1)[1]: file[k] for k in file if k.startswith(f"{case}/")}
    copies = arrays["copies"].tolist()
    chains = [chain_of(arrays[str(k)].tobytes().decode(), n) for k, n in enumerate(copies)]
    complex_ = pair_chains(Complex("made", chains))
    most = 64 if case == "cropped" else 2048
    merged = merged_alignment(complex_, most)
    np.testing.assert_array_equal(merged.rows, arrays["msa"])
    assert merged.deletions is not None and merged.deletions.any()
    np.testing.assert_array_equal(merged.deletions, arrays["deletion_matrix"])
    pairs = merged.rows[1 : min(complex_.paired_depth, most // 2)]
    lengths = [len(c.sequence) for c in chains for _ in range(c.copies)]
    parts = np.split(pairs, np.cumsum(lengths)[:-1], 1)
    present = np.stack([(part != GAP).any(1) for part in parts], 1)
    assert len(chains) == 1 or (len(pairs) > 3 and (present.sum(1) > 1).all())
    assert case != "three" or not present.all()


def test_complete_pairs_have_every_chain() -> None:
    names = [["A_ECOLI", "B_HUMAN"], ["C_HUMAN", "D_ECOLI"], ["E_ECOLI", "F_YEAST"]]
    alignments = [named(column) for column in names]
    greedy = by_species(alignments, PairingConfig())
    assert greedy.tolist() == [[0, 0, 0], [1, 2, 1], [2, 1, ABSENT]]
    complete = by_species(alignments, PairingConfig(complete=True))
    assert complete.tolist() == [[0, 0, 0], [1, 2, 1]]


def test_the_rows_most_like_their_chains_meet_first() -> None:
    one = named(["X_ECOLI", "Y_ECOLI"])
    other = Alignment.from_sequences(["MMMM", "AAAM", "MMMA"], ["query", "FAR_ECOLI", "NEAR_ECOLI"])
    assert by_species([one, other], PairingConfig()).tolist() == [[0, 0], [1, 2], [2, 1]]
    few = PairingConfig(max_rows_per_species=1)
    assert by_species([one, other], few).tolist() == [[0, 0]]


@pytest.mark.parametrize(
    ("name", "organism"),
    [
        ("sp|P0A7Z4|RPOA_ECOLI DNA polymerase OS=Escherichia coli (strain K12) OX=83333", "83333"),
        ("UniRef90_Q8ZZZ1/3-90 x n=3 Tax=Homo sapiens TaxID=9606 RepID=X", "9606"),
        ("tr|A0A023GPI8|A0A023GPI8_9BACT/2-40", "9BACT"),
        ("RPOA_ECOLI/3-90", "ECOLI"),
        ("WP_000123.1 a subunit [Escherichia coli]", "Escherichia coli"),
        ("101\t102", None),
        ("UniRef100_UPI0001 x", None),
    ],
)
def test_organisms_of_names(name: str, organism: str | None) -> None:
    assert organisms([[name]]) == [[organism]]


def test_names_of_two_databases_meet_by_what_a_third_row_tells() -> None:
    both = "sp|P1|A_ECOLI OS=Escherichia coli OX=83333"
    assert organisms([["B_ECOLI/1-9", "x [Escherichia coli]"], ["UniRef TaxID=83333", both]]) == [
        ["83333"] * 2, ["83333"] * 2,
    ]  # fmt: skip
    group = "tr|Q1|A_9BACT OX=77133"  # 9BACT is no organism: it tells no number
    assert organisms([["B_9BACT/1-9", group]]) == [["9BACT", "77133"]]


def test_accessions_are_counted_in_their_order() -> None:
    for order in (
        ["O0AAA0", "O0AAA9", "O0AA00", "P0AAA0", "Q99999"],
        ["A0AAA0", "A0AAA9", "A0AAB0", "A0AB00", "B0AAA0"],
        ["A0AAA0AAA0", "A0AAA0AAA1", "A0AAA0AAB0", "A0AAA0B000", "A0AAA1AAA0"],
    ):
        numbers = [accession_number(f"tr|{code}|X_Y") or (-1, -1) for code in order]
        assert sorted(numbers) == numbers and len({form for form, _ in numbers}) == 1, order
        assert numbers[0][0] >= 0 and len(set(numbers)) == len(numbers)
    assert accession_number("UniRef100_P0A7Z5") == (0, accession_number("P0A7Z4")[1] + 1)  # type: ignore[index]
    assert accession_number("P0A7Z4A") is None and accession_number("query") is None


def test_neighbouring_genes_pair_and_others_do_not() -> None:
    one = named(["tr|A0AAA1|x_A1", "tr|A0AAB5|x_B1", "tr|A0CCC0|x_C1", "tr|A0DDD1|x OX=1"])
    other = named(["tr|A0AAC4|y_B1", "tr|A0AAA4|y_A1", "tr|A0CCC0|y_C1", "tr|A0DDD2|y OX=2"])
    near = by_genome([one, other], PairingConfig(max_distance=3))
    assert near.tolist() == [[0, 0], [1, 2]]
    far = by_genome([one, other], PairingConfig(max_distance=9))
    assert far.tolist() == [[0, 0], [1, 2], [2, 1]]  # neither one protein nor two organisms


@pytest.mark.parametrize("case", ["two", "three", "four"])
def test_operons_pair_as_in_the_published_pipeline(
    case: str, fixture_file: Callable[[str], Path]
) -> None:
    """Genes of an operon stand closer than 20, others further: there all ways of pairing agree."""
    with np.load(fixture_file("protein/genome_rows.npz")) as file:
        want = file[f"{case}/rows"]
        texts = [file[f"{case}/names{k}"].tobytes().decode() for k in range(want.shape[1])]
    alignments = [named(text.split("\n"), 2) for text in texts]
    rows = by_genome(alignments, PairingConfig(by="genome", max_distance=19))
    assert {tuple(row) for row in rows.tolist()} == {tuple(row) for row in want.tolist()}
    present, product = (rows != ABSENT).sum(1), np.abs(rows.prod(1))
    assert present.tolist() == (want != ABSENT).sum(1).tolist()
    assert product.tolist() == np.abs(want.astype(int).prod(1)).tolist()
    assert len(want) > 12 and (case == "two") == bool((want != ABSENT).all())


def test_accessions_have_the_numbers_of_the_published_pipeline(
    fixture_file: Callable[[str], Path],
) -> None:
    with np.load(fixture_file("protein/genome_rows.npz")) as file:
        codes, numbers = file["codes"].tobytes().decode().split("\n"), file["numbers"].tolist()
    assert len(codes) > 20
    ours = [accession_number(f"tr|{code}|X_Y") for code in codes]
    assert [None if pair is None else pair[1] for pair in ours] == numbers


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[st.lists(st.integers(0, 259), max_size=30, unique=True)] * 2))
def test_each_gene_meets_its_mutual_neighbour(places: tuple[list[int], list[int]]) -> None:
    """ColabFold's stitching of two chains: genes that are each other's nearest, 1 to 20 apart."""
    code = lambda n: f"A0AA{chr(65 + n // 10)}{n % 10}"  # noqa: E731
    one, other = (named([code(n) for n in column], 3) for column in places)
    rows = {tuple(row) for row in by_genome([one, other], PairingConfig()).tolist()}
    gaps = np.abs(np.subtract.outer(*places)) if all(places) else np.zeros((0, 0))
    for k, line in enumerate(gaps):
        j = int(line.argmin())
        alone = (line == line[j]).sum() == 1 and (gaps[:, j] == line[j]).sum() == 1
        if alone and gaps[:, j].argmin() == k and 1 <= line[j] <= 20:
            assert (k + 1, j + 1) in rows


def test_groups_of_three_genes() -> None:
    chains = [named([f"A0AAA{k}", f"A0BB{k}0"]) for k in (1, 3, 5)]
    rows = by_genome(chains, PairingConfig(max_distance=2))
    assert rows.tolist() == [[0, 0, 0], [1, 1, 1]]
    two = by_genome([*chains[:2], named(["A0ZZZ0"])], PairingConfig(max_distance=2))
    assert two.tolist() == [[0, 0, 0], [1, 1, ABSENT]]
    complete = PairingConfig(max_distance=2, complete=True)
    assert len(by_genome([*chains[:2], named(["A0ZZZ0"])], complete)) == 1


names = st.sampled_from(["A_ECOLI", "B_HUMAN", "A0AAA1", "A0AAA3", "A0AAB2 OX=83333", "none"])


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(st.lists(names, max_size=6), min_size=2, max_size=4),
    by=st.sampled_from(["species", "genome"]),
    complete=st.booleans(),
)
def test_no_row_is_lost_or_paired_twice(rows: list[list[str]], by: str, complete: bool) -> None:
    alignments = [named(column, 8) for column in rows]
    config = PairingConfig(by=by, complete=complete)  # type: ignore[arg-type]
    pairs = (by_species if by == "species" else by_genome)(alignments, config)
    for column, alignment in zip(pairs.T, alignments, strict=True):
        used = column[column != ABSENT]
        assert len(set(used.tolist())) == len(used) and used.max() < alignment.depth
    assert ((pairs != ABSENT).sum(1) > 1).all() and (pairs[0] == 0).all()
    assert not complete or (pairs != ABSENT).all()
    chains = [ComplexChain(a.row(0)[:8], 1, a) for a in alignments]
    merged = merged_alignment(pair_chains(Complex("x", chains), config))
    for k, alignment in enumerate(alignments):
        part = {row.tobytes() for row in merged.rows[:, 8 * k : 8 * k + 8]}
        assert {row.tobytes() for row in alignment.rows} <= part
    assert merged.depth == len(pairs) + sum(a.depth for a in alignments) - (pairs != ABSENT).sum()
