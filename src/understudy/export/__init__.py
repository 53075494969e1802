"""A student in the forms that others take: GGUF files for a laptop, a directory for the hub."""
