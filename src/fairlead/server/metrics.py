"""Metrics, as Prometheus reads them. None is touched by a single event: generations are counted at
their ends, their pace once a second, and what can be looked up is looked up when it is asked for.

Labels come from the configuration and from small closed sets, never from callers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    exposition,
)
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

import fairlead
from fairlead.engine.engine import Engine
from fairlead.policy.breaker import State
from fairlead.ports.health import Health
from fairlead.ports.observer import Begun, Ended

#: Buckets in seconds.
_FIRST_TOKEN = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1, 1.5, 2.5, 5, 10, 20, 40)
_BETWEEN = (0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1, 2.5)
_WHOLE = (0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640, 1800)
_QUEUED = (0.01, 0.1, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 120)

#: Models that have metrics of their own at most; the rest are ``other``.
_MOST_MODELS = 200
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_NAME = re.compile(r"[\x20-\x7e]{1,128}")


class _OfModel:
    """What is counted of one model."""

    __slots__ = ("between", "cached", "first", "input", "output", "whole")

    def __init__(self, metrics: Metrics, model: str) -> None:
        self.first = metrics.first_token.labels(model)
        self.between = metrics.between.labels(model)
        self.whole = metrics.whole.labels(model)
        self.input = metrics.tokens.labels(model, "input")
        self.output = metrics.tokens.labels(model, "output")
        self.cached = metrics.tokens.labels(model, "cached")


class Metrics:
    """An :class:`~fairlead.ports.observer.Observer` that counts."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self.first_token = Histogram(
            "fairlead_time_to_first_token_seconds",
            "From the question to the first token of its answer.",
            ["model"],
            buckets=_FIRST_TOKEN,
            registry=registry,
        )
        self.between = Histogram(
            "fairlead_inter_token_seconds",
            "Between two tokens, on the average of about a second.",
            ["model"],
            buckets=_BETWEEN,
            registry=registry,
        )
        self.whole = Histogram(
            "fairlead_generation_seconds",
            "From the question to the end of its answer.",
            ["model"],
            buckets=_WHOLE,
            registry=registry,
        )
        self._queued = Histogram(
            "fairlead_queue_seconds",
            "How long questions waited that found no room at once.",
            buckets=_QUEUED,
            registry=registry,
        )
        self.tokens = Counter(
            "fairlead_tokens",
            "Tokens of ended answers; those of the prompt that were cached are input, too.",
            ["model", "kind"],
            registry=registry,
        )
        self._generations = Counter(
            "fairlead_generations",
            "Ended answers, by how they ended.",
            ["model", "status", "code"],
            registry=registry,
        )
        self._refusals = Counter(
            "fairlead_refused_questions",
            "Questions that were not begun, for want of room or of a budget.",
            ["code"],
            registry=registry,
        )
        self._exhausted = Counter(
            "fairlead_budget_exhausted",
            "Answers and sockets cut, and questions refused, because a budget was used up.",
            ["budget"],
            registry=registry,
        )
        self._requests = Counter(
            "fairlead_http_requests",
            "Answered requests.",
            ["method", "status"],
            registry=registry,
        )
        ProcessCollector(registry=registry)
        self._models: dict[str, _OfModel] = {}
        self._ends: dict[tuple[str, str, str], Counter] = {}
        self._answered: dict[tuple[str, int], Counter] = {}

    def watch(self, engine: Engine, health: Callable[[], Health]) -> None:
        """From now on tell of this engine, and of the upstreams, whose ``health`` may come to be
        another one's to tell."""
        self._registry.register(_Now(engine, health))

    def text(self, accept: str) -> tuple[bytes, str]:
        """All of it, in the format that an ``Accept`` header prefers, and its content type."""
        encode, content_type = exposition.choose_encoder(accept)
        return encode(self._registry), content_type

    # -- told

    def begun(self, begun: Begun) -> Mapping[str, str]:
        return {}

    def paced(self, begun: Begun, seconds: float) -> None:
        self._of(begun).between.observe(seconds)

    def ended(self, ended: Ended) -> None:
        begun = ended.begun
        one = self._of(begun)
        if ended.first_at is not None:
            one.first.observe(ended.first_at - begun.at)
        one.whole.observe(ended.at - begun.at)
        if ended.turn_at is not None and ended.turn_at - begun.at > _QUEUED[0]:
            self._queued.observe(ended.turn_at - begun.at)
        one.input.inc(ended.input_tokens)
        one.output.inc(ended.output_tokens)
        one.cached.inc(ended.cached_tokens)
        key = self._name(begun), ended.status, ended.code
        child = self._ends.get(key)
        if child is None:
            child = self._ends[key] = self._generations.labels(*key)
        child.inc()
        if ended.budget:
            self._exhausted.labels(ended.budget).inc()

    def refused(self, code: str, budget: str) -> None:
        self._refusals.labels(code).inc()
        if budget:
            self._exhausted.labels(budget).inc()

    def exhausted(self, budget: str) -> None:
        self._exhausted.labels(budget).inc()

    def answered(self, method: str, status: int) -> None:
        """A request was answered."""
        key = method if method in _METHODS else "other", status
        child = self._answered.get(key)
        if child is None:
            child = self._answered[key] = self._requests.labels(key[0], str(status))
        child.inc()

    def _of(self, begun: Begun) -> _OfModel:
        name = self._name(begun)
        found = self._models.get(name)
        if found is None:
            found = self._models[name] = _OfModel(self, name)
        return found

    def _name(self, begun: Begun) -> str:
        # Another application's answers, and programs' own, have no model; the program names itself.
        name = begun.model or begun.provider
        if name in self._models:
            return name
        return name if len(self._models) < _MOST_MODELS and _NAME.fullmatch(name) else "other"


