"""Keypoints: skeletons, filtering, matching, and decoders of rendered poses."""
