"""Which organism a row of an alignment is of, and its place in a genome, from the row's name.

Names are those of UniProt (`sp|P0A7Z4|RPOA_ECOLI ... OX=83333`), UniRef (`UniRef100_P0A7Z4 ...
TaxID=83333`) and NCBI (`[Escherichia coli]`). Genes that were sequenced together have UniProt
accessions of neighbouring numbers (Ovchinnikov et al., eLife 3, e02030, 2014).
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Sequence

_TAXON = re.compile(r"\b(?:OX|TaxID|taxid|TaxId)=(\d+)")
_ENTRY = re.compile(r"^(?:(?:sp|tr)\|[^|\s]+\|)?[A-Z0-9]{1,10}_([A-Z0-9]{3,5})(?:[/_\s]|$)")
_NAMED = re.compile(r"\b(?:OS|Tax)=(.+?)(?=\s[A-Za-z]+=|$)")
_BRACKET = re.compile(r"\[([A-Z][^\[\]]+)\]\s*$")
_ACCESSION = re.compile(
    r"(?:^|[|_])(?:([OPQ][0-9][A-Z0-9]{3}[0-9])|([A-NR-Z][0-9](?:[A-Z][A-Z0-9]{2}[0-9]){1,2}))"
    r"(?![A-Z0-9])"
)
_DIGITS, _LETTERS = string.digits, string.ascii_uppercase
_OLD = (_LETTERS, _DIGITS, *[_LETTERS + _DIGITS] * 3, _DIGITS)
_NEW = (_LETTERS, _DIGITS, *(_LETTERS, _LETTERS + _DIGITS, _LETTERS + _DIGITS, _DIGITS) * 2)


def _marks(name: str) -> tuple[str | None, str | None, str | None]:
    """Number of the organism, mnemonic and plain name, as far as a name tells them."""
    taxon, entry = _TAXON.search(name), _ENTRY.match(name)
    plain = _NAMED.search(name) or _BRACKET.search(name)
    return (
        taxon[1] if taxon else None,
        entry[1] if entry else None,
        plain[1].strip() if plain else None,
    )


def organisms(chains: Sequence[Iterable[str]]) -> list[list[str | None]]:
    """The organism of each row of each chain; rows of one organism get the same text, None where
    the name does not tell it.

    The number (`OX=`, `TaxID=`) counts, then UniProt's mnemonic, then the name. Rows that have only
    a mnemonic or a name join those whose number another row tells. Mnemonics that stand for a
    group, such as 9BACT, are taken as AlphaFold-Multimer takes them, but tell no number.
    """
    marks = [[_marks(name) for name in names] for names in chains]
    numbers: dict[str, str] = {}
    for taxon, *others in (mark for rows in marks for mark in rows):
        if taxon is not None:
            for other in others:
                if other is not None and not other.startswith("9"):
                    numbers.setdefault(other, taxon)

    def key(taxon: str | None, entry: str | None, plain: str | None) -> str | None:
        if taxon is not None:
            return taxon
        for other in (entry, plain):
            if other is not None:
                return numbers.get(other, other)
        return None

    return [[key(*mark) for mark in rows] for rows in marks]


def accession(name: str) -> str | None:
    """The UniProt accession in the first word of a name, or None."""
    match = _ACCESSION.search(name.split(" ")[0])
    return (match[1] or match[2]) if match else None


def accession_number(name: str) -> tuple[int, int] | None:
    """(form, number) of the UniProt accession in a name, or None.

    Accessions of a form are counted in their order, letters before digits. Those of two forms (six
    characters that begin with O, P or Q, six others, ten) were given in different years and have no
    distance.
    """
    code = accession(name)
    if code is None:
        return None
    old = code[0] in "OPQ"
    number = 0
    for letter, choices in zip(code, _OLD if old else _NEW, strict=False):
        number = number * len(choices) + choices.index(letter)
    return (0 if old else len(code)), number
