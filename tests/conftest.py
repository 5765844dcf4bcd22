"""Four virtual CPU devices, set before JAX starts a backend."""

import os
import tempfile

# Some jaxlib releases deadlock on several CPU devices with few threads.
os.environ.setdefault("NPROC", "16")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jaxlib  # noqa: E402

# Compiling is nearly all that the tests cost; fusions built by LLVM directly
# compile in a third of the time. Only where the flag is known: an unknown one
# ends the process.
if jaxlib.__version__.startswith("0.10."):
  os.environ["XLA_FLAGS"] = " ".join(
    [os.environ.get("XLA_FLAGS", ""), "--xla_cpu_use_fusion_emitters=false"]
  )

# Many tests run the same program more than once, each time from nothing, some
# in processes of their own: what one has compiled serves all others. The folder
# is made by the process that starts the workers, and gone with the session.
if "PYTEST_XDIST_WORKER" not in os.environ:
  _cache = tempfile.TemporaryDirectory()
  os.environ["JAX_COMPILATION_CACHE_DIR"] = _cache.name
  os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"

import jax  # noqa: E402

jax.config.update("jax_num_cpu_devices", 4)

import hypothesis  # noqa: E402
import pytest  # noqa: E402

hypothesis.settings.register_profile(
  "lro_jax",
  deadline=None,
  derandomize=True,
  max_examples=25,
  database=None,
  suppress_health_check=[hypothesis.HealthCheck.differing_executors],
)
hypothesis.settings.load_profile("lro_jax")


@pytest.fixture
def figure(record_property):
  """Numbers worth reading: `figure("30 tried, 29 refused")` in a test.

  They are printed when all tests are done, whichever worker ran which; an
  absltest class takes them by `testing.Figures`.
  """
  return lambda text: record_property("figure", text)


def pytest_terminal_summary(terminalreporter):
  reports = [
    report
    for kind in ("passed", "failed")
    for report in terminalreporter.getreports(kind)
    if report.when == "call"
  ]
  lines = [
    text
    for report in reports
    for name, text in report.user_properties
    if name == "figure"
  ]
  if lines:
    terminalreporter.section("figures")
    terminalreporter.write("\n".join([*sorted(lines), ""]))
