"""Images from a run's patches.npz: Figure 4 of the paper, and the patch bank.

Pixel values outside [0, 255] are clipped, and how many were is said. (The
authors' code lets them wrap around: train_patches.py, vis_imgs.)
"""

import zipfile

import matplotlib.pyplot as plt
import numpy as np

from lro_jax.core.schema import UserError
from lro_jax.report import drawn, figures
from lro_jax.report.collect import RunLog

PATCHES = "patches.npz"
# More classes than this do not fit the width of a page.
MOST_CLASSES = 10
CHANNELS = {1: ("grey",), 3: ("red", "green", "blue")}
# Of pictures of one channel; of others it is not read.
SHOWN = {"interpolation": "nearest", "cmap": "gray"}


def read(runs: list[RunLog]) -> dict[str, np.ndarray] | None:
  """patches.npz of the first run that has one, None if none has. Ours.

  Returns:
    name -> array, among them `figure_4` [images, kinds, h, w, ch].

  Raises:
    UserError: the file is damaged.
  """
  for run in runs:
    path = run.folder / PATCHES
    if path.exists():
      try:
        with open(path, "rb") as opened, np.load(opened) as file:
          return dict(file)
      except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(
          f"{path} is not readable as NumPy arrays ({error}): delete this"
          " run's folder to run it again."
        ) from error
  return None


def num_classes(runs: list[RunLog]) -> int | None:
  """Number of classes, None if neither run.json nor the patches say. Ours."""
  found = runs[0].record["facts"].get("num_classes")
  if found is None:
    patches = read(runs)
    found = len(patches["zeta"]) if patches else None
  return found


def clipped(pixels: np.ndarray) -> tuple[np.ndarray, float]:
  """Pixels [...] cut to 0 to 255 as uint8 [...], and the share cut. Ours."""
  outside = (pixels < 0) | (pixels > 255)
  return np.rint(np.clip(pixels, 0, 255)).astype(np.uint8), outside.mean()


def _pixels(image: str, shown: np.ndarray) -> drawn.Rows:
  """A picture as rows, [h, w, ch]: a channel's line each, columns from 0."""
  names = CHANNELS.get(shown.shape[-1]) or map(str, range(shown.shape[-1]))
  return [
    {"image": image, "channel": channel, "row": str(row)}
    | {str(x): value for x, value in enumerate(line)}
    for c, channel in enumerate(names)
    for row, line in enumerate(shown[..., c])
  ]


def _bare(ax) -> None:
  """An image has no ticks, grid or frame."""
  ax.set_xticks([])
  ax.set_yticks([])
  ax.grid(False)
  for spine in ax.spines.values():
    spine.set_visible(False)


def figure_4(runs: list[RunLog]) -> figures.Figure | None:
  """Patched images, a row per image and a column per kind. Paper: Figure 4."""
  patches = read(runs)
  if not patches or "figure_4" not in patches:
    return None
  images, share = clipped(patches["figure_4"])
  kinds = [str(kind) for kind in patches["figure_4_kinds"]]
  fig, axes = plt.subplots(
    len(images),
    len(kinds),
    figsize=(1.35 * len(kinds), 1.3 * len(images)),
    squeeze=False,
    gridspec_kw={"wspace": 0.06, "hspace": 0.06},
  )
  rows: drawn.Rows = []
  for i, label in enumerate(patches["figure_4_labels"]):
    for j, kind in enumerate(kinds):
      ax = axes[i, j]
      rows += _pixels(f"{i}: class {label}, {kind}", images[i, j])
      ax.imshow(images[i, j], vmin=0, vmax=255, **SHOWN)
      _bare(ax)
      if i == 0:
        ax.set_title(kind.replace(", ", ",\n"), fontsize=8)
    axes[i, 0].set_ylabel(f"class {label}", fontsize=8)
  return figures.finish(
    fig,
    f"figure_4_{figures.slug(runs[0].cell)}",
    "Figure 4 of the paper from this run's patch: the same images as each kind"
    " shows them. Of the pixel values shown"
    f" {share:.2%} lay outside [0, 255] and are clipped here; in training they"
    f" are not. {runs[0].record['facts']['dataset']}.",
    rows,
  )


def bank(runs: list[RunLog]) -> figures.Figure | None:
  """z, z + zeta of every class, and zeta alone on its own scale. Ours."""
  patches = read(runs)
  if not patches:
    return None
  z, zeta = patches["z"], patches["zeta"][:MOST_CLASSES]
  mean, std = patches["mean"], patches["std"]
  sums = np.concatenate([z[None], z + zeta]) * std + mean
  top, share = clipped(sums)
  reach = float(np.abs(zeta).max()) or 1.0
  fig, axes = plt.subplots(
    2,
    1 + len(zeta),
    figsize=(0.95 * (1 + len(zeta)), 2.2),
    squeeze=False,
    gridspec_kw={"wspace": 0.08, "hspace": 0.08},
  )
  rows: drawn.Rows = []
  for c, ax in enumerate(axes[0]):
    ax.imshow(top[c], vmin=0, vmax=255, **SHOWN)
    ax.set_title("z" if c == 0 else f"class {c - 1}", fontsize=8)
    rows += _pixels("z" if c == 0 else f"z + zeta, class {c - 1}", top[c])
  axes[1, 0].set_visible(False)
  for c, ax in enumerate(axes[1, 1:]):
    ax.imshow(0.5 + 0.5 * zeta[c] / reach, vmin=0, vmax=1, **SHOWN)
    rows += _pixels(f"zeta, class {c}", zeta[c])
  for ax in axes.flat:
    _bare(ax)
  axes[0, 0].set_ylabel("z, z + zeta", fontsize=8)
  axes[1, 1].set_ylabel("zeta", fontsize=8)
  classes = len(patches["zeta"])
  return figures.finish(
    fig,
    f"patch_bank_{figures.slug(runs[0].cell)}",
    "The patch bank of the first seed: z, and z + zeta of each class, in pixel"
    f" values, of which {share:.2%} lay outside [0, 255] and are clipped here."
    " Below: zeta alone on its own scale, from"
    f" -{reach:.3g} (dark) to {reach:.3g} (bright) standard deviations of a"
    " channel; grey is 0."
    + (f" {len(zeta)} of {classes} classes." if classes > len(zeta) else ""),
    rows,
  )
