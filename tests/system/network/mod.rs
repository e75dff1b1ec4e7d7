//! The dedicated Ethernet ports on the booted image: real servers in namespaces, hostile ones in the lab.

mod discovery;
mod hostile;
mod leases;
mod links;
mod names;
mod routers;
mod scan;
mod servers;
mod settings;
mod time;
