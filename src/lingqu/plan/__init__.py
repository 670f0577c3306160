"""Plans: steps, the mechanism chosen for each, what they cost and what they disclose."""
