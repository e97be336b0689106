"""Streams in one SQLite file, which several processes may open.

How it is laid out. Everything appended since the last commit, to whatever stream, becomes one row
of ``ticks``: one small write, however many streams. About once a second the process that wrote a
stream folds what is new into a row of ``segments``, and ticks that are folded through are deleted.
So a stream is: its row in ``streams`` (which counts folded records only), its segments, and behind
them what the ticks still hold of it.

At durability ``process`` appends go to a slate first, a file beside the database, and are shown as
soon as they stand there; the writer's thread commits them a little later, many at once (see
``slates`` and ``ahead``).

Nothing in memory is the truth. What the writer's thread knows of a log holds while
``PRAGMA data_version``, asked inside the transaction, shows no other process's commit; each change
of a log's head by whoever is named in ``ticks.changed``, so that others know what to forget.
"""

from fairlead.stores.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
