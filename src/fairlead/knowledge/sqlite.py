"""The embedded knowledge base: passages in SQLite, found by FTS5."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import apsw

from fairlead.errors import NotFound, StoreUnavailable
from fairlead.knowledge import retrieval, schema
from fairlead.knowledge.documents import Document, Draft, Source
from fairlead.ports.knowledge import Passage
from fairlead.primitives import derived_id

T = TypeVar("T")

_DOCUMENT = """
SELECT document.id, source.name, path, address, title, digest, passages, {text}
FROM document JOIN source ON source.n = document.source
"""


class SqliteKnowledge:
    """Implements :class:`~fairlead.ports.knowledge.Knowledge` on one file, ``knowledge.db``.

    One thread reads and another writes, each with a connection of its own, so neither the event
    loop nor a question waits for ingestion. Other processes may use the file at the same time;
    what they commit is seen at once. Every method but :meth:`close` raises
    :class:`~fairlead.errors.StoreUnavailable` before :meth:`open` and after :meth:`close`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader = _Thread(path, "knowledge-reader", readonly=True)
        self._writer = _Thread(path, "knowledge-writer", readonly=False)

    async def open(self) -> None:
        """Make ready for use; makes the file and upgrades its index if need be.

        Raises :class:`~fairlead.errors.StoreCorrupt` (not a knowledge base, damaged),
        :class:`~fairlead.errors.Misconfigured` (of another program or a newer version) or
        :class:`~fairlead.errors.StoreUnavailable` (no access).
        """
        try:
            await self._writer.open()
            await self._reader.open()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Finish what is being written and free everything. Idempotent."""
        await self._reader.close()
        await self._writer.close()

    # -- for answers

    async def retrieve(self, question: str, limit: int = 5, before: str = "") -> list[Passage]:
        """The passages that bear on ``question`` (English or Chinese, any text), best first; none
        if nothing does. ``before`` is the question asked before, which a short one may lean on.
        See :func:`fairlead.knowledge.retrieval.retrieve` for the score."""
        return await self._reader.run(lambda c: retrieval.retrieve(c, question, limit, before))

    async def passage(self, id: str, around: int = 0) -> Passage:
        """One passage by id, with up to ``around`` characters of its document before and after it;
        :class:`~fairlead.errors.NotFound` if there is none (any more: the
        id of a passage whose text changed leaves with the text)."""
        found = await self._reader.run(lambda c: retrieval.passage(c, id, around))
        if found is None:
            raise NotFound("there is no such passage")
        return found

    # -- for people who look at the documents

    async def document(self, id: str) -> Document:
        """One document with its text; :class:`~fairlead.errors.NotFound` if there is none."""
        found = await self._reader.run(
            lambda c: _documents(c, "document.text", "WHERE document.id = ?", (id,))
        )
        if not found:
            raise NotFound("there is no such document")
        return found[0]

    async def documents(self, after: str = "", limit: int = 100) -> list[Document]:
        """The documents whose address comes after ``after``, by address, without their texts."""
        where = "WHERE address > ? ORDER BY address LIMIT ?"
        return await self._reader.run(lambda c: _documents(c, "''", where, (after, limit)))

    async def sources(self) -> list[Source]:
        """What was ingested, by name."""
        return await self._reader.run(_sources)

    # -- for ingestion

    async def source(self, root: str, name: str) -> Source:
        """The source with this root; made, and named ``name`` or, if that is taken, ``name-2`` and
        so on, unless it exists."""
        return await self._writer.run(lambda c: _source(c, root, name))

    async def digests(self, source: Source) -> dict[str, str]:
        """The digest of each document of a source, by path."""
        sql = "SELECT path, digest FROM document WHERE source = ?"
        return await self._reader.run(lambda c: dict(c.execute(sql, (source.id,))))

    async def put(self, source: Source, draft: Draft) -> Document:
        """Add or replace a document and its passages, in one transaction."""
        return await self._writer.run(lambda c: _put(c, source, draft))

    async def remove(self, source: Source, path: str) -> None:
        """Remove a document and its passages, in one transaction; none is fine."""
        await self._writer.run(lambda c: _remove(c, source, path))

    async def remove_source(self, name: str) -> None:
        """Remove a source and all its documents, in one transaction; none is fine."""
        await self._writer.run(lambda c: _remove_source(c, name))


def _documents(
    connection: apsw.Connection, text: str, where: str, values: tuple[str | int, ...]
) -> list[Document]:
    rows = connection.execute(_DOCUMENT.format(text=text) + where, values)
    return [
        Document(
            id=id,
            source=source,
            path=path,
            address=address,
            title=title,
            digest=digest,
            passages=passages,
            text=body,
        )
        for id, source, path, address, title, digest, passages, body in rows
    ]


def _sources(connection: apsw.Connection) -> list[Source]:
    sql = """
    SELECT source.n, root, name, count(document.n)
    FROM source LEFT JOIN document ON document.source = source.n
    GROUP BY source.n ORDER BY name
    """
    return [
        Source(id=n, root=root, name=name, documents=documents)
        for n, root, name, documents in connection.execute(sql)
    ]


def _source(connection: apsw.Connection, root: str, name: str) -> Source:
    with schema.transaction(connection):
        for n, known in connection.execute("SELECT n, name FROM source WHERE root = ?", (root,)):
            return Source(id=n, root=root, name=known)
        taken = {known for (known,) in connection.execute("SELECT name FROM source")}
        free, i = name, 2
        while free in taken:
            free, i = f"{name}-{i}", i + 1
        connection.execute("INSERT INTO source (root, name) VALUES (?, ?)", (root, free))
        return Source(id=connection.last_insert_rowid(), root=root, name=free)


def _put(connection: apsw.Connection, source: Source, draft: Draft) -> Document:
    address = f"{source.name}/{draft.path}" if draft.path else source.name
    document = Document(
        id=derived_id(address, "document"),
        source=source.name,
        path=draft.path,
        address=address,
        title=draft.chunked.title or draft.title,
        digest=draft.digest,
        passages=len(draft.chunked.chunks),
        text=draft.text,
    )
    with schema.transaction(connection):
        _delete(connection, "source = ? AND path = ?", (source.id, draft.path))
        connection.execute(
            "INSERT INTO document (id, source, path, address, title, digest, passages, text)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                document.id,
                source.id,
                document.path,
                address,
                document.title,
                document.digest,
                document.passages,
                document.text,
            ),
        )
        _insert_passages(connection, connection.last_insert_rowid(), document, draft)
    return document


def _insert_passages(connection: apsw.Connection, n: int, document: Document, draft: Draft) -> None:
    seen: Counter[str] = Counter()
    for start, end, heading in draft.chunked.chunks:
        text = draft.text[start:end]
        # From its text: a citation in an old answer leads to what was cited, or to nothing.
        id = derived_id(f"{document.id}\0{seen[text]}\0{text}", "passage")
        seen[text] += 1
        connection.execute(
            "INSERT INTO passage (id, document, first, past, heading, text)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (id, n, start, end, heading, text),
        )
        connection.execute(
            "INSERT INTO terms (rowid, title, heading, body) VALUES (?, ?, ?, ?)",
            (connection.last_insert_rowid(), document.title, heading, text),
        )


def _remove(connection: apsw.Connection, source: Source, path: str) -> None:
    with schema.transaction(connection):
        _delete(connection, "source = ? AND path = ?", (source.id, path))


def _remove_source(connection: apsw.Connection, name: str) -> None:
    with schema.transaction(connection):
        _delete(connection, "source = (SELECT n FROM source WHERE name = ?)", (name,))
        connection.execute("DELETE FROM source WHERE name = ?", (name,))


def _delete(connection: apsw.Connection, where: str, values: tuple[str | int, ...]) -> None:
    documents = f"(SELECT n FROM document WHERE {where})"
    connection.execute(
        f"DELETE FROM terms WHERE rowid IN (SELECT n FROM passage WHERE document IN {documents})",
        values,
    )
    connection.execute(f"DELETE FROM passage WHERE document IN {documents}", values)
    connection.execute(f"DELETE FROM document WHERE {where}", values)


class _Thread:
    """A thread and its connection."""

    def __init__(self, path: Path, name: str, *, readonly: bool) -> None:
        self._path = path
        self._name = name
        self._readonly = readonly
        self._executor: ThreadPoolExecutor | None = None
        self._connection: apsw.Connection | None = None

    async def open(self) -> None:
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, thread_name_prefix=self._name)
            await asyncio.get_running_loop().run_in_executor(self._executor, self._connect)

    async def close(self) -> None:
        executor, self._executor = self._executor, None
        if executor is not None:
            # Queued behind what is being done; a cancelled wait still closes.
            future = asyncio.get_running_loop().run_in_executor(executor, self._disconnect)
            executor.shutdown(wait=False)
            await future

    async def run(self, work: Callable[[apsw.Connection], T]) -> T:
        if self._executor is None:
            raise StoreUnavailable("the knowledge base is not open")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self._work, work)

    def _work(self, work: Callable[[apsw.Connection], T]) -> T:
        if self._connection is None:
            raise StoreUnavailable("the knowledge base is not open")
        with schema.translated(self._path):
            return work(self._connection)

    def _connect(self) -> None:
        self._connection = schema.connect(self._path, readonly=self._readonly)
        retrieval.register(self._connection)

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
