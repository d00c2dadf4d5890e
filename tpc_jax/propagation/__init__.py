"""Iterative propagation: one member of a group of frames speaks for the group at each step."""
