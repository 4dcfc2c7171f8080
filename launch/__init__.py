"""The parts of system.py: reading what the user gave, and joining it into one Runtime."""
