"""Evaluation on synthetic people, where the truth is known: the demo and the sensitivity study."""
