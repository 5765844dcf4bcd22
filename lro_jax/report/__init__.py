"""Reads run folders and says what they show; never trains.

Reading order, and the order in which files may import each other:
collect, tables, summary, figures, page.
"""
