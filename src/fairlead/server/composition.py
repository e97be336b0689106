"""Composition: the only place that picks concrete classes."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import structlog

from fairlead.engine.engine import Engine
from fairlead.engine.limits import Limits
from fairlead.engine.models import Model, Models
from fairlead.errors import Misconfigured
from fairlead.identity.static_keys import StaticKey, StaticKeys
from fairlead.journal.retention import Retention
from fairlead.knowledge.builtin import refresh_builtin, step_aside
from fairlead.knowledge.ingest import ingest
from fairlead.knowledge.sqlite import SqliteKnowledge
from fairlead.policy.attachments import AttachmentLimits
from fairlead.policy.caller import ANONYMOUS
from fairlead.ports.conversations import Conversations
from fairlead.ports.identity import Identity
from fairlead.ports.store import Durability, Store
from fairlead.providers.extractive import ExtractiveProvider
from fairlead.providers.openai_compatible import OpenAICompatibleProvider
from fairlead.providers.openai_config import OpenAICompatibleConfig
from fairlead.server.config import NO_MODEL, Config
from fairlead.server.system import System
from fairlead.server.tables.upstream import Upstream
from fairlead.stores.memory import MemoryStore
from fairlead.stores.memory_conversations import MemoryConversations
from fairlead.stores.sqlite.store import SqliteStore
from fairlead.stores.sqlite_conversations import SqliteConversations
from fairlead.transports.callers import Callers
from fairlead.transports.connections import Connections, Settings

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
        knowledge = await _knowledge(config, stack) if config.knowledge else None
        models = _models(config, own)
        for provider in {model.provider for model in models.all}:
            stack.push_async_callback(provider.close)
        notice = "" if own or config.answerers else NO_MODEL
        engine = Engine(
            store=store,
            conversations=conversations,
            models=models,
            knowledge=knowledge,
            secret=secret,
            limits=Limits(
                generations=config.max_generations,
                readers=config.max_readers,
                prompt_chars=config.max_prompt_chars,
                event_bytes=config.max_event_bytes,
                deadline=config.deadline,
                orphan_window=config.orphan_window,
                attachments=AttachmentLimits(
                    types=config.attachment_types,
                    number=config.max_attachments,
                    bytes=config.max_attachment_bytes,
                    total=config.max_attached_bytes,
                ),
            ),
            retention=Retention(
                max_age=config.retention_days * 86_400,
                max_bytes=config.retention_stream_bytes,
            ),
            notice=notice,
        )
        await engine.open()
        stack.push_async_callback(engine.close)
        if notice:
            _log.info("extractive", notice=notice)
        yield System(
            config=config,
            engine=engine,
            callers=Callers(
                identity
                or StaticKeys(
                    [StaticKey(key.consumer, key.digest, key.scopes) for key in config.keys],
                    anonymous=None if config.keys else ANONYMOUS,
                )
            ),
            connections=Connections(
                Settings(
                    heartbeat=config.heartbeat,
                    stall_timeout=config.stall_timeout,
                    retry=config.retry,
                )
            ),
            notice=notice,
        )


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


def _models(config: Config, own: Sequence[Model]) -> Models:
    if not own and not config.answerers:
        provider = ExtractiveProvider(clock=_clock_ms, pace=config.extractive_pace)
        return Models([Model("extractive", provider)])
    models: list[Model] = []
    for upstream in config.answerers:
        answerer = OpenAICompatibleProvider(_upstream(upstream))
        models += [Model(name, answerer, name) for name in upstream.models]
    models.sort(key=lambda model: model.name != config.model)  # stable: the default goes first
    return Models([*own, *models])


def _upstream(upstream: Upstream) -> OpenAICompatibleConfig:
    return OpenAICompatibleConfig(
        name=upstream.name,
        base_url=upstream.base_url,
        model=upstream.models[0],
        api_key=upstream.api_key.reveal(),
        headers=upstream.headers,
        connect_timeout=upstream.connect_timeout,
        first_token_timeout=upstream.first_token_timeout,
        silence_timeout=upstream.silence_timeout,
        max_retries=upstream.max_retries,
        max_retry_wait=upstream.max_retry_wait,
        include_usage=upstream.include_usage,
        trust_env=upstream.trust_env,
        context_tokens=upstream.context_tokens,
        takes=upstream.attachments,
    )


def _clock_ms() -> int:
    return time.time_ns() // 1_000_000
