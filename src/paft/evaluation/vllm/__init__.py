"""A model that vLLM runs."""
