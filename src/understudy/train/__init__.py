"""Imitation fine-tuning: dialogues become token rows, a loop fits a base to them."""
