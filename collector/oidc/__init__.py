"""Signing in through an OpenID Connect provider. See docs/sign-in.md."""
