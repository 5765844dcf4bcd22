"""Speed: where every figure on speed, memory and FLOPs comes from.

  python -m lro_jax.bench --config=configs/patches.py:cpu --baseline

Reading order, files that import each other: device, hlo, timeline, programs,
theory, torch_peer, vision, whole, saving, results, predict, step, compare,
seeds, scaling, tables.

A time is the median over repeats of a warm call; two things that are compared
take turns in one process, or in children of one process.
"""
