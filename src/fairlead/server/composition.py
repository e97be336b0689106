"""Composition: the only place that picks concrete classes."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import structlog

from fairlead.engine.engine import Engine
from fairlead.engine.models import Model
from fairlead.errors import Misconfigured
from fairlead.journal.retention import Retention
from fairlead.knowledge.builtin import refresh_builtin, step_aside
from fairlead.knowledge.ingest import ingest
from fairlead.knowledge.merged import merged
from fairlead.knowledge.sqlite import SqliteKnowledge
from fairlead.ports.audit import Audit
from fairlead.ports.conversations import Conversations
from fairlead.ports.files import Files
from fairlead.ports.identity import Identity
from fairlead.ports.passages import Passages
from fairlead.ports.store import Durability, Store
from fairlead.server.applications import Applications
from fairlead.server.config import NO_MODEL, Config
from fairlead.server.doors import open_doors
from fairlead.server.entrance import Entrance, policy_of
from fairlead.server.limits import limits_of
from fairlead.server.metering import open_metering
from fairlead.server.metrics import Metrics
from fairlead.server.models import Offer
from fairlead.server.plugins import Plugins
from fairlead.server.system import System
from fairlead.server.tracing import open_tracing
from fairlead.stores.memory import MemoryStore
from fairlead.stores.memory_audit import MemoryAudit
from fairlead.stores.memory_conversations import MemoryConversations
from fairlead.stores.memory_files import MemoryFiles
from fairlead.stores.memory_passages import MemoryPassages
from fairlead.stores.sqlite.store import SqliteStore
from fairlead.stores.sqlite_audit import SqliteAudit
from fairlead.stores.sqlite_conversations import SqliteConversations
from fairlead.stores.sqlite_files import SqliteFiles
from fairlead.stores.sqlite_gateway import SqliteGateway
from fairlead.stores.sqlite_passages import SqlitePassages
from fairlead.transports.callers import Callers
from fairlead.transports.connections import Connections, Settings
from fairlead.transports.places import Places

_log = structlog.get_logger("fairlead.server")


@contextlib.asynccontextmanager
async def compose(
    config: Config, *, own: Sequence[Model] = (), identity: Identity | None = None
) -> AsyncGenerator[System, None]:
    """Build the system that ``config`` describes, ready to serve; close it afterwards.

    A program that has Fairlead inside gives models of its ``own``, which come before the configured
    ones, and its own ``identity`` instead of the configured keys.
    """
    secret = _prepare(config.data_dir)
    async with contextlib.AsyncExitStack() as stack:
        store, conversations = _stores(config)
        await store.open()
        stack.push_async_callback(store.close)
        await conversations.open()
        stack.push_async_callback(conversations.close)
        gateway = await _gateway(config, stack)
        plugins = await _plugins(config, stack, gateway)
        doors = await open_doors(
            config,
            stack,
            gateway=gateway,
            secret=secret,
            plugins=plugins.identities,
            own=identity,
        )
        if config.plugins and not plugins.identities:
            config.check_serving(stored_keys=await doors.any_stored(), by_plugin=False)
        metering = await open_metering(config, stack, gateway, plugins.keys)
        knowledge = await _knowledge(config, stack) if config.knowledge else None
        offer = Offer(config, own, plugins.models)
        audit: Audit = MemoryAudit() if gateway is None else SqliteAudit(gateway)
        await audit.open()
        files: Files = MemoryFiles() if gateway is None else SqliteFiles(gateway)
        await files.open()
        metrics = Metrics()
        tracing = open_tracing(config, stack)
        applications = Applications(config.apps)
        stack.push_async_callback(applications.close)
        notice = "" if own or config.answerers or plugins.models else NO_MODEL
        engine = Engine(
            store=store,
            conversations=conversations,
            models=offer.models,
            knowledge=merged(knowledge, plugins.sources),
            transforms=plugins.transforms,
            secret=secret,
            limits=limits_of(config),
            retention=Retention(
                max_age=config.retention_days * 86_400,
                max_bytes=config.retention_stream_bytes,
            ),
            shares={each.consumer: each.share for each in config.consumers},
            notice=notice,
            revocable=doors.identity,
            metering=metering,
            observers=(metrics, tracing) if tracing is not None else (metrics,),
            audit=audit,
            files=files,
        )
        entrance = Entrance(policy_of(config, plugins.judges))
        offer.open()
        if notice:
            _log.info("extractive", notice=notice)
        system = System(
            config=config,
            engine=engine,
            callers=Callers(
                doors.identity,
                offer.models.keep
                | metering.budgets.keep
                | entrance.policy.rules.keep
                | plugins.keep,
                cookie=doors.cookie,
                origins=config.cors_origins,
                apps=applications.paths,
                alone=config.loopback and not config.insecure,
                hosts=config.hosts,
            ),
            doors=doors,
            entrance=entrance,
            plugins=plugins,
            audit=audit,
            metrics=metrics,
            tracing=tracing,
            connections=Connections(
                Settings(
                    heartbeat=config.heartbeat,
                    stall_timeout=config.stall_timeout,
                    retry=config.retry,
                )
            ),
            places=Places(config.max_sockets_each),
            offer=offer,
            applications=applications,
            notice=notice,
        )

        async def close_offer() -> None:
            # The one of then: a reload may have put it in this one's place.
            await system.offer.close()

        async def close_plugins() -> None:
            # Closed twice, those of the beginning are closed once.
            await system.plugins.close()

        stack.push_async_callback(close_plugins)
        stack.push_async_callback(close_offer)
        await engine.open()
        stack.push_async_callback(engine.close)
        yield system


def _prepare(folder: Path) -> bytes:
    """Make the data folder, readable by its owner alone; the deployment's secret, made once."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / "secret"
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(32))
        secret = path.read_bytes()
    except OSError as error:
        raise Misconfigured(
            f"cannot use the data folder {folder}: {error.strerror}. "
            "Choose another one with --data-dir."
        ) from None
    if len(secret) < 32:
        raise Misconfigured(
            f"{path} is not a secret of 32 bytes; remove it to have a new one made "
            "(idempotency keys given before will then start anew)"
        )
    return secret


