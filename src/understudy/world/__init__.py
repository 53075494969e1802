"""A fictional world: its encyclopedia, text to pretrain on, benchmarks, prompts and a teacher.

All of it follows from a seed. Nothing downstream knows that it is fictional: text, benchmarks and
answers have the forms that real ones have.
"""
