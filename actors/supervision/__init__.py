"""Who keeps the others alive: the supervisors, the directory, and the stepper of a replay."""
