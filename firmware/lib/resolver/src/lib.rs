//! Names to addresses over the servers of the port that is asked for; it never reads a configuration file.
