"""Learning a teacher's distributions beside its text."""
