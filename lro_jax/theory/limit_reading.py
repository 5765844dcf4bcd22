"""What the limit engine's instruments are made from, read off a logged state.

Ours. Letters: see `lro_jax.theory`.
"""

import jax
import jax.numpy as jnp

from lro_jax.core.task import Array
from lro_jax.theory import lemmas, limit_inputs, measure
from lro_jax.theory.kernels import Kernel
from lro_jax.theory.limit_inputs import Inputs
from lro_jax.theory.limit_probe import Probe
from lro_jax.theory.settings import Setting


def read(
  probe: Probe,
  sums_p: Array,
  inputs: Inputs,
  train: dict[str, Array],
  kernel: Kernel,
  s: Setting,
  *,
  f: Array,
  r: Array,
  g_at: Array,
  step: Array,
  annealed_at: Array,
  rate: Array,
) -> lemmas.Reading:
  """What the instruments are made from. Ours.

  Args:
    probe: of a state.
    sums_p: its running sums, [K, n1].
    inputs: of its seed.
    train: arrays of `measure.train_data`, [N].
    kernel: the kernel.
    s: the run's numbers.
    f: outputs without noise, [N].
    r: those on x1 alone, [N].
    g_at: g at the directions, [3].
    step: t, [].
    annealed_at: the latch, [].
    rate: gamma_t, [].
  """
  m1, m2 = train["m1"], train["m2"]
  slope = jax.nn.sigmoid(-train["y"] * f)
  force = train["weight"] * train["y"] * slope
  force_p = limit_inputs.of_m1(inputs, force)
  force_q = limit_inputs.on_directions(
    force * train["alpha"], train["direction"]
  )
  at_one = jnp.sum(kernel.directions, axis=0)
  by_group = zip(inputs.by_group(force_p), inputs.gram, strict=True)
  of_w = sum(part @ gram for part, gram in by_group)
  return lemmas.Reading(
    step=step,
    annealed_at=annealed_at,
    rate=rate,
    p=jnp.mean(1 - m2),
    q=jnp.mean(1 - m1),
    loss=measure.mean_loss(f, train, 1.0),
    loss_m2=measure.mean_loss(f, train, m2),
    loss_q_only=measure.mean_loss(f, train, 1 - m1),
    r_loss_m1=measure.mean_loss(r, train, m1),
    g_at=g_at,
    rho=jnp.sum(train["weight"] * slope * m2),
    grad_norm2=of_w @ force_p + force_q @ at_one @ force_q,
    # Two directions at the angle 2 arctan r part arctan(r) 2 / pi of the rows.
    wedge_share=jnp.asarray(2 * jnp.arctan(s.r) / jnp.pi),
    **_of_probe(probe, kernel, inputs, sums_p),
  )


def _of_probe(
  probe: Probe, kernel: Kernel, inputs: Inputs, sums_p: Array
) -> dict[str, Array]:
  """Fields that the probe and the sums give; arguments as `read`."""
  out = {
    "norm2_w": probe.norm2_w,
    "norm2_v": probe.norm2_v,
    "large_rho_steps": probe.large_rho_steps,
    "m2_learned_at": probe.m2_learned_at,
  }
  k = inputs.num_p_only
  if probe.norm2_m2 is not None:
    # Rate 0 of the sums is the plain decayed sum of forces, and the odd part of
    # the kernel is linear: r(x) - r(-x) = 2 <sum_j A_0j x_j, x> / 8 exactly.
    coefficients = kernel.off[0] * sums_p[0] * inputs.norms[0]
    only = coefficients[:k]
    # Not cut: the test cosines, far larger, would be copied.
    rest = jnp.where(jnp.arange(coefficients.shape[0]) < k, 0, coefficients)
    cosines = inputs.cosines.p_only[0, :, :k] + jnp.eye(k)
    beyond = 2 * inputs.test_norms[0] * (rest @ inputs.test_cosines[0])
    out |= {
      "norm2_m2": probe.norm2_m2,
      "alpha_norm": jnp.sqrt(jnp.maximum(only @ cosines @ only, 0)),
      "alpha_rest": jnp.sqrt(jnp.mean(beyond**2)),
    }
  if probe.from_start is not None:
    # N_{U_0}(Wbar; x_k) of the P-only examples; their Gram matrix at rho = 1.
    seen = limit_inputs.p_output(kernel, inputs, probe.from_start[0])
    out["rest2"] = lemmas.least_rest2(
      inputs.gram.p_only[:, :k], seen.whole[:k], probe.norm2_w
    )
  if probe.anneal is not None:
    kept = probe.anneal
    total = probe.norm2_w + probe.norm2_v
    # arccos(e^-u) / pi, without cancellation near u = 0.
    share = jnp.arctan(jnp.sqrt(jnp.expm1(2 * kept.u))) / jnp.pi
    out |= {
      "moved2": total + kept.norm2 - 2 * kept.along,
      "anneal_flips": jnp.stack([share, share]),
    }
  return out
