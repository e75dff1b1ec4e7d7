//! Which roles the ports have that no setting mentions. It never looks at the machine.
