"""Documents and where they come from."""

from __future__ import annotations

import msgspec

from fairlead.knowledge.chunking import Chunked


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A folder or a single file that was ingested, or the built-in documentation.

    ``root`` is its absolute path, or ``builtin:``; ``name``, unique, begins the addresses of its
    documents, so that no path of the machine is shown to readers. ``documents`` counts them.
    """

    id: int
    root: str
    name: str
    documents: int = 0


class Document(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A document. ``path`` is relative to its source's root (empty if the source is the file),
    ``digest`` tells whether it changed; ``text`` is left out (empty) where documents are listed."""

    id: str
    source: str
    path: str
    address: str
    title: str
    digest: str
    passages: int = 0
    text: str = ""


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A document as it was read: what :meth:`SqliteKnowledge.put` makes a document of.

    ``title`` stands in where the document states none.
    """

    path: str
    title: str
    digest: str
    text: str
    chunked: Chunked
