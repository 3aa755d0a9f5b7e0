"""Hypothesis runs the same draws every time; CI runs more of them."""

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

import coherence as co

_COMMON = {"derandomize": True, "deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}
settings.register_profile("quick", max_examples=60, **_COMMON)
settings.register_profile("ci", max_examples=300, **_COMMON)
settings.load_profile("ci" if os.environ.get("CI") else "quick")


@pytest.fixture(scope="session")
def iceland():
    """The Icelandic network with full governor records."""
    return co.linearize(co.load_case("iceland"))


@pytest.fixture(scope="session")
def five():
    """The coherent dynamics of Table 3-I."""
    return co.linearize(co.load_case("five_generators"))


@pytest.fixture
def rng():
    return np.random.default_rng(20240501)
