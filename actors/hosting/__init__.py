"""Parts of the host that know nothing of Thespian: mail, timers, worker, shared figures, children."""
