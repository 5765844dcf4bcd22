"""The paper's experiments: WideResNets on CIFAR-10, with and without patches.

Reading order, and the order in which files may import each other:
images, cifar10, data, prepare, patches, batch_norm, convolution,
wide_resnet, nets, noise, fields, patched, settings, training, sets, evaluation,
task.
"""
