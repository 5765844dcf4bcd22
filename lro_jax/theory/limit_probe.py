"""What the limit engine carries along only to be measured.

Ours. Norms of the signal are recursions, since <Ubar, -grad L> = sum_j F_j f_j
in the limit: they cannot be had from the outputs' running sums at some later
step. Letters: see `lro_jax.theory`.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from lro_jax.core.seeds import if_any
from lro_jax.core.task import NOT_YET, Array, latch
from lro_jax.theory import instruments, kernels, lemmas, limit_inputs
from lro_jax.theory.kernels import Kernel
from lro_jax.theory.limit_inputs import ByGroup, Inputs


class SinceAnneal(NamedTuple):
  """Ubar_t0 and its inner product with Ubar_t.

  Attributes:
    sums_p, sums_q: Ubar_t0's running sums, seen from the patterns of now,
      [K, n1] and [K, 3].
    norm2: ||Ubar_t0||^2, [].
    along: <Ubar_t, Ubar_t0>, [].
    u: -log rho since then, [].
  """

  sums_p: Array
  sums_q: Array
  norm2: Array
  along: Array
  u: Array


class Probe(NamedTuple):
  """All that is carried; None where no instrument asks.

  Attributes:
    norm2_w, norm2_v: ||Wbar||_F^2, ||Vbar||_F^2, [].
    large_rho_steps: steps with rho_t >= `lemmas.LARGE_RHO`, int32 [].
    m2_learned_at: latch of the loss on M2 at eps2, int32 [].
    norm2_m2: ||W^(2)||_F^2, (5.1), [].
    from_start: the P sums as the first patterns see them, [K, n1], and -log rho
      since the start, [].
    anneal: what is kept of the annealing step.
  """

  norm2_w: Array
  norm2_v: Array
  large_rho_steps: Array
  m2_learned_at: Array
  norm2_m2: Any
  from_start: Any
  anneal: Any


class Move(NamedTuple):
  """One step or stride: how far, and by what forces. All [] but the forces.

  Attributes:
    n: number of steps.
    rate: eta.
    u: -log rho over them.
    weight_decay: lambda.
    decay: D = (1 - eta lambda)^n.
    span: sum of eta (1 - eta lambda)^j over j < n.
    force_p: F on M1, [n1].
    force_q: F alpha on the three directions, [3].
  """

  n: Array
  rate: Array
  u: Array
  weight_decay: float
  decay: Array
  span: Array
  force_p: Array
  force_q: Array

  @property
  def by(self) -> dict[str, Any]:
    """What `kernels.advance` wants."""
    names = ("n", "rate", "u", "weight_decay")
    return {name: getattr(self, name) for name in names}


def start(num_rates: int, num_p: int, carries: frozenset[str]) -> Probe:
  """The probe of an untrained net. Ours.

  Args:
    num_rates: K.
    num_p: n1.
    carries: what is to be carried, `instruments.carried`.
  """
  zero, steps = jnp.zeros(()), jnp.zeros((), jnp.int32)
  sums_p, sums_q = jnp.zeros((num_rates, num_p)), jnp.zeros((num_rates, 3))
  return Probe(
    norm2_w=zero,
    norm2_v=zero,
    large_rho_steps=steps,
    m2_learned_at=jnp.full((), NOT_YET, jnp.int32),
    norm2_m2=zero if instruments.FROM_M2 in carries else None,
    from_start=(sums_p, zero) if instruments.FROM_START in carries else None,
    anneal=SinceAnneal(sums_p, sums_q, zero, zero, zero)
    if instruments.MOVED in carries
    else None,
  )


def moved_norm2(norm2: Array, move: Move, along: Array, of_force: Array):
  """||D Ubar + span G||^2, []. Ours.

  Args:
    norm2: ||Ubar||^2, [].
    move: D and span.
    along: <Ubar, G>, [].
    of_force: ||G||^2, [].
  """
  return (
    move.decay**2 * norm2
    + 2 * move.decay * move.span * along
    + move.span**2 * of_force
  )


def advance(
  probe: Probe,
  move: Move,
  kernel: Kernel,
  inputs: Inputs,
  *,
  r: ByGroup,
  along_q: Array,
  force_norm2: tuple[Array, Array, Array],
  rho: Array,
  loss_m2: Array,
  step: Array,
  stop_loss: float,
) -> Probe:
  """The probe after a step or stride, but for `anneal`. Ours.

  Args:
    probe: before.
    move: the step.
    kernel: the kernel.
    inputs: of this seed.
    r: on M1 before the step.
    along_q: sum of F g over examples, [].
    force_norm2: ||G||^2 of W, of W from M2 alone, and of V, [] each.
    rho: (B.10), [].
    loss_m2: loss on M2 before the step, [].
    step: t, [].
    stop_loss: eps2.
  """
  of_w, of_m2, of_v = force_norm2
  counted = jnp.where(rho >= lemmas.LARGE_RHO, move.n, 0).astype(jnp.int32)
  out = probe._replace(
    norm2_w=moved_norm2(
      probe.norm2_w, move, jnp.sum(move.force_p * r.whole), of_w
    ),
    norm2_v=moved_norm2(probe.norm2_v, move, along_q, of_v),
    large_rho_steps=probe.large_rho_steps + counted,
    m2_learned_at=latch(probe.m2_learned_at, loss_m2 <= stop_loss, step),
  )
  if probe.norm2_m2 is not None:
    along = inputs.by_group(move.force_p).m2 @ inputs.by_group(r.m2).m2
    out = out._replace(norm2_m2=moved_norm2(probe.norm2_m2, move, along, of_m2))
  if probe.from_start is not None:
    sums, since = probe.from_start
    sums = kernels.advance_from_start(
      kernel, sums, move.force_p, since_start=since, **move.by
    )
    out = out._replace(from_start=(sums, since + move.u))
  return out


def advance_anneal(
  probe: Probe,
  move: Move,
  kernel: Kernel,
  inputs: Inputs,
  *,
  sums_p: Array,
  sums_q: Array,
  annealed_at: Array,
  step: Array,
) -> Any:
  """What is kept of the annealing step, after a step or stride. Ours.

  Run only once some seed has annealed: it costs a forward pass.

  Args:
    probe: before.
    move: the step.
    kernel: the kernel.
    inputs: of this seed.
    sums_p: running sums before the step, [K, n1].
    sums_q: likewise, [K, 3].
    annealed_at: the latch, this step's decision included, [].
    step: t, [].
  """
  if probe.anneal is None:
    return None

  def forward(kept, norms, sums, inputs, move, fresh):
    norm2 = norms[0] + norms[1]
    at = SinceAnneal(*sums, norm2, norm2, jnp.zeros(()))
    kept = jax.tree.map(lambda a, b: jnp.where(fresh, a, b), at, kept)
    h = limit_inputs.p_output(kernel, inputs, kept.sums_p).whole
    h_at = kernels.q_directions_output(kernel, kept.sums_q)
    gained = jnp.sum(move.force_p * h) + jnp.sum(move.force_q * h_at)
    fading = jnp.exp(-jnp.asarray(kernel.rates) * move.u)[:, None]
    return SinceAnneal(
      sums_p=kept.sums_p * fading,
      sums_q=kept.sums_q * fading,
      norm2=kept.norm2,
      along=move.decay * kept.along + move.span * gained,
      u=kept.u + move.u,
    )

  return if_any(
    annealed_at != NOT_YET,
    forward,
    probe.anneal,
    (probe.norm2_w, probe.norm2_v),
    (sums_p, sums_q),
    # What the branch reads of them: the test set would be carried through it.
    inputs._replace(gram=None, test_cosines=None, test_norms=None),
    jax.tree.map(jnp.asarray, move),
    annealed_at == step,
  )
