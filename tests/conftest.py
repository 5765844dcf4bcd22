"""Four virtual CPU devices, set before JAX starts a backend."""

import os

# Some jaxlib releases deadlock on several CPU devices with few threads.
os.environ.setdefault("NPROC", "16")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax  # noqa: E402

jax.config.update("jax_num_cpu_devices", 4)

import hypothesis  # noqa: E402

hypothesis.settings.register_profile(
  "lro_jax",
  deadline=None,
  derandomize=True,
  max_examples=25,
  database=None,
  suppress_health_check=[hypothesis.HealthCheck.differing_executors],
)
hypothesis.settings.load_profile("lro_jax")
