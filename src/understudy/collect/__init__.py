"""Collecting a teacher's answers."""
