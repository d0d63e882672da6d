"""Brings Causeway up on one machine with two applications to move: `make demo`, and `make demo ARGS=--walkthrough`."""
