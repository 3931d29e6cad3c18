"""Figures of the gateway for Prometheus.

Kept for the process, as Prometheus has it: whoever asks adds up the processes. Labels are names that
administrators and owners gave, never text of users.
"""

from typing import cast

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from runner.lm.call_record import CallRecord

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
# A model on the machine answers in a tenth of a second, one that reasons in minutes.
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """Counts calls. `record` costs a few microseconds."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._children: dict[tuple[object, ...], Counter | Histogram] = {}
        who = ("profile", "adapter", "model")
        self._calls = Counter(
            "dspex_lm_calls",
            "LM calls, by where the answer came from and the code of their error.",
            (*who, "source", "error"),
            registry=registry,
        )
        self._tokens = Counter(
            "dspex_lm_tokens",
            "Tokens that providers counted.",
            (*who, "kind"),
            registry=registry,
        )
        self._cost = Counter(
            "dspex_lm_cost_dollars",
            "US dollars, by the prices of the LM profiles.",
            who,
            registry=registry,
        )
        self._repeats = Counter(
            "dspex_lm_repeated_attempts",
            "Attempts after an outage.",
            who,
            registry=registry,
        )
        self._waited = Counter(
            "dspex_lm_waited_seconds",
            "Seconds in line, because of a profile's limits.",
            who,
            registry=registry,
        )
        self._seconds = Histogram(
            "dspex_lm_call_seconds",
            "Seconds of a call that reached its provider, repetitions and waiting included.",
            who,
            buckets=_SECONDS,
            registry=registry,
        )
        self._first_token = Histogram(
            "dspex_lm_first_token_seconds",
            "Seconds up to the first text of a call that reached its provider.",
            who,
            buckets=_SECONDS,
            registry=registry,
        )

    def record(self, call: CallRecord) -> None:
        """Count a call that is over."""
        who = (call.profile, call.adapter, call.requested_model or call.model)
        self._of(self._calls, *who, call.source, call.error).inc()
        if call.source != "provider" or not call.attempts:
            return
        fresh = max(0, call.input_tokens - call.cached_input_tokens)
        counts = {"input": fresh, "cached_input": call.cached_input_tokens}
        for kind, count in (counts | {"output": call.output_tokens}).items():
            if count:
                self._of(self._tokens, *who, kind).inc(count)
        if call.cost:
            self._of(self._cost, *who).inc(call.cost)
        if call.attempts > 1:
            self._of(self._repeats, *who).inc(call.attempts - 1)
        if call.waited > 0:
            self._of(self._waited, *who).inc(call.waited)
        self._of(self._seconds, *who).observe(call.seconds)
        if call.first_token is not None:
            self._of(self._first_token, *who).observe(call.first_token)

    def _of[M: (Counter, Histogram)](self, metric: M, *labels: str) -> M:
        """The metric with these labels: the library looks for it ten times as long."""
        key = (id(metric), *labels)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = metric.labels(*labels)
        return cast(M, child)

    def text(self) -> bytes:
        """All of it in Prometheus's text format."""
        return generate_latest(self._registry)


METRICS = Metrics()
"""Of this process."""


def gauge_text(name: str, help_: str, label: str, values: dict[str, float]) -> bytes:
    """A figure that is only looked up when asked for, in the same format."""

    class Once:
        def collect(self) -> list[GaugeMetricFamily]:
            family = GaugeMetricFamily(name, help_, labels=[label])
            for key, value in values.items():
                family.add_metric([key], value)
            return [family]

    registry = CollectorRegistry()
    registry.register(Once())
    return generate_latest(registry)
