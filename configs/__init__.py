"""Experiments as data: plain `get_config(arg)` files."""
