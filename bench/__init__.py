"""What rtbuild promises about speed and memory, measured against what a user would do instead.

`python -m bench` runs everything and writes `docs/benchmarks.md`; `--only NAME` and `--quick` run less and only print.
"""