def _stores(config: Config) -> tuple[Store, Conversations]:
    durability = Durability(config.durability)
    if durability is Durability.MEMORY:
        return MemoryStore(), MemoryConversations()
    return (
        SqliteStore(config.data_dir / "journal.db", durability=durability),
        SqliteConversations(config.data_dir / "records.db"),
    )


async def _gateway(config: Config, stack: contextlib.AsyncExitStack) -> SqliteGateway | None:
    """The file of what the gateway knows of its callers; None: that is kept in memory."""
    durability = Durability(config.durability)
    if durability is Durability.MEMORY:
        return None
    gateway = SqliteGateway(config.data_dir / "gateway.db", durability=durability)
    await gateway.open()
    stack.push_async_callback(gateway.close)
    return gateway


async def _plugins(
    config: Config, stack: contextlib.AsyncExitStack, gateway: SqliteGateway | None
) -> Plugins:
    passages: Passages = MemoryPassages() if gateway is None else SqlitePassages(gateway)
    await passages.open()
    plugins = await Plugins.load(config.plugins, passages)
    stack.push_async_callback(plugins.close)
    return plugins


async def _knowledge(config: Config, stack: contextlib.AsyncExitStack) -> SqliteKnowledge:
    knowledge = SqliteKnowledge(config.data_dir / "knowledge.db")
    await knowledge.open()
    stack.push_async_callback(knowledge.close)
    if config.documents:
        report = await ingest(config.documents, knowledge)
        await step_aside(knowledge)
        _log.info(
            "documents_taken_in",
            added=len(report.added),
            updated=len(report.updated),
            unchanged=len(report.unchanged),
            removed=len(report.removed),
            skipped=[f"{skipped.address}: {skipped.reason}" for skipped in report.skipped[:20]],
        )
    else:
        await refresh_builtin(knowledge)
    return knowledge
