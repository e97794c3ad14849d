"""The course: which chapters need which, sessions for a short and a long course, tables of exercises."""
