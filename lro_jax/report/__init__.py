"""Reads run folders and says what they show; never trains.

What both tracks share stands first; `theory_view` and `vision_view` are what is
of one track, and `tracks` chooses.

Reading order, and the order in which files may import each other:
intervals, collect, formats, tables, paper, figures, instruments,
figures_instruments, verdicts, quantities, entries, exponents,
figures_exponents, view, figures_theory, figures_patches, figures_vision,
theory_view, vision_view, tracks, measures, crossings, learning, controls,
effective, figures_order, order_tables, order, summary, markdown, claim_rules,
claim_readings, claims_file, claims, claims_table, page.
"""
