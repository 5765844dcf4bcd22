"""How the theorems' quantities move with their parameters, in the limit engine.

The report fits an exponent to each grid and sets it beside the paper's.

  python -m lro_jax.main --config=configs/theory_scaling.py:steps --workdir=DIR

Presets, after a colon:
  kappa        (a) P-only test error of both arms against kappa
  plateau      (b) Lemma 4.2's second difference against r and lambda
  steps        (c) steps to annealing (Lemma 4.1) and after it (Lemma 4.3)
  rates        (d) how small the small rate must be
  anneal       (e) when to anneal
  instruments  every instrument at three values of d, both engines

(f), the network against the limit in m and tau0, is lro_jax.theory.convergence.
"""

from configs import common, theory

ConfigDict = common.ConfigDict

SEEDS = tuple(range(200, 208))


def base():
  """The split (1.1) at d = 300, N = 100, on seeds of its own."""
  c = theory.split()
  c.seeds = SEEDS
  c.data.dim, c.data.num_train = 300, 100
  c.lemmas.measure = "4.2 ours"
  c.arms = ConfigDict({name: c.arms[name] for name in ("large", "small")})
  return c


def only_large(c):
  """Drops the other arms."""
  c.arms = ConfigDict({"large": c.arms.large})
  return c


def exponent(title, source, *, x, y, cells, claimed=None, **fields):
  """What the report fits: see `lro_jax.report.exponents`."""
  entry = dict(
    title=title,
    source=source,
    x=x,
    y=y,
    cells=cells,
    claimed=claimed,
    relation="at most",
    towards="infinity",
    ours=None,
    kind="exponent",
  )
  return ConfigDict(entry | fields)


def named(number):
  """A number as a name: ml_collections lets no dots into names."""
  return f"{number:g}".replace(".", "p")


def field(name):
  """A field of the config as x."""
  return {"field": name}


def measured(arm, phase, metric, **combined):
  """A measured quantity; `minus` or `over` another."""
  return {"arm": arm, "phase": phase, "metric": metric} | combined


P_ONLY = "test_error/p_only"


def kappa():
  """N = d / kappa^2 and p0 = kappa^2 / 10, so that N p0 = d / 10 stays.

  Deviation: the paper has p0 = kappa^2 / 2, above kappa = 1.3 no probability;
  and below kappa = 1 the large rate's errors are too rare to count. eps2 goes
  like p0: it must make the small rate learn the P-only examples.
  """
  c = base()
  c.seeds = SEEDS[:4]
  c.data.dim, c.data.num_test = 150, 20000
  c.grid.kappa = ConfigDict(
    {
      named(k): {
        "data": {
          "kappa": min(k, 1.0),
          "num_train": round(150 / k**2),
          "p0": k**2 / 10,
        },
        "optim": {"stop_loss": 0.075 * k**2},
      }
      for k in (1.0, 1.15, 1.41, 1.63, 2.0)
    }
  )
  errors = {arm: measured(arm, "end", P_ONLY) for arm in ("large", "small")}
  shared = dict(x=field("data.num_train"), cells="*")
  c.exponents.large = exponent(
    "P-only error, large: O(kappa), N^(-1/2)",
    "Theorem 3.4",
    y=errors["large"],
    claimed=-0.5,
    **shared,
  )
  c.exponents.small = exponent(
    "P-only error, small: Omega(1) in kappa",
    "Theorem 3.5",
    y=errors["small"],
    claimed=0.0,
    relation="equal",
    **shared,
  )
  c.exponents.ratio = exponent(
    "P-only error, large / small: O(kappa), N^(-1/2)",
    "Theorems 3.4, 3.5",
    y=errors["large"] | {"over": {"arm": "small"}},
    claimed=-0.5,
    **shared,
  )
  return c


