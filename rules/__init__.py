"""The rule language: load, check, match, explain, and what of it the kernel can match. Pure."""