class _Now(Collector):
    """What is looked up when it is asked for."""

    def __init__(self, engine: Engine, health: Callable[[], Health]) -> None:
        self._engine = engine
        self._health = health

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        info = GaugeMetricFamily("fairlead_build_info", "This version.", labels=["version"])
        info.add_metric([fairlead.__version__], 1)
        yield info
        census = self._engine.overview.census()
        streams = GaugeMetricFamily(
            "fairlead_streams", "Answers under way, by state.", labels=["state"]
        )
        streams.add_metric(["writing"], census.writing)
        streams.add_metric(["queued"], census.queued)
        yield streams
        readers = GaugeMetricFamily(
            "fairlead_readers", "Open readers, by transport.", labels=["transport"]
        )
        for transport, number in sorted(census.readers.items()):
            readers.add_metric([transport], number)
        yield readers
        yield GaugeMetricFamily(
            "fairlead_draining", "Whether nothing new is begun.", value=self._engine.draining
        )
        yield from self._sockets()
        yield from self._budgets()
        yield from self._upstreams()
        yield from self._commits()

    def _sockets(self) -> Iterator[Metric]:
        labels, sockets = ["kind", "name"], self._engine.sockets
        opened = sockets.open()
        now = GaugeMetricFamily(
            "fairlead_sockets",
            "Open sockets that are passed on, to applications and upstreams.",
            labels=labels,
        )
        ever = CounterMetricFamily(
            "fairlead_sockets_opened", "Sockets that were passed on.", labels=labels
        )
        tokens = CounterMetricFamily(
            "fairlead_socket_tokens", "What they have drawn on budgets.", labels=labels
        )
        used = sockets.tokens()
        for key, number in sorted(sockets.opened.items()):
            now.add_metric(key, opened[key])
            ever.add_metric(key, number)
            tokens.add_metric(key, used[key])
        yield from (now, ever, tokens)

    def _budgets(self) -> Iterator[Metric]:
        limits = GaugeMetricFamily(
            "fairlead_budget_limit",
            "What each key of the budget may use in a window; money in millionths.",
            labels=["budget", "unit", "per"],
        )
        for budget in self._engine.metering.budgets.all:
            unit = budget.currency or budget.unit
            limits.add_metric([budget.name, unit, budget.per], budget.limit)
        yield limits

    def _upstreams(self) -> Iterator[Metric]:
        labels = ["upstream"]
        usable = GaugeMetricFamily(
            "fairlead_upstream_usable", "Whether a question would be sent to it now.", labels=labels
        )
        state = GaugeMetricFamily(
            "fairlead_upstream_breaker",
            "1 for the state that its circuit breaker is in.",
            labels=["upstream", "state"],
        )
        flying = GaugeMetricFamily(
            "fairlead_upstream_in_flight", "Answers that it is writing.", labels=labels
        )
        waiting = GaugeMetricFamily(
            "fairlead_upstream_waiting", "Questions that wait for it.", labels=labels
        )
        ends = CounterMetricFamily(
            "fairlead_upstream_questions",
            "What became of the questions that it was asked.",
            labels=["upstream", "outcome"],
        )
        for one in self._health().snapshot():
            usable.add_metric([one.name], one.usable)
            for each in State:
                state.add_metric([one.name, each.value], each is one.state)
            flying.add_metric([one.name], one.in_flight)
            waiting.add_metric([one.name], one.waiting)
            for outcome in ("answered", "failed", "rate_limited", "refused"):
                ends.add_metric([one.name, outcome], getattr(one, outcome))
        yield from (usable, state, flying, waiting, ends)

    def _commits(self) -> Iterator[Metric]:
        commits = self._engine.store.commits()
        if commits is None:
            return
        yield HistogramMetricFamily(
            "fairlead_store_commit_seconds",
            "How long the store took to make a commit durable.",
            buckets=[(_bound(bound), count) for bound, count in commits.cumulated()],
            sum_value=commits.seconds,
        )


def _bound(seconds: float) -> str:
    return "+Inf" if seconds == float("inf") else str(seconds)
