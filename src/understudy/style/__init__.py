"""Habits of wording and layout, independent of being right."""
