"""What is said: frozen dataclasses, nothing else. A command is imperative, a fact is past tense."""
