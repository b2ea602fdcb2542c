"""Fixtures of the tests of the chart that need Helm, and no cluster."""

import pytest

from e2e.chart.helm import Helm


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Helm, with files of its own."""
    return Helm(tmp_path_factory.mktemp("helm"))
