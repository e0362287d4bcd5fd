"""Admission by what users configure: webhooks and policies, asked after the built-in chain."""
