"""Data sets: cards that say what a data set is, and what gets, makes and checks it."""
