"""What touches the outside; speaks domain, never actor. Others import only what adapters.ports,
adapters.catalogue and adapters.tick_bus offer."""
