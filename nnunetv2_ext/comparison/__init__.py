"""Comparing trained runs: from nnU-Net's results folders to differences with intervals, tables and a page."""
