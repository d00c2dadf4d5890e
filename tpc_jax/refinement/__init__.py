"""Transforms chosen and refined by what both bodies look like, where keypoints alone mislead."""
