"""Closed-form alignment of keypoints, planar transforms, and the search for the best subset."""
