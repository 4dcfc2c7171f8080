"""What happened and how it did: the recorder of every fact, the journal of trades."""
