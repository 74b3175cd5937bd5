"""Hypothesis profiles of every test run: quick by default, repeatable in integration, long for `make prove`."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# A property that opens files is slow under load without being wrong.
patient = [HealthCheck.too_slow]
settings.register_profile("dev", max_examples=25, deadline=None, suppress_health_check=patient)
settings.register_profile(
    "ci", max_examples=100, deadline=None, derandomize=True, database=None, suppress_health_check=patient
)
settings.register_profile("prove", max_examples=2000, deadline=None, suppress_health_check=patient)
settings.load_profile("ci" if os.environ.get("CI") else "dev")
