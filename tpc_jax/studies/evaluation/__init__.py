"""Evaluation of animators: pairs of any data set, animated in several ways and scored."""
