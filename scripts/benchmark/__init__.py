"""What the package costs, measured: ``python -m scripts.benchmark --help`` in the repository's root.

- ``networks``: what is measured, at full size or tiny.
- ``steps``: what is run, timed and weighed.
- ``checks``: that what is timed computes the right thing, on the device it is timed on.
- ``sections``: the measurements, one function each.
- ``record``: one line of JSON per figure, as it comes.
- ``tables``: from these lines to tables in the docs.
"""
