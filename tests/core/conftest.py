"""Programs of these tests are fused as ever, but not polished by LLVM."""

import jax
import pytest


@pytest.fixture(autouse=True, scope="package")
def quick_to_compile():
  # Compiling is nearly all that such small nets cost.
  jax.config.update("jax_disable_most_optimizations", True)
  yield
  jax.config.update("jax_disable_most_optimizations", False)
