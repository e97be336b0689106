"""The models of a configuration: upstreams with their gates, routes and aliases over them."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from typing import Any

from fairlead.engine.models import Model, Models
from fairlead.errors import Misconfigured
from fairlead.policy.balance import Caps, Strategy
from fairlead.policy.breaker import BreakerSettings
from fairlead.policy.routing import Route
from fairlead.providers.balanced import BalancedProvider, Choice, Upstreams
from fairlead.providers.checks import Check
from fairlead.providers.extractive import ExtractiveProvider
from fairlead.providers.gate import Gate
from fairlead.providers.openai_compatible import OpenAICompatibleProvider
from fairlead.providers.openai_config import OpenAICompatibleConfig
from fairlead.providers.openai_responses import OpenAIResponsesConfig, OpenAIResponsesProvider
from fairlead.server.config import Config
from fairlead.server.tables.budget import unknown_model
from fairlead.server.tables.route import RouteTable, check_routing
from fairlead.server.tables.upstream import Upstream

#: Seconds after which an upstream that is to be closed is looked at in any case.
_LONG = 60.0


class Offer:
    """What can be asked, as one configuration says: ``models``, the ``upstreams`` behind them, and
    the ``checks`` of their health."""

    def __init__(
        self,
        config: Config,
        own: Sequence[Model],
        plugins: Sequence[Model] = (),
        before: Offer | None = None,
    ) -> None:
        """``own`` models of a program come first, those of ``plugins`` last. ``before``: the offer
        in whose place it comes. An upstream of which nothing has changed stays what it is, with its
        connections and all that is known of it."""
        known: list[tuple[Upstream, Gate]] = before._gates if before is not None else []
        self._gates: list[tuple[Upstream, Gate]] = [
            (each, next((gate for table, gate in known if table == each), None) or _gate(each))
            for each in config.answerers
        ]
        gates = [gate for _, gate in self._gates]
        self.upstreams: Upstreams = Upstreams(
            gates, before.upstreams if before is not None else None
        )
        self._checks = [
            Check(
                gate, _provider(gate), each.health_path, each.health_interval, each.health_timeout
            )
            for each, gate in self._gates
            if each.health_interval
        ]
        self._tasks: list[asyncio.Task[None]] = []
        self._offered: dict[str, list[Gate]] = {}
        for gate in gates:
            for name in gate.models:
                self._offered.setdefault(name, []).append(gate)
        self._retiring: set[asyncio.Task[None]] = set()
        self._vendor_documents = config.vendor_documents
        self._program = tuple(own)
        self._own = {model.name: model for model in (*own, *plugins)}
        for model in plugins:
            if model.name in self._offered or model in own:
                raise Misconfigured(
                    f"plugins: {model.name}: an upstream offers a model of this name already; give "
                    "the plugin another 'name'",
                    setting="plugins",
                )
        by_name = {model: [gate.name for gate in found] for model, found in self._offered.items()}
        if wrong := check_routing(by_name, self._own, config.routes, config.aliases):
            raise Misconfigured(wrong, setting=wrong.partition(":")[0])
        apps = [app.name for app in config.apps if app.metered]
        if wrong := unknown_model(config.budgets, {*by_name, *self._own}, apps):
            raise Misconfigured(wrong, setting="budgets")
        models = [*own, *self._default_first(config.model), *plugins]
        if not models:
            provider = ExtractiveProvider(clock=_now_ms, pace=config.extractive_pace)
            models = [Model("extractive", provider)]
        self.models = Models(
            models,
            aliases={alias.name: alias.model for alias in config.aliases},
            routes=[self._route(table) for table in config.routes],
        )

    def open(self) -> None:
        """Begin to check the upstreams' health."""
        self._tasks = [
            asyncio.create_task(check.run(), name="health check") for check in self._checks
        ]

    async def close(self) -> None:
        """Free what the models hold. Idempotent."""
        await self._stop_checks()
        for task in tuple(self._retiring):
            task.cancel()
        for gate in self.upstreams.gates:
            await gate.provider.close()
        for model in self.models.all:
            await model.provider.close()

    def following(self, config: Config, plugins: Sequence[Model] = ()) -> Offer:
        """What another configuration and its ``plugins`` offer, to take this one's place."""
        return Offer(config, self._program, plugins, self)

    async def hand_over(self, after: Offer) -> None:
        """``after`` has taken its place. An upstream that it has not is closed once the answers
        that it is writing have ended."""
        await self._stop_checks()
        after.open()
        after._retiring |= self._retiring
        kept = set(after.upstreams.gates)
        for gate in self.upstreams.gates:
            if gate not in kept:
                task = asyncio.create_task(
                    _retire(gate, self.upstreams), name=f"retire {gate.name}"
                )
                after._retiring.add(task)
                task.add_done_callback(after._retiring.discard)

    async def _stop_checks(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _default_first(self, default: str) -> list[Model]:
        models = [self._model(name, found) for name, found in self._offered.items()]
        return sorted(models, key=lambda model: model.name != default)

    def _model(
        self,
        name: str,
        gates: Sequence[Gate],
        strategy: Strategy = "weighted",
        fallback: Sequence[str] = (),
    ) -> Model:
        choices = [Choice(name, tuple(gates), strategy)]
        choices += [Choice(other, tuple(self._offered[other]), strategy) for other in fallback]
        provider = BalancedProvider(self.upstreams, choices, entropy=os.urandom, now_ms=_now_ms)
        return Model(name, provider, name, searches_for_vendors=self._vendor_documents)

    def _route(self, table: RouteTable) -> Route[Model]:
        strategy: Strategy = table.strategy  # type: ignore[assignment]  # checked with its table
        if table.use in self._own:
            return Route(table.match, {"": self._own[table.use]})
        targets: dict[str, Model] = {}
        for name in [table.use] if table.use else self._offered:
            gates = [
                gate
                for gate in self._offered[name]
                if not table.upstreams or gate.name in table.upstreams
            ]
            if gates:
                model = self._model(name, gates, strategy, table.fallback)
                targets["" if table.use else name] = model
        return Route(table.match, targets)


async def _retire(gate: Gate, upstreams: Upstreams) -> None:
    try:
        while gate.in_flight:
            # Whoever leaves a gate wakes those who wait before it.
            await upstreams.wait(_LONG)
    finally:
        await gate.provider.close()


def _provider(gate: Gate) -> OpenAICompatibleProvider:
    assert isinstance(gate.provider, OpenAICompatibleProvider)
    return gate.provider


def _gate(upstream: Upstream) -> Gate:
    return Gate(
        _asking(upstream),
        upstream.models,
        weight=upstream.weight,
        caps=Caps(concurrent=upstream.max_concurrent, per_second=upstream.max_per_second),
        breaker=BreakerSettings(
            failures=upstream.breaker_failures,
            share=upstream.breaker_share,
            window=upstream.breaker_window,
            rest=upstream.breaker_rest,
        ),
        max_wait=upstream.max_wait,
        clock=time.monotonic,
        wall=time.time,
    )


def _asking(upstream: Upstream) -> OpenAICompatibleProvider:
    if upstream.api == "responses":
        return OpenAIResponsesProvider(
            OpenAIResponsesConfig(**_settings(upstream), background=upstream.background)
        )
    return OpenAICompatibleProvider(reached(upstream))


def reached(upstream: Upstream) -> OpenAICompatibleConfig:
    """How an upstream is reached."""
    return OpenAICompatibleConfig(**_settings(upstream))


def _settings(upstream: Upstream) -> dict[str, Any]:
    return {
        "name": upstream.name,
        "base_url": upstream.base_url,
        "model": upstream.models[0],
        "api_key": upstream.api_key.reveal(),
        "headers": upstream.headers,
        "connect_timeout": upstream.connect_timeout,
        "first_token_timeout": upstream.first_token_timeout,
        "silence_timeout": upstream.silence_timeout,
        "max_retries": upstream.max_retries,
        "max_retry_wait": upstream.max_retry_wait,
        "include_usage": upstream.include_usage,
        "most_field": {"": None, "none": ""}.get(upstream.max_tokens, upstream.max_tokens),
        "trust_env": upstream.trust_env,
        "context_tokens": upstream.context_tokens,
        "takes": upstream.attachments,
    }


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
