//! The array's door: it takes connections, ends their TLS, and hands the plain bytes on to the HTTP server behind it, over a
//! Unix socket. It never reads a request.

use rustls::ServerConfig;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(20);
/// How many connections may wait to be taken.
const BACKLOG: u32 = 128;

/// How the door stands.
#[derive(Debug, Clone)]
pub(super) struct Door {
    /// Whether anybody is let in; else connections are refused, and those that there were are cut.
    pub(super) open: bool,
    /// Which certificate is shown.
    pub(super) config: Arc<ServerConfig>,
}

/// Runs until whoever holds the other end of `door` is gone. `held` is told whether it is open, each time that it changes.
pub(super) fn run(
    listener: std::net::TcpListener,
    behind: PathBuf,
    door: watch::Receiver<Door>,
    held: &Sender<bool>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(listener, behind, door, held))
}

async fn serve(
    listener: std::net::TcpListener,
    behind: PathBuf,
    mut door: watch::Receiver<Door>,
    held: &Sender<bool>,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let mut listener = TcpListener::from_std(listener)?;
    loop {
        if door.borrow_and_update().open {
            tokio::select! {
                changed = door.changed() => if changed.is_err() { return Ok(()) },
                taken = listener.accept() => {
                    // One that was given up before it was taken says nothing of the next.
                    let Ok((stream, _)) = taken else { continue };
                    // The one that counts now: it may have changed since the wait began.
                    let config = Arc::clone(&door.borrow().config);
                    tokio::spawn(guest(stream, behind.clone(), config, door.clone()));
                }
            }
            continue;
        }
        // A socket that is bound and does not listen keeps the port, and the kernel refuses whoever comes.
        drop(listener);
        let keeper = bind(address)?;
        // Nobody may be there to hear it.
        let _ = held.send(false);
        while !door.borrow_and_update().open {
            if door.changed().await.is_err() {
                return Ok(());
            }
        }
        listener = keeper.listen(BACKLOG)?;
        let _ = held.send(true);
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// One connection, until either end closes or the door does.
async fn guest(
    stream: TcpStream,
    behind: PathBuf,
    config: Arc<ServerConfig>,
    mut door: watch::Receiver<Door>,
) {
    let closed = async { door.wait_for(|door| !door.open).await.map(drop) };
    tokio::select! {
        _ = closed => {}
        // What goes wrong is the client's to tell: this end has nobody to tell.
        _ = carry(stream, &behind, config) => {}
    }
}

async fn carry(stream: TcpStream, behind: &Path, config: Arc<ServerConfig>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut outer = tokio::time::timeout(HANDSHAKE, TlsAcceptor::from(config).accept(stream)).await??;
    let mut inner = UnixStream::connect(behind).await?;
    tokio::io::copy_bidirectional(&mut outer, &mut inner).await.map(drop)
}
