"""Brings a bare machine to where Holdfast can be tried and tested. Standard library only."""
