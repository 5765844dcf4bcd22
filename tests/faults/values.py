"""What is put in the place of a config's values and names."""

from typing import Any, NamedTuple

import numpy as np
from ml_collections import config_dict

from lro_jax.core.schema import ConfigDict

GONE = object()


class Renamed(NamedTuple):
  """Stands for: the same value under another name."""

  name: str


TYPES = (
  None,
  True,
  False,
  [],
  [1],
  [{"a": 1}],
  {},
  {"dim": 3},
  {"a": {"b": 1}},
  (),
  (0,),
  (1, 2, 3, 4, 5),
  (0.5, "text", None),
  ((1, 2), (3,)),
  b"bytes",
  {1, 2},
  1j,
  object(),
  np.float64(0.5),
  np.int64(3),
  np.arange(3000),
  ConfigDict({"a": ConfigDict({"b": 1})}),
  config_dict.placeholder(int),
  config_dict.required_placeholder(int),
)
NUMBERS = (
  0,
  0.0,
  -0.0,
  -1,
  -1.0,
  1,
  1.0,
  2,
  3.5,
  7,
  2**31 - 1,
  2**31,
  2**63,
  10**300,
  10**400,
  10**5000,
  1e-9,
  1e-160,
  5e-324,
  1e160,
  1e308,
  float("nan"),
  float("inf"),
  -float("inf"),
)
STRINGS = (
  "",
  " ",
  "0",
  "abc",
  "none",
  "never",
  "split",
  "0 steps",
  "-1 steps",
  "1 steps",
  "1 epochs",
  "1.5 epoch",
  "1e3 steps",
  "9" * 400 + " steps",
  "0." + "0" * 400 + "1 epochs",
  "٣ steps",
  "nowhere.npz",
  "../../up",
  "/",
  "a\nb",
  "nul\0",
  "ключ — 鍵 \u202e",
  "\ud800",
  "x" * 5000,
  "%s {0} {data}",
)
VALUES = TYPES + NUMBERS + STRINGS
NAMES = (
  "unknown",
  "data",
  "two words",
  "",
  "a/b",
  "a\nb",
  "nul\0",
  "ключ",
  "\ud800",
  "x" * 300,
)


def shown(value: Any) -> str:
  """A value in one short line, for failures."""
  if value is GONE:
    return "gone"
  if isinstance(value, int) and abs(value) > 2**63:
    # Python refuses to print the longest.
    return f"an int of {value.bit_length()} bits"
  text = " ".join(ascii(value).split())
  return text if len(text) <= 40 else f"{text[:30]}... ({len(text)})"
