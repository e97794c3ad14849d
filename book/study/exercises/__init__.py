"""Exercises that answer back: one module for each chapter, and what they share (`model`)."""
