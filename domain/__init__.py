"""What is true and what is decided: pure values and decisions, standard library and numpy only.

Nouns stand at this level and every part may import them; twins (decisions) stand in a folder per
stage and only the actors of that stage import them.
"""
