//! The kernel's packet filter for the ports, set over netlink (nf_tables); it never decides which port has which role.
