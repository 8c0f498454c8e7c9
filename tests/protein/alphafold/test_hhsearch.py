"""HHsearch's hits and structure files become templates."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from sciml.errors import InputError
from sciml.protein.alphafold.hhsearch import Hit, hhsearch_templates, read_hhr, template_of, usable
from sciml.protein.io import residues
from sciml.protein.io.structure import Chain
from sciml.protein.io.structure_writing import write_structure

QUERY = "MKVLAAGTREWQHNDCFYSPILKEEA"
TEMPLATE = "AAGTREWQHNDCYSPILKEDA"
HHR = """Query         query
Match_columns 26

 No Hit                             Prob E-value P-value  Score    SS Cols Query HMM  Template HMM
  1 1ABC_B test                     99.0 1.0E-10 1.0E-12   80.0   0.0   20    5-26      1-21  (21)

No 1
>1ABC_B a test
Probab=99.00  E-value=1e-10  Score=80.00  Aligned_cols=20  Identities=90%  Sum_probs=18.5

Q ss_pred             HHHHHHHHHHHHHHHH
Q query             5 AAGTREWQHNDCFYSP   20 (26)
Q Consensus         5 aagtrewqhndcfysp   20 (26)
                      |||||||||||| |||
T Consensus         1 aagtrewqhndc-ysp   15 (21)
T 1ABC_B            1 AAGTREWQHNDC-YSP   15 (21)

Q query            21 ILKEEA   26 (26)
Q Consensus        21 ilkeea   26 (26)
                      ||||.|
T Consensus        16 ilkeda   21 (21)
T 1ABC_B           16 ILKEDA   21 (21)

