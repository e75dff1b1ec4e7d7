//! The bus: the typed messages between roles, and the one table of who may ask whom what. It never acts on a message.
//!
//! Each role that serves has a Unix stream socket under [`SOCKETS`]. It is bound by init and handed to the role as
//! descriptor [`LISTENER`], so that a caller can connect while the role restarts. Whoever connects is known by the
//! kernel's word for his user id ([`Role::of_uid`]), never by what he says of himself.
//!
//! Bytes on the wire (`frame`) are apart from their meaning (`message`) and from who may send them (`table`). A server
//! answers a request that the table does not list with [`Reply::Refused`], and logs it.

pub mod approval;
pub mod audit;
pub mod bridge;
mod build;
pub mod client;
pub mod fetch;
pub mod frame;
pub mod happened;
mod inherited;
pub mod logger;
pub mod message;
pub mod network;
pub mod notify;
pub mod record;
pub mod relay;
pub mod role;
pub mod server;
pub mod supervise;
pub mod support;
pub mod table;
pub mod upload;

pub use build::BUILD_TIME;
pub use inherited::{DESCRIPTORS_MOST, inherited_file, inherited_listener, receive_with, send_with};
pub use message::{
    Announcement, ClockCorrection, ClockState, DataState, Event, Level, LogLine, Power, Refusal, Reply,
    Request, RoleState, RoleStatus, SystemStatus,
};
pub use network::{ChangeId, NetworkStatus, PendingChange, Port};
pub use role::{Role, Runs};
pub use table::{Ask, may};

/// Where the sockets are: one a role that serves, named after it.
pub const SOCKETS: &str = "/run/bus";

/// The descriptor on which a role that serves finds its listening socket (the first after standard error).
pub const LISTENER: i32 = 3;

/// The path of a role's socket.
pub fn socket_path(role: Role) -> std::path::PathBuf {
    std::path::Path::new(SOCKETS).join(role.name())
}
