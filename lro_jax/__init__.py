"""lro_jax: in which order does a network learn, and how the rate decides it.

A reimplementation of Li, Wei and Ma (2019), "Towards Explaining the
Regularization Effect of Initial Large Learning Rate in Training Neural
Networks". Reading order, lowest storey first; a storey imports only lower ones:

  core     what both tracks stand on; ends in core.loop
  theory   the paper's analysis; ends in theory.task
  report   reads run folders, never trains; ends in report.page
  main     the command line
  bench    what all of it costs, measured

Each folder's docstring has its own reading order.
"""

__version__ = "0.1.0"
