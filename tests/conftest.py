"""What holds for every test."""

import os
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says how busy the machine is. (With CI=true Hypothesis holds it so.)
settings.register_profile(
    "patient", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("patient")

NOTHING_MAY_SKIP = os.environ.get("CI") == "true"
"""On the build machine an absent backend is a failure, not a gap in the report."""


#: What takes longest, so that it does not begin when everything else is over.
_LONGEST = (
    "tests/clients/test_typescript",
    "tests/autobahn/",
    "tests/bench/",
    "tests/acceptance/test_sigkill.py",
    "tests/contract/test_contract.py",
    "tests/acceptance/test_soak.py",
    "tests/acceptance/test_rpc_slow_readers.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first; else as they were found, which keeps those of a module together."""
    items.sort(key=lambda item: not item.nodeid.startswith(_LONGEST))


def _skip_is_failure(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure; an expected failure (xfail) stays what it is."""
    if NOTHING_MAY_SKIP and report.outcome == "skipped" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"Skipped, and with CI=true nothing may skip: {report.longrepr}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _skip_is_failure(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _skip_is_failure(report)
    return report
