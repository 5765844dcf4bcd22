"""Devices: how many, and how arrays get to them and back."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lro_jax.core import hosts
from lro_jax.core.schema import UserError
from lro_jax.core.task import Data, Tree

AXIS_NAME = "batch"


def num_devices(requested: int) -> int:
  """The number of devices a run uses. Ours.

  Args:
    requested: 0 for all there are, of all hosts.

  Raises:
    UserError: more are requested than there are, or, on several hosts, fewer.
  """
  available = jax.device_count()
  if hosts.count() > 1 and requested not in (0, available):
    raise UserError(
      f"Got {requested} device(s) for a run on {hosts.count()} hosts, which"
      f" have {available}: a run over hosts uses all (train.num_devices 0),"
      " and the limit engine only one; start hosts by themselves, without"
      " --distributed or --coordinator, and they share the runs of a workdir."
    )
  if requested > available:
    raise UserError(
      f"Got train.num_devices {requested}, but this host has {available}"
      f" ({jax.default_backend()}): ask for at most {available}, or 0 for all."
    )
  return requested or available


def used_devices(devices: int) -> list[jax.Device]:
  """The devices of a run: all of all hosts, or the first of this one. Ours."""
  if hosts.count() > 1:
    return jax.devices()
  return jax.local_devices()[:devices]


def axis_name(devices: int) -> str | None:
  """Name of the device axis for `psum`, None on one device. Ours."""
  return AXIS_NAME if devices > 1 else None


def split_examples(data: Data, devices: int) -> Data:
  """Gives each device its share of the examples, padded with zeros. Ours.

  Args:
    data: examples [s, n, ...], shared [s, ...].
    devices: number k of devices.

  Returns:
    Data with examples [k, s, ceil(n / k), ...] and shared [k, s, ...].
  """

  def split(x):
    x = np.asarray(x)
    pad = -x.shape[1] % devices
    x = np.pad(x, [(0, 0), (0, pad)] + [(0, 0)] * (x.ndim - 2))
    x = x.reshape(x.shape[0], devices, -1, *x.shape[2:])
    return np.moveaxis(x, 1, 0)

  def repeat(x):
    x = np.asarray(x)
    return np.broadcast_to(x, (devices, *x.shape))

  return Data(
    jax.tree.map(split, data.examples), jax.tree.map(repeat, data.shared)
  )


def _is_key(x) -> bool:
  return isinstance(x, jax.Array) and jnp.issubdtype(
    x.dtype, jax.dtypes.prng_key
  )


class KeyData(NamedTuple):
  """A PRNG key as plain integers, uint32 [..., 2]."""

  data: Any


def to_numpy(tree: Tree) -> Tree:
  """The same tree on the host, keys as `KeyData`; one copy. Ours."""
  tree = jax.tree.map(
    lambda x: KeyData(jax.random.key_data(x)) if _is_key(x) else x, tree
  )
  # A copy, never a view: on the CPU `device_get` may alias a buffer that the
  # next call donates.
  return jax.tree.map(np.array, jax.device_get(tree))


def to_device(tree: Tree) -> Tree:
  """What `to_numpy` brought to the host, on the device again. Ours."""

  def put(x):
    if isinstance(x, KeyData):
      return jax.random.wrap_key_data(jnp.asarray(x.data), impl="threefry2x32")
    return jnp.asarray(x)

  return jax.tree.map(put, tree, is_leaf=lambda x: isinstance(x, KeyData))
