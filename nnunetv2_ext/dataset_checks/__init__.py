"""Finds in a dataset's files what nnU-Net or our trainers would stumble over, and says what to do. Changes nothing."""
