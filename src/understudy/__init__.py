"""understudy: imitate a teacher LLM and judge honestly what the student learnt."""

__version__ = "0.1.0"
