"""The demo: from labelled volumes to a table of Dice, with stock nnU-Net commands and one of our trainers."""
