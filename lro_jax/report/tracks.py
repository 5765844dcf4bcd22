"""Which view a workdir's track has."""

from lro_jax.core.schema import UserError
from lro_jax.report import theory_view, vision_view
from lro_jax.report.view import View

VIEWS = {"theory": theory_view.VIEW, "vision": vision_view.VIEW}


def view_of(track: str | None) -> View:
  """The view of a track. Ours.

  Raises:
    UserError: no track of that name.
  """
  if track not in VIEWS:
    raise UserError(
      f"The experiment's track is {track!r}: a report can be written for"
      f" {' and '.join(VIEWS)}."
    )
  return VIEWS[track]
