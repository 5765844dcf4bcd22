"""Run folders of the vision track, one per seed, written without training."""

import pathlib

import numpy as np

from lro_jax.core import metrics
from lro_jax.report import collect
from tests.report import fake

PER_EPOCH = 10
ANNEAL_AT = 4
EPOCHS = 8
SEEDS = (0, 10)
DATASET = "CIFAR-10 & <friends>, a fake"
ARMS = ("large", "small")
KINDS = ("clean", "mixed, z + zeta", "mixed, z - zeta", "patch only, z + zeta")


def seed_rows(arm, seed, *, patches=True):
  """One seed: the small rate knows the patch from step 2, large from epoch 4.

  Every accuracy tells arm, seed and step; the mixed one is best at epoch 6.
  """
  rows = []
  for step in (0, 2, 5, *range(PER_EPOCH, EPOCHS * PER_EPOCH + 1, PER_EPOCH)):
    epoch = step / PER_EPOCH
    knows = step >= 2 if arm == "small" else epoch > ANNEAL_AT
    shift = 1e-3 * (seed + 1)
    clean = min(0.1 + 0.1 * epoch, 0.9 if arm == "large" else 0.7) - shift
    patch = 0.9 if knows else 0.12
    event = None
    if arm == "large" and epoch == ANNEAL_AT:
      event = "anneal"
    row = fake.row(step, seed, event, epoch=epoch, learning_rate=0.1) | {
      "accuracy/clean": clean,
      "loss/clean": 2.3 - 2 * clean,
      "train_accuracy/all": min(1.0, clean + 0.1),
      "train_loss/all": 2.0 - 2 * clean,
    }
    if patches:
      row |= {
        "accuracy/mixed": 0.95 - 0.1 * abs(epoch - 6) - shift,
        "accuracy/patch_only": patch - shift,
        "accuracy/patch_only_authors": min(1.0, patch + 0.05) - shift,
        "accuracy/own_patch": 0.9 - shift,
        "accuracy/other_patch": 0.9 - 0.8 * knows - shift,
        "conflict/patch": 0.1 + 0.7 * knows + shift,
        "train_loss/clean": 2.1 - 2 * clean,
        "train_loss/mixed": 1.9 - 2 * clean,
        "train_loss/patch_only": 2.3 - 2 * patch,
        "train_accuracy/patch_only": patch,
      }
    rows.append(row)
  return rows


def config(arm, seed, **fields):
  """config.json, of the paper's size."""
  rate = {"large": 0.1}.get(arm, 0.004)
  made = {
    "name": "patches",
    "track": "vision",
    "seeds": [seed],
    "data": {"source": "cifar10", "num_train": 0, "num_test": 0},
    "model": {"depth": 16, "widen_factor": 10},
    "optim": {
      "learning_rate": rate,
      "anneal_at": ["4 epochs"] if arm == "large" else [],
    },
  }
  for name, value in fields.items():
    group, field = name.split("__")
    made[group][field] = value
  return made


def facts(arm, *, patches=True):
  """run.json's facts."""
  large = arm == "large"
  return {
    "data": "CIFAR-10, sha256 0123",
    "dataset": DATASET,
    "num_classes": 10,
    "steps_per_epoch": PER_EPOCH,
    "num_parameters": 17116634,
    "milestones": [ANNEAL_AT * PER_EPOCH] if large else [],
    "expected_events": ["anneal"] if large else [],
    "setting": {"net": "WRN-16-10", "learning_rate": 0.1 if large else 0.004},
  } | ({"patches": "sha256 4567"} if patches else {})


def bank(num_classes=10, size=7):
  """patches.npz: some of its pixel values lie outside [0, 255]."""
  draw = np.random.default_rng(0)
  mean, std = np.float32((125, 123, 114)), np.float32((63, 62, 67))
  z = draw.normal(0, 1.25, (size, size, 3)).astype(np.float32)
  zeta = draw.uniform(-0.1, 0.1, (num_classes, size, size, 3))
  images = draw.uniform(0, 255, (3, 4, 32, 32, 3))
  images[:, 1:, 12:19, 12:19] = z * std + mean
  images[:, 3] = np.where(images[:, 3] == images[:, 2], images[:, 3], mean)
  return {
    "z": z,
    "zeta": zeta.astype(np.float32),
    "corner": np.array((12, 12)),
    "mean": mean,
    "std": std,
    "figure_4": images.astype(np.float32),
    "figure_4_kinds": np.array(KINDS),
    "figure_4_labels": np.array((6, 9, 4)),
  }


def write_seed(folder, arm, seed, *, rows=None, patches=True, **kwargs):
  """One run folder; `kwargs` are fields of its config, `group__field`."""
  status = kwargs.pop("status", "done")
  rows = seed_rows(arm, seed, patches=patches) if rows is None else rows
  record = {
    "status": status,
    "facts": facts(arm, patches=patches),
    "versions": {"jax": "1.2.3", "commit": "abc"},
    "wall_seconds": 10.0 + seed,
  }
  if status == "done":
    record["seeds"] = {
      str(seed): {
        "status": "max_steps",
        "step": EPOCHS * PER_EPOCH,
        "events": {"anneal": ANNEAL_AT * PER_EPOCH} if arm == "large" else {},
      }
    }
  metrics.write_json(folder / metrics.RUN, record)
  metrics.write_json(folder / metrics.CONFIG, config(arm, seed, **kwargs))
  fake.write_rows(folder, rows)
  if patches:
    np.savez(folder / "patches.npz", **bank())


def write_workdir(
  workdir: pathlib.Path, *, name="patches", cell="base", arms=ARMS, **kwargs
) -> collect.Experiment:
  """An experiment of one cell, loaded."""
  fake.write_experiment(
    workdir, name=name, track="vision", arms=arms, cells=[cell]
  )
  for arm in arms:
    for seed in SEEDS:
      write_seed(workdir / arm / cell / f"seed_{seed}", arm, seed, **kwargs)
  return collect.load(workdir)
