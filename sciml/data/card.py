"""Data cards: `data_cards/NAME.md`, YAML front matter that code reads, prose that people read.

The front matter uses the Croissant names (MLCommons Croissant 1.0); the prose stands under the
headings of Gebru et al., "Datasheets for Datasets" (2021).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from sciml.config import Range, from_dict
from sciml.errors import InputError, unknown
from sciml.paths import data_cards_dir, existing_file

HEADINGS = (
    "Motivation",
    "Composition",
    "Collection process",
    "Preprocessing",
    "Uses",
    "Distribution",
    "Maintenance",
)


@dataclass(frozen=True)
class File:
    """One file of a distribution."""

    name: str
    """File name on disk."""
    contentUrl: str = ""
    """Where it is downloaded from; a path relative to the package for embedded files."""
    sha256: str = ""
    """Digest of the content; empty where the publisher gives none."""
    contentSize: Annotated[int, Range(min=0)] = 0
    """Size in bytes; 0 where the publisher gives none."""
    encodingFormat: str = "application/octet-stream"
    """Media type."""


@dataclass(frozen=True)
class Split:
    """One split and what it is split by."""

    name: str
    """train, validation, test, ..."""
    by: str
    """What keeps the splits apart: seed, family, file, year."""
    size: str = ""
    """Its size in words: '10,000 jets'."""


@dataclass(frozen=True)
class Field:
    """One column or array."""

    name: str
    """Its name in the file."""
    dtype: Literal["float16", "float32", "float64", "int8", "int32", "int64", "bool", "text"]
    """Number format of a value."""
    shape: str
    """'scalar', or axes such as '[particles]'."""
    unit: str
    """Physical unit, '1' for a pure number."""
    description: str
    """What it means."""


@dataclass(frozen=True)
class DataCard:
    """A data set: description, rights, how to obtain it, content."""

    name: str
    """Short name, the card's file name."""
    description: str
    """One sentence."""
    version: str
    """Version of the data, not of the card."""
    license: str
    """SPDX name or the publisher's words."""
    citeAs: str
    """How to cite it."""
    url: str = ""
    """Home page of the data set."""
    domain: Literal["jets", "protein", "symbolic", "placement"] = "jets"
    """The science it belongs to."""
    distribution: tuple[File, ...] = ()
    """The files, for data that is downloaded or embedded."""
    generator: str = ""
    """Function that generates it, 'package.module:function', for data that is generated."""
    command: str = ""
    """The exact command that generates it."""
    seed: int = 0
    """Seed of the generator."""
    sha256: str = ""
    """Digest of the output of `command`."""
    splits: tuple[Split, ...] = ()
    """The splits and what they are split by."""
    fields: tuple[Field, ...] = ()
    """The columns or arrays."""
    keywords: tuple[str, ...] = field(default=())
    """Search words."""


def front_matter(path: Path) -> tuple[dict[str, Any], str]:
    """YAML front matter and the prose below it.

    Raises:
        InputError: no front matter between `---` lines, or it is not YAML.
    """
    import yaml

    text = existing_file(path, "card").read_text(encoding="utf-8")
    parts = text.split("---\n", 2)
    if not text.startswith("---\n") or len(parts) != 3:
        raise InputError("must open with YAML front matter between two `---` lines", where=path)
    try:
        facts = yaml.safe_load(parts[1])
    except yaml.YAMLError as error:
        raise InputError(f"the front matter is not YAML ({error})", where=path) from error
    return facts, parts[2]


def names() -> list[str]:
    """The data cards that come with the package."""
    return sorted(path.stem for path in data_cards_dir().glob("*.md"))


def read(name_or_path: str) -> tuple[DataCard, str]:
    """A card and its prose, by name or path.

    Raises:
        InputError: unknown name, or every mistake in the front matter at once.
    """
    path = Path(name_or_path)
    if path.suffix != ".md":
        if name_or_path not in names():
            raise unknown(
                "data card", name_or_path, names(), hint="`sciml data list` shows them all"
            )
        path = data_cards_dir() / f"{name_or_path}.md"
    facts, prose = front_matter(path)
    return from_dict(DataCard, facts, where=path), prose


def croissant(card: DataCard) -> dict[str, Any]:
    """The card as Croissant 1.0 JSON-LD."""
    made = File(f"{card.name}.parquet", sha256=card.sha256)
    distribution = card.distribution or (made,)
    files = [
        {
            "@type": "cr:FileObject",
            "@id": file.name,
            "name": file.name,
            "contentUrl": file.contentUrl or file.name,
            "encodingFormat": file.encodingFormat,
            # Croissant demands a digest, also where the publisher gives none.
            **({"sha256": file.sha256} if file.sha256 else {"sha256": "not published"}),
            **({"contentSize": f"{file.contentSize} B"} if file.contentSize else {}),
        }
        for file in distribution
    ]
    source = {"fileObject": {"@id": distribution[0].name}}
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"records/{item.name}",
            "name": item.name,
            "description": f"{item.description} Shape {item.shape}, unit {item.unit}.",
            "dataType": _CROISSANT_TYPES[item.dtype],
            "source": {**source, "extract": {"column": item.name}},
        }
        for item in card.fields
    ]
    records = {"@type": "cr:RecordSet", "@id": "records", "name": "records", "field": fields}
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": card.name,
        "description": card.description,
        "version": card.version,
        "license": card.license,
        "citeAs": card.citeAs,
        "url": card.url or f"urn:sciml:data:{card.name}",
        "datePublished": "2026-11-22",
        "keywords": list(card.keywords),
        "distribution": files,
        "recordSet": [records] if fields else [],
    }


_CROISSANT_TYPES = {
    "float16": "sc:Float",
    "float32": "sc:Float",
    "float64": "sc:Float",
    "int8": "sc:Integer",
    "int32": "sc:Integer",
    "int64": "sc:Integer",
    "bool": "sc:Boolean",
    "text": "sc:Text",
}
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
