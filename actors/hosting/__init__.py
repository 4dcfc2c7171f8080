"""Parts of the host that know nothing of Thespian: mail, timers, figures, children."""
