"""Mutated input for every command, and one judge of what they do with it; ``make fuzz`` runs it."""