def plateau():
  """The large rate held for 5 / (eta1 lambda) steps, never annealed.

  |z| = 1/2 and q0 = 0.75 keep the loss derivative near its start, as the law
  wants it: Q is not learned at so low a plateau, and few examples have a P to
  be learned by. A step must turn the patterns by less than Q's angle: eta1
  lambda is at most 0.15 of r^2. The arm is Algorithm S at the rate eta1, for
  that one does not anneal.
  """
  c = base()
  c.arms = ConfigDict({"held": c.arms.small})
  c.limit.stride = 1
  c.seeds = SEEDS[:3]
  c.data.dim, c.data.num_train = 120, 60
  c.data.p0, c.data.q0 = 0.05, 0.75
  c.data.q_norm, c.data.num_test = 0.5, 1
  c.optim.stop_loss = 0.0
  c.optim.large_learning_rate = c.optim.small_learning_rate = 2.0
  decays = (3e-5, 6e-5, 1.2e-4)
  c.grid.decay = ConfigDict(
    {
      named(decay): {
        "optim": {"weight_decay": decay},
        "train": {"max": f"{round(5 / (2 * decay))} steps"},
      }
      for decay in decays
    }
  )
  c.grid.r = ConfigDict(
    {"field": "data.r", "values": (0.04, 0.06, 0.09, 0.135)}
  )
  second = measured("held", "end", "lemma/4.2 ours")
  for decay in decays:
    c.exponents[f"r at lambda {named(decay)}"] = exponent(
      f"second difference against r, lambda {decay:g}: r^2",
      "Lemma 4.2",
      x=field("data.r"),
      y=second,
      cells=f"decay={named(decay)},*",
      claimed=2.0,
      towards="zero",
      ours=3.0,
    )
  for r in (0.04, 0.135):
    c.exponents[f"lambda at r {named(r)}"] = exponent(
      f"second difference against lambda, r {r:g}: 1/lambda",
      "Lemma 4.2",
      x=field("optim.weight_decay"),
      y=second,
      cells=f"*r={r:g}",
      claimed=-1.0,
      towards="zero",
      ours=-1.0,
    )
  c.exponents.constant = exponent(
    "second difference over (1-p) |z|^2 r^3 / (24 pi lambda)",
    "ours, for Lemma 4.2",
    x=field("data.r"),
    y=second | {"over": {"metric": "bound/4.2 ours"}},
    cells="*",
    kind="curve",
  )
  return c


