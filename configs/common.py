"""What every config shares: presets by name, and the base fields of a run."""

import ml_collections

ConfigDict = ml_collections.ConfigDict


def pick(presets, arg):
  """The preset `arg` names (the first of `presets` for ''), built."""
  arg = arg or next(iter(presets))
  if arg not in presets:
    raise ValueError(
      f"Unknown preset {arg!r}: name one of {', '.join(presets)} after the"
      " colon of --config."
    )
  return presets[arg]()


def base(name, track):
  """Fields that every experiment has, at their usual values."""
  c = ConfigDict()
  c.name = name
  c.track = track
  c.seeds = (0,)
  c.branch_from = ""  # or RUN@STEP: begins where that run was, see core.branch
  c.train = ConfigDict(
    dict(
      max="1000 steps",
      steps_per_call=2000,  # ours: between two looks of the host
      num_devices=0,  # 0: all there are
    )
  )
  c.eval = ConfigDict(
    dict(
      per_decade=12,  # log-spaced, so that early learning is seen
      every="never",  # or a duration: regular evaluations besides
    )
  )
  # Saved after so many minutes, and after so many steps besides, when the
  # device's call ends; the last `keep` are kept.
  c.checkpoint = ConfigDict(dict(minutes=2.0, every="never", keep=2))
  c.arms = ConfigDict()  # arm -> overrides
  c.grid = ConfigDict()  # axis -> {field, values} or {value name: overrides}
  c.exponents = ConfigDict()  # name -> what the report fits over cells
  c.smoke = False  # True: the overrides in `shrink` come last
  c.shrink = ConfigDict()
  return c
