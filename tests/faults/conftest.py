"""One zygote for all tests that start processes."""

import pytest

from tests.faults import processes


@pytest.fixture(scope="session")
def zygote():
  with processes.Zygote() as started:
    yield started
