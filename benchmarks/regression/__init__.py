"""Sparse regression, one table, every peer: ``python -m benchmarks.regression --help``.

=================  ================================================================================
``problems``       what is solved: made or read deterministically, in full and in tiny size
``certificate``    how far from optimal an answer is: numpy alone, none of the measured code
``peers/``         how each library is asked, in its best way
``child``          one problem and one peer, measured in a process of their own
``runner``         all of them, one after the other, kept as JSON lines
``cold``           what a fresh process spends until its first fit
``table, plot``    what was measured, as Markdown and as a picture
=================  ================================================================================
"""
