"""A study: one recipe over bases, data kinds, amounts and seeds, and what follows from it."""
