"""One module per group of measures: `run(ground, rival)` yields measures and tables."""
