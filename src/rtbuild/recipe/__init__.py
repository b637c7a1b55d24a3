"""Recipes: what people write, read strictly into values."""
