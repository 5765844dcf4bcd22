"""What both tracks stand on; knows neither.

Reading order, and the order in which files may import each other:
schema, cli, experiment, config, timing, prng, task, schedules, optim,
placement, seeds, steps, cadence, metrics, folders, checkpoint, progress, loop.
"""
