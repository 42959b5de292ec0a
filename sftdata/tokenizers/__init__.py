"""Tokenizers without transformers: verified fast backends, chat templates, and proved labels."""
