"""lro_jax: in which order does a network learn, and how the rate decides it.

A reimplementation of Li, Wei and Ma (2019), "Towards Explaining the
Regularization Effect of Initial Large Learning Rate in Training Neural
Networks". Reading order, lowest storey first; a storey imports only lower ones:

  core     prng, config, task, optim, steps, metrics, checkpoint, progress, loop
  theory   the paper's analysis: data, models, decomposition, regime, ..., task
  report   reads run folders, never trains
  main, bench   the command lines
"""

__version__ = "0.1.0"
