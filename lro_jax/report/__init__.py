"""Reads run folders and says what they show; never trains.

What both tracks share stands first; `theory_view` and `vision_view` are what is
of one track, and `tracks` chooses.

Reading order, and the order in which files may import each other:
intervals, collect, tensorboard, formats, tables, paper, theme, drawn, figures,
elements, instruments, figures_instruments, verdicts, quantities, entries,
exponents, figures_exponents, figures_theory, figures_patches, figures_vision,
measures, branches, figures_branches, crossings, learning, controls, effective,
figures_order, order_tables, answer, view, theory_view, vision_view, tracks,
gallery, order, fields, summary, markdown, claim_rules, claim_readings,
claims_file, claims, claims_table, run_details, page.
"""
