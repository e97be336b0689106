"""What a store has in memory may be behind what it has shown from its file."""

from __future__ import annotations

from fairlead.journal.log import Head
from fairlead.ports.store import Batch
from fairlead.stores.memory import MemoryStore
from fairlead.stores.memory_conversations import MemoryConversations
from fairlead.testing.provider import ScriptedProvider
from tests.engine.conftest import Bench, make_engine


class LaggingStore(MemoryStore):
    """``recent`` knows no later head than ``known``, if that is set."""

    known: Head | None = None

    def recent(self, id: str, offset: int, max_bytes: int) -> Batch | None:
        if self.known is not None:
            return Batch(self.known, offset, [])
        return super().recent(id, offset, max_bytes)


async def test_a_position_that_the_store_has_shown_is_never_taken_for_lost() -> None:
    store, conversations, provider = LaggingStore(), MemoryConversations(), ScriptedProvider()
    await store.open()
    await conversations.open()
    engine = make_engine(store, conversations, provider)
    await engine.open()
    bench = Bench(engine, provider)
    stream = await bench.ask()
    provider.say("one ")
    first = await (await bench.read(stream)).until(lambda r: r.text == "one ")
    known = (await store.info(stream)).head
    provider.say("two ")
    await first.until(lambda r: r.text == "one two ")
    first.detach()

    store.known = known
    second = await bench.read(stream, first.position)
    store.known = None
    provider.say("three")
    provider.finish()
    await second.to_end()
    assert second.names() == ["token", "done"]
    assert first.text + second.text == "one two three"
    await engine.close()
