"""Right and wrong answers: engines, benchmarks, scores, and the sandbox for written code."""
