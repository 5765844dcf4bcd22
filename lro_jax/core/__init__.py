"""What both tracks stand on; knows neither.

Reading order, and the order in which files may import each other:
config, prng, task, optim, steps, metrics, checkpoint, progress, loop.
"""
