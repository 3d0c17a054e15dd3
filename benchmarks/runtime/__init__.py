"""Sparse weights at work, one table, every peer: ``python -m benchmarks.runtime --help``.

====================  =============================================================================
``problems``          shapes, batches, sparsities and patterns of zeros
``contestants``       who multiplies: this library bare and as a module, torch, scipy, numpy
``engines``           onnxruntime and DeepSparse, which live in a Python of their own
``turns``             everybody in turn, round by round
``roofline``          what the machine could do: bandwidth by size, peak of dense products
``runner``            all cases, kept as JSON lines
``table, plot``       what was measured, as Markdown and as a picture
``models, networks``  whole networks before and after, with their accuracy
``convolutions``      sparse convolutions, against both of torch's memory formats
``training``          steps of training with sparse weights, and layers that have no dense one
``precisions``        stored values of float32, bfloat16 and int8
====================  =============================================================================
"""
