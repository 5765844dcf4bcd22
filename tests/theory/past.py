"""The network engine's dynamics and readings as sums over the whole past."""

import jax
import numpy as np

from lro_jax.core import prng
from lro_jax.core.prng import Stream
from lro_jax.theory import data, instruments, settings
from lro_jax.theory import problem as problem_lib

PHASES = {i.name: i.phase for i in instruments.CATALOGUE.entries()}


class Past:
  """W and V from W_0, V_0 and the run's noise parts; all else by definition.

  Blocks are 0 for W and 1 for V. Nothing is carried but past gradients.
  """

  def __init__(self, cfg, run):
    self.s = s = settings.resolve(cfg)
    drawn = problem_lib.sample_problem(
      cfg.seeds,
      dim=s.dim,
      num_train=s.num_train,
      num_test=cfg.data.num_test,
      p0=s.p0,
      q0=s.q0,
      r=s.r,
      q_norm=s.q_norm,
    )
    drawn = jax.tree.map(lambda x: np.asarray(x[0]), drawn)
    self.y, self.test_x1 = drawn.train.y, drawn.test.x1
    self.directions = drawn.vectors.directions
    self.inputs = drawn.train.x1, data.x2_of(drawn.train, drawn.vectors)
    self.in_m1 = drawn.train.x1.any(-1)
    self.in_m2 = drawn.train.alpha > 0
    start = run.states[0]
    self.heads = [np.asarray(h) for h in start.model_state["heads"]]
    self.noise = [
      [np.asarray(x) for x in state.probe.parts.noise] for state in run.states
    ]
    self.start = self.noise[0]
    threshold = float(run.task.data.shared["schedule"].anneal_threshold[0])
    act_key = prng.stream_key(prng.root_key(cfg.seeds[0]), Stream.ACT_NOISE)
    self.rates, self.grads, self.grads_m2, self.rhos = [], [], [], []
    self.t0, self.m2_at = None, None
    for t in range(len(run.states)):
      xi = [0.0, 0.0]
      if s.act_noise and self.t0 is None:
        with jax.enable_x64(True):
          keys = jax.random.split(prng.step_key(act_key, t))
          xi = [
            scale * s.act_noise * s.init_std * np.asarray(draw)
            for scale, draw in zip(
              (1, s.q_norm),
              (
                jax.random.normal(k, h.shape, h.dtype)
                for k, h in zip(keys, self.heads, strict=True)
              ),
              strict=True,
            )
          ]
      losses, slopes, grads = self.examples(self.weights(t), xi)
      if self.t0 is None and losses.mean() <= threshold:
        self.t0 = t
      factor = s.anneal_factor if self.t0 is not None else 1.0
      self.rates.append(s.learning_rate * factor)
      self.grads.append([g.mean(0) for g in grads])
      self.grads_m2.append(grads[0][self.in_m2].sum(0) / s.num_train)
      self.rhos.append(slopes[self.in_m2].sum() / s.num_train)
      if self.m2_at is None and losses[self.in_m2].mean() <= s.stop_loss:
        self.m2_at = t

  def gathered(self, grads, t):
    """sum over s < t of gamma_s prod_{s < u < t} (1 - gamma_u lambda) G_s."""
    out = np.zeros_like(grads[0]) if grads else 0.0
    for s in range(t):
      decay = np.prod(
        [1 - rate * self.s.weight_decay for rate in self.rates[s + 1 : t]]
      )
      out = out + self.rates[s] * decay * grads[s]
    return out

  def signal(self, t):
    """Ubar_t, (3.4)."""
    return [
      -self.gathered([g[block] for g in self.grads], t) for block in (0, 1)
    ]

  def weights(self, t):
    return [a + b for a, b in zip(self.signal(t), self.noise[t], strict=True)]

  def output(self, weights, inputs, patterns=None, xi=(0.0, 0.0)):
    """N_A(u, U; x) of one example, A the weights themselves if not given."""
    total = 0.0
    for u, a, head, x, n in zip(
      weights, patterns or weights, self.heads, inputs, xi, strict=True
    ):
      total += head @ ((a @ x + n >= 0) * (u @ x + n))
    return total

  def examples(self, weights, xi=(0.0, 0.0)):
    """Loss, |l'| and gradients of every example, (A.1)."""
    losses, slopes, grads = [], [], ([], [])
    for y, *x in zip(self.y, *self.inputs, strict=True):
      f = self.output(weights, x, xi=xi)
      losses.append(np.logaddexp(0, -y * f))
      slopes.append(1 / (1 + np.exp(y * f)))
      for block in (0, 1):
        active = weights[block] @ x[block] + xi[block] >= 0
        row = -y * slopes[-1] * self.heads[block] * active
        grads[block].append(np.outer(row, x[block]))
    return np.array(losses), np.array(slopes), [np.array(g) for g in grads]

  def r(self, weights, x1):
    return self.output(weights, (x1, np.zeros_like(x1)))

  def flips(self, a, b, block):
    seen = (self.inputs[0], self.directions)[block]
    return max(np.sum((a[block] @ x >= 0) != (b[block] @ x >= 0)) for x in seen)

  def least_rest(self, signal):
    """||W'|| of Lemma B.6, by least squares over explicit matrices."""
    phis = [
      np.outer(self.heads[0] * (self.start[0] @ x >= 0), x).ravel()
      for x in self.inputs[0][~self.in_m2]
    ]
    phis, target = np.stack(phis, axis=1), signal[0].ravel()
    alpha = np.linalg.lstsq(phis, target, rcond=None)[0]
    return np.linalg.norm(target - phis @ alpha)

  def readings(self, t):
    """Measured values of the state at step t, by instrument; NaN if silent."""
    s, u, signal, noise = self.s, self.weights(t), self.signal(t), self.noise[t]
    losses, slopes, grads = self.examples(u)
    mean = [g.mean(0) for g in grads]
    rho = slopes[self.in_m2].sum() / s.num_train
    annealed = self.t0 is not None and t > self.t0
    learned = self.m2_at is not None and t > self.m2_at
    from_m2 = -self.gathered(self.grads_m2, t)
    alpha = self.heads[0] @ (signal[0] - from_m2) / 2
    rest = [self.r(u, x) - self.r(u, -x) - 2 * alpha @ x for x in self.test_x1]
    seen = self.directions @ noise[1].T
    wedge = (seen[0] >= 0) != (seen[2] >= 0)
    out = {
      "B.4": sum(np.sum(g**2) for g in mean)
      if rho >= 1 / s.num_train
      else np.nan,
      "B.5": sum(x >= 0.1 for x in self.rhos[:t]),
      "5.1 M2 steps": self.m2_at if learned else np.nan,
      "5.2": np.linalg.norm(from_m2),
      "5.3 alpha": np.linalg.norm(alpha),
      "5.3 fit": np.sqrt(np.mean(np.square(rest))),
      "B.6": self.least_rest(signal),
      "4.4 M1": np.mean(
        [
          np.logaddexp(0, -y * self.r(u, x))
          for y, x in zip(self.y, self.inputs[0], strict=True)
          if x.any()
        ]
      ),
      "4.4 Q": losses[~self.in_m1].mean(),
      "D.3 share": wedge.mean(),
      "D.3 reach": np.abs(seen[1][wedge]).max(initial=0),
    }
    for block, name in enumerate("WV"):
      x = noise[block]
      alone = [np.zeros_like(w) for w in u]
      alone[block] = u[block]
      inputs = (self.inputs[0], self.directions)[block]
      gaps = []
      for x_in in inputs:
        pair = [np.zeros(s.dim)] * 2
        pair[block] = x_in
        gaps.append(
          self.output(alone, pair) - self.output(alone, pair, patterns=noise)
        )
      out |= {
        f"A.2 {name}": np.linalg.norm(mean[block], axis=1).max(),
        f"A.3 {name}": np.linalg.norm(signal[block], axis=1).max(),
        f"A.7 std {name}": np.sqrt(np.mean(x**2)),
        f"A.7 law {name}": abs(np.mean(x**4) / np.mean(x**2) ** 2 - 3),
        f"A.8 flips {name}": self.flips(u, noise, block),
        f"A.8 output {name}": np.abs(gaps).max(),
      }
    if annealed:
      then, now = self.weights(self.t0), self.signal(self.t0)
      gaps = [
        self.output(u, x) - self.output(signal, x, patterns=then)
        for x in zip(*self.inputs, strict=True)
      ]
      out |= {
        "4.3 norm": sum(
          np.sum((a - b) ** 2) for a, b in zip(signal, now, strict=True)
        ),
        "B.3 output": np.abs(gaps).max(),
      } | {
        f"B.3 flips {name}": self.flips(u, then, i) / len(u[i])
        for i, name in enumerate("WV")
      }
    bounds = {"bound/B.4": s.r * s.q_norm**2 * rho**4}
    return bounds | {
      f"lemma/{name}": np.nan
      if annealed and PHASES[name] == instruments.BEFORE
      else value
      for name, value in out.items()
    }
