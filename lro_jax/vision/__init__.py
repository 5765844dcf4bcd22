"""The paper's experiments: WideResNets on CIFAR-10, with and without patches.

Reading order, and the order in which files may import each other:
sources, data, prepare, patches, wide_resnet, settings, training, evaluation,
task.
"""