"""


def chain(sequence: str, drop: tuple[int, ...] = ()) -> Chain:
    keep = [k for k in range(len(sequence)) if k not in drop]
    types = np.array([residues.RESIDUES.index(sequence[k]) for k in keep])
    mask = residues.ATOM37_MASK[types]
    atoms = np.random.default_rng(1).normal(0, 9, (len(sequence), 37, 3))[keep] * mask[..., None]
    return Chain(
        "B", types, atoms.astype("f4"), mask, np.zeros_like(mask), labels=[k + 1 for k in keep]
    )


def hit(tmp_path: Path) -> Hit:
    (tmp_path / "hits.hhr").write_text(HHR)
    return read_hhr(tmp_path / "hits.hhr")[0]


def test_alignment_and_coordinates(tmp_path: Path) -> None:
    parsed = hit(tmp_path)
    assert parsed.name == "1ABC_B" and parsed.sum_probs == 18.5 and len(parsed.pairs) == 21
    assert parsed.pairs[0] == (4, 0) and (15, 11) in parsed.pairs and (17, 12) in parsed.pairs
    whole = chain(TEMPLATE, drop=(3, 4))  # two residues without coordinates
    template = template_of(parsed, whole, QUERY)
    assert (template.types[:4] == residues.GAP).all() and template.types[16] == residues.GAP
    assert np.array_equal(template.atoms[6], whole.atoms[2])
    assert template.mask[7:9].sum() == 0 and template.mask[9].sum() > 0
    assert np.array_equal(template.atoms[25], whole.atoms[-1])
    whole.labels = []  # a file without numbers: by the letters
    again = template_of(parsed, whole, QUERY)
    assert np.array_equal(again.atoms, template.atoms) and np.array_equal(again.mask, template.mask)
    with pytest.raises(InputError, match="another sequence"):
        template_of(parsed, chain("GGGGGGGGGGGGGGGGGGGGG"), QUERY)


def test_the_query_itself_and_scraps_are_left_out(tmp_path: Path) -> None:
    parsed = hit(tmp_path)
    assert usable(parsed, QUERY)
    itself = Hit("x", [(k, k) for k in range(26)], dict(enumerate(QUERY)), 25.0)
    assert not usable(itself, QUERY)
    assert not usable(Hit("x", parsed.pairs[:9], parsed.letters, 5.0), QUERY)


def test_files_and_their_faults(tmp_path: Path) -> None:
    hit(tmp_path)
    with pytest.raises(InputError, match="1 hits can be used, none has a file"):
        hhsearch_templates(tmp_path / "hits.hhr", tmp_path, QUERY)
    one = chain(TEMPLATE)
    write_structure(tmp_path / "1abc.cif", one.types, one.atoms, one.mask, chain="B")
    templates = hhsearch_templates(tmp_path / "hits.hhr", tmp_path, QUERY)
    assert [t.name for t in templates] == ["1ABC_B"]
    assert np.allclose(templates[0].atoms[25], one.atoms[-1], atol=1e-3)
    (tmp_path / "bad.hhr").write_text("nothing")
    with pytest.raises(InputError, match="no HHsearch result"):
        read_hhr(tmp_path / "bad.hhr")
    (tmp_path / "bad.hhr").write_text(HHR.replace("T 1ABC_B           16 ILKEDA", "T 1ABC_B  x"))
    with pytest.raises(InputError, match="unequal rows"):
        read_hhr(tmp_path / "bad.hhr")


def test_alignments_by_hh_suite(fixture_file, fixture_script, tmp_path: Path) -> None:
    """Three results of HH-suite, held to the true alignment of the made families."""
    query, made = fixture_script("debian_programs").templates()
    for name, (sequence, true) in made.items():
        hits = read_hhr(fixture_file(f"protein/{name}.hhr"))
        assert [h.name for h in hits] == [name] and 0 < hits[0].sum_probs < len(query)
        pairs = hits[0].pairs
        assert hits[0].letters == {j: sequence[j] for j in hits[0].letters}
        assert {j for _, j in pairs} <= set(hits[0].letters)
        assert sum(true.get(i) == j for i, j in pairs) > 0.9 * len(true)
        one = chain(sequence)
        file = tmp_path / f"{name[:4].lower()}.cif"
        write_structure(file, one.types, one.atoms, one.mask, chain=name[-1])
        (template,) = hhsearch_templates(fixture_file(f"protein/{name}.hhr"), tmp_path, query)
        for i, j in pairs:
            assert np.allclose(template.atoms[i], one.atoms[j], atol=1e-3)


def test_real_hits(shared: Path) -> None:
    folder = shared / "data/protein/openfold_tests"
    hits = read_hhr(folder / "alignments/pdb70_hits.hhr.gz")
    assert len(hits) > 5 and all(len(h.pairs) > 3 for h in hits)
    n = 1 + max(i for h in hits for i, _ in h.pairs)
    templates = hhsearch_templates(
        folder / "alignments/pdb70_hits.hhr.gz", folder / "mmcifs", "X" * n
    )
    assert {"4ZEY_A", "3U8V_A"} <= {t.name for t in templates}
    for template in templates:
        seen = template.mask[:, 1] > 0
        assert seen.sum() >= 10 and (template.types[seen] < residues.GAP).all()
        step = np.linalg.norm(np.diff(template.atoms[:, 1], axis=0), axis=-1)
        both = seen[1:] & seen[:-1]
        assert np.median(step[both]) == pytest.approx(3.8, abs=0.1)


@pytest.mark.parametrize("value", ["", "nan", "inf", "-inf", "1e999", "-3", "1.2.3", "x", "0x10"])
def test_odd_sums_of_probabilities_are_refused(tmp_path: Path, value: str) -> None:
    path = tmp_path / "x.hhr"
    path.write_text(HHR.replace("Sum_probs=18.5", f"Sum_probs={value}"))
    with pytest.raises(InputError, match=f"Sum_probs={value} where a number") as caught:
        read_hhr(path)
    assert "1ABC_B" in str(caught.value) and "\n" not in str(caught.value)
    path.write_text(HHR.replace("Sum_probs=18.5", ""))
    with pytest.raises(InputError, match="no Sum_probs"):
        read_hhr(path)


@pytest.mark.parametrize("start", ["0", "22", "99999999999999999999"])
def test_rows_that_do_not_follow_each_other_are_refused(tmp_path: Path, start: str) -> None:
    path = tmp_path / "x.hhr"
    path.write_text(HHR.replace("Q query            21", f"Q query            {start}"))
    with pytest.raises(InputError, match="numbers the row 'ILKEEA'"):
        read_hhr(path)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("AF-P00750-F1-model_v4_B", "AF-P00750-F1-model_v4.cif"),
        ("my_own_model_B", "MY_own_model.pdb"),
        ("1ABC_B", "1abc.cif.gz"),
        ("1abc", "1abc.cif"),
        ("tet12sn_.", "tet12sn.pdb"),
        ("1abc_B", "1abc_B.cif"),
    ],
)
def test_names_are_split_at_their_last_underscore(tmp_path: Path, name: str, file: str) -> None:
    whole = chain(TEMPLATE)
    plain = tmp_path / file.removesuffix(".gz")
    write_structure(plain, whole.types, whole.atoms, whole.mask, chain="B")
    if file.endswith(".gz"):
        (tmp_path / file).write_bytes(gzip.compress(plain.read_bytes()))
        plain.unlink()
    path = tmp_path / "x.hhr"
    path.write_text(HHR.replace("1ABC_B", name))
    templates = hhsearch_templates(path, tmp_path, QUERY)
    assert [template.name for template in templates] == [name]


def test_hits_of_another_query_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.hhr"
    path.write_text(HHR)
    with pytest.raises(InputError, match="its query is another sequence"):
        hhsearch_templates(path, tmp_path, QUERY[::-1])