def steps():
  """One parameter at a time around the base.

  eps2 goes like sqrt(eps1) where eps1 moves, as in Theorem 3.4; it stays else.
  """
  c = only_large(base())
  changes = {"base": {}}
  for dim in (150, 600):
    changes[f"dim{dim}"] = {"data": {"dim": dim, "num_train": dim // 3}}
  for rate in (0.1, 0.4):
    changes[f"large{named(rate)}"] = {"optim": {"large_learning_rate": rate}}
  for excess in (0.12, 0.27):
    stop = 0.15 * (excess / 0.18) ** 0.5
    changes[f"excess{named(excess)}"] = {
      "optim": {"anneal_excess": excess, "stop_loss": stop}
    }
  for rate in (0.0001, 0.0004):
    changes[f"small{named(rate)}"] = {
      "optim": {"small_learning_rate": rate},
      "limit": {"stride": round(0.2 / rate)},
    }
  for r in (0.02, 0.045):
    changes[f"r{named(r)}"] = {"data": {"r": r}}
  c.grid.vary = ConfigDict(changes)
  annealed = measured("large", "anneal", "step")
  after = measured("large", "end", "step", minus={"phase": "anneal"})
  x = {
    "d": ("data.dim", "vary=[bd]*"),
    "eta1": ("optim.large_learning_rate", "vary=[bl]*"),
    "eps1": ("optim.anneal_excess", "vary=[be]*"),
    "eta2": ("optim.small_learning_rate", "vary=[bs]*"),
    "r": ("data.r", "vary=[br]*"),
  }
  for name, claimed, towards in (
    ("d", 1.0, "infinity"),
    ("eta1", -1.0, "zero"),
    ("eps1", -1.0, "zero"),
  ):
    c.exponents[f"annealing {name}"] = exponent(
      f"steps to annealing against {name}: d / (eta1 eps1)",
      "Lemma 4.1",
      x=field(x[name][0]),
      y=annealed,
      cells=x[name][1],
      claimed=claimed,
      towards=towards,
    )
  for name, claimed in (("eta2", -1.0), ("r", -1.0), ("eps1", -3.0)):
    c.exponents[f"after {name}"] = exponent(
      f"steps after annealing against {name}: 1 / (eps1^3 eta2 r)",
      "Lemma 4.3",
      x=field(x[name][0]),
      y=after,
      cells=x[name][1],
      claimed=claimed,
      towards="zero",
    )
  return c


def rates():
  """The small rate from the large one's size down to a thousandth of it."""
  c = base()
  c.seeds = SEEDS[:4]
  large = c.optim.large_learning_rate
  c.grid.ratio = ConfigDict(
    {
      named(ratio): {
        "optim": {"small_learning_rate": ratio * large},
        "limit": {"stride": round(1 / ratio)},
        "train": {"max": f"{20000 + round(2500 / (ratio * large))} steps"},
      }
      for ratio in (1.0, 0.1, 0.01, 0.001)
    }
  )
  shared = dict(x=field("optim.small_learning_rate"), cells="*", kind="curve")
  c.exponents.gap = exponent(
    "P-only error, small - large, against the small rate (large: 0.2)",
    "Theorem 3.5",
    y=measured("small", "end", P_ONLY, minus={"arm": "large"}),
    **shared,
  )
  c.exponents.q_only = exponent(
    "Q-only test error of the small rate at the end",
    "Theorem 3.5",
    y=measured("small", "end", "test_error/q_only"),
    **shared,
  )
  c.exponents.r_loss = exponent(
    "loss of r alone on M1, small rate, at the end",
    "Lemma 5.2",
    y=measured("small", "end", "r_loss/m1"),
    **shared,
  )
  return c


def anneal():
  """The annealing loss from log 2, at once, down to where decay holds P."""
  c = only_large(base())
  c.seeds = SEEDS[:4]
  c.grid.excess = ConfigDict(
    {
      "field": "optim.anneal_excess",
      "values": (0.1, 0.14, 0.18, 0.25, 0.35, 0.45, 0.55),
    }
  )
  c.exponents.error = exponent(
    "final P-only error against the annealing step",
    "Theorem 3.4",
    x=measured("large", "anneal", "step"),
    y=measured("large", "end", P_ONLY),
    cells="*",
    kind="curve",
  )
  c.exponents.total = exponent(
    "steps in all against the annealing step",
    "Theorem 3.4",
    x=measured("large", "anneal", "step"),
    y=measured("large", "end", "step"),
    cells="*",
    kind="curve",
  )
  return c


def instruments():
  """Every instrument at three values of d, N in proportion, both engines."""
  c = base()
  c.lemmas.measure = "all"
  c.max_seeds = 4
  cells = {
    f"limit_{dim}": {
      "engine": "limit",
      "data": {"dim": dim, "num_train": dim // 3},
    }
    for dim in (150, 300, 600)
  }
  for dim in (100, 200, 400):
    net = ConfigDict(theory.NETWORK).to_dict()
    net["data"] |= {"dim": dim, "num_train": dim // 2}
    cells[f"network_{dim}"] = net
  c.grid.size = ConfigDict(cells)
  return c


def get_config(arg=""):
  """The experiment, as data."""
  return common.pick(
    dict(
      steps=steps,
      kappa=kappa,
      plateau=plateau,
      rates=rates,
      anneal=anneal,
      instruments=instruments,
    ),
    arg,
  )
