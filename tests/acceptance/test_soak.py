"""Answers that end in every way leave nothing behind: a short form of ``make soak``."""

from __future__ import annotations

import sys

import pytest

from bench.soak import GROWTH, soak

_ANSWERS = 500


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the server reads Linux's /proc")
async def test_cut_abandoned_stopped_failed_and_finished_answers_leave_nothing_behind() -> None:
    soaked = await soak(_ANSWERS)
    assert not soaked.wrong, soaked.trouble
    assert sum(soaked.answers.values()) == _ANSWERS
    assert set(soaked.answers) == {"finished", "cut", "abandoned", "stopped", "failed"}
    assert soaked.after.tasks <= soaked.before.tasks
    assert soaked.after.descriptors <= soaked.before.descriptors
    assert soaked.after.memory <= soaked.before.memory + GROWTH
