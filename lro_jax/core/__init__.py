"""What both tracks stand on; knows neither.

Reading order, and the order in which files may import each other:
schema, interrupt, cli, registry, experiment, config, timing, prng, task,
normal, packing, hosts, schedules, seeds, optim, placement, forward, steps,
pending, cadence, metrics, rows, folders, checkpoint, saving, branch, progress,
loop.
"""
